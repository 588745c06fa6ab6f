"""`dcp continue APP`: a run that was stopped with jobs left over goes on."""

import argparse
import sys

from deployments.commands.failures import add_run_options, find_run
from deployments.commands.starting import add_access, add_changes, changed_settings, start

STARTED, FAILED, BAD_INPUT = 0, 1, 2
DEPLOYMENT = "dcp-continue/continue"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp continue`."""
    parser = commands.add_parser(
        "continue",
        help="go on with a run that was stopped with jobs left over",
        description="Go on with an app's newest run where it was stopped, such as by max_hours or "
        f"max_cost, as a flow run of {DEPLOYMENT}: both count anew. Exit status: 0 it was "
        "started, 1 Prefect could not start it, 2 the run cannot be continued or something given "
        "is wrong.",
    )
    parser.set_defaults(call=_continue)
    add_run_options(parser)
    changed = parser.add_argument_group("what is changed from now on; left out, it is as it was")
    add_changes(changed, "max_hours=24 cluster_machines=20")
    add_access(parser)


def _continue(given: argparse.Namespace) -> int:
    from blocks.errors import InputError
    from tasks.aws import AwsError
    from tasks.continuing import check

    try:
        settings = changed_settings(given)
        run = find_run(given)
        check(run, settings)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except AwsError as error:
        print(f"app {given.app}: its record cannot be read: {error}", file=sys.stderr)
        return BAD_INPUT
    started = start(DEPLOYMENT, given, run, settings)
    if started is None:
        return FAILED
    print(f"run {run.run_id} is continued: {started}")
    return STARTED
