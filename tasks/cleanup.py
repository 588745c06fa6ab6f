"""The end of a run: everything it has in AWS goes, whatever fails on the way.

The results, the record, the dead-letter queue and the log groups stay. Each step can be repeated;
what is already gone is no error. A step that fails is told at the end and stops no other.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from blocks.errors import DcpError
from tasks import record
from tasks.alarms import alarm_names, delete_alarms
from tasks.aws import AwsError, aws_task, error_code, patient
from tasks.containers import (
    delete_cluster,
    delete_service,
    deregister_task_definitions,
    find_service,
    set_desired_count,
)
from tasks.dashboard import delete_dashboard
from tasks.logs import export_logs
from tasks.machines import (
    delete_launch_template,
    deregister_machines,
    live_machines,
    terminate,
)
from tasks.queues import delete_queue, find_queue
from tasks.remedies import how_to_continue
from tasks.results import account
from tasks.run import Run
from tasks.start import find_fleets

OUTAGE_SECONDS = 600  # AWS may be out of reach for so long before what fails is given up
MISSING_CLUSTER = "ClusterNotFoundException"


@dataclass(frozen=True)
class Outcome:
    """What a clean-up did.

    Attributes:
        done: What each step says of itself.
        failures: What failed, in words, one a step.
        warnings: What is missing without leaving anything that runs or costs.
    """

    done: tuple[str, ...]
    failures: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def end_service(run: Run) -> str:
    """Tell the service to keep no container, so that none is started again elsewhere."""
    _quiet(lambda run: set_desired_count(run, 0), run)
    return "service at 0"


def end_fleets(run: Run) -> str:
    """Cancel every fleet of the app, with its machines."""
    fleets = find_fleets(run)
    for fleet in fleets:
        fleet.cancel()
    return f"{len(fleets)} fleets cancelled"


def end_machines(run: Run) -> str:
    """Terminate every machine of the app, those too that no fleet counts as its own."""
    machines = live_machines(run.aws.ec2, run.names.app)
    terminate(run.aws.ec2, machines)
    return f"{len(machines)} more machines terminated"


def await_machines(run: Run) -> str:
    """Wait until no machine of the app is left, at most 10 minutes."""
    ids = live_machines(run.aws.ec2, run.names.app)
    if ids:
        run.aws.ec2.get_waiter("instance_terminated").wait(
            InstanceIds=ids, WaiterConfig={"Delay": 5, "MaxAttempts": 120}
        )
    return f"{len(ids)} machines terminated"


def end_queue(run: Run, abandon: bool) -> str:
    """Delete the queue, but not while jobs in it have no result, unless they are given up.

    Raises:
        DcpError: Jobs have no result, and `abandon` is false.
    """
    found = record.load(run)
    if (
        not abandon
        and found is not None
        and found.jobs
        and find_queue(run.aws.sqs, run.names.queue)
    ):
        left = len(account(run).open)
        if left:
            raise DcpError(
                f"the queue {run.names.queue} is kept: {left} of {found.jobs} jobs have no result "
                f"yet. {how_to_continue(run)} Clean up with abandon=true to give them up."
            )
    return "queue deleted" if delete_queue(run) else "no queue"


def _quiet(step: Callable[[Run], Any], run: Run) -> Any:
    """Do a step in ECS; that there is no such cluster means that there is nothing left to do."""
    try:
        return step(run)
    except AwsError as error:
        if error_code(error) == MISSING_CLUSTER:
            return 0
        raise


def end_containers(run: Run) -> str:
    """Delete the service, its task definitions, dead container instances and an unused cluster."""
    if _quiet(delete_service, run):
        run.aws.ecs.get_waiter("services_inactive").wait(
            cluster=run.config.ecs_cluster,
            services=[run.names.service],
            WaiterConfig={"Delay": 2, "MaxAttempts": 150},
        )
    _quiet(deregister_machines, run)
    definitions = deregister_task_definitions(run)
    return f"{definitions} task definitions deregistered, cluster {_quiet(delete_cluster, run)}"


def end_dashboard(run: Run) -> str:
    """Delete the dashboard, if the configuration says so."""
    if not run.config.clean_dashboard:
        return "dashboard kept"
    return "dashboard deleted" if delete_dashboard(run) else "no dashboard"


def end_log_export(run: Run) -> str:
    """Export the logs of the run to S3."""
    found = record.load(run)
    return "logs in " + ", ".join(export_logs(run, found.started_ms if found else 0))


def clean_up(run: Run, abandon: bool = False, note: str = "") -> Outcome:
    """End everything that the run has in AWS.

    Args:
        run: The run.
        abandon: Delete the queue even when jobs in it have no result.
        note: Why the run ends before its jobs do; kept in the record.
    """
    steps: list[tuple[str, Callable[[], str]]] = [
        # What costs money goes first, whatever state the rest of AWS is in.
        ("fleets", lambda: end_fleets(run)),
        ("machines", lambda: end_machines(run)),
        ("service", lambda: end_service(run)),
        ("queue", lambda: end_queue(run, abandon)),
        ("machines", lambda: await_machines(run)),
        # After the last machine, since each makes its own alarm when it starts.
        ("alarms", lambda: f"{delete_alarms(run)} alarms deleted"),
        ("containers", lambda: end_containers(run)),
        ("dashboard", lambda: end_dashboard(run)),
        (
            "launch template",
            lambda: "launch template deleted" if delete_launch_template(run) else "none",
        ),
    ]
    done, failures = _each(steps)
    exported, warnings = _each([("log export", lambda: end_log_export(run))])
    if not failures:
        ended, failures = _each([("check", lambda: end_record(run, note))])
        done += ended
    return Outcome(done + exported, failures, warnings)


def _each(steps: list[tuple[str, Callable[[], str]]]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    done, failures = [], []
    give_up = time.monotonic() + OUTAGE_SECONDS
    for name, step in steps:
        try:
            done.append(patient(max(give_up - time.monotonic(), 0))(step))
        except Exception as error:  # noqa: BLE001 (whatever fails, the next step must still run)
            failures.append(f"{name}: {error}")
    return tuple(done), tuple(failures)


def end_record(run: Run, note: str) -> str:
    """See that nothing is left, and only then call the run ended in its record.

    Raises:
        DcpError: Something is left; each is named.
    """
    left = left_running(run)
    if left:
        raise DcpError("left: " + ", ".join(left))
    if record.load(run) is not None:
        record.update(run, state="ended", ended_at=datetime.now(UTC), note=note)
    return "nothing left running"


def left_running(run: Run) -> list[str]:
    """What the app has in AWS that runs, costs, or is in the way of its next run.

    Returns:
        Each in words; empty when nothing is left.
    """
    names = run.names
    left = [f"fleet {fleet.id}" for fleet in find_fleets(run)]
    left += [f"machine {machine}" for machine in live_machines(run.aws.ec2, names.app)]
    if _quiet(find_service, run):
        left.append(f"service {names.service}")
    if find_queue(run.aws.sqs, names.queue):
        left.append(f"queue {names.queue}")
    return left + [f"alarm {alarm}" for alarm in alarm_names(run)]


clean_up_task = aws_task("clean up")(clean_up)
