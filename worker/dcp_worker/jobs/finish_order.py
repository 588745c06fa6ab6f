"""The order to finish: the run is to end with jobs left over, so nothing new is begun.

Whoever ends a run in an orderly way writes it beside the run's results, and takes it away when the
run is continued.
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

LOOK_SECONDS = 30.0


def key(app_name: str, run_id: str) -> str:
    """Where the order lies; that it is there is all that counts."""
    return f"dcp/{app_name}/{run_id}/finish.json"


class Finish:
    """Whether the run is to finish, as far as it was looked at.

    Attributes:
        ordered: The order was there at the last look that S3 answered.
    """

    def __init__(self, s3: S3Client, settings: Settings) -> None:
        self._s3 = s3
        self._bucket = settings.aws_bucket
        self._key = key(settings.app_name, settings.run_id)
        self._next_look = -math.inf
        self._answered = True
        self.ordered = False

    def look(self) -> None:
        """Look for the order, unless it is less than `LOOK_SECONDS` since the last look."""
        now = time.monotonic()
        if now < self._next_look:
            return
        self._next_look = now + LOOK_SECONDS
        try:
            self.ordered = exists(self._s3, self._bucket, self._key)
            self._answered = True
        except (BotoCoreError, ClientError) as error:
            if self._answered:
                log.warning("An order to finish would not be noticed: %s", error)
            self._answered = False
