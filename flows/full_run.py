"""The full run: set-up, submission, fleet, monitoring and clean-up, in one flow."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

from botocore.exceptions import ClientError
from prefect import Flow, flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Failed

from blocks import FleetTemplate
from blocks.errors import InputError, NotFound, Problem
from blocks.reading import load_fleet
from flows.cleanup import cleanup, end
from flows.consent import settle
from flows.going_on import start_again
from flows.logger import log
from flows.monitor import monitor
from flows.preflight import look
from flows.running import this_run_id
from flows.setup import setup
from flows.start_fleet import start_fleet
from flows.submit import submit
from tasks import record, watch
from tasks.aws import is_refused
from tasks.job_ids import JobIds
from tasks.jobs import JobMessage, messages
from tasks.load_data import Csvs
from tasks.opening import open_existing, open_job_file, open_new
from tasks.remedies import how_to_continue
from tasks.report import Report
from tasks.run import Run, new_run_id
from tasks.submit import Undone, done_ids, write_plan


def end_broken_off(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Clean up after a run that was cancelled.

    Prefect calls this in a process of its own. A run that could still clean up by itself has
    nothing left, and nothing is done then.
    """
    if run := _run_of(flow_run):
        end_active(run, f"the run was broken off ({state.name})")


def go_on(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Go on with a run whose flow's process was killed: its jobs are still worth their results.

    Prefect calls this as it calls `end_broken_off`.
    """
    if run := _run_of(flow_run):
        go_on_with(run, flow_run, state)


def go_on_with(run: Run, flow_run: FlowRun, state: State[Any]) -> None:
    """Have a flow run started again that was killed, unless its run has ended.

    Where no worker can start it again, and when it has been killed too often, the run is ended.

    Args:
        run: The run.
        flow_run: The flow run that did it.
        state: Its state.
    """
    kept = record.load(run)
    if kept is not None and kept.state != "ended" and not start_again(flow_run):
        end_active(run, f"the run was broken off ({state.name})")


def _run_of(flow_run: FlowRun) -> Run | None:
    """The run that a flow run has begun, or None when it has begun none."""
    given = flow_run.parameters
    if flow_run.created is None:
        return None
    run_id = new_run_id(flow_run.created, flow_run.id)
    try:
        return open_existing(
            given["config"], run_id, given.get("credentials"), given.get("settings")
        )
    except NotFound:
        return None  # it was broken off before anything was made


def end_active(run: Run, note: str) -> None:
    """End a run unless it has ended by itself.

    Args:
        run: The run, which has a record.
        note: Why it ends.
    """
    kept = record.load(run)
    if kept is not None and kept.state != "ended":
        end(run, abandon=True, note=note)


@contextmanager
def _ended_if_broken_off(run: Run) -> Iterator[None]:
    """End the run when what is done in the `with` block does not come to its end."""
    try:
        yield
    except BaseException as error:
        note = f"the run ended early: {str(error) or type(error).__name__}"
        log(f"{note}; cleaning up")
        end(run, abandon=True, note=note)
        raise


def begin(
    run: Run,
    jobs: Iterable[JobMessage],
    template: FleetTemplate,
    plates: Iterable[str] = (),
    retry_of: str = "",
) -> int:
    """Begin a new run: write its record and its plan. Nothing is in AWS yet but these.

    Args:
        run: The run.
        jobs: Its jobs, at least one; written one by one.
        template: The fleet template, kept for this run's start and for later ones like it.
        plates: The plates of its jobs, where they are known.
        retry_of: The run whose failed jobs these are.

    Returns:
        The number of jobs.

    Raises:
        InputError: Another run of the same app has not ended, or a job is wrong.
    """
    record.begin(run)
    with watch.kept(run), _ended_if_broken_off(run):
        fleet = template.model_dump(mode="json", include=set(FleetTemplate.model_fields))
        record.update(run, fleet=fleet, plates=tuple(plates), retry_of=retry_of)
        return write_plan(run, jobs)


def begun_before(
    config: str, credentials: str | None, settings: dict[str, Any] | None
) -> Run | None:
    """The run of this very flow run, when it was planned before: broken off then, or retried now.

    Its machines may be there: what would keep a new run from beginning must not keep this one from
    its end. A run that has ended is begun again.

    Args:
        config: As given to the flow, like the others.
        credentials: An AwsCredentials block.
        settings: Keys of the run config.
    """
    try:
        run = open_existing(config, this_run_id(), credentials, settings)
    except NotFound:
        return None
    except ClientError as error:
        if is_refused(error):
            return None  # the look before a new run tells it in words
        raise
    kept = record.load(run)
    if kept is None or kept.jobs is None:
        return None
    record.begin(run)
    return run


def carry_out(
    run: Run,
    fleet: str | None,
    config: str,
    credentials: str | None,
    settings: dict[str, Any] | None,
) -> State[Any]:
    """Do a run that is begun: set-up, submission, fleet, monitoring and clean-up.

    Whatever happens, the machines are ended.

    Args:
        run: The run; its plan is written.
        fleet: Where the fleet template is; None for the one in the run's record.
        config: What each step is called with, as given to the flow, like the next two.
        credentials: An AwsCredentials block.
        settings: Keys of the run config.

    Returns:
        Completed when every job succeeded or was skipped, else Failed, with the counts.
    """
    same: dict[str, Any] = {
        "config": config,
        "run_id": run.run_id,
        "credentials": credentials,
        "settings": settings,
    }
    log(f"run {run.run_id} of app {run.names.app}")
    with watch.kept(run):
        with _ended_if_broken_off(run):
            setup(**same)
            submit(**same)
            start_fleet(fleet=fleet, **same)
            last = monitor(**same)
        # A run that stops with jobs in its queue keeps them, to be continued.
        abandon = last.lost or not last.stop
        try:
            report: Report = cleanup(abandon=abandon, note=last.stop, **same)
        except BaseException:
            # Also when it failed: Prefect may be out of reach, and the machines are not yet ended.
            end(run, abandon, last.stop)
            raise
    if report.complete:
        return Completed(message=report.summary)
    if abandon:
        return Failed(message=f"{report.summary}. {last.stop or report.reasons}")
    return Failed(message=f"{report.summary}. {last.stop}. {how_to_continue(run)}")


def _plan(
    run: Run,
    job: str,
    fleet: str | None,
    plates: Sequence[str],
    undone: bool,
    accept_cost: bool,
    accept: Collection[str],
) -> int:
    """Look at what a new run needs, and begin it; the arguments are those of `dcp`.

    Returns:
        0, or the number of jobs when all are done already, and no run was begun.

    Raises:
        InputError: Something is in the way; nothing was made.
    """
    template = load_fleet(fleet, run.config.credentials)
    sets = open_job_file(job, run.config.credentials).sets(plates, job)
    with Csvs(run) as csvs:
        settle(look(run, sets, job, csvs, template), accept_cost, accept)
        todo = Undone(messages(sets, run.run_id, csvs), done_ids(run) if undone else JobIds())
        jobs = iter(todo)
        first = next(jobs, None)
        if first is None and not todo.left_out:
            raise InputError(Problem(job, "groups", "come to no job"))
        if first is None:
            return todo.left_out
        named = plates or [one.plate for one in sets if one.plate]
        begin(run, chain([first], jobs), template, named)
    if undone:
        log(f"{todo.left_out} jobs are left out: they are done already")
    return 0


@flow(name="dcp", on_cancellation=[end_broken_off], on_crashed=[go_on])
def dcp(
    config: str,
    job: str,
    fleet: str | None = None,
    credentials: str | None = None,
    plates: list[str] | None = None,
    settings: dict[str, Any] | None = None,
    undone: bool = False,
    accept_cost: bool = False,
    accept: list[str] | None = None,
) -> State[Any]:
    """Analyse all jobs of a job file with CellProfiler, on machines of their own.

    Everything that can be known before is looked at first, and an error stops the run before
    anything is made. Whatever happens then, the machines are ended: on success, after a failure in
    any step, and when the run is cancelled.

    Args:
        config: Run config: block name, local path or s3:// path.
        job: Job file: block name, local path or s3:// path.
        fleet: Fleet template or DCP fleet file: block name, local path or s3:// path; left out,
            the account's default network.
        credentials: AwsCredentials block to use in place of the config's own.
        plates: Plates to run in place of the job file's own.
        settings: Keys of the run config that take the place of the config's own.
        undone: Leave out the jobs that an earlier run of the app has done.
        accept_cost: Start also when the run may cost more than the config's cost_limit.
        accept: Codes of errors in spite of which the run starts, such as image_missing: the jobs
            that they concern will fail.

    Returns:
        Completed when every job succeeded or was skipped, else Failed, with the counts.
    """
    try:
        run = begun_before(config, credentials, settings)
        if run is None:
            run = open_new(config, this_run_id(), credentials, settings)
            done = _plan(run, job, fleet, plates or (), undone, accept_cost, accept or ())
            if done:
                return Completed(message=f"no run: all {done} jobs are done already")
    except InputError as error:
        # As a state, not raised: Prefect would log a traceback above what the reader needs.
        return Failed(message=str(error), data=error)
    return carry_out(run, fleet, config, credentials, settings)
