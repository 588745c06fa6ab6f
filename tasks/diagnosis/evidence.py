"""Collects the state of a run's machines and containers for `tasks.diagnosis.diagnose`.

    collect_symptoms(run, fleets, since) -> Symptoms

Makes six calls plus one per fleet, whatever the number of jobs; more only for paged responses, and
one for each hundred machines.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.diagnosis.diagnose import RECENT, FleetMachine, StoppedTask, Symptoms
from tasks.fleet.base import Fleet
from tasks.fleet.instances import app_instances, container_instances
from tasks.resources.ecs import find_service
from tasks.runs.run import Run

MOST_TASKS = 100  # in an answer of DescribeTasks (Amazon ECS API Reference)
ALIVE = ("pending", "running")


def collect_symptoms(
    run: Run,
    fleets: Sequence[Fleet],
    since: datetime,
    subnets: int = 0,
    worked: bool = False,
) -> Symptoms:
    """Collect the state of the run's machines and containers from AWS.

    Args:
        run: The run.
        fleets: Its fleets.
        since: Ignore events and stopped tasks before this time. Not before the fleet request:
            trouble fixed before it is irrelevant.
        subnets: Number of subnets in the fleet request; 0 if AWS chooses them.
        worked: Whether a job of the run has finished.
    """
    now = datetime.now(UTC)
    recently = max(since, now - RECENT)
    service = find_service(run)
    joined = list(container_instances(run))
    return Symptoms(
        at=now,
        types=tuple(run.config.machine_type),
        subnets=subnets,
        events=tuple(event for fleet in fleets for event in fleet.events(since)),
        machines=tuple(_machines(run, since)),
        joined={
            instance["containerInstanceArn"].rpartition("/")[2]: instance["ec2InstanceId"]
            for instance in joined
        },
        service=tuple(
            event.get("message", "")
            for event in (service["events"] if service else ())
            if event["createdAt"] >= recently
        ),
        stopped=tuple(_stopped(run, recently)),
        running=service["runningCount"] if service else 0,
        placed=sum(
            instance["runningTasksCount"] + instance["pendingTasksCount"] for instance in joined
        ),
        worked=worked,
    )


def _machines(run: Run, since: datetime) -> Iterator[FleetMachine]:
    for instance in app_instances(run.aws.ec2, run.names.app):
        alive = instance["State"]["Name"] in ALIVE
        # EC2 lists a terminated instance for an hour, so instances of an earlier fleet may appear.
        if alive or instance["LaunchTime"] >= since:
            reason = instance.get("StateReason", {})
            code, text = reason.get("Code", ""), reason.get("Message", "")
            ended = text if text.startswith(code) else f"{code}: {text}"
            yield FleetMachine(
                instance["InstanceId"], instance["LaunchTime"], alive, "" if alive else ended
            )


def _stopped(run: Run, since: datetime) -> Iterator[StoppedTask]:
    """The stopped tasks; ECS lists them for at least an hour."""
    ecs, cluster = run.aws.ecs, run.config.ecs_cluster
    arns = ecs.list_tasks(
        cluster=cluster,
        family=run.names.task_family,
        desiredStatus="STOPPED",
        maxResults=MOST_TASKS,
    )["taskArns"]
    if not arns:
        return
    for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
        if task.get("stoppedAt", since) >= since:
            yield _stopped_task(task)


def _stopped_task(task: Any) -> StoppedTask:
    containers = task.get("containers", [])
    reasons = [task.get("stoppedReason", ""), *(c.get("reason", "") for c in containers)]
    exit_codes = [c["exitCode"] for c in containers if c.get("exitCode") is not None]
    started, stopped = task.get("startedAt"), task.get("stoppedAt")
    return StoppedTask(
        code=task.get("stopCode", ""),
        reason="; ".join(dict.fromkeys(filter(None, reasons))),
        exit_code=max(exit_codes, default=None),
        ran=stopped - started if started and stopped else timedelta(0),
    )
