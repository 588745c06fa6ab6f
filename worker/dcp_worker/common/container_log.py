"""The container's own log: standard output, which ECS sends to the per-instance log group."""

from __future__ import annotations

import logging
import sys
import warnings

# One line of JSON for each attempt and each look at the machine, without time and speaker.
_BARE = ("dcp_worker.attempts", "dcp_worker.machine")


def to_stdout(who: str) -> None:
    """Send all logging to standard output, each line saying who speaks; figures as bare JSON."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter(f"%(asctime)s {who} %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    # Warnings of watchtower, when CloudWatch does not take the log; once each is enough.
    logging.captureWarnings(True)
    warnings.simplefilter("once")
    # The image has Python 3.9; its boto3 says at every start that later ones will not.
    warnings.filterwarnings("ignore", message="Boto3 will no longer support Python")
    bare = logging.StreamHandler(sys.stdout)
    bare.setFormatter(logging.Formatter("%(message)s"))
    for name in _BARE:
        figures = logging.getLogger(name)
        figures.addHandler(bare)
        figures.propagate = False
