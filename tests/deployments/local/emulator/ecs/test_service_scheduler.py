"""ECS: placement, exact counts, restarts, protection, deletion."""

import base64
from collections.abc import Callable

import pytest
from botocore.exceptions import ClientError
from emulated_app import IMAGE_ID, App
from waiting import wait_for


def messages(app: App) -> str:
    return "\n".join(event["message"] for event in app.state()["events"])


def test_tasks_are_placed_where_they_fit(app: App) -> None:
    app.cluster()
    app.fleet(2)
    app.service(5, cpu=1024, memory=1000)
    state = app.running(4)
    assert state["desiredCount"] == 5
    wait_for(lambda: "insufficient CPU units" in messages(app), "an event that says why")
    assert {host["runningTasksCount"] for host in app.hosts()} == {2}
    left = [
        resource["integerValue"]
        for host in app.hosts()
        for resource in host["remainingResources"]
        if resource["name"] == "CPU"
    ]
    assert left == [0, 0]
    cluster = app.ecs.describe_clusters(clusters=[app.name])["clusters"][0]
    assert cluster["registeredContainerInstancesCount"] == 2
    assert cluster["runningTasksCount"] == 4
    assert len(app.containers()) == 4


def test_memory_limits_placement(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(2, cpu=10, memory=5000)
    app.running(1)
    wait_for(lambda: "insufficient memory" in messages(app), "an event that says why")


def test_constraint_keeps_tasks_off_other_machines(app: App) -> None:
    app.cluster()
    script = f"#!/bin/bash\necho ECS_CLUSTER={app.name} >> /etc/ecs/ecs.config\n"
    [instance] = app.ec2.run_instances(
        ImageId=IMAGE_ID, InstanceType="m5.large", MinCount=1, MaxCount=1, UserData=script
    )["Instances"]
    wait_for(app.hosts, "a registered machine")
    app.service(1)
    wait_for(lambda: "MemberOf placement constraint" in messages(app), "an event that says why")
    assert app.containers() == []
    app.fleet(1)
    app.running(1)
    [container] = app.containers()
    assert container["instance_id"] != instance["InstanceId"]
    app.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])


def test_constraint_that_cannot_be_read_is_refused(app: App) -> None:
    app.cluster()
    with pytest.raises(ClientError, match="Invalid expression"):
        app.ecs.create_service(
            cluster=app.name,
            serviceName="x",
            taskDefinition=app.definition(),
            desiredCount=1,
            placementConstraints=[{"type": "memberOf", "expression": "dcp.app is mine"}],
        )


def test_service_without_machines_says_so_once(app: App) -> None:
    app.cluster()
    app.service(1)
    wait_for(lambda: "No Container Instances were found" in messages(app), "an event")
    app.fleet(1)
    app.running(1)
    wait_for(lambda: "has reached a steady state" in messages(app), "steady")
    assert messages(app).count("was unable to place") == 1


def test_exited_container_is_replaced_without_a_growing_delay(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(1, mode="fail")
    stopped = wait_for(
        lambda: found if len(found := app.tasks("STOPPED")) >= 6 else None, "six ended tasks"
    )
    assert {task["stopCode"] for task in stopped} == {"EssentialContainerExited"}
    assert {task["containers"][0]["exitCode"] for task in stopped} == {3}
    assert "unable to consistently start" not in messages(app)


def test_image_that_cannot_be_pulled_stops_the_start_with_a_growing_delay(
    app: App, chaos: Callable[..., None]
) -> None:
    chaos(unpullable=["dcp/worker*"])
    app.cluster()
    app.fleet(1)
    app.service(1)
    wait_for(lambda: "unable to consistently start tasks" in messages(app), "a service event")
    stopped = sorted(app.tasks("STOPPED"), key=lambda task: task["createdAt"])
    assert {task["stopCode"] for task in stopped} == {"TaskFailedToStart"}
    for reason in (stopped[0]["stoppedReason"], stopped[0]["containers"][0]["reason"]):
        assert reason.startswith("CannotPullContainerError: ")
        assert "dcp/worker" in reason
    assert "startedAt" not in stopped[0]
    made = [task["createdAt"] for task in stopped]
    assert made[2] - made[1] > made[1] - made[0]
    chaos(unpullable=[])
    app.running(1)


def test_containers_exit_at_once_with_the_code_that_is_switched_on(
    app: App, chaos: Callable[..., None]
) -> None:
    chaos(exits={"42": 1})
    app.cluster()
    app.fleet(1)
    app.service(1)
    stopped = wait_for(lambda: app.tasks("STOPPED"), "an ended task")
    assert stopped[0]["containers"][0]["exitCode"] == 42
    assert stopped[0]["stopCode"] == "EssentialContainerExited"


@pytest.mark.parametrize("switch", ["kills", "oom"])
def test_containers_are_killed_at_a_rate(app: App, chaos: Callable[..., None], switch: str) -> None:
    app.cluster()
    app.fleet(1)
    app.service(1)
    app.running(1)
    chaos(**{switch: 1_000_000})
    stopped = wait_for(lambda: app.tasks("STOPPED"), "a killed container")
    [container] = stopped[0]["containers"]
    assert container["exitCode"] == 137
    assert ("OutOfMemoryError" in container.get("reason", "")) == (switch == "oom")


def test_killed_container_is_replaced(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(1)
    app.running(1)
    [container] = app.containers()
    app.emulator.kill_container(container["task_id"])
    wait_for(
        lambda: [other for other in app.containers() if other["task_id"] != container["task_id"]],
        "another container",
    )
    [task] = app.tasks("STOPPED")
    assert task["containers"][0]["exitCode"] == 137
    assert task["stoppedReason"] == "Essential container in task exited"


def test_scale_in_spares_protected_tasks(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(2)
    app.running(2)
    tasks = sorted(app.tasks(), key=lambda task: task["createdAt"])
    newest = tasks[-1]["taskArn"]
    # A program handles SIGTERM only once it has started.
    wait_for(lambda: all(app.lines(task["taskArn"]) for task in tasks), "both to have begun")
    done = app.ecs.update_task_protection(
        cluster=app.name, tasks=[newest], protectionEnabled=True, expiresInMinutes=5
    )
    assert done["protectedTasks"][0]["protectionEnabled"] is True
    app.scale(0)
    app.running(1)
    assert [task["taskArn"] for task in app.tasks()] == [newest]
    app.ecs.update_task_protection(cluster=app.name, tasks=[newest], protectionEnabled=False)
    app.running(0)
    stopped = app.tasks("STOPPED")
    assert {task["stopCode"] for task in stopped} == {"ServiceSchedulerInitiated"}
    assert {task["containers"][0]["exitCode"] for task in stopped} == {0}


def test_deaf_container_is_killed_after_its_stop_timeout(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(1, mode="deaf")
    app.running(1)
    [task] = app.tasks()
    wait_for(lambda: "started deaf" in app.lines(task["taskArn"]), "its first line")
    app.ecs.stop_task(cluster=app.name, task=task["taskArn"], reason="enough")
    found = wait_for(
        lambda: [task for task in app.tasks("STOPPED") if task["lastStatus"] == "STOPPED"],
        "stopped",
    )[0]
    assert found["stopCode"] == "UserInitiated"
    assert found["stoppedReason"] == "enough"
    assert found["containers"][0]["exitCode"] == 137
    assert (found["stoppedAt"] - found["stoppingAt"]).total_seconds() >= 2


def test_missing_log_group_stops_the_start(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(1)
    app.running(1)
    app.logs.delete_log_group(logGroupName=f"{app.name}_perInstance")
    app.emulator.kill_container(app.containers()[0]["task_id"])
    failed = wait_for(
        lambda: [task for task in app.tasks("STOPPED") if task["stopCode"] == "TaskFailedToStart"],
        "a failed start",
    )[0]
    assert "log group does not exist" in failed["stoppedReason"]


def test_new_task_definition_replaces_the_tasks(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(1)
    app.running(1)
    definition = app.definition(memory=1500)
    app.ecs.update_service(
        cluster=app.name, service=f"{app.name}Service", taskDefinition=definition
    )
    wait_for(
        lambda: [task["taskDefinitionArn"] for task in app.tasks()] == [definition], "a new task"
    )


def test_lost_machine_ends_its_tasks_and_leaves_the_cluster(app: App) -> None:
    app.cluster()
    app.fleet(1)
    app.service(1)
    app.running(1)
    [host] = app.hosts()
    app.ec2.terminate_instances(InstanceIds=[host["ec2InstanceId"]])
    wait_for(
        lambda: [
            container
            for container in app.containers()
            if container["instance_id"] != host["ec2InstanceId"]
        ],
        "the task on the replacement",
    )
    assert host["ec2InstanceId"] not in [host["ec2InstanceId"] for host in app.hosts()]
    assert host["ec2InstanceId"] in app.tasks("STOPPED")[0]["stoppedReason"]


def test_draining_machine_hands_its_tasks_over(app: App) -> None:
    app.cluster()
    app.fleet(2)
    app.service(1)
    app.running(1)
    wait_for(lambda: len(app.hosts()) == 2, "two machines")
    [task] = app.tasks()
    app.ecs.update_container_instances_state(
        cluster=app.name, containerInstances=[task["containerInstanceArn"]], status="DRAINING"
    )
    moved = wait_for(
        lambda: [
            other
            for other in app.tasks()
            if other["containerInstanceArn"] != task["containerInstanceArn"]
        ],
        "a task elsewhere",
    )
    wait_for(lambda: len(app.containers()) == 1, "the first one gone")
    assert app.containers()[0]["task_arn"] == moved[0]["taskArn"]


def test_deletions_are_refused_while_something_is_active(app: App) -> None:
    app.cluster()
    fleet = app.fleet(1)
    app.service(1)
    app.running(1)
    name = f"{app.name}Service"
    with pytest.raises(ClientError, match="scaled above 0"):
        app.ecs.delete_service(cluster=app.name, service=name)
    with pytest.raises(ClientError, match="ClusterContainsServicesException"):
        app.ecs.delete_cluster(cluster=app.name)
    app.ecs.delete_service(cluster=app.name, service=name, force=True)
    wait_for(lambda: app.state()["status"] == "INACTIVE", "service gone")
    assert app.ecs.list_services(cluster=app.name)["serviceArns"] == []
    with pytest.raises(ClientError, match="ClusterContainsContainerInstancesException"):
        app.ecs.delete_cluster(cluster=app.name)
    app.ec2.delete_fleets(FleetIds=[fleet], TerminateInstances=True)
    wait_for(lambda: not app.hosts(), "machine gone")
    app.ecs.delete_cluster(cluster=app.name)
    assert app.ecs.describe_clusters(clusters=[app.name])["clusters"][0]["status"] == "INACTIVE"
    with pytest.raises(ClientError, match="ClusterNotFoundException"):
        app.ecs.list_services(cluster=app.name)


def test_service_can_be_made_again_and_keeps_its_tags(app: App) -> None:
    app.cluster()
    app.service(0)
    with pytest.raises(ClientError, match="not idempotent"):
        app.service(0)
    name = f"{app.name}Service"
    app.ecs.tag_resource(resourceArn=app.state()["serviceArn"], tags=[{"key": "a", "value": "b"}])
    tagged = app.ecs.describe_services(cluster=app.name, services=[name], include=["TAGS"])
    assert tagged["services"][0]["tags"] == [{"key": "a", "value": "b"}]
    app.ecs.delete_service(cluster=app.name, service=name)
    wait_for(lambda: app.state()["status"] == "INACTIVE", "service gone")
    app.service(0)
    assert app.state()["status"] == "ACTIVE"


def test_registration_reads_a_mime_archive(app: App) -> None:
    app.cluster()
    script = f"#!/bin/bash\necho 'ECS_CLUSTER={app.name}' >> /etc/ecs/ecs.config\n"
    body = base64.b64encode(script.encode()).decode()
    archive = (
        'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="=="\n\n'
        '--==\nContent-Type: text/x-shellscript; charset="us-ascii"\n'
        f"Content-Transfer-Encoding: base64\n\n{body}\n--==--\n"
    )
    [instance] = app.ec2.run_instances(
        ImageId=IMAGE_ID, InstanceType="c5.xlarge", MinCount=1, MaxCount=1, UserData=archive
    )["Instances"]
    [host] = wait_for(app.hosts, "a registered machine")
    assert host["ec2InstanceId"] == instance["InstanceId"]
    registered = {
        registered_resource["name"]: registered_resource["integerValue"]
        for registered_resource in host["registeredResources"]
    }
    assert registered == {"CPU": 4096, "MEMORY": 7577}
    app.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])


def test_run_task_fails_where_nothing_fits(app: App) -> None:
    app.cluster()
    app.fleet(1)
    wait_for(app.hosts, "a machine")
    definition = app.definition(cpu=1500)
    done = app.ecs.run_task(cluster=app.name, taskDefinition=definition, count=2)
    assert len(done["tasks"]) == 1
    assert "insufficient CPU" in done["failures"][0]["reason"]
    wait_for(app.containers, "its container")
