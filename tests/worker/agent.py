"""Emulates the machine's local addresses: instance metadata (IMDSv2 only) and the ECS agent."""

from __future__ import annotations

import json
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

INSTANCE = "i-0123456789abcdef0"


class Agent(ThreadingHTTPServer):
    """Answers below `/imds/one/` as instance metadata, below `/agent/` as the ECS agent.

    Attributes:
        metadata: Text by path below `latest/meta-data/`.
        tokens: Valid tokens; clear it to force a new token.
        failures: Number of metadata requests that will fail.
        requested: Paths of all requests for metadata.
        states: All states that task protection was set to.
        refuse: Whether the ECS agent refuses.
        answer: The ECS agent's answer.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answers)
        self.metadata = {"instance-id": INSTANCE}
        self.tokens: set[str] = set()
        self.failures = 0
        self.requested: list[str] = []
        self.states: list[dict[str, object]] = []
        self.refuse = False
        self.answer = '{"protection": {"ProtectionEnabled": true}}'

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        return {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{self.url}/imds/one/"}


class _Answers(BaseHTTPRequestHandler):
    server: Agent

    def do_PUT(self) -> None:
        if self.path == "/imds/one/latest/api/token":
            token = uuid.uuid4().hex
            self.server.tokens.add(token)
            self._answer(200, token)
        elif self.path == "/agent/task-protection/v1/state" and not self.server.refuse:
            length = int(self.headers["Content-Length"])
            self.server.states.append(json.loads(self.rfile.read(length)))
            self._answer(200, self.server.answer)
        else:
            self._answer(400, "refused")

    def do_GET(self) -> None:
        path = self.path.partition("/imds/one/latest/meta-data/")[2]
        self.server.requested.append(path)
        if self.server.failures:
            self.server.failures -= 1
            self._answer(503, "")
        elif self.headers.get("X-aws-ec2-metadata-token") not in self.server.tokens:
            self._answer(401, "")
        elif path not in self.server.metadata:
            self._answer(404, "not found")
        else:
            self._answer(200, self.server.metadata[path])

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *arguments: object) -> None:
        """Quiet."""
