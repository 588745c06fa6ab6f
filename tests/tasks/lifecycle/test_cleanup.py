"""The end of a run: everything goes, whatever fails on the way and whoever ends it too."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError
from recorded_run import job, plan
from whole_run import SPOT_FLEET, leave_volume, make_whole, set_up, start

from blocks import FleetTemplate
from deployments.local.emulator_client import Emulator
from tasks.fleet.ec2_fleet import Ec2Fleet
from tasks.jobs.queues import find_queue
from tasks.lifecycle.cleanup import clean_up, is_gone
from tasks.lifecycle.leftovers import left_running, what_stays
from tasks.resources.log_groups import export_logs
from tasks.runs import record
from tasks.runs.run import Run

KINDS = ("fleet", "machine", "volume", "service", "container", "queue", "launch", "dashb", "alarm")


@pytest.fixture
def emulator(switched: Emulator) -> Emulator:
    """Tests of this module switch what holds for the whole account."""
    return switched


@pytest.fixture
def refusing(emulator: Emulator) -> Callable[..., None]:
    """Refuses actions to whoever runs the flows."""
    return lambda *actions: emulator.set_account(refused=list(actions))


@pytest.fixture
def quick(make_run: Callable[..., Run]) -> Run:
    # SQS takes the name of a deleted queue for 60 seconds: no two tests have the same app.
    return make_run(f"Clean{uuid4().hex[:8]}", monitor_seconds=1)


def state_of(run: Run) -> str:
    kept = record.load(run)
    assert kept is not None
    return kept.state


@pytest.mark.parametrize("template", [FleetTemplate(), SPOT_FLEET])
def test_nothing_is_left_of_anything(quick: Run, template: FleetTemplate) -> None:
    make_whole(quick, template=template)
    before = left_running(quick)
    assert {kind for kind in KINDS if any(one.startswith(kind) for one in before)} >= (
        set(KINDS) - {"launch"}
    )
    outcome = clean_up(quick)
    assert outcome.failures == ()
    assert left_running(quick) == []
    assert state_of(quick) == "ended"
    groups = quick.aws.logs.describe_log_groups(logGroupNamePrefix=quick.names.log_group)
    assert len(groups["logGroups"]) == 2
    assert find_queue(quick.aws.sqs, quick.names.dead_letter_queue)
    assert quick.names.dead_letter_queue in what_stays(quick)
    again = clean_up(quick)
    assert again.failures == ()


@pytest.mark.parametrize(
    "action",
    [
        "ec2:DescribeFleets",
        "ec2:DeleteFleets",
        "ec2:DescribeVolumes",
        "ecs:DescribeServices",
        "ecs:DeleteService",
        "sqs:DeleteQueue",
        "cloudwatch:DescribeAlarms",
    ],
)
def test_a_step_that_is_refused_is_told_and_stops_no_other(
    quick: Run, refusing: Callable[..., None], action: str
) -> None:
    make_whole(quick)
    refusing(action)
    outcome = clean_up(quick)
    refusing()
    assert any(action.split(":")[1] in failure for failure in outcome.failures), outcome
    assert state_of(quick) == "active", "it has not ended while something may be left"
    left = left_running(quick)
    costs = [one for one in left if one.startswith(("fleet", "machine"))]
    # Whoever may not look for them or end them leaves them; all others must not.
    assert action in ("ec2:DescribeFleets", "ec2:DeleteFleets") or not costs
    assert len(left) < 10
    assert clean_up(quick).failures == ()
    assert left_running(quick) == []
    assert state_of(quick) == "ended"


def test_many_may_clean_up_at_once(quick: Run) -> None:
    make_whole(quick, machines=3)
    with ThreadPoolExecutor(4) as pool:
        outcomes = list(pool.map(lambda _: clean_up(quick, note="at once"), range(4)))
    assert [outcome.failures for outcome in outcomes] == [()] * 4
    assert left_running(quick) == []
    assert state_of(quick) == "ended"


def test_a_machine_that_comes_up_after_its_fleet_was_cancelled_is_ended(
    quick: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fleet that was just cancelled may bring up what it had begun to start."""
    set_up(quick)
    fleet = start(quick, 1)
    late: list[str] = []

    def cancel(self: Ec2Fleet) -> None:
        real(self)
        if not late:
            tags: Any = [{"Key": key, "Value": value} for key, value in quick.tags.items()]
            made = quick.aws.ec2.run_instances(
                ImageId="ami-12c6146b",
                InstanceType="m5.xlarge",
                MinCount=1,
                MaxCount=1,
                TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
            )
            late.append(made["Instances"][0]["InstanceId"])

    real = Ec2Fleet.cancel
    monkeypatch.setattr(Ec2Fleet, "cancel", cancel)
    assert clean_up(quick).failures == ()
    assert late, fleet
    assert left_running(quick) == []


def test_a_queue_with_jobs_is_kept_and_said(quick: Run) -> None:
    make_whole(quick)
    plan(quick, [job(quick, "Metadata_Well=A01")])
    outcome = clean_up(quick, note="out of capacity")
    assert outcome.failures == ()
    assert "1 of 1" in outcome.kept
    assert left_running(quick) == [f"queue {quick.names.queue}"]
    kept = record.load(quick)
    assert kept is not None
    assert (kept.state, kept.note) == ("active", "out of capacity")
    assert clean_up(quick, abandon=True).kept == ""
    assert left_running(quick) == []
    assert state_of(quick) == "ended"


def test_an_app_without_a_record_is_ended_by_its_name(quick: Run) -> None:
    make_whole(quick)
    gone = Run(
        quick.config.model_copy(update={"aws_bucket": "there-is-no-such-bucket"}), "", quick.aws
    )
    quick.aws.sqs.send_message(
        QueueUrl=str(find_queue(quick.aws.sqs, quick.names.queue)), MessageBody="{}"
    )
    outcome = clean_up(gone, recorded=False)
    assert outcome.failures == ()
    assert "1 message" in outcome.kept
    assert left_running(quick) == [f"queue {quick.names.queue}"]
    assert clean_up(gone, abandon=True, recorded=False).failures == ()
    assert left_running(quick) == []


def test_what_is_of_another_app_stays(make_run: Callable[..., Run]) -> None:
    mine = make_run("CleanLab", monitor_seconds=1)
    other = make_run("CleanLab_2", monitor_seconds=1, aws_bucket=mine.config.aws_bucket)
    make_whole(mine)
    make_whole(other)
    untagged = other.aws.ec2.create_volume(AvailabilityZone="us-east-1a", Size=1)["VolumeId"]
    before = left_running(other)
    assert clean_up(mine).failures == ()
    assert left_running(other) == before
    assert clean_up(other).failures == ()
    found = other.aws.ec2.describe_volumes(VolumeIds=[untagged])["Volumes"]
    assert found, "what has no tag of ours is not ours"


def test_a_volume_alone_keeps_the_run_from_being_ended(quick: Run) -> None:
    leave_volume(quick)
    assert len(left_running(quick)) == 1
    assert clean_up(quick).failures == ()
    assert left_running(quick) == []


def test_logs_are_exported_once_after_the_end(quick: Run) -> None:
    set_up(quick)
    assert clean_up(quick).failures == ()
    first = export_logs(quick)
    assert len(first) == 2
    tasks = len(quick.aws.logs.describe_export_tasks()["exportTasks"])
    assert export_logs(quick) == first
    assert len(quick.aws.logs.describe_export_tasks()["exportTasks"]) == tasks


def test_a_run_that_was_never_set_up_has_no_logs(quick: Run) -> None:
    assert clean_up(quick).failures == ()
    assert export_logs(quick) == ()


@pytest.mark.parametrize(
    "code", ["InvalidLaunchTemplateName.NotFoundException", "InvalidFleetId.NotFound"]
)
def test_what_somebody_else_took_away_meanwhile_is_no_failure(code: str) -> None:
    gone = ClientError({"Error": {"Code": code, "Message": ""}}, "DeleteLaunchTemplate")
    assert is_gone(gone)
    refused = ClientError({"Error": {"Code": "UnauthorizedOperation"}}, "DeleteLaunchTemplate")
    assert not is_gone(refused)
