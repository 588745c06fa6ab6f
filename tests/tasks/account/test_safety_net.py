"""The safety net stops only runs without a flow and jobs."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_for

from blocks import FleetTemplate
from deployments.local.emulator_client import Emulator
from tasks.account.safety_net import (
    BEATS,
    EMPTY_FOR,
    FLEETS_ENDED,
    GRACE,
    NO_QUEUE,
    SPOT_FLEETS_ENDED,
    Clients,
    Fleet,
    Memory,
    Seen,
    decide,
    handler,
    tend,
)
from tasks.fleet import ec2_fleet, spot_fleet
from tasks.fleet.find import find_fleets
from tasks.fleet.instances import live_machines
from tasks.jobs import queues
from tasks.jobs.queues import ensure_queues
from tasks.lifecycle.cleanup import clean_up, left_running
from tasks.lifecycle.launch import request_fleet
from tasks.resources.ecs import (
    ensure_cluster,
    ensure_service,
    ensure_task_definition,
    find_service,
    worker_environment,
)
from tasks.resources.log_groups import ensure_log_groups
from tasks.runs import heartbeat, record
from tasks.runs.run import Run

pytestmark = pytest.mark.e2e

NOW = datetime(2026, 3, 1, 12, tzinfo=UTC)
times = st.datetimes(datetime(2026, 2, 1), datetime(2026, 4, 1), timezones=st.just(UTC))
fleets = st.builds(Fleet, st.just("fleet-1"), st.none() | times)
runs = st.builds(
    Seen,
    st.just("Lab"),
    st.just("run"),
    st.dictionaries(st.just("i-1"), times),
    st.lists(fleets, max_size=2).map(tuple),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
    st.none() | st.integers(1, 100),
    st.just("default"),
    st.builds(Memory, st.none() | times, st.integers(0, 5)),
)


@given(runs)
def test_a_run_within_its_time_is_not_ended_while_watched_or_at_work(seen: Seen) -> None:
    within = any(fleet.valid_until is None or fleet.valid_until > NOW for fleet in seen.fleets)
    if within and (seen.watched or seen.messages or not seen.known):
        assert not decide(seen, NOW).end


@given(runs, st.booleans())
def test_a_run_all_of_whose_fleets_are_past_their_time_is_ended(seen: Seen, past: bool) -> None:
    ends = NOW - GRACE - timedelta(seconds=1 if past else -1)
    run = replace(seen, fleets=(Fleet("fleet-1", ends), Fleet("sfr-1", ends)), messages=1)
    assert bool(decide(run, NOW).end) == past


@given(runs, st.lists(st.integers(0, 1), min_size=1, max_size=8))
def test_it_takes_three_empty_looks_in_a_row_over_half_an_hour(
    seen: Seen, messages: list[int]
) -> None:
    """Checks before the last message do not count."""
    memory, at = Memory(), NOW
    alone = replace(
        seen, known=True, watched=False, fleets=(Fleet("fleet-1", None),), memory=memory
    )
    for number, found in enumerate(messages):
        at = NOW + timedelta(minutes=15 * number)
        verdict = decide(replace(alone, messages=found, memory=memory), at)
        row = 0
        for earlier in reversed(messages[: number + 1]):
            if earlier:
                break
            row += 1
        assert bool(verdict.end) == (row >= 3)
        memory = verdict.memory


def test_calls_close_together_do_not_end_a_run() -> None:
    memory = Memory(NOW, 10)
    seen = Seen("Lab", "run", {"i-1": NOW}, known=True, max_hours=72, memory=memory)
    assert not decide(seen, NOW + EMPTY_FOR / 2).end


def test_machines_without_a_fleet_are_ended_after_max_hours() -> None:
    seen = Seen("Lab", "run", {"i-1": NOW}, known=True, messages=5, watched=True, max_hours=1)
    assert not decide(seen, NOW + timedelta(hours=1)).end
    assert decide(seen, NOW + timedelta(hours=1.5)).end


def test_what_the_net_cannot_import_is_as_the_flows_have_it() -> None:
    assert BEATS == heartbeat.MISSED
    assert NO_QUEUE == queues.MISSING_CODES
    assert FLEETS_ENDED <= ec2_fleet.ENDED_STATES
    assert SPOT_FLEETS_ENDED <= spot_fleet.ENDED_STATES


@pytest.fixture
def emulator(own_emulator: Emulator) -> Emulator:
    """The net also stops runs of other tests; those of this process have ended."""
    return own_emulator


@pytest.fixture
def started(make_run: Callable[..., Run]) -> Callable[..., Run]:
    """Starts a run with a service, a queue and two machines, but no flow."""

    def start(app: str) -> Run:
        run = make_run(app)
        ensure_cluster(run)
        ensure_log_groups(run)
        urls = ensure_queues(run)
        environment = worker_environment(run, urls.jobs, urls.dead_letters)
        ensure_service(run, ensure_task_definition(run, environment))
        request_fleet(run, FleetTemplate(image_id="ami-0123456789abcdef0"), 2)
        run.aws.ecs.update_service(
            cluster=run.config.ecs_cluster, service=run.names.service, desiredCount=1
        )
        wait_for(lambda: len(live_machines(run.aws.ec2, app)) >= 2, "its machines")
        return run

    return start


def clients(run: Run) -> Clients:
    aws = run.aws
    return Clients(aws.ec2, aws.ecs, aws.sqs, aws.s3, aws.cloudwatch)


def calls(run: Run, times: int, start: datetime | None = None) -> list[str]:
    """Call the net repeatedly, every 15 minutes; returns its report about the run."""
    said: list[str] = []
    start = start or datetime.now(UTC)
    for number in range(times):
        done, failed = tend(
            clients(run), run.config.aws_bucket, start + timedelta(minutes=15 * number)
        )
        said += [line for line in done if line.startswith(f"{run.names.app} ")]
        assert not [line for line in failed if line.startswith(f"{run.names.app} ")]
    return said


def await_end(run: Run) -> None:
    """Wait until nothing of the run costs money."""
    wait_for(lambda: not find_fleets(run), "the end of its fleet")
    wait_for(lambda: not live_machines(run.aws.ec2, run.names.app), "the end of its machines")


def alarm(run: Run, machine: str) -> None:
    run.aws.cloudwatch.put_metric_alarm(
        AlarmName=run.names.alarm(machine),
        Namespace="AWS/EC2",
        MetricName="CPUUtilization",
        Statistic="Maximum",
        Period=300,
        EvaluationPeriods=3,
        Threshold=1,
        ComparisonOperator="LessThanThreshold",
    )


def test_a_run_without_work_that_nobody_watches_is_ended(started: Callable[..., Run]) -> None:
    run = started("NetIdle")
    for machine in live_machines(run.aws.ec2, "NetIdle"):
        alarm(run, machine)
    calls(run, 2)
    assert len(live_machines(run.aws.ec2, "NetIdle")) == 2
    calls(run, 1, datetime.now(UTC) + timedelta(minutes=30))
    await_end(run)
    service = find_service(run)
    assert service is not None
    assert service["desiredCount"] == 0
    assert not [name for name in left_running(run) if name.startswith("alarm")]
    clean_up(run, abandon=True)


def test_what_is_watched_or_at_work_or_not_ours_goes_on(started: Callable[..., Run]) -> None:
    """Of three runs, one has jobs and one has a flow; the fourth machine has no tag."""
    working, watched_run, idle = started("NetWork"), started("NetWatched"), started("NetLeft")
    urls = ensure_queues(working)
    working.aws.sqs.send_message(QueueUrl=urls.jobs, MessageBody="{}")
    ec2 = idle.aws.ec2
    other = ec2.run_instances(ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1)
    (other_id,) = [instance["InstanceId"] for instance in other["Instances"]]
    start = datetime.now(UTC)
    with heartbeat.kept(watched_run):
        for number in range(3):
            for bucket in {run.config.aws_bucket for run in (working, watched_run, idle)}:
                tend(clients(idle), bucket, start + timedelta(minutes=15 * number))
    await_end(idle)
    for run in (working, watched_run):
        assert len(live_machines(ec2, run.names.app)) == 2
        assert find_fleets(run)
    states = ec2.describe_instances(InstanceIds=[other_id])["Reservations"][0]["Instances"]
    assert states[0]["State"]["Name"] in ("pending", "running")
    ec2.terminate_instances(InstanceIds=[other_id])
    for run in (working, watched_run, idle):
        clean_up(run, abandon=True)


def test_a_run_past_its_time_is_ended_though_watched(started: Callable[..., Run]) -> None:
    run = started("NetPast")
    with heartbeat.kept(run):
        calls(run, 1, datetime.now(UTC) + timedelta(hours=run.config.max_hours + 1))
    await_end(run)
    clean_up(run, abandon=True)


def test_a_run_whose_queue_is_gone_is_ended(started: Callable[..., Run]) -> None:
    run = started("NetNoQueue")
    # Any other content is neither a flow's heartbeat nor a state of the net.
    record.put(run, "watch.json", "[1]")
    record.put(run, "safety_net.json", "{}")
    run.aws.sqs.delete_queue(QueueUrl=ensure_queues(run).jobs)
    calls(run, 3)
    await_end(run)
    clean_up(run, abandon=True)


def test_a_record_that_cannot_be_read_keeps_no_other_run_from_being_ended(
    started: Callable[..., Run],
) -> None:
    broken, idle = started("NetBroken"), started("NetSound")
    record.put(broken, "run.json", "[]")
    shared = idle.config.aws_bucket
    broken.aws.s3.put_object(Bucket=shared, Key=broken.key("run.json"), Body=b"[]")
    failures: list[str] = []
    for number in range(3):
        at = datetime.now(UTC) + timedelta(minutes=15 * number)
        failures += tend(clients(idle), shared, at)[1]
    assert len([line for line in failures if line.startswith("NetBroken ")]) == 3
    await_end(idle)
    assert len(live_machines(broken.aws.ec2, "NetBroken")) == 2
    for run in (broken, idle):
        clean_up(run, abandon=True)


@pytest.fixture
def as_lambda(endpoint_url: str, monkeypatch: pytest.MonkeyPatch) -> Callable[[Run], None]:
    """Sets the net's environment for a run's bucket."""

    def give(run: Run) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint_url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", run.config.aws_region)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")
        monkeypatch.setenv("DCP_BUCKET", run.config.aws_bucket)

    return give


def test_lambda_calls_it_with_nothing_but_its_environment(
    started: Callable[..., Run], as_lambda: Callable[[Run], None]
) -> None:
    """Without its schedule, it uses the current time."""
    run = started("NetLambda")
    as_lambda(run)
    before = datetime.now(UTC)
    others: tuple[Any, ...] = ({}, [], {"time": "<aws.scheduler.scheduled-time>"})
    for looks, event in enumerate(others, start=1):
        assert f"NetLambda {run.run_id}: not stopped" in handler(event, None)
        kept: Any = json.loads(str(record.read(run, "safety_net.json")))
        assert kept["looks"] == looks
        assert before <= datetime.fromisoformat(kept["empty_since"]) <= datetime.now(UTC)
    clean_up(run, abandon=True)


def test_it_counts_in_the_time_of_its_schedule(
    started: Callable[..., Run], as_lambda: Callable[[Run], None]
) -> None:
    run = started("NetTime")
    as_lambda(run)
    begun = datetime.now(UTC)
    for minutes, says in (
        (0, "not stopped"),
        (15, "not stopped"),
        (30, "stopped, because no flow"),
    ):
        due = f"{begun + timedelta(minutes=minutes):%Y-%m-%dT%H:%M:%SZ}"
        assert [
            line for line in handler({"time": due}, None) if f"NetTime {run.run_id}: {says}" in line
        ]
    await_end(run)
    clean_up(run, abandon=True)
