"""Clean-up of a run: deletes its resources in AWS, even if single steps fail.

Results, record, dead-letter queue and log groups are kept. Each step first checks what exists, and
is safe to repeat. A resource that is already gone, or that another clean-up deletes meanwhile, is
no error. A step that fails stops no other; failures are reported at the end.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from blocks.errors import DcpError
from blocks.plurals import plural
from tasks.aws.errors import AwsError, error_code
from tasks.aws.retries import STEP_OUTAGE, retrying
from tasks.fleet.find import find_fleets
from tasks.fleet.instances import LIVE_STATES, deregister_machines, terminate
from tasks.fleet.launch_template import delete_launch_template
from tasks.jobs.queues import MISSING_CODES, count, delete_queue, find_queue
from tasks.jobs.results import account
from tasks.lifecycle.leftovers import (
    MISSING_CLUSTER,
    if_cluster,
    left_running,
    left_volumes,
    machine_states,
)
from tasks.monitor.dashboard import delete_dashboard
from tasks.resources.cpu_alarms import delete_alarms
from tasks.resources.ecs import (
    delete_cluster,
    delete_service,
    deregister_task_definitions,
    set_desired_count,
)
from tasks.runs import record
from tasks.runs.run import Run

T = TypeVar("T")

MACHINES_SECONDS = 600  # a machine takes a minute or two to shut down
LOOK_SECONDS = 5
# EC2 is eventually consistent (Amazon EC2 Developer Guide, "Ensuring eventual consistency"): a
# cancelled fleet may later show a machine that it was just launching.
SETTLE_SECONDS = 10
SERVICE_SECONDS = 300
# Error codes for a resource that was deleted between the check and the call.
GONE_CODES = MISSING_CODES | {
    MISSING_CLUSTER,
    "ClusterContainsServicesException",
    "ResourceNotFound",
    "ResourceNotFoundException",
    "ServiceNotActiveException",
    "ServiceNotFoundException",
}


@dataclass(frozen=True)
class Outcome:
    """What a clean-up did.

    Attributes:
        done: A line from each successful step.
        failures: A line for each failed step.
        kept: Why the queue is kept, if jobs in it have no result; the run can be continued.
    """

    done: tuple[str, ...]
    failures: tuple[str, ...] = ()
    kept: str = ""


def is_gone(error: BaseException) -> bool:
    """Whether a call failed because the resource no longer exists."""
    code = error_code(error)
    if isinstance(error, ClientError) and error.operation_name == "DeregisterContainerInstance":
        return code == "InvalidParameterException"  # ECS's code for an unknown instance
    # Also InvalidLaunchTemplateName.NotFoundException ("Error codes for the Amazon EC2 API").
    return code in GONE_CODES or ".NotFound" in code


def _each(items: Iterable[T], do: Callable[[T], object]) -> None:
    """Call a function for each item; raises the first error at the end."""
    errors = []
    for item in items:
        try:
            do(item)
        except (*AwsError, DcpError) as error:
            if not is_gone(error):
                errors.append(error)
    if errors:
        raise errors[0]


def end_fleets(run: Run) -> str:
    """Cancel every fleet of the app, with its machines."""
    fleets = find_fleets(run)
    _each(fleets, lambda fleet: fleet.cancel())
    return f"{plural(len(fleets), 'fleet')} cancelled"


def end_machines(run: Run) -> str:
    """Terminate every machine of the app, including those that belong to no fleet."""
    live = [one for one, state in machine_states(run).items() if state in LIVE_STATES]
    terminate(run.aws.ec2, live)
    return f"{plural(len(live), 'more machine')} terminated"


def await_machines(run: Run) -> str:
    """Wait until all machines of the app have terminated; terminates late ones too.

    Raises:
        DcpError: Machines have not terminated within 10 minutes, or a fleet keeps launching them.
    """
    seen: set[str] = set()
    give_up = time.monotonic() + MACHINES_SECONDS
    while left := machine_states(run):
        seen |= left.keys()
        if fleets := find_fleets(run):
            raise DcpError(f"fleet {fleets[0].id} keeps launching machines")
        if time.monotonic() > give_up:
            raise DcpError(f"not terminated within 10 minutes: {', '.join(sorted(left))}")
        terminate(run.aws.ec2, [one for one, state in left.items() if state in LIVE_STATES])
        time.sleep(min(LOOK_SECONDS, run.config.monitor_seconds))
    return f"{plural(len(seen), 'machine')} gone"


def end_late_machines(run: Run) -> str:
    """Check once more for fleets and machines, after AWS has become consistent."""
    time.sleep(min(SETTLE_SECONDS, run.config.monitor_seconds))
    end_fleets(run)
    return f"second check: {await_machines(run)}"


def end_service(run: Run) -> str:
    """Set the desired count of the service to 0, so that it restarts no container."""
    if_cluster(lambda run: set_desired_count(run, 0), run)
    return "service scaled to 0"


def end_containers(run: Run) -> str:
    """Delete the service, dead container instances, task definitions and an unused cluster."""
    if_cluster(delete_service, run)
    # Before waiting for the service: a machine whose agent was disconnected when it terminated
    # stays registered, and so do its tasks (Amazon ECS Developer Guide, "Deregistering an Amazon
    # EC2 backed container instance").
    if_cluster(lambda run: deregister_machines(run, machine_states(run)), run)
    _await_service(run)
    definitions = deregister_task_definitions(run)
    count = plural(definitions, "task definition")
    return f"{count} deregistered, cluster {if_cluster(delete_cluster, run)}"


def _await_service(run: Run) -> None:
    give_up = time.monotonic() + SERVICE_SECONDS
    while if_cluster(_service_is_there, run):
        if time.monotonic() > give_up:
            raise DcpError(f"service {run.names.service} is still draining after 5 minutes")
        time.sleep(min(LOOK_SECONDS, run.config.monitor_seconds))


def _service_is_there(run: Run) -> bool:
    """Whether the service still exists or drains: its name is taken until then."""
    found = run.aws.ecs.describe_services(
        cluster=run.config.ecs_cluster, services=[run.names.service]
    )
    return any(service["status"] in ("ACTIVE", "DRAINING") for service in found["services"])


def end_volumes(run: Run) -> str:
    """Delete volumes that outlived their machines."""
    volumes = left_volumes(run)
    _each(volumes, lambda volume: run.aws.ec2.delete_volume(VolumeId=volume))
    return f"{plural(len(volumes), 'volume')} deleted"


def end_dashboard(run: Run) -> str:
    """Delete the dashboard, if the configuration says so."""
    if not run.config.clean_dashboard:
        return "dashboard kept"
    return "dashboard deleted" if delete_dashboard(run) else "no dashboard"


def unfinished(run: Run, kept: record.RunRecord | None) -> str:
    """Why the queue of a run must be kept; "" if nothing would be lost with it."""
    url = find_queue(run.aws.sqs, run.names.queue)
    if url is None:
        return ""
    if kept is None:
        messages = count(run.aws.sqs, url).total
        return (
            f"it holds {plural(messages, 'message')}, and the run has no record" if messages else ""
        )
    left = len(account(run).open) if kept.jobs else 0
    return f"{left} of {plural(kept.jobs or 0, 'job')} without a result" if left else ""


def clean_up(run: Run, abandon: bool = False, note: str = "", recorded: bool = True) -> Outcome:
    """Delete the resources of the run in AWS.

    Args:
        run: The run.
        abandon: Delete the queue even if jobs in it have no result.
        note: Why the run ends before its jobs do; stored in the record.
        recorded: Whether the run has a record; without one, resources are found by name.
    """
    kept = ""

    def end_queue() -> str:
        nonlocal kept
        why = "" if abandon else unfinished(run, record.load(run) if recorded else None)
        if why:
            kept = f"the queue {run.names.queue} is kept: {why}"
            return kept
        return "queue deleted" if delete_queue(run) else "no queue"

    def end_record() -> str:
        return _end_record(run, note, kept) if recorded else _check(run, kept)

    steps: list[tuple[str, Callable[[], str]]] = [
        # Resources that cost money go first, whatever fails later.
        ("fleets", lambda: end_fleets(run)),
        ("machines", lambda: end_machines(run)),
        ("service", lambda: end_service(run)),
        ("queue", end_queue),
        ("machines", lambda: await_machines(run)),
        ("containers", lambda: end_containers(run)),
        ("dashboard", lambda: end_dashboard(run)),
        (
            "launch template",
            lambda: "launch template deleted" if delete_launch_template(run) else "no template",
        ),
        ("machines", lambda: end_late_machines(run)),
        # After the last machine, since each creates an alarm when it starts.
        ("alarms", lambda: f"{plural(delete_alarms(run), 'alarm')} deleted"),
        ("volumes", lambda: end_volumes(run)),
    ]
    done, failures = _all_of(steps)
    if not failures:
        checked, failures = _all_of([("check", end_record)])
        done += checked
    return Outcome(done, failures, kept)


def _all_of(steps: list[tuple[str, Callable[[], str]]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    done, failures = [], []
    give_up = time.monotonic() + STEP_OUTAGE
    for name, step in steps:
        try:
            done.append(retrying(max(give_up - time.monotonic(), 0))(_looking_again, step))
        except Exception as error:  # noqa: BLE001 (the next step must still run)
            failures.append(f"{name}: {error}")
    return tuple(done), tuple(failures)


def _looking_again(step: Callable[[], str]) -> str:
    """Run a step; retries if another process deleted a resource between its check and its call."""
    again = Retrying(
        retry=retry_if_exception(is_gone),
        stop=stop_after_attempt(3),
        wait=wait_fixed(0.5),
        reraise=True,
    )
    return again(step)


def _check(run: Run, kept: str) -> str:
    """Check that no resource remains, except for a queue that is kept.

    Raises:
        DcpError: Resources remain; all are named.
    """
    queue = f"queue {run.names.queue}"
    left = [one for one in left_running(run) if not (kept and one == queue)]
    if left:
        raise DcpError("not deleted: " + ", ".join(left))
    return f"nothing is left running{', but ' + kept if kept else ''}"


def _end_record(run: Run, note: str, kept: str) -> str:
    """Mark the run as ended in its record, once no resource remains and no queue is kept."""
    told = _check(run, kept)
    changes: dict[str, Any] = {"note": note}
    if not kept:
        changes |= {"state": "ended", "ended_at": datetime.now(UTC)}
    now = record.load(run)
    if now is not None and not (now.state == "ended" and not kept):
        record.update(run, **changes)
    return told
