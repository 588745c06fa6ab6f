"""The steps of a run, in order: each is a function of a `Run` and a Prefect task.

A flow opens a run and passes it from step to step; `dcp-setup`, `dcp-submit` and so on open a run
by its id and call the same functions. Artifacts of a step belong to the calling flow run.
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
from blocks.plurals import plural
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

RETRIES = 4  # of a step, some seconds apart; botocore has retried each request before
CANCELLED_EXPORT_SECONDS = 60  # a person who cancels a run does not wait long for its logs


def _may_pass(_: Task[..., Any], __: TaskRun, state: State[Any]) -> bool:
    """Whether a step failed with a transient error, so that it is worth another attempt."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, BaseException) and is_transient(error)


def step(name: str, retries: int = RETRIES) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Make a function a Prefect task that is retried while AWS is out of reach.

    Every step is safe to repeat. Results are not cached, since a step must see AWS as it is now.

    Args:
        name: Name of the task and of its task run.
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
            # Prefect would search every job of a list for futures.
            result = as_task(*map(opaque, args), **{key: opaque(kwargs[key]) for key in kwargs})
            if isinstance(result, State):  # Prefect returns a failed state instead of raising
                result.result()
            return result

        return call

    return decorate


find_plates = step("plates")(plates_to_run)


@step("check")
def check(
    run: Run, sets: Sequence[JobSet], where: str, csvs: Csvs, template: FleetTemplate
) -> list[Finding]:
    """Check everything that a run needs, and show the findings. Creates nothing.

    Args:
        run: The run.
        sets: The jobs.
        where: The job file's name, for messages.
        csvs: The data files.
        template: The fleet template.

    Raises:
        InputError: AWS rejects the credentials.
    """
    findings = preflight(run, sets, where, csvs, template)
    show_findings(run, findings, where)
    return findings


@step("set-up")
def set_up(run: Run) -> None:
    """Create the resources of a run in AWS, except for the machines."""
    queues = ensure_queues(run)
    ensure_log_groups(run)
    environment = worker_environment(run, queues.jobs, queues.dead_letters)
    _ensure_service(run, ensure_task_definition(run, environment))
    log(f"Set up run {run.run_id}: queue {run.names.queue}, service {run.names.service}")


def _cluster_is_gone(error: BaseException) -> bool:
    return error_code(error) == MISSING_CLUSTER


@retry(retry=retry_if_exception(_cluster_is_gone), stop=stop_after_attempt(5), reraise=True)
def _ensure_service(run: Run, task_definition: str) -> None:
    """Create the cluster and the service.

    Between the two calls, the clean-up of another run may delete the still unused cluster.
    """
    ensure_cluster(run)
    ensure_service(run, task_definition)


def require_queue(run: Run) -> str:
    """The URL of the run's queue.

    Raises:
        NotFound: The run has no queue.
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
            f"Sending {done} of {plural(jobs, 'job')} again that an earlier run completed: "
            "pass undone=true to skip them"
        )
    sent = send_jobs(run, queue, submission_progress(run, jobs))
    log(f"{plural(sent, 'job')} in the queue {run.names.queue}")
    return sent


def _size(run: Run) -> tuple[record.RunRecord, int, int]:
    """The record of a run, and the machines and containers that its open jobs can use."""
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
    """Request machines and containers for a run, at most as many as its jobs can use.

    Args:
        run: The run.
        template: The fleet template (default: the one in the run's record).

    Returns:
        The id of the fleet; "" if every job has a result.

    Raises:
        InputError: The run has no jobs yet.
        OutOfTime: The run has used up its max_hours.
        FleetError: AWS refuses the request.
    """
    run_record, machines, containers = retrying(STEP_OUTAGE)(_size, run)
    template = template or FleetTemplate(**run_record.fleet)
    if not machines:
        log("Every job has a result: no machine is launched")
        return ""
    # Before the machines, so that none are launched for nothing if this fails.
    retrying(STEP_OUTAGE)(launch.start_containers, run, containers)
    fleet = retrying(STEP_OUTAGE)(launch.request_fleet, run, template, machines)
    size = f"{plural(machines, 'machine')}, {plural(containers, 'container')}"
    log(f"Requested fleet {fleet.id}: {size}")
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
        # If this step runs alone, nothing else would cancel the fleet. The step is not retried: AWS
        # lists the cancelled fleet for a while, so a retry would mistake it for the run's fleet.
        fleet.cancel()
        raise
    log(
        f"{plural(launched, 'machine')} launched"
        if launched
        else "No machine has launched yet. The fleet request stays open; the monitor reports "
        "what AWS answers."
    )
    return fleet.id


@step("monitoring", retries=0)
def monitor(run: Run) -> Decision:
    """Monitor a run until every job has a result, or until the run must stop.

    Returns:
        The last decision, with the reason if jobs have no result.
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
                log(f"No container is running. ECS says: {said}")
            if decision.terminate:
                log(f"Terminating {plural(len(decision.terminate), 'idle machine')}")
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
    """Delete the resources of a run in AWS, and write its report, with or without Prefect.

    Args:
        run: The run, which has a record.
        abandon: Delete the queue even if jobs in it have no result.
        note: Why the run ends before its jobs do.
        export_seconds: How long to wait for the export of the logs.
        flow_run_id: The flow run that shows the report (default: the current one).

    Raises:
        DcpError: Resources could not be deleted; all are named.
    """
    with interrupt.held("The clean-up continues, so that no machine keeps running."):
        outcome = cleanup.clean_up(run, abandon, note)
        for line in (*outcome.done, *outcome.failures):
            log(line)
        report = write_report(run, note, flow_run_id)
        log(f"{report.summary}; {what_stays(run)}")
    _export(run, export_seconds)
    # Keeping a queue with jobs is intended if the run stopped for a reason, else it is an error.
    kept_queue = (
        f"{outcome.kept}. {how_to_continue(run)} Or clean up with abandon=true to give them up."
    )
    _raise((*outcome.failures, kept_queue) if outcome.kept and not note else outcome.failures)
    return report


@step("clean-up")
def clean_up(run: Run, abandon: bool = False, note: str = "") -> Report:
    """Delete the resources of a run and write its report: `end` as a step of a flow run."""
    return end(run, abandon, note, EXPORT_SECONDS)


@step("clean-up")
def clean_up_unrecorded(run: Run, abandon: bool = False, note: str = "") -> None:
    """Delete the resources of an app that has no record.

    Raises:
        DcpError: Resources could not be deleted; all are named.
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
        # They stay in CloudWatch, so nothing is lost.
        log(f"Could not export the logs: {error}")
