"""The commands of `dcp`, as one application."""

from cyclopts import App, Parameter

from deployments.commands.account import account
from deployments.commands.check import check
from deployments.commands.cleanup import cleanup
from deployments.commands.completion import install_completion
from deployments.commands.continuing import continue_
from deployments.commands.failures import failures
from deployments.commands.importing import import_
from deployments.commands.local import local
from deployments.commands.mistyped import explain, refuse_empty
from deployments.commands.retry import retry
from deployments.commands.status import status


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
app.command(install_completion, name="--install-completion")
