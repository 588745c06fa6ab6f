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
    EMPTY_FOR,
    FLEETS_ENDED,
    GRACE,
    MISSED_HEARTBEATS,
    NO_QUEUE,
    SPOT_FLEETS_ENDED,
    LiveFleet,
    ObservedRun,
    QueueHistory,
    SafetyNetClients,
    check_runs,
    decide,
    handler,
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
fleets = st.builds(LiveFleet, st.just("fleet-1"), st.none() | times)
runs = st.builds(
    ObservedRun,
    st.just("Lab"),
    st.just("run"),
    st.dictionaries(st.just("i-1"), times),
    st.lists(fleets, max_size=2).map(tuple),
    st.booleans(),
    st.integers(0, 3),
    st.booleans(),
    st.none() | st.integers(1, 100),
    st.just("default"),
    st.builds(QueueHistory, st.none() | times, st.integers(0, 5)),
)


@given(runs)
def test_a_monitored_or_working_run_is_not_stopped_before_its_time_limit(run: ObservedRun) -> None:
    within = any(fleet.valid_until is None or fleet.valid_until > NOW for fleet in run.fleets)
    if within and (run.monitored or run.messages or not run.has_record):
        assert not decide(run, NOW).stop_reason


@given(runs, st.booleans())
def test_a_run_whose_fleets_are_all_expired_is_stopped(run: ObservedRun, past: bool) -> None:
    ends = NOW - GRACE - timedelta(seconds=1 if past else -1)
    expired = replace(
        run, fleets=(LiveFleet("fleet-1", ends), LiveFleet("sfr-1", ends)), messages=1
    )
    assert bool(decide(expired, NOW).stop_reason) == past


@given(runs, st.lists(st.integers(0, 1), min_size=1, max_size=8))
def test_a_run_is_stopped_after_three_consecutive_empty_checks_over_half_an_hour(
    run: ObservedRun, messages: list[int]
) -> None:
    """Checks before the last message do not count."""
    history, at = QueueHistory(), NOW
    alone = replace(
        run, has_record=True, monitored=False, fleets=(LiveFleet("fleet-1", None),), history=history
    )
    for number, count in enumerate(messages):
        at = NOW + timedelta(minutes=15 * number)
        verdict = decide(replace(alone, messages=count, history=history), at)
        row = 0
        for earlier in reversed(messages[: number + 1]):
            if earlier:
                break
            row += 1
        assert bool(verdict.stop_reason) == (row >= 3)
        history = verdict.history


def test_calls_in_quick_succession_do_not_stop_a_run() -> None:
    history = QueueHistory(NOW, 10)
    run = ObservedRun("Lab", "run", {"i-1": NOW}, has_record=True, max_hours=72, history=history)
    assert not decide(run, NOW + EMPTY_FOR / 2).stop_reason


def test_machines_without_a_fleet_are_terminated_after_max_hours() -> None:
    run = ObservedRun(
        "Lab", "run", {"i-1": NOW}, has_record=True, messages=5, monitored=True, max_hours=1
    )
    assert not decide(run, NOW + timedelta(hours=1)).stop_reason
    assert decide(run, NOW + timedelta(hours=1.5)).stop_reason


def test_the_nets_copies_of_constants_match_the_flows() -> None:
    assert MISSED_HEARTBEATS == heartbeat.MISSED
    assert NO_QUEUE == queues.MISSING_CODES
    assert FLEETS_ENDED <= ec2_fleet.ENDED_STATES
    assert SPOT_FLEETS_ENDED <= spot_fleet.ENDED_STATES


@pytest.fixture
def emulator(process_emulator: Emulator) -> Emulator:
    """The net also stops runs of other tests; those of this process have ended."""
    return process_emulator


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


def clients(run: Run) -> SafetyNetClients:
    aws = run.aws
    return SafetyNetClients(aws.ec2, aws.ecs, aws.sqs, aws.s3, aws.cloudwatch)


def calls(run: Run, times: int, start: datetime | None = None) -> list[str]:
    """Call the net repeatedly, every 15 minutes; returns its report about the run."""
    results: list[str] = []
    start = start or datetime.now(UTC)
    for number in range(times):
        done, failed = check_runs(
            clients(run), run.config.aws_bucket, start + timedelta(minutes=15 * number)
        )
        results += [line for line in done if line.startswith(f"{run.names.app} ")]
        assert not [line for line in failed if line.startswith(f"{run.names.app} ")]
    return results


def wait_for_end(run: Run) -> None:
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


def test_an_idle_run_without_a_flow_is_stopped(started: Callable[..., Run]) -> None:
    run = started("NetIdle")
    for machine in live_machines(run.aws.ec2, "NetIdle"):
        alarm(run, machine)
    calls(run, 2)
    assert len(live_machines(run.aws.ec2, "NetIdle")) == 2
    calls(run, 1, datetime.now(UTC) + timedelta(minutes=30))
    wait_for_end(run)
    service = find_service(run)
    assert service is not None
    assert service["desiredCount"] == 0
    assert not [name for name in left_running(run) if name.startswith("alarm")]
    clean_up(run, abandon=True)


def test_monitored_working_and_foreign_machines_keep_running(started: Callable[..., Run]) -> None:
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
                check_runs(clients(idle), bucket, start + timedelta(minutes=15 * number))
    wait_for_end(idle)
    for run in (working, watched_run):
        assert len(live_machines(ec2, run.names.app)) == 2
        assert find_fleets(run)
    states = ec2.describe_instances(InstanceIds=[other_id])["Reservations"][0]["Instances"]
    assert states[0]["State"]["Name"] in ("pending", "running")
    ec2.terminate_instances(InstanceIds=[other_id])
    for run in (working, watched_run, idle):
        clean_up(run, abandon=True)


def test_a_run_past_its_time_limit_is_stopped_even_if_monitored(
    started: Callable[..., Run],
) -> None:
    run = started("NetPast")
    with heartbeat.kept(run):
        calls(run, 1, datetime.now(UTC) + timedelta(hours=run.config.max_hours + 1))
    wait_for_end(run)
    clean_up(run, abandon=True)


def test_a_run_without_a_queue_is_stopped(started: Callable[..., Run]) -> None:
    run = started("NetNoQueue")
    # Any other content is neither a flow's heartbeat nor a state of the net.
    record.put(run, "watch.json", "[1]")
    record.put(run, "safety_net.json", "{}")
    run.aws.sqs.delete_queue(QueueUrl=ensure_queues(run).jobs)
    calls(run, 3)
    wait_for_end(run)
    clean_up(run, abandon=True)


def test_an_unreadable_record_does_not_keep_other_runs_from_being_stopped(
    started: Callable[..., Run],
) -> None:
    broken, idle = started("NetBroken"), started("NetSound")
    record.put(broken, "run.json", "[]")
    shared = idle.config.aws_bucket
    broken.aws.s3.put_object(Bucket=shared, Key=broken.key("run.json"), Body=b"[]")
    failures: list[str] = []
    for number in range(3):
        at = datetime.now(UTC) + timedelta(minutes=15 * number)
        failures += check_runs(clients(idle), shared, at)[1]
    assert len([line for line in failures if line.startswith("NetBroken ")]) == 3
    wait_for_end(idle)
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


def test_lambda_needs_only_its_environment(
    started: Callable[..., Run], as_lambda: Callable[[Run], None]
) -> None:
    """Without its schedule, it uses the current time."""
    run = started("NetLambda")
    as_lambda(run)
    before = datetime.now(UTC)
    others: tuple[Any, ...] = ({}, [], {"time": "<aws.scheduler.scheduled-time>"})
    for checks, event in enumerate(others, start=1):
        assert f"NetLambda {run.run_id}: not stopped" in handler(event, None)
        state: Any = json.loads(str(record.read(run, "safety_net.json")))
        assert state["looks"] == checks
        assert before <= datetime.fromisoformat(state["empty_since"]) <= datetime.now(UTC)
    clean_up(run, abandon=True)


def test_it_uses_the_scheduled_time(
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
    wait_for_end(run)
    clean_up(run, abandon=True)
