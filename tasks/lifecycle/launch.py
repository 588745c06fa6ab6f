"""Launch: requests the fleet, and waits for its first machine or AWS's reason for having none."""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_result, stop_after_delay, wait_exponential, wait_fixed

from blocks import FleetTemplate
from blocks.errors import FleetError
from tasks import interrupt
from tasks.aws.errors import error_code, is_transient
from tasks.diagnosis.causes import FLEET, UNKNOWN
from tasks.diagnosis.diagnose import FleetMachine, Symptoms, cause_of, diagnose
from tasks.fleet.base import Fleet
from tasks.fleet.ec2_fleet import Ec2Fleet, ended_ec2_fleets, fleet_request
from tasks.fleet.find import find_fleets
from tasks.fleet.launch_template import ensure_launch_template
from tasks.fleet.spot_fleet import (
    SpotFleet,
    ended_spot_fleets,
    spot_fleet_request,
)
from tasks.monitor import state
from tasks.monitor.dashboard import put_dashboard
from tasks.resources.ecs import set_desired_count
from tasks.runs import record
from tasks.runs.drain import resume
from tasks.runs.limits import limits_of
from tasks.runs.run import Run

WAIT_SECONDS = 600  # for the first machine; then the monitor waits for it
LOOK_SECONDS, LONGEST_LOOK_SECONDS = 1, 15  # between polls, growing
SHOWN_WITHIN = 60  # s until EC2 shows a new fleet ("Eventual consistency in the Amazon EC2 API")
OTHER_REQUEST = "IdempotentParameterMismatch"


def request_fleet(run: Run, template: FleetTemplate, machines: int) -> Fleet:
    """Request the machines, unless the run has a fleet already.

    Raises:
        FleetError: AWS refused the request.
    """
    for fleet in find_fleets(run):
        kept = record.load(run)
        if kept is None or kept.fleet_id != fleet.id:
            record.update(run, fleet_id=fleet.id, fleet_at=datetime.now(UTC))
        return fleet
    asked_at = datetime.now(UTC)
    try:
        fleet = _request(run, template, machines)
    except ClientError as error:
        if is_transient(error):
            raise
        if error_code(error) == OTHER_REQUEST:
            return _requested_before(run)
        raise FleetError(_refusal(error)) from error
    record.update(run, fleet_id=fleet.id, fleet_at=asked_at)
    # A continued run waits for machines as a new one does, and its workers start jobs again.
    state.forget(run)
    resume(run)
    return fleet


def _refusal(error: ClientError) -> str:
    said = error.response["Error"]
    text = f"{said.get('Code', '')}: {said.get('Message', error)}"
    cause = cause_of(text, FLEET)
    remedy = "Check the fleet template, machine_type and machine_price."
    if cause is UNKNOWN:
        return f"AWS refused the fleet: {text}. {remedy}"
    return f"AWS refused the fleet: {cause.summary}. AWS says: {text}. {cause.remedy}"


def _request(run: Run, template: FleetTemplate, machines: int) -> Fleet:
    ec2, kept = run.aws.ec2, record.load(run)
    assert kept is not None, "a run without a record is never launched"
    ends_at = limits_of(run, kept.counts_from).ends_at
    token = _token(run, kept)
    config: Any
    if template.spot_fleet_request is not None:
        config = spot_fleet_request(run, template.spot_fleet_request, machines, ends_at, token)
        answer = ec2.request_spot_fleet(SpotFleetRequestConfig=config)
        return SpotFleet(ec2, answer["SpotFleetRequestId"])
    launch_template = ensure_launch_template(run, template)
    config = fleet_request(run, template, launch_template, machines, ends_at, token)
    made = ec2.create_fleet(**config)
    # The API reference documents errors only for fleets of type `instant`; report any others too.
    if not made.get("FleetId"):
        errors = [f"{one.get('ErrorCode')}: {one.get('ErrorMessage')}" for one in made["Errors"]]
        raise FleetError(f"AWS created no fleet: {'; '.join(errors) or 'it gives no reason'}")
    return Ec2Fleet(ec2, made["FleetId"])


def _token(run: Run, kept: record.RunRecord) -> str:
    """The client token: the same for a retried request, different for a request of another fleet.

    A retry must return the fleet of the first request, which EC2 may not list yet. But a continued
    run, whose fleet has ended, needs another fleet. So the token depends on the number of the run's
    ended fleets. EC2 lists these for two days (EventInformation); long before that, the fleet in
    the record has either been found or has ended.
    """
    ended = ended_ec2_fleets(run.aws.ec2, run.tags) + ended_spot_fleets(run.aws.ec2, run.tags)
    words = [run.names.app, run.run_id, str(ended)]
    if kept.fleet_id and kept.fleet_at and datetime.now(UTC) - kept.fleet_at > timedelta(hours=1):
        words.append(kept.fleet_id)
    return hashlib.sha256("/".join(words).encode()).hexdigest()  # 64 characters, the most allowed


def _requested_before(run: Run) -> Fleet:
    """The fleet that an earlier, different request of this run created, once EC2 lists it.

    Raises:
        FleetError: EC2 does not list it.
    """
    shown = Retrying(
        retry=retry_if_result(lambda fleets: not fleets),
        wait=wait_fixed(5),
        stop=stop_after_delay(SHOWN_WITHIN),
        retry_error_callback=lambda _: [],
    )
    for fleet in shown(find_fleets, run):
        record.update(run, fleet_id=fleet.id, fleet_at=datetime.now(UTC))
        return fleet
    raise FleetError(
        f"run {run.run_id} requested a fleet with other settings before, and AWS does not list it "
        "yet. Start the fleet again in some minutes, or clean up the run with dcp-cleanup."
    )


def wait_for_machines(
    run: Run,
    fleet: Fleet,
    since: datetime,
    subnets: int = 0,
    tell: Callable[[str], None] = print,
    seconds: float = WAIT_SECONDS,
) -> int:
    """Wait until the fleet has launched its first machine; reports each message of AWS once.

    Args:
        run: The run.
        fleet: The fleet.
        since: Start of the fleet's history to read.
        subnets: Number of subnets in the request; 0 if AWS chooses.
        tell: Called with each new line.
        seconds: How long to wait; afterwards the monitor waits for capacity.

    Returns:
        The number of machines; 0 if none has launched yet.

    Raises:
        FleetError: The configuration is wrong, so no machine will ever launch; the caller cancels
            the fleet.
    """
    told: set[str] = set()

    def look() -> int:
        machines = fleet.machines()
        events = tuple(fleet.events(since))
        seen = Symptoms(
            at=datetime.now(UTC),
            types=tuple(run.config.machine_type),
            subnets=subnets,
            events=events,
            machines=tuple(FleetMachine(one, datetime.now(UTC)) for one in machines),
        )
        found = diagnose(seen)
        # AWS retries and repeats its messages.
        meaning = (f"{one.level}: {one.summary}. {one.remedy}" for one in found)
        for line in (*(event.message for event in events), *meaning):
            if line not in told:
                told.add(line)
                tell(f"fleet: {line}")
        for one in found:
            if one.level == "configuration":
                raise FleetError(f"cancelling fleet {fleet.id}: {one}")
        return len(machines)

    waiting = Retrying(
        retry=retry_if_result(lambda machines: not machines),
        wait=wait_exponential(multiplier=LOOK_SECONDS, max=LONGEST_LOOK_SECONDS),
        stop=stop_after_delay(seconds),
        retry_error_callback=lambda _: 0,
        sleep=interrupt.sleep,
    )
    return waiting(look)


def start_containers(run: Run, containers: int) -> None:
    """Set the desired count of the service.

    Raises:
        FleetError: The service does not exist.
    """
    if not set_desired_count(run, containers):
        raise FleetError(
            f"service {run.names.service} does not exist in cluster {run.config.ecs_cluster}; "
            "run dcp-setup first"
        )


def ensure_dashboard(run: Run, fleet: Fleet) -> None:
    """Create the CloudWatch dashboard if create_dashboard is on."""
    if run.config.create_dashboard:
        put_dashboard(run, fleet.id)


def history_start(started_at: datetime) -> datetime:
    """Start of the fleet's history to read, allowing for clock differences."""
    return started_at - timedelta(minutes=5)
