"""The end of a run: everything it has in AWS goes, whatever fails on the way.

The results, the record, the dead-letter queue and the log groups stay. Each step looks first and
can be repeated; what is already gone, or goes meanwhile since somebody else cleans up too, is no
error. A step that fails is told at the end and stops no other.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from botocore.exceptions import ClientError
from tenacity import Retrying, retry_if_exception, stop_after_attempt, wait_fixed

from blocks.errors import DcpError
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

MACHINES_SECONDS = 600  # a machine that shuts down takes a minute or two
LOOK_SECONDS = 5
# What EC2 tells lags (Amazon EC2 Developer Guide, "Ensuring eventual consistency"): a fleet that
# was just cancelled may show a machine that it had begun to start.
SETTLE_SECONDS = 10
SERVICE_SECONDS = 300
# Codes of what was there at the look and is gone at the call.
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
        done: What each step says of itself.
        failures: What failed, in words, one a step.
        kept: Why the queue is kept, when jobs in it have no result: the run can be continued.
    """

    done: tuple[str, ...]
    failures: tuple[str, ...] = ()
    kept: str = ""


def is_gone(error: BaseException) -> bool:
    """Whether a call was for something that is no longer there."""
    code = error_code(error)
    if isinstance(error, ClientError) and error.operation_name == "DeregisterContainerInstance":
        return code == "InvalidParameterException"  # ECS's word for one that it does not know
    # Also InvalidLaunchTemplateName.NotFoundException ("Error codes for the Amazon EC2 API").
    return code in GONE_CODES or ".NotFound" in code


def _each(items: Iterable[T], do: Callable[[T], object]) -> None:
    """Do something with each, whatever fails; the first error is raised at the end."""
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
    return f"{len(fleets)} fleets cancelled"


def end_machines(run: Run) -> str:
    """Terminate every machine of the app, those too that no fleet counts as its own."""
    live = [one for one, state in machine_states(run).items() if state in LIVE_STATES]
    terminate(run.aws.ec2, live)
    return f"{len(live)} more machines terminated"


def await_machines(run: Run) -> str:
    """Wait until no machine of the app is left; one that comes up late is terminated.

    Raises:
        DcpError: Some have not ended within 10 minutes, or a fleet goes on starting them.
    """
    seen: set[str] = set()
    give_up = time.monotonic() + MACHINES_SECONDS
    while left := machine_states(run):
        seen |= left.keys()
        if fleets := find_fleets(run):
            raise DcpError(f"fleet {fleets[0].id} goes on starting machines")
        if time.monotonic() > give_up:
            raise DcpError(f"not ended within 10 minutes: {', '.join(sorted(left))}")
        terminate(run.aws.ec2, [one for one, state in left.items() if state in LIVE_STATES])
        time.sleep(min(LOOK_SECONDS, run.config.monitor_seconds))
    return f"{len(seen)} machines gone"


def end_late_machines(run: Run) -> str:
    """Look once more for fleets and machines, after what AWS tells has settled."""
    time.sleep(min(SETTLE_SECONDS, run.config.monitor_seconds))
    end_fleets(run)
    return f"looked again: {await_machines(run)}"


def end_service(run: Run) -> str:
    """Tell the service to keep no container, so that none is started again elsewhere."""
    if_cluster(lambda run: set_desired_count(run, 0), run)
    return "service at 0"


def end_containers(run: Run) -> str:
    """Delete the service, dead container instances, task definitions and an unused cluster."""
    if_cluster(delete_service, run)
    # Before the service is waited for: a machine whose agent was away when it ended stays
    # registered, and with it its tasks (Amazon ECS Developer Guide, "Deregistering an Amazon EC2
    # backed container instance").
    if_cluster(lambda run: deregister_machines(run, machine_states(run)), run)
    _await_service(run)
    definitions = deregister_task_definitions(run)
    return f"{definitions} task definitions deregistered, cluster {if_cluster(delete_cluster, run)}"


def _await_service(run: Run) -> None:
    give_up = time.monotonic() + SERVICE_SECONDS
    while if_cluster(_service_is_there, run):
        if time.monotonic() > give_up:
            raise DcpError(f"service {run.names.service} has not ended within 5 minutes")
        time.sleep(min(LOOK_SECONDS, run.config.monitor_seconds))


def _service_is_there(run: Run) -> bool:
    """Whether the service exists still, also while it drains: its name is taken until then."""
    found = run.aws.ecs.describe_services(
        cluster=run.config.ecs_cluster, services=[run.names.service]
    )
    return any(service["status"] in ("ACTIVE", "DRAINING") for service in found["services"])


def end_volumes(run: Run) -> str:
    """Delete volumes of machines that are gone and that did not go with them."""
    volumes = left_volumes(run)
    _each(volumes, lambda volume: run.aws.ec2.delete_volume(VolumeId=volume))
    return f"{len(volumes)} volumes deleted"


def end_dashboard(run: Run) -> str:
    """Delete the dashboard, if the configuration says so."""
    if not run.config.clean_dashboard:
        return "dashboard kept"
    return "dashboard deleted" if delete_dashboard(run) else "no dashboard"


def unfinished(run: Run, kept: record.RunRecord | None) -> str:
    """Why the queue of a run is not to be deleted; "" when nothing is lost with it."""
    url = find_queue(run.aws.sqs, run.names.queue)
    if url is None:
        return ""
    if kept is None:
        messages = count(run.aws.sqs, url).total
        return f"{messages} messages are in it, and the run has no record" if messages else ""
    left = len(account(run).open) if kept.jobs else 0
    return f"{left} of {kept.jobs} jobs have no result yet" if left else ""


def clean_up(run: Run, abandon: bool = False, note: str = "", recorded: bool = True) -> Outcome:
    """End everything that the run has in AWS.

    Args:
        run: The run.
        abandon: Delete the queue even when jobs in it have no result.
        note: Why the run ends before its jobs do; kept in the record.
        recorded: Whether the run has a record; what has none is ended by its names alone.
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
        # What costs money goes first, whatever state the rest of AWS is in.
        ("fleets", lambda: end_fleets(run)),
        ("machines", lambda: end_machines(run)),
        ("service", lambda: end_service(run)),
        ("queue", end_queue),
        ("machines", lambda: await_machines(run)),
        ("containers", lambda: end_containers(run)),
        ("dashboard", lambda: end_dashboard(run)),
        (
            "launch template",
            lambda: "launch template deleted" if delete_launch_template(run) else "none",
        ),
        ("machines", lambda: end_late_machines(run)),
        # After the last machine, since each makes its own alarm when it starts.
        ("alarms", lambda: f"{delete_alarms(run)} alarms deleted"),
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
        except Exception as error:  # noqa: BLE001 (whatever fails, the next step must still run)
            failures.append(f"{name}: {error}")
    return tuple(done), tuple(failures)


def _looking_again(step: Callable[[], str]) -> str:
    """Do a step; what somebody else took away between its look and its call is looked at again."""
    again = Retrying(
        retry=retry_if_exception(is_gone),
        stop=stop_after_attempt(3),
        wait=wait_fixed(0.5),
        reraise=True,
    )
    return again(step)


def _check(run: Run, kept: str) -> str:
    """See that nothing is left, but for a queue that is kept.

    Raises:
        DcpError: Something is left; each is named.
    """
    queue = f"queue {run.names.queue}"
    left = [one for one in left_running(run) if not (kept and one == queue)]
    if left:
        raise DcpError("left: " + ", ".join(left))
    return f"nothing left running{', but ' + kept if kept else ''}"


def _end_record(run: Run, note: str, kept: str) -> str:
    """Call the run ended in its record, once nothing is left; one with a queue goes on."""
    told = _check(run, kept)
    changes: dict[str, Any] = {"note": note}
    if not kept:
        changes |= {"state": "ended", "ended_at": datetime.now(UTC)}
    now = record.load(run)
    if now is not None and not (now.state == "ended" and not kept):
        record.update(run, **changes)
    return told
