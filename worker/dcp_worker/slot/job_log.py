"""The job's own log stream in CloudWatch Logs; a failing log service never stops a job."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

import watchtower

if TYPE_CHECKING:
    from mypy_boto3_logs import CloudWatchLogsClient

_SEND_SECONDS = 5
_STREAM_LENGTH = 512


def stream_name(metadata_id: str) -> str:
    """The log stream of a job: its metadata id, without characters that CloudWatch rejects."""
    return metadata_id.replace(":", "_").replace("*", "_")[:_STREAM_LENGTH]


class JobLog:
    """Sends the lines of a job to CloudWatch on a thread, and warns if that fails."""

    def __init__(self, client: CloudWatchLogsClient, group: str, stream: str) -> None:
        self._handler = watchtower.CloudWatchLogHandler(
            log_group_name=group,
            # The handler formats the name: escape braces in a metadata value.
            log_stream_name=stream.replace("{", "{{").replace("}", "}}"),
            boto3_client=client,
            send_interval=_SEND_SECONDS,
            create_log_group=False,
        )

    def say(self, line: str) -> None:
        """Log a line; CloudWatch rejects an empty one."""
        if line:
            record = logging.LogRecord("dcp_worker.job", logging.INFO, "", 0, line, None, None)
            self._handler.handle(record)

    def close(self) -> threading.Thread:
        """Send the rest in the background; joining the returned thread is optional."""
        closing = threading.Thread(target=self._handler.close, name="job log", daemon=True)
        closing.start()
        return closing
