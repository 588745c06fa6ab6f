"""Records the emulator's requests: operation, parameters, caller and response.

Requests are always counted; while recording is on, each is also written as a line of JSON.
"""

import base64
import json
import threading
import time
from collections import Counter
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from deployments.local.emulator.core.settings import REQUESTS_NAME
from deployments.local.emulator.protocol.request import ApiRequest


class Recorder:
    """Counts and records requests."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._file: IO[str] | None = None
        self._counts: Counter[str] = Counter()

    def switch(self, on: bool) -> None:
        """Start a new record, which replaces the old one, or stop recording."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self._file = (self._folder / REQUESTS_NAME).open("w", encoding="utf-8") if on else None
            if on:
                self._counts.clear()

    def counts(self) -> dict[str, int]:
        """Requests by service and operation, `sqs:SendMessageBatch`, since the record started."""
        with self._lock:
            return dict(self._counts)

    def add(
        self,
        api_request: ApiRequest,
        who: Mapping[str, str],
        status: int,
        code: str,
        carried_out: bool | None = None,
    ) -> None:
        """Record a request and its response.

        Args:
            api_request: The request.
            who: The caller.
            status: The HTTP status; 0 without a response.
            code: The error code; "" without an error.
            carried_out: Whether the request was carried out, even if it has an error response.
        """
        with self._lock:
            self._counts[f"{api_request.botocore_service}:{api_request.operation}"] += 1
            if self._file is None:
                return
            line = {
                "time": time.time(),
                "service": api_request.botocore_service,
                "operation": api_request.operation,
                "action": api_request.action,
                "region": api_request.region,
                "parameters": api_request.parameters,
                "unknown": api_request.unknown,
                "key": api_request.key,
                **who,
                "status": status,
                "code": code,
                "carried_out": not code if carried_out is None else carried_out,
            }
            self._file.write(json.dumps(line, default=_written) + "\n")
            self._file.flush()


def _written(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return value.isoformat() if isinstance(value, datetime) else str(value)
