"""`dcp retry APP`: runs the jobs that did not succeed again, as a new run."""

from typing import Annotated

from cyclopts import Group, Parameter

from deployments.cli.commands.options import (
    CHANGES,
    AccessOptions,
    AppName,
    ChangeOptions,
    RunOptions,
)
from deployments.exit_status import ExitStatus

DEPLOYMENT = "dcp-retry-failed/retry-failed"
JOBS = Group("Jobs to retry (default: all that failed or were lost)", sort_key=0)

Codes = Annotated[tuple[str, ...], Parameter(metavar="CODE")]


def retry(
    app: AppName,
    /,
    *,
    selection: RunOptions = RunOptions(),
    reason: Annotated[Codes, Parameter(group=JOBS)] = (),
    plate: Annotated[tuple[str, ...], Parameter(group=JOBS, metavar="PLATE")] = (),
    pipeline: Annotated[str | None, Parameter(group=CHANGES, metavar="KEY")] = None,
    changes: ChangeOptions = ChangeOptions(),
    access: AccessOptions = AccessOptions(),
    accept_cost: bool = False,
    accept: Codes = (),
) -> int:
    """Run the failed and lost jobs of a run again.

    Start a run with exactly the jobs that failed or were lost in an app's newest run, with its
    settings, as a flow run of dcp-retry-failed/retry-failed.

    Exit status: 0 the flow run was started, 1 Prefect could not start it, 2 no job can be retried
    or an option is wrong.

    Args:
        reason: reason of failure, such as out_of_memory; repeat the option for several
        plate: plate; repeat the option for several
        pipeline: S3 key of another pipeline
        accept_cost: start even above the config's cost_limit
        accept: start despite this error, such as image_missing; repeat the option for several
    """
    from blocks.plurals import plural
    from deployments.cli.commands.start_flow_run import start
    from tasks.report.retry import Choice, choose
    from tasks.runs.open_run import with_settings

    settings = changes.changed_settings()
    run = selection.find(app)
    jobs = choose(run, Choice(reason, plate))
    with_settings(run.config, settings)
    started = start(
        DEPLOYMENT,
        run,
        access,
        settings,
        changes.fleet,
        reasons=list(reason),
        plates=list(plate),
        pipeline=pipeline,
        accept_cost=accept_cost,
        accept=list(accept),
    )
    print(f"Retrying {plural(len(jobs), 'job')} of run {run.run_id}: {started}")
    return ExitStatus.OK
