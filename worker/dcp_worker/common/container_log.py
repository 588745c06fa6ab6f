"""The container's own log: standard output, which ECS sends to the per-instance log group."""

from __future__ import annotations

import logging
import sys
import warnings

# One line of JSON for each attempt and each sample of the machine, without time and process name.
_BARE = ("dcp_worker.attempts", "dcp_worker.machine")


def to_stdout(who: str) -> None:
    """Log to standard output, each line with the process's name; measurements as bare JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter(f"%(asctime)s {who} %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # watchtower warns if CloudWatch rejects log lines; log each such warning once.
    logging.captureWarnings(True)
    warnings.simplefilter("once")
    # The image has Python 3.9, and boto3 warns at every start that it will drop this version.
    warnings.filterwarnings("ignore", message="Boto3 will no longer support Python")
    bare = logging.StreamHandler(sys.stdout)
    bare.setFormatter(logging.Formatter("%(message)s"))
    for name in _BARE:
        figures = logging.getLogger(name)
        figures.addHandler(bare)
        figures.propagate = False
