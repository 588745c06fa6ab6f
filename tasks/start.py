"""Starting the machines: the fleet request, and waiting until AWS gives some or says why not."""

from datetime import datetime, timedelta
from typing import Any

from botocore.exceptions import ClientError
from tenacity import RetryError, Retrying, retry_if_result, stop_after_delay, wait_fixed

from blocks import FleetTemplate
from blocks.errors import FleetError
from tasks import memory, record
from tasks.aws import aws_task, is_transient
from tasks.containers import set_desired_count
from tasks.dashboard import put_dashboard
from tasks.ec2_fleet import Ec2Fleet, find_ec2_fleets, fleet_request
from tasks.fleet import Fleet, Verdict, judge
from tasks.limits import limits_of
from tasks.machines import ensure_launch_template
from tasks.run import Run
from tasks.spot_fleet import SpotFleet, find_spot_fleets, spot_fleet_request

WAIT_SECONDS = 1800  # for the first machine; capacity that has not come by then is not coming
LOOK_SECONDS = 2


def find_fleets(run: Run) -> list[Fleet]:
    """All fleets of the app that have not ended, of either kind, found by their tags."""
    app = run.names.app
    return [*find_ec2_fleets(run.aws.ec2, app), *find_spot_fleets(run.aws.ec2, app)]


@aws_task("request fleet")
def request_fleet(run: Run, template: FleetTemplate, machines: int) -> Fleet:
    """Request the machines, unless the run has a fleet already.

    Raises:
        FleetError: AWS refused the request for what is in it.
    """
    for fleet in find_fleets(run):
        record.update(run, fleet_id=fleet.id)
        return fleet
    try:
        fleet = _request(run, template, machines)
    except ClientError as error:
        if is_transient(error):
            raise
        raise FleetError(
            f"AWS refused the fleet: {error.response['Error'].get('Message', error)}. "
            "Look at the fleet template, machine_type and machine_price."
        ) from error
    # A run that is continued begins to wait for its machines anew.
    record.update(run, fleet_id=fleet.id)
    memory.forget(run)
    return fleet


def _request(run: Run, template: FleetTemplate, machines: int) -> Fleet:
    ec2, kept = run.aws.ec2, record.load(run)
    assert kept is not None, "a run that has no record is not started"
    ends_at = limits_of(run, kept.started_at).ends_at
    # A run whose fleet has ended and that is continued asks for another one.
    token = f"{run.run_id}-{kept.fleet_id[-12:]}" if kept.fleet_id else run.run_id
    config: Any
    if template.spot_fleet_request is not None:
        config = spot_fleet_request(run, template.spot_fleet_request, machines, ends_at, token)
        answer = ec2.request_spot_fleet(SpotFleetRequestConfig=config)
        return SpotFleet(ec2, answer["SpotFleetRequestId"])
    launch_template = ensure_launch_template(run, template)
    config = fleet_request(run, template, launch_template, machines, ends_at, token)
    return Ec2Fleet(ec2, ec2.create_fleet(**config)["FleetId"])


@aws_task("wait for machines")
def wait_for_machines(fleet: Fleet, since: datetime) -> int:
    """Wait until the fleet has its first machine.

    Args:
        fleet: The fleet.
        since: From when on its history is read.

    Returns:
        The number of machines.

    Raises:
        FleetError: The fleet's history has an error, or no machine came within 30 minutes: the
            fleet is to be cancelled.
    """

    def look() -> tuple[Verdict, str, int]:
        machines = len(fleet.machines())
        return (*judge(list(fleet.events(since)), machines), machines)

    waiting = Retrying(
        retry=retry_if_result(lambda seen: seen[0] is Verdict.WAIT),
        wait=wait_fixed(LOOK_SECONDS),
        stop=stop_after_delay(WAIT_SECONDS),
    )
    try:
        verdict, said, machines = waiting(look)
    except RetryError as error:
        _, said, machines = error.last_attempt.result()
        verdict = Verdict.CANCEL
        said = said or f"no machine came within {WAIT_SECONDS // 60} minutes"
    if verdict is Verdict.CANCEL:
        raise FleetError(f"fleet {fleet.id} is cancelled: {said}")
    return machines


@aws_task("start containers")
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


@aws_task("dashboard")
def ensure_dashboard(run: Run, fleet: Fleet) -> None:
    """Make the CloudWatch dashboard, if the configuration says so."""
    if run.config.create_dashboard:
        put_dashboard(run, fleet.id)


def history_start(started_at: datetime) -> datetime:
    """From when on a fleet's history is read, allowing for clocks that differ."""
    return started_at - timedelta(minutes=5)
