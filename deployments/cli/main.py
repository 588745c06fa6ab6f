"""The command `dcp`: runs the application of `deployments.cli.app` and reports errors.

Slow imports are inside `main`, where Ctrl-C and errors are already reported.
"""

from collections.abc import Sequence

from deployments.cli.error_reporting import reporting_errors
from tasks import interrupt


@reporting_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    with interrupt.listening(last=arguments is None):
        from deployments.cli.app import app

        return app(arguments) or 0
