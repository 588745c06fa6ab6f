"""Starting the machines: the fleet request, and waiting until AWS gives some or says why not."""

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

WAIT_SECONDS = 600  # for the first machine; the monitor waits on
LOOK_SECONDS, LONGEST_LOOK_SECONDS = 1, 15  # from look to look, the longer the longer it takes
SHOWN_WITHIN = 60  # s until EC2 shows a new fleet ("Eventual consistency in the Amazon EC2 API")
OTHER_REQUEST = "IdempotentParameterMismatch"


def request_fleet(run: Run, template: FleetTemplate, machines: int) -> Fleet:
    """Request the machines, unless the run has a fleet already.

    Raises:
        FleetError: AWS refused the request for what is in it.
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
    # A run that is continued waits for its machines anew, and its workers start jobs again.
    state.forget(run)
    resume(run)
    return fleet


def _refusal(error: ClientError) -> str:
    said = error.response["Error"]
    text = f"{said.get('Code', '')}: {said.get('Message', error)}"
    cause = cause_of(text, FLEET)
    remedy = "Look at the fleet template, machine_type and machine_price."
    if cause is UNKNOWN:
        return f"AWS refused the fleet: {text}. {remedy}"
    return f"AWS refused the fleet: {cause.summary}. AWS says: {text}. {cause.remedy}"


def _request(run: Run, template: FleetTemplate, machines: int) -> Fleet:
    ec2, kept = run.aws.ec2, record.load(run)
    assert kept is not None, "a run that has no record is not started"
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
    # Only fleets of type `instant` answer with errors, says the API reference: if ever, they count.
    if not made.get("FleetId"):
        errors = [f"{one.get('ErrorCode')}: {one.get('ErrorMessage')}" for one in made["Errors"]]
        raise FleetError(f"AWS made no fleet: {'; '.join(errors) or 'it does not say why'}")
    return Ec2Fleet(ec2, made["FleetId"])


def _token(run: Run, kept: record.RunRecord) -> str:
    """By which AWS tells a request that is repeated from another one of the same run.

    A repeated request must come to the fleet that the first one made, which EC2 may not show yet;
    but a run whose fleet has ended, and that is continued, asks for another one. So the fleets of
    the run that have ended are counted. EC2 shows them for two days (EventInformation); long
    before, the fleet in the record has either been found or has ended.
    """
    ended = ended_ec2_fleets(run.aws.ec2, run.tags) + ended_spot_fleets(run.aws.ec2, run.tags)
    words = [run.names.app, run.run_id, str(ended)]
    if kept.fleet_id and kept.fleet_at and datetime.now(UTC) - kept.fleet_at > timedelta(hours=1):
        words.append(kept.fleet_id)
    return hashlib.sha256("/".join(words).encode()).hexdigest()  # 64 characters, the most allowed


def _requested_before(run: Run) -> Fleet:
    """The fleet that an earlier, different request of this run has made, once EC2 shows it.

    Raises:
        FleetError: EC2 does not show it.
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
        f"AWS has a fleet of run {run.run_id} that was asked for with other settings, and does not "
        "show it. Wait some minutes and start it again, or end the run with dcp-cleanup."
    )


def wait_for_machines(
    run: Run,
    fleet: Fleet,
    since: datetime,
    subnets: int = 0,
    tell: Callable[[str], None] = print,
    seconds: float = WAIT_SECONDS,
) -> int:
    """Wait until the fleet has its first machine, and tell what AWS says meanwhile, once each.

    Args:
        run: The run.
        fleet: The fleet.
        since: From when on its history is read.
        subnets: Subnets that machines are asked for in; 0 when it is left to AWS.
        tell: Is given each new line.
        seconds: How long to wait. Capacity may come at any time: the monitor goes on waiting.

    Returns:
        The number of machines; 0 when none came yet.

    Raises:
        FleetError: The configuration is wrong, so that no machine will ever come: the fleet is to
            be cancelled.
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
        # AWS tries again and again, and says the same each time; its words stand in its events.
        meaning = (f"{one.level}: {one.summary}. {one.remedy}" for one in found)
        for line in (*(event.message for event in events), *meaning):
            if line not in told:
                told.add(line)
                tell(f"fleet: {line}")
        for one in found:
            if one.level == "configuration":
                raise FleetError(f"fleet {fleet.id} is cancelled: {one}")
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
    """Tell the service how many containers to keep.

    Raises:
        FleetError: There is no service.
    """
    if not set_desired_count(run, containers):
        raise FleetError(
            f"there is no service {run.names.service} in cluster {run.config.ecs_cluster}; "
            "run dcp-setup first"
        )


def ensure_dashboard(run: Run, fleet: Fleet) -> None:
    """Make the CloudWatch dashboard, if the configuration says so."""
    if run.config.create_dashboard:
        put_dashboard(run, fleet.id)


def history_start(started_at: datetime) -> datetime:
    """From when on a fleet's history is read, allowing for clocks that differ."""
    return started_at - timedelta(minutes=5)
