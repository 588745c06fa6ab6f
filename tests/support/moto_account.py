"""moto's server as an AWS account with AWS's managed policies, without dcp's emulator."""

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from moto.server import ThreadedMotoServer

_accounts = itertools.count(100_000_000_000)


@contextmanager
def server() -> Iterator[str]:
    """The address of a server in a thread of this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        logging.getLogger("werkzeug").setLevel(logging.WARNING)  # no line per request
        running = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        running.start()
        host, port = running.get_host_and_port()
        yield f"http://{host}:{port}"
        running.stop()


def empty(monkeypatch: pytest.MonkeyPatch) -> str:
    """Switch the server to a new empty account; returns its id."""
    account = str(next(_accounts))
    monkeypatch.setenv("MOTO_ACCOUNT_ID", account)
    return account
