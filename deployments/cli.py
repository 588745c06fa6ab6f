"""The command `dcp`."""

import sys
from collections.abc import Sequence

from cyclopts import App, Parameter

from deployments.commands.account import account
from deployments.commands.check import check
from deployments.commands.cleanup import cleanup
from deployments.commands.continuing import continue_
from deployments.commands.failures import failures
from deployments.commands.importing import import_
from deployments.commands.local import local
from deployments.commands.retry import retry
from deployments.commands.status import status
from deployments.exit_status import reporting_errors
from tasks import interrupt


def _version() -> str:
    from importlib.metadata import version

    return version("dcp")


app = App(
    name="dcp",
    help="Distributed-CellProfiler on Prefect.",
    version=_version,
    help_format="markdown",
    default_parameter=Parameter(negative=(), show_default=False),
    result_action="return_value",
    suppress_keyboard_interrupt=False,
)
for command in (check, cleanup, failures, retry, status, account, local):
    app.command(command)
app.command(import_, name="import")
app.command(continue_, name="continue")
app.register_install_completion_command()


@reporting_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    with interrupt.listening(last=arguments is None):
        return app(arguments) or 0


if __name__ == "__main__":
    sys.exit(main())
