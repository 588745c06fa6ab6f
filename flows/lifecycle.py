"""The life of a run within a flow run: plan it, carry it out, and always clean up."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from itertools import chain
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError
from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Failed

from blocks import FleetTemplate
from blocks.errors import InputError, NotFound, OutOfTime, Problem
from blocks.job_file.job_set import JobSet
from blocks.job_file.model import JobFile
from blocks.loading.load import load_job
from blocks.plurals import plural
from flows.support.child_runs import HOOK_OUTAGE_SECONDS, patient_with_prefect, start_again
from flows.support.cost_approval import settle
from flows.support.dcp_flow import APP_TAG, stem
from flows.support.flow_run import label
from tasks import interrupt, steps
from tasks.aws.errors import is_refused
from tasks.aws.retries import retrying
from tasks.jobs.job_ids import JobIds
from tasks.jobs.load_data_csv import Csvs
from tasks.jobs.messages import JobMessage, messages
from tasks.jobs.plates import plates_named
from tasks.jobs.submission import Undone, done_ids, write_plan
from tasks.prefect_output.run_log import log
from tasks.report.failure_summary import verdict
from tasks.report.remedies import how_to_continue
from tasks.runs import heartbeat, record
from tasks.runs.open_run import open_existing
from tasks.runs.run import Run, new_run_id


@dataclass(frozen=True)
class Work:
    """Where the jobs of a run come from: a job file, or the failed jobs of an earlier run.

    Attributes:
        source: Name of the job file or the earlier run, for messages.
        sets: The jobs as sets, for the checks.
        messages: Makes the job messages from the data files.
        plates: The plates that the run covers, if known; stored in its record.
        named: The plates that the groups name, for the name of the flow run.
        step: Standard step of the job file; "" if it has none.
        batch: Batch of the job file; "" if it has none.
        retry_of: Id of the earlier run whose failed jobs these are; "" if this is not a retry.
    """

    source: str
    sets: Sequence[JobSet]
    messages: Callable[[Csvs], Iterable[JobMessage]]
    plates: Sequence[str] = ()
    named: Sequence[str] = ()
    step: str = ""
    batch: str = ""
    retry_of: str = ""


def work_of(run: Run, job: str, plates: Sequence[str] = ()) -> Work:
    """Read a job file as the source of a run's jobs.

    Args:
        run: The new run.
        job: Block name, path or `s3://` address of the job file.
        plates: Plates to run instead of the job file's own.

    Raises:
        InputError: The job file is wrong or does not exist.
    """
    file: JobFile = load_job(job, run.config.credentials)
    sets = file.sets(plates, job)
    return Work(
        job,
        sets,
        lambda csvs: messages(sets, run.run_id, csvs),
        tuple(plates or dict.fromkeys(one.plate for one in sets if one.plate)),
        plates_named(file),
        file.step or "",
        file.batch or "",
    )


def plan(
    run: Run,
    work: Work,
    template: FleetTemplate,
    undone: bool = False,
    accept_cost: bool = False,
    accept: Collection[str] = (),
    set_up: bool = False,
) -> int:
    """Run the preflight checks, and write the jobs into the record of the run.

    This creates the record of a new run, and nothing else in AWS.

    Args:
        run: The run.
        work: Its jobs.
        template: The fleet template, stored in the record.
        undone: Skip the jobs that an earlier run of the app completed.
        accept_cost: Start even if the estimated cost exceeds cost_limit.
        accept: Codes of errors in spite of which the run starts.
        set_up: The run was set up earlier; keep its resources even if planning fails.

    Returns:
        0; or the number of jobs if an earlier run completed all of them and nothing is planned.

    Raises:
        InputError: A check failed, another run of the app has not ended, or a job is wrong.
            Nothing was created.
    """
    with nullcontext() if set_up else _ended_if_begun(run), Csvs(run) as csvs:
        findings = steps.check(run, work.sets, work.source, csvs, template)
        settle(findings, accept_cost, accept)
        todo = Undone(work.messages(csvs), done_ids(run) if undone else JobIds())
        jobs = iter(todo)
        first = next(jobs, None)
        if first is None and todo.left_out:
            return todo.left_out
        if first is None:
            remedy = "Check the filters under groups and the rows of the CSV."
            raise InputError(Problem(work.source, "groups", "no jobs match", remedy=remedy))
        _write(run, work, template, chain([first], jobs))
    if undone:
        log(f"Skipping {plural(todo.left_out, 'job')} that an earlier run completed")
    return 0


def _write(run: Run, work: Work, template: FleetTemplate, jobs: Iterable[JobMessage]) -> None:
    record.begin(run)
    fleet = template.model_dump(mode="json", include=set(FleetTemplate.model_fields))
    with heartbeat.kept(run):
        write_plan(run, jobs, fleet=fleet, plates=tuple(work.plates), retry_of=work.retry_of)


@contextmanager
def _ended_if_begun(run: Run) -> Iterator[None]:
    """Clean up if planning fails, in case this flow run created the run before it was killed."""
    try:
        yield
    except BaseException as error:
        if _is_active(run):
            _end_early(run, error)
        raise


def _is_active(run: Run) -> bool:
    try:
        kept = record.load(run)
    except (ClientError, BotoCoreError):
        return False  # the error from planning says more
    return kept is not None and kept.state == "active"


def begun_before(asking: Run) -> Run | None:
    """The run that this flow run planned before its process was killed or it was retried, if any.

    It may have machines, so it continues without the checks of a new run. A run that has ended
    starts again.

    Args:
        asking: The app, its bucket and clients, and the id that the run would have.
    """
    try:
        run = record.find(asking.aws, asking.config, asking.run_id)
    except NotFound:
        return None
    except ClientError as error:
        if is_refused(error):
            return None  # preflight explains it
        raise
    kept = record.load(run)
    if kept is None or kept.jobs is None:
        return None
    record.begin(run)
    return run


def carry_out(run: Run) -> State[Any]:
    """Carry out a planned run: set-up, submission, fleet, monitoring and clean-up.

    The machines are always terminated.

    Args:
        run: The run.

    Returns:
        Completed if every job succeeded or was skipped, else Failed; the message says which jobs
        failed and why.
    """
    log(f"run {run.run_id} of app {run.names.app}")
    with heartbeat.kept(run):
        with ended_if_interrupted(run):
            steps.set_up(run)
            steps.submit(run)
            steps.start_fleet(run)
            last = steps.monitor(run)
        # A stopped run keeps the jobs in its queue, so that it can be continued.
        abandon = last.lost or not last.stop
        try:
            report = steps.clean_up(run, abandon, last.stop)
        except BaseException:
            # Prefect may be out of reach, and the machines are still running.
            steps.end(run, abandon, last.stop)
            raise
    if report.complete:
        return Completed(message=report.summary)
    outcome = [verdict(report), last.stop, "" if abandon else how_to_continue(run)]
    return Failed(message=". ".join(text.rstrip(".") for text in outcome if text))


@contextmanager
def ended_if_interrupted(run: Run) -> Iterator[None]:
    """Clean up the run if the `with` block raises.

    A run that has used up its time keeps the jobs in its queue, so that it can be continued.
    """
    try:
        yield
    except BaseException as error:
        _end_early(run, error)
        raise


def _end_early(run: Run, error: BaseException) -> None:
    with interrupt.held():
        note = f"the run ended early: {str(error) or type(error).__name__}"
        log(f"{note}; cleaning up")
        steps.end(run, abandon=not isinstance(error, OutOfTime), note=note)


def name_after(run: Run, work: Work | None = None, subject: str = "") -> None:
    """Name this flow run `<app> · <plate or step>` and tag it with app, plates, step and batch.

    A restarted flow run keeps its name and tags (`flows.support.dcp_flow.first_name`).

    Args:
        run: The run.
        work: Its jobs, if known here.
        subject: What the flow run does with the run, if it does not run its jobs.
    """
    plates = list(work.plates or work.named) if work else []
    tags = [f"{APP_TAG}{run.names.app}", *(f"plate:{plate}" for plate in plates[:MOST_TAGS])]
    if work:
        of_job = ("step", work.step), ("batch", work.batch)
        tags += [f"{name}:{value}" for name, value in of_job if value]
        subject = subject or _subject(work, plates)
    label((run.names.app, subject), tags)


MOST_TAGS = 20  # plates that a flow run is tagged with


def _subject(work: Work, plates: Sequence[str]) -> str:
    if len(plates) == 1:
        return plates[0]
    if work.step:
        return work.step
    if len(plates) > 3:
        return f"{len(plates)} plates"
    return ", ".join(plates) or stem(work.source)


def end_cancelled(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Clean up a run whose flow run was cancelled, unless it already cleaned up by itself.

    Prefect calls this hook in a separate process.
    """
    if run := _run_to_end(flow_run):
        note = f"the run was {str(state.name).lower()}"
        steps.end(run, abandon=True, note=note, flow_run_id=flow_run.id)


def go_on(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Have Prefect restart a flow run whose process was killed, so that it resumes its own run.

    If no worker can restart it, or if it was killed too often, clean up the run. Prefect calls this
    hook in a separate process.
    """
    if not _run_to_end(flow_run) or start_again(flow_run):
        return
    # Read again: Prefect may have been out of reach for minutes.
    if run := _run_to_end(flow_run):
        note = f"the flow run {str(state.name).lower()}"
        steps.end(run, abandon=True, note=note, flow_run_id=flow_run.id)


def _run_to_end(flow_run: FlowRun) -> Run | None:
    """The run of a flow run, unless it has ended.

    Retries while Prefect or AWS is out of reach: Prefect calls a hook only once.
    """

    def read() -> Run | None:
        run = run_of(flow_run)
        kept = record.load(run) if run else None
        return run if kept and kept.state != "ended" else None

    with_aws = retrying(HOOK_OUTAGE_SECONDS)
    run: Run | None = patient_with_prefect(HOOK_OUTAGE_SECONDS)(with_aws, read)
    return run


def run_of(flow_run: FlowRun) -> Run | None:
    """The run that a flow run started or continued; None if it did neither.

    Runs of other flow runs are not touched, nor are stopped runs that wait to be continued.
    """
    if flow_run.created is None:
        return None
    given = flow_run.parameters
    same = given["config"], given.get("credentials"), given.get("settings")
    own = _existing(*same, new_run_id(flow_run.created, flow_run.id))
    if own is not None:
        return own
    other = _existing(*same, given.get("run_id"))
    return other if other is not None and continued_by(other, flow_run) else None


def _existing(config: str, credentials: Any, settings: Any, run_id: str | None) -> Run | None:
    try:
        return open_existing(config, run_id, credentials, settings)
    except NotFound:
        return None


def continued_by(run: Run, flow_run: FlowRun) -> bool:
    """Whether a flow run has continued a run."""
    kept = record.load(run)
    return kept is not None and kept.continued_by == str(flow_run.id)
