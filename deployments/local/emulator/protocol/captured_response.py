"""An answer on its way to the client: its status, and its error's code."""

import json
import re
from collections.abc import Callable, Iterable
from typing import Any

CODE = re.compile(rb"<Code>([^<]+)</Code>")


class Answered:
    """Calls an application and holds its answer back until it is known what becomes of it."""

    def __init__(
        self, application: Callable[..., Iterable[bytes]], environ: dict[str, Any]
    ) -> None:
        """Let the application answer."""
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
        """The error's code; "" when there is no error, the status for one without a body."""
        if self.status < 400:
            return ""
        [body] = self.body
        if found := CODE.search(body):
            return found[1].decode()
        try:
            told = json.loads(body)
        except ValueError:
            return str(self.status)
        return str(told.get("__type", self.status)).rpartition("#")[2]

    def send(self, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Hand the answer on."""
        start_response(*self._head)
        return self.body

    def drop(self) -> None:
        """Let nobody have the answer."""
        for _ in self.body:
            pass
        if hasattr(self.body, "close"):
            self.body.close()
