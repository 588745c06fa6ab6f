"""The drain order: the run ends with jobs still queued, so the workers start no new jobs.

The flow that stops a run gracefully writes the order beside the run's results. The flow that
continues the run deletes it.
"""

from __future__ import annotations

import logging
import math
import time
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from dcp_worker.common.aws_clients import exists

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

    from dcp_worker.common.settings import Settings

log = logging.getLogger(__name__)

POLL_SECONDS = 30.0


def key(app_name: str, run_id: str) -> str:
    """Key of the order; only the object's existence counts, not its content."""
    return f"dcp/{app_name}/{run_id}/finish.json"


class DrainOrder:
    """Watches for the drain order of the run.

    Attributes:
        ordered: The order existed at the last successful poll.
    """

    def __init__(self, s3: S3Client, settings: Settings) -> None:
        self._s3 = s3
        self._bucket = settings.aws_bucket
        self._key = key(settings.app_name, settings.run_id)
        self._next_poll = -math.inf
        self._answered = True
        self.ordered = False

    def poll(self) -> None:
        """Poll for the order, unless the last poll was less than `POLL_SECONDS` ago."""
        now = time.monotonic()
        if now < self._next_poll:
            return
        self._next_poll = now + POLL_SECONDS
        try:
            self.ordered = exists(self._s3, self._bucket, self._key)
            self._answered = True
        except (BotoCoreError, ClientError) as error:
            if self._answered:
                log.warning("Cannot watch for the drain order: %s", error)
            self._answered = False
