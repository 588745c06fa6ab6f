"""The command `dcp`: runs the application of `deployments.app` and reports errors.

Slow imports are inside `main`, where Ctrl-C and errors are already reported.
"""

import sys
from collections.abc import Sequence

from deployments.exit_status import reporting_errors
from tasks import interrupt


@reporting_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    with interrupt.listening(last=arguments is None):
        from deployments.app import app

        return app(arguments) or 0


if __name__ == "__main__":
    sys.exit(main())
