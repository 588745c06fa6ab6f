"""The commands of `dcp`, as one application."""

from functools import partial

from cyclopts import App, Parameter

from deployments.cli.commands.account import account
from deployments.cli.commands.check import check
from deployments.cli.commands.cleanup import cleanup
from deployments.cli.commands.completion import install_completion
from deployments.cli.commands.continue_ import continue_
from deployments.cli.commands.failures import failures
from deployments.cli.commands.import_dcp import import_
from deployments.cli.commands.local import local
from deployments.cli.commands.retry import retry
from deployments.cli.commands.status import status
from deployments.cli.usage_errors import explain, refuse_empty


def _version() -> str:
    from importlib.metadata import version

    return version("dcp")


app = App(
    name="dcp",
    help="Distributed-CellProfiler on Prefect.",
    help_epilogue="Further exit statuses of all commands: 70 a defect of dcp, 74 the output could "
    "not be written.",
    version=_version,
    help_format="markdown",
    default_parameter=Parameter(negative=(), show_default=False, validator=refuse_empty),
    error_formatter=explain,
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for command in (cleanup, failures, retry, check, account, local):
    app.command(command)
app.command(continue_, name="continue")
app.command(import_, name="import", usage="dcp import [OPTIONS] CONFIG.PY [FLEET.JSON] [JOB.JSON]")
app.command(status, usage="dcp status [OPTIONS] [APP]")
app.command(partial(install_completion, app), name="--install-completion")
