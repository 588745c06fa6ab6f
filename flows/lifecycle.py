"""The life of a run within a flow run: opened, planned, carried out, and ended whatever happens."""

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
    """The jobs that a run is to do.

    Attributes:
        source: Name of the job file, or what stands in its place, for messages.
        sets: The jobs as sets, for the checks.
        messages: The job messages, given the data files.
        plates: The plates that it does as wholes, where they are known: the record keeps them.
        named: The plates that its groups name, for the name of the flow run.
        step: Standard step of the job file, if it is one.
        batch: Batch of the job file, if it names one.
        retry_of: The run whose failed jobs these are; "" when it is no retry.
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
    """The jobs of a job file.

    Args:
        run: The run that is to do them.
        job: Block name, path or `s3://` address of the job file.
        plates: Plates to run instead of the job file's own.

    Raises:
        InputError: The job file is wrong or not there.
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
    """Check what the jobs need, and write them into the record of the run.

    A run that is not begun yet is begun with them. Nothing else is created in AWS.

    Args:
        run: The run.
        work: Its jobs.
        template: The fleet template, kept for this run's start and for later ones like it.
        undone: Leave out the jobs that an earlier run of the app has completed.
        accept_cost: Start even if the estimated cost exceeds cost_limit.
        accept: Codes of errors in spite of which the run starts.
        set_up: The run was set up before, and stays as it is when its jobs cannot be planned.

    Returns:
        0, or the number of jobs when an earlier run has completed them all: nothing is planned.

    Raises:
        InputError: Something is in the way, another run of the app has not ended, or a job is
            wrong; nothing was created.
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
        log(f"Skipping {todo.left_out} jobs that an earlier run completed")
    return 0


def _write(run: Run, work: Work, template: FleetTemplate, jobs: Iterable[JobMessage]) -> None:
    record.begin(run)
    fleet = template.model_dump(mode="json", include=set(FleetTemplate.model_fields))
    with heartbeat.kept(run):
        write_plan(run, jobs, fleet=fleet, plates=tuple(work.plates), retry_of=work.retry_of)


@contextmanager
def _ended_if_begun(run: Run) -> Iterator[None]:
    """End a run that cannot be planned, also one that a flow run began before it was killed."""
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
        return False  # why not is what is raised
    return kept is not None and kept.state == "active"


def begun_before(asking: Run) -> Run | None:
    """The run of this very flow run, if it was planned before: interrupted then, or retried now.

    Its machines may be there: what would keep a new run from beginning must not keep this one from
    its end. A run that has ended is begun again.

    Args:
        asking: The app, its bucket and clients, and the id that the run would have.
    """
    try:
        run = record.find(asking.aws, asking.config, asking.run_id)
    except NotFound:
        return None
    except ClientError as error:
        if is_refused(error):
            return None  # the check before a new run says it in words
        raise
    kept = record.load(run)
    if kept is None or kept.jobs is None:
        return None
    record.begin(run)
    return run


def carry_out(run: Run) -> State[Any]:
    """Carry out a run whose plan is written: set-up, submission, fleet, monitoring and clean-up.

    Whatever happens, the machines are ended.

    Args:
        run: The run.

    Returns:
        Completed when every job succeeded or was skipped, else Failed; the message says which
        jobs failed and why.
    """
    log(f"run {run.run_id} of app {run.names.app}")
    with heartbeat.kept(run):
        with ended_if_interrupted(run):
            steps.set_up(run)
            steps.submit(run)
            steps.start_fleet(run)
            last = steps.monitor(run)
        # A run that stops with jobs in its queue keeps them, to be continued.
        abandon = last.lost or not last.stop
        try:
            report = steps.clean_up(run, abandon, last.stop)
        except BaseException:
            # Also when it failed: Prefect may be out of reach, and the machines are not yet ended.
            steps.end(run, abandon, last.stop)
            raise
    if report.complete:
        return Completed(message=report.summary)
    outcome = [verdict(report), last.stop, "" if abandon else how_to_continue(run)]
    return Failed(message=". ".join(text.rstrip(".") for text in outcome if text))


@contextmanager
def ended_if_interrupted(run: Run) -> Iterator[None]:
    """End the run when what is done in the `with` block does not come to its end.

    A run whose time is used up keeps the jobs in its queue, to be continued.
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

    A flow run that is started again has its name and its tags
    (`flows.support.dcp_flow.first_name`).

    Args:
        run: The run.
        work: Its jobs, where they are known here.
        subject: What the flow run does with the run, when it is not its jobs.
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
    """Clean up after a run whose flow run was cancelled.

    Prefect calls this in a process of its own. A run that could still clean up by itself has
    nothing left, and nothing is done then.
    """
    if run := _run_to_end(flow_run):
        note = f"the run was {str(state.name).lower()}"
        steps.end(run, abandon=True, note=note, flow_run_id=flow_run.id)


def go_on(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Have Prefect start a flow run again whose process was killed: it goes on with its own run.

    Where no worker can start it again, and when it has been killed too often, the run is ended.
    Prefect calls this as it calls `end_cancelled`.
    """
    if not _run_to_end(flow_run) or start_again(flow_run):
        return
    # Read again: Prefect may have been out of reach for minutes.
    if run := _run_to_end(flow_run):
        note = f"the flow run {str(state.name).lower()}"
        steps.end(run, abandon=True, note=note, flow_run_id=flow_run.id)


def _run_to_end(flow_run: FlowRun) -> Run | None:
    """The run of a flow run, unless it has ended.

    Repeated while Prefect or AWS is out of reach: a hook is called only once.
    """

    def read() -> Run | None:
        run = run_of(flow_run)
        kept = record.load(run) if run else None
        return run if kept and kept.state != "ended" else None

    with_aws = retrying(HOOK_OUTAGE_SECONDS)
    run: Run | None = patient_with_prefect(HOOK_OUTAGE_SECONDS)(with_aws, read)
    return run


def run_of(flow_run: FlowRun) -> Run | None:
    """The run that a flow run has begun or continued; None when it has done neither.

    A run that another flow run looks after, or that waits in its queue, is none of its business.
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
