"""A response on its way to the client, with its status and error code."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

CODE = re.compile(rb"<Code>([^<]+)</Code>")


class CapturedResponse:
    """Calls an application and holds its response back until it is sent or dropped."""

    def __init__(
        self, application: Callable[..., Iterable[bytes]], environ: dict[str, Any]
    ) -> None:
        """Call the application."""
        self._head: tuple[Any, ...] = ()
        self.body = application(environ, self._start)
        if self.status >= 400:
            self.body = [b"".join(self.body)]

    def _start(self, *head: Any) -> Callable[[bytes], None]:
        self._head = head
        return lambda _: None

    @property
    def status(self) -> int:
        """The HTTP status."""
        return int(str(self._head[0]).partition(" ")[0])

    @property
    def code(self) -> str:
        """The error code; "" without an error, the status if the error has no body."""
        if self.status < 400:
            return ""
        [body] = self.body
        if match := CODE.search(body):
            return match[1].decode()
        try:
            error = json.loads(body)
        except ValueError:
            return str(self.status)
        return str(error.get("__type", self.status)).rpartition("#")[2]

    def send(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Send the response."""
        start_response(*self._head)
        return self.body

    def drop(self) -> None:
        """Discard the response."""
        for _ in self.body:
            pass
        if hasattr(self.body, "close"):
            self.body.close()
