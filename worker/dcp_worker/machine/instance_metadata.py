"""The instance metadata service (IMDSv2) of the machine that runs the container.

Source: "Use the Instance Metadata Service to access instance metadata", Amazon EC2 User Guide. A
container behind a bridge needs a hop limit of 2 on the instance.
"""

from __future__ import annotations

import urllib.request
from collections.abc import Mapping
from http.client import HTTPException
from urllib.error import HTTPError

_ADDRESS = "http://169.254.169.254"
_TIMEOUT_SECONDS = 2.0
_TOKEN_SECONDS = 21600
# Exceptions of a request: URLError and timeouts are OSErrors, a response that is not HTTP is not.
UNANSWERED = (OSError, HTTPException)


class InstanceMetadata:
    """Requests metadata; fetches a token when it has none or the old one has expired."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        """Take the address from the same environment variable as the AWS SDKs."""
        address = environment.get("AWS_EC2_METADATA_SERVICE_ENDPOINT") or _ADDRESS
        self._latest = f"{address.rstrip('/')}/latest"
        self._token = ""
        # The address is local to the machine: no proxy leads to it.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def get(self, path: str) -> str | None:
        """The text at a path below `meta-data/`, or None if the path does not exist.

        Raises:
            OSError: The service does not answer or refuses the request.
            HTTPException: The answer is not HTTP.
        """
        renewed = not self._token
        if renewed:
            self._renew()
        try:
            return self._request(
                "GET", f"meta-data/{path}", "X-aws-ec2-metadata-token", self._token
            )
        except HTTPError as error:
            if error.code == 404:
                return None
            self._token = ""
            if error.code != 401 or renewed:
                raise
        return self.get(path)

    def _renew(self) -> None:
        lifetime = "X-aws-ec2-metadata-token-ttl-seconds"
        self._token = self._request("PUT", "api/token", lifetime, str(_TOKEN_SECONDS))

    def _request(self, method: str, path: str, header: str, value: str) -> str:
        request = urllib.request.Request(
            f"{self._latest}/{path}", headers={header: value}, method=method
        )
        with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
            return bytes(answer.read()).decode(errors="replace").strip()
