"""The steps of a run, in their order: each is a function of a `Run`, and a Prefect task.

A flow opens a run and hands it from step to step; `dcp-setup`, `dcp-submit` and so on open a run by
its id and call the same function. What a step shows belongs to the flow run that calls it.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from uuid import UUID

from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.tasks import exponential_backoff
from prefect.utilities.annotations import opaque
from tenacity import retry, retry_if_exception, stop_after_attempt

from blocks import FleetTemplate
from blocks.errors import DcpError, InputError, NotFound, OutOfTime, Problem
from blocks.job_file.job_set import JobSet
from tasks import interrupt
from tasks.aws.errors import AwsError, error_code, is_transient
from tasks.aws.retries import RUN_OUTAGE, STEP_OUTAGE, retrying
from tasks.jobs.load_data_csv import Csvs
from tasks.jobs.plates import plates_to_run
from tasks.jobs.queues import ensure_queues, find_queue
from tasks.jobs.results import account, job_ids
from tasks.jobs.submission import count_done, send_jobs
from tasks.lifecycle import cleanup, launch
from tasks.lifecycle.leftovers import MISSING_CLUSTER, what_stays
from tasks.monitor.observe import Followed
from tasks.monitor.policy import Decision
from tasks.monitor.progress import show_findings, submission_progress, told
from tasks.monitor.tick import tick
from tasks.prefect_output.failed_state import readable
from tasks.prefect_output.run_log import log
from tasks.preflight.finding import Finding
from tasks.preflight.run_checks import preflight
from tasks.report.delivery import write_report
from tasks.report.model import Report
from tasks.report.remedies import how_to_continue
from tasks.resources.ecs import (
    ensure_cluster,
    ensure_service,
    ensure_task_definition,
    worker_environment,
)
from tasks.resources.log_groups import EXPORT_SECONDS, ensure_log_groups, export_logs
from tasks.runs import record
from tasks.runs.heartbeat import kept
from tasks.runs.limits import containers_needed, limits_of, machines_needed, useful_machines
from tasks.runs.run import Run

P = ParamSpec("P")
R = TypeVar("R")

RETRIES = 4  # of a step, some seconds apart; botocore has repeated each request before
CANCELLED_EXPORT_SECONDS = 60  # who has just cancelled a run does not wait long for its logs


def _may_pass(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether a step failed for a reason that may pass, so that it is worth another attempt."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


def step(name: str, retries: int = RETRIES) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Carry out a function as a Prefect task: named after it, repeated while AWS is out of reach.

    Every step can be repeated. Its result is not cached, since a step must see AWS as it is.

    Args:
        name: Of the task and of its run.
        retries: Attempts after the first one.
    """

    def decorate(function: Callable[P, R]) -> Callable[P, R]:
        as_task: Callable[..., R] = task(
            name=name,
            task_run_name=name,
            retries=retries,
            retry_delay_seconds=exponential_backoff(5),
            retry_jitter_factor=0.5,
            retry_condition_fn=_may_pass,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(readable(function))

        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            # Prefect would go through every job of a list in search of futures.
            result = as_task(*map(opaque, args), **{key: opaque(kwargs[key]) for key in kwargs})
            if isinstance(result, State):  # Prefect hands a failed state on instead of raising
                result.result()
            return result

        return call

    return decorate


find_plates = step("plates")(plates_to_run)


@step("check")
def check(
    run: Run, sets: Sequence[JobSet], where: str, csvs: Csvs, template: FleetTemplate
) -> list[Finding]:
    """Check everything that a run needs, and show what was found; nothing is created.

    Args:
        run: The run.
        sets: The jobs.
        where: The job file's name, for messages.
        csvs: The data files.
        template: The fleet template.

    Raises:
        InputError: AWS does not know the credentials.
    """
    findings = preflight(run, sets, where, csvs, template)
    show_findings(run, findings, where)
    return findings


@step("set-up")
def set_up(run: Run) -> None:
    """Create what a run needs in AWS, except for the machines."""
    queues = ensure_queues(run)
    ensure_log_groups(run)
    environment = worker_environment(run, queues.jobs, queues.dead_letters)
    _ensure_service(run, ensure_task_definition(run, environment))
    log(f"run {run.run_id} is set up: queue {run.names.queue}, service {run.names.service}")


def _cluster_is_gone(error: BaseException) -> bool:
    return error_code(error) == MISSING_CLUSTER


@retry(retry=retry_if_exception(_cluster_is_gone), stop=stop_after_attempt(5), reraise=True)
def _ensure_service(run: Run, task_definition: str) -> None:
    """Create the cluster and the service.

    The clean-up of another run deletes a cluster without services, even between the two calls.
    """
    ensure_cluster(run)
    ensure_service(run, task_definition)


def require_queue(run: Run) -> str:
    """The URL of the run's queue.

    Raises:
        NotFound: It has none.
    """
    queue = find_queue(run.aws.sqs, run.names.queue)
    if queue is None:
        remedy = "Set the run up first (dcp-setup)."
        where = f"run {run.run_id}"
        raise NotFound(Problem(where, "", "has no queue", run.names.queue, remedy=remedy))
    return queue


@step("submission")
def submit(run: Run) -> int:
    """Send the jobs of a run that are not in its queue yet.

    Returns:
        The number of jobs of the run.

    Raises:
        InputError: The run has no queue, or no jobs.
    """
    queue = require_queue(run)
    run_record = record.load(run)
    if run_record is None or run_record.jobs is None:
        remedy = "Give a job file."
        raise InputError(Problem(f"run {run.run_id}", "job", "has no jobs yet", remedy=remedy))
    jobs = run_record.jobs
    if done := count_done(run):
        log(
            f"{done} of {jobs} jobs were done by an earlier run and are sent again: "
            "undone=true leaves them out"
        )
    sent = send_jobs(run, queue, submission_progress(run, jobs))
    log(f"{sent} jobs are in the queue {run.names.queue}")
    return sent


def _size(run: Run) -> tuple[record.RunRecord, int, int]:
    """The record of a run, and how many machines and containers its open jobs can use."""
    run_record = record.load(run)
    if run_record is None or not record.submitted(run):
        raise InputError(
            Problem(
                f"run {run.run_id}",
                "",
                "has no jobs to start machines for",
                remedy="Submit them first (dcp-submit).",
            )
        )
    limits = limits_of(run, run_record.counts_from)
    if datetime.now(UTC) >= limits.ends_at:
        raise OutOfTime(
            Problem(
                f"run {run.run_id}",
                "max_hours",
                f"the run has already used its {run.config.max_hours} h",
                remedy=how_to_continue(run),
            )
        )
    jobs = len(account(run).open)
    useful = useful_machines(jobs, limits.seconds_per_job, limits)
    machines = min(machines_needed(containers_needed(jobs, limits), limits), useful)
    containers = min(containers_needed(jobs, limits), machines * limits.tasks_per_machine)
    return run_record, machines, containers


@step("fleet", retries=0)
def start_fleet(run: Run, template: FleetTemplate | None = None) -> str:
    """Request the machines of a run, at most as many as its jobs can use, and their containers.

    Args:
        run: The run.
        template: The fleet template; None for the one in the run's record.

    Returns:
        The id of the fleet; "" when every job has its result.

    Raises:
        InputError: The run has no jobs yet.
        OutOfTime: The run has used up its max_hours.
        FleetError: AWS refuses the request.
    """
    run_record, machines, containers = retrying(STEP_OUTAGE)(_size, run)
    template = template or FleetTemplate(**run_record.fleet)
    if not machines:
        log("Every job has its result: no machine is started")
        return ""
    # Before the machines, which would otherwise be there for nothing if this fails.
    retrying(STEP_OUTAGE)(launch.start_containers, run, containers)
    fleet = retrying(STEP_OUTAGE)(launch.request_fleet, run, template, machines)
    log(f"Requested fleet {fleet.id}: {machines} machines, {containers} containers")
    try:
        retrying(RUN_OUTAGE)(launch.ensure_dashboard, run, fleet)
        requested = retrying(RUN_OUTAGE)(record.load, run)
        since = (requested and requested.fleet_at) or run_record.started_at
        launched = retrying(RUN_OUTAGE)(
            launch.wait_for_machines,
            run,
            fleet,
            launch.history_start(since),
            len(template.subnets),
            log,
        )
    except BaseException:
        # Nobody may be watching when this step is run alone. It is not repeated after this: AWS
        # still lists the cancelled fleet for a while, and it would be taken for the run's.
        fleet.cancel()
        raise
    log(
        f"{launched} machines have launched"
        if launched
        else "No machine has launched yet. The fleet request stays open; the monitor reports "
        "what AWS answers."
    )
    return fleet.id


@step("monitoring", retries=0)
def monitor(run: Run) -> Decision:
    """Watch a run until every job has a result, or until it cannot go on.

    Returns:
        The last decision: that the run is over, and why if jobs have no result.
    """
    jobs = Followed(job_ids(run))
    last: dict[str, int] = {}
    said, findings = "", set[str]()
    with kept(run), told(run) as tell:
        while True:
            seen, decision = retrying(RUN_OUTAGE)(tick, run, jobs)
            tell(seen)
            if seen.counts() != last:
                last = seen.counts()
                log(", ".join(f"{number} {name}" for name, number in last.items()))
            for finding in seen.findings:
                if finding.key not in findings:
                    findings.add(finding.key)
                    log(f"{finding.level}: {finding}")
            if not seen.running and seen.says != said:
                said = seen.says
                log(f"No container runs. ECS says: {said}")
            if decision.terminate:
                log(f"Terminating {len(decision.terminate)} idle machines")
            if decision.done:
                return decision
            interrupt.sleep(decision.look_after)


def end(
    run: Run,
    abandon: bool,
    note: str,
    export_seconds: float = CANCELLED_EXPORT_SECONDS,
    flow_run_id: UUID | None = None,
) -> Report:
    """End everything that a run has in AWS, and write its report, with or without Prefect.

    Args:
        run: The run, which has a record.
        abandon: Delete the queue even when jobs in it have no result.
        note: Why the run ends before its jobs do.
        export_seconds: How long to wait for the export of the logs.
        flow_run_id: The flow run that shows the report (default: the one that this is called in).

    Raises:
        DcpError: Something could not be ended; each is named.
    """
    with interrupt.held("The clean-up goes on, so that no machine is left."):
        outcome = cleanup.clean_up(run, abandon, note)
        for line in (*outcome.done, *outcome.failures):
            log(line)
        report = write_report(run, note, flow_run_id)
        log(f"{report.summary}; {what_stays(run)}")
    _export(run, export_seconds)
    # That a queue with jobs is kept is meant when the run stops for a reason, else an obstacle.
    kept_queue = (
        f"{outcome.kept}. {how_to_continue(run)} Or clean up with abandon=true to give them up."
    )
    _raise((*outcome.failures, kept_queue) if outcome.kept and not note else outcome.failures)
    return report


@step("clean-up")
def clean_up(run: Run, abandon: bool = False, note: str = "") -> Report:
    """End everything that a run has in AWS, and write its report; as `end`, in a flow run."""
    return end(run, abandon, note, EXPORT_SECONDS)


@step("clean-up")
def clean_up_unrecorded(run: Run, abandon: bool = False, note: str = "") -> None:
    """End everything that an app has in AWS whose record is gone.

    Raises:
        DcpError: Something could not be ended; each is named.
    """
    outcome = cleanup.clean_up(run, abandon, note, recorded=False)
    for line in (*outcome.done, *outcome.failures):
        log(line)
    _raise(outcome.failures + ((outcome.kept,) if outcome.kept else ()))


def _raise(problems: Iterable[str]) -> None:
    if text := "\n".join(problems):
        raise DcpError(f"the clean-up is not complete:\n{text}")


def _export(run: Run, seconds: float) -> None:
    try:
        prefixes = export_logs(run, seconds)
        log(f"Exported the logs to {', '.join(prefixes)}" if prefixes else "No logs to export")
    except (*AwsError, DcpError) as error:
        # They stay in CloudWatch; nothing runs and nothing is lost.
        log(f"Could not export the logs: {error}")
