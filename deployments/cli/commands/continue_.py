"""`dcp continue APP`: continues a run that was stopped with jobs left over."""

from deployments.cli.commands.options import AccessOptions, AppName, ChangeOptions, RunOptions
from deployments.exit_status import ExitStatus

DEPLOYMENT = "dcp-continue/continue"


def continue_(
    app: AppName,
    /,
    *,
    selection: RunOptions = RunOptions(),
    changes: ChangeOptions = ChangeOptions(),
    access: AccessOptions = AccessOptions(),
) -> int:
    """Continue a run that was stopped with jobs left over.

    Continue an app's newest run where it was stopped, such as by max_hours or max_cost, as a flow
    run of dcp-continue/continue. Both limits start again from zero.

    Exit status: 0 the flow run was started, 1 Prefect could not start it, 2 the run cannot be
    continued or an option is wrong.
    """
    from deployments.cli.commands.start_flow_run import start
    from tasks.lifecycle.continuation import check

    settings = changes.changed_settings()
    run = selection.find(app)
    check(run, settings)
    started = start(DEPLOYMENT, run, access, settings, changes.fleet)
    print(f"Continuing run {run.run_id}: {started}")
    return ExitStatus.OK
