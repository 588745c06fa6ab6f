"""Retries while AWS is out of reach, and how long each kind of step retries, in seconds.

They begin after botocore has retried each request for about half a minute.
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
"""While machines run: giving up would cost the run's progress, and the machines keep working."""

STEP_OUTAGE = 600
"""For a submission, and for a whole clean-up: both can be repeated, and a person is waiting."""

REAPER_OUTAGE = 300
"""For one run in the reaper: other runs wait, and the reaper returns within 15 minutes."""


def retrying(seconds: float) -> Retrying:
    """Retries a call for up to `seconds` while AWS is out of reach; raises other errors at once."""
    return Retrying(
        retry=retry_if_exception(is_transient),
        wait=wait_random_exponential(multiplier=1, max=60),
        stop=stop_after_delay(seconds),
        before_sleep=before_sleep_log(logging.getLogger("prefect.dcp"), logging.WARNING),
        reraise=True,
    )
