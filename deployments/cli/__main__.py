"""`python -m deployments.cli` is the command `dcp`."""

import sys

from deployments.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
