"""ECS task scale-in protection: a service that scales in stops idle containers, not busy ones.

"Amazon ECS task scale-in protection endpoint", Amazon ECS Developer Guide.
"""

from __future__ import annotations

import json
import logging
import time
import urllib.request
from collections.abc import Mapping
from http.client import HTTPException

log = logging.getLogger(__name__)

# Renewed long before it expires; short enough not to protect a hung container for days.
MINUTES = 60
_RENEW_SECONDS = MINUTES * 60 / 3
_RETRY_SECONDS = 60.0
_TIMEOUT = 2.0


class ScaleInProtection:
    """Scale-in protection of this container's task; does nothing without an ECS agent."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._agent = environment.get("ECS_AGENT_URI", "")
        self._wanted = False
        self._next = 0.0

    def set(self, wanted: bool) -> None:
        """Set the protection if it changes, must be renewed, or failed a while ago."""
        if not self._agent:
            return
        now = time.monotonic()
        due = now >= self._next and (wanted or self._next > 0)
        if wanted == self._wanted and not due:
            return
        self._wanted = wanted
        done = self._put(wanted)
        if not done:
            self._next = now + _RETRY_SECONDS
        else:
            self._next = now + _RENEW_SECONDS if wanted else 0.0

    def _put(self, wanted: bool) -> bool:
        body: dict[str, object] = {"ProtectionEnabled": wanted}
        if wanted:
            body["ExpiresInMinutes"] = MINUTES
        request = urllib.request.Request(
            f"{self._agent.rstrip('/')}/task-protection/v1/state",
            data=json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
            method="PUT",
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT) as answer:
                state = json.loads(answer.read())
        # URLError, HTTPError and timeouts are OSErrors; invalid JSON is a ValueError.
        except (OSError, HTTPException, ValueError) as error:
            log.warning("Could not set the task's scale-in protection: %s", error)
            return False
        # If ECS refuses, the agent answers with status 200 and a "failure".
        if isinstance(state, dict) and "protection" in state:
            return True
        log.warning("Could not set the task's scale-in protection: %s", state)
        return False
