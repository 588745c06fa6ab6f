"""The command `dcp`: runs what `deployments.app` defines, and reports how it ended.

All that takes time to import is imported where Ctrl-C and errors are reported already.
"""

import sys
from collections.abc import Sequence

from deployments.error_reporting import reporting_errors
from tasks import interrupt


@reporting_errors
def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns the exit status."""
    with interrupt.listening(last=arguments is None):
        from deployments.app import app

        return app(arguments) or 0


if __name__ == "__main__":
    sys.exit(main())
