"""An SQS over HTTP that accepts messages as the test decides."""

import json
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Verdict = Callable[[str, int], tuple[str, bool] | None]
"""Result for a message at an attempt (from 1): None accepts it, else code and sender's fault."""


@dataclass
class FlawedSqs:
    """The requests and accepted messages.

    Attributes:
        verdict: Decides about each message at each attempt.
        refusals: Error codes for whole requests, one request each.
        taken: The accepted messages, in the order of their requests.
        attempts: Number of attempts of each message.
    """

    endpoint_url: str = ""
    verdict: Verdict = lambda _body, _attempt: None
    refusals: list[str] = field(default_factory=list)
    taken: list[str] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def answer(self, request: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer a SendMessageBatch."""
        with self.lock:
            if self.refusals:
                code = f"com.amazonaws.sqs#{self.refusals.pop()}"
                return 400, {"__type": code, "message": "not now"}
            answer: dict[str, list[Any]] = {"Successful": [], "Failed": []}
            for entry in request["Entries"]:
                body = entry["MessageBody"]
                self.attempts[body] += 1
                refused = self.verdict(body, self.attempts[body])
                if refused is None:
                    self.taken.append(body)
                    taken = {"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": "d"}
                    answer["Successful"].append(taken)
                elif refused[0]:
                    code, fault = refused
                    answer["Failed"].append(
                        {"Id": entry["Id"], "Code": code, "SenderFault": fault, "Message": "no"}
                    )
            return 200, answer


@contextmanager
def flawed_sqs() -> Iterator[FlawedSqs]:
    """Run such an SQS."""
    sqs = FlawedSqs()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = sqs.answer(request)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.0")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    sqs.endpoint_url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield sqs
    server.shutdown()
    server.server_close()
