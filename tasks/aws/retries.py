"""Repeating what AWS did not answer: for how long, in seconds, before a step is given up.

botocore has repeated every request for about half a minute before.
"""

import logging

from tenacity import (
    Retrying,
    before_sleep_log,
    retry_if_exception,
    stop_after_delay,
    wait_random_exponential,
)

from tasks.aws.errors import is_transient

RUN_OUTAGE = 1800
"""While machines run: to give up a run costs its progress, and its machines go on meanwhile."""

STEP_OUTAGE = 600
"""For a submission and for the clean-up as a whole: both can be repeated, and somebody waits."""

REAPER_OUTAGE = 300
"""For one run of the reaper's: others wait for their turn, and it comes back within 15 minutes."""


def patient(seconds: float) -> Retrying:
    """Repeats a call for so long while AWS is out of reach; any other error is raised at once."""
    return Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=1, max=60),
        stop=stop_after_delay(seconds),
        before_sleep=before_sleep_log(logging.getLogger("prefect.dcp"), logging.WARNING),
        reraise=True,
    )
