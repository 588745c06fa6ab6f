"""Each step alone, by the id of a run, and each twice: nothing breaks and nothing doubles."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError
from lab import Lab

from blocks.errors import DcpError, FleetError, InputError
from flows.cleanup import cleanup
from flows.monitor import monitor
from flows.setup import setup
from flows.start_fleet import start_fleet
from flows.submit import submit
from tasks import steps
from tasks.fleet.find import find_fleets
from tasks.jobs.queues import count, find_queue
from tasks.jobs.results import job_ids
from tasks.lifecycle.leftovers import left_running
from tasks.monitor import state
from tasks.monitor.trackers import EmptyQueue, Idle, Memory
from tasks.resources.ecs import delete_cluster, delete_service, ensure_cluster, find_service
from tasks.runs import record
from tasks.runs.run import Run

pytestmark = pytest.mark.e2e


def messages(lab: Lab) -> int:
    url = find_queue(lab.aws.sqs, lab.settings.names.queue)
    assert url is not None
    return count(lab.aws.sqs, url).total


def test_the_steps_alone_and_twice(lab: Lab) -> None:
    ecs, names = lab.aws.ecs, lab.settings.names
    cluster = lab.settings.ecs_cluster
    run_id = setup(lab.config)
    assert setup(lab.config, run_id=run_id) == run_id
    assert len(ecs.list_task_definitions(familyPrefix=names.task_family)["taskDefinitionArns"]) == 1
    assert len(ecs.list_services(cluster=cluster)["serviceArns"]) == 1
    groups = lab.aws.logs.describe_log_groups(logGroupNamePrefix=names.log_group)["logGroups"]
    assert {group["logGroupName"]: group.get("retentionInDays") for group in groups} == {
        names.log_group: 60,
        names.instance_log_group: 60,
    }

    jobs = lab.jobs(*(f"A{number:02}" for number in range(1, 24)))
    assert submit(lab.config, jobs, run_id=run_id) == 23
    assert submit(lab.config, jobs) == 23
    assert messages(lab) == 23
    with pytest.raises(InputError, match=run_id):
        submit(lab.config, lab.jobs("B01"))
    assert messages(lab) == 23

    fleet = start_fleet(lab.config)
    assert start_fleet(lab.config) == fleet
    assert [found.id for found in find_fleets(lab.run())] == [fleet]
    body = lab.aws.cloudwatch.get_dashboard(DashboardName=names.dashboard)["DashboardBody"]
    assert fleet in body

    assert monitor(lab.config).stop == ""
    assert monitor(lab.config).done
    assert cleanup(lab.config).succeeded == 23
    assert cleanup(lab.config, run_id=run_id).succeeded == 23
    assert left_running(lab.run()) == []


def test_a_cluster_that_another_run_ends_meanwhile_is_made_again(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs side by side may share a cluster; the last of those that end deletes it."""
    made = []

    def made_and_ended_once(run: Run) -> None:
        ensure_cluster(run)
        made.append(run.run_id)
        if len(made) == 1:
            assert delete_cluster(run) == "deleted"

    monkeypatch.setattr("tasks.steps.ensure_cluster", made_and_ended_once)
    setup(lab.config)
    assert len(made) == 2
    assert find_service(lab.run()) is not None
    cleanup(lab.config)


def test_a_queue_with_unfinished_jobs_is_kept_unless_they_are_given_up(lab: Lab) -> None:
    setup(lab.config)
    submit(lab.config, lab.jobs("A01", "hang"))
    start_fleet(lab.config)
    with pytest.raises(DcpError, match="abandon"):
        cleanup(lab.config)
    assert left_running(lab.run()) == [f"queue {lab.settings.names.queue}"]
    report = cleanup(lab.config, abandon=True)
    assert report.lost >= 1
    assert left_running(lab.run()) == []


def test_steps_say_what_has_to_come_before_them(lab: Lab) -> None:
    with pytest.raises(InputError, match="dcp-setup"):
        submit(lab.config, lab.jobs("A01"))
    setup(lab.config)
    with pytest.raises(InputError, match="dcp-submit"):
        start_fleet(lab.config)
    cleanup(lab.config)


def test_a_run_begun_again_gives_failed_jobs_another_chance(lab: Lab) -> None:
    run_id = setup(lab.config)
    run = lab.run()
    jobs = lab.jobs("A01", "A02")
    submit(lab.config, jobs)
    failed = sorted(job_ids(run))[0]
    result = {"Metadata": "x", "status": "failed", "reason": "r", "reason_text": "t"}
    record.put(run, f"results/failed/{failed}.json", json.dumps(result))
    assert cleanup(lab.config, abandon=True).failed == 1

    assert setup(lab.config, run_id=run_id) == run_id
    submit(lab.config, jobs)
    start_fleet(lab.config)
    monitor(lab.config)
    assert cleanup(lab.config).succeeded == 2


def test_a_stopped_run_whose_queue_was_kept_is_continued(lab: Lab) -> None:
    run_id = setup(lab.config)
    submit(lab.config, lab.jobs("A01", "A02"))
    long_ago = datetime.now(UTC) - timedelta(hours=2)
    record.update(lab.run(), fleet_id="fleet-that-has-ended")
    state.keep(lab.run(), Memory(idle=Idle(long_ago), empty_queue=EmptyQueue(9)))
    with pytest.raises(DcpError, match=run_id):
        cleanup(lab.config)

    assert setup(lab.config, run_id=run_id) == run_id
    start_fleet(lab.config)
    assert monitor(lab.config).stop == ""
    assert cleanup(lab.config).succeeded == 2
    assert left_running(lab.run()) == []


def test_a_fleet_is_not_started_for_a_run_without_service(lab: Lab) -> None:
    setup(lab.config)
    submit(lab.config, lab.jobs("A01"))
    delete_service(lab.run())
    with pytest.raises(FleetError, match="dcp-setup"):
        start_fleet(lab.config)
    assert find_fleets(lab.run()) == []
    cleanup(lab.config, abandon=True)


def test_a_start_that_fails_after_the_request_leaves_no_fleet(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    setup(lab.config)
    submit(lab.config, lab.jobs("A01"))

    def refused(*_: object) -> None:
        answer = {"Error": {"Code": "AccessDenied", "Message": "not you"}}
        raise ClientError(answer, "PutDashboard")

    with monkeypatch.context() as patched:
        patched.setattr("tasks.lifecycle.launch.put_dashboard", refused)
        with pytest.raises(ClientError):
            start_fleet(lab.config)
    assert find_fleets(lab.run()) == []
    cleanup(lab.config, abandon=True)


def test_an_outage_before_the_request_costs_no_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The step itself is not repeated, since a cancelled fleet would be taken for the run's."""
    setup(lab.config)
    submit(lab.config, lab.jobs("A01"))
    outages = ["s3", "s3"]

    def away_once(*arguments: Any) -> Any:
        if outages:
            raise EndpointConnectionError(endpoint_url=outages.pop())
        return counted(*arguments)

    counted = steps.account
    monkeypatch.setattr(steps, "account", away_once)
    fleet = start_fleet(lab.config)
    assert not outages
    assert [found.id for found in find_fleets(lab.run())] == [fleet]
    cleanup(lab.config, abandon=True)
