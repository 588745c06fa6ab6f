"""The console of a process: Prefect's log goes there, and a bar where it is a terminal."""

import logging
import os
import sys

from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console


def outlive_reader(console: Console) -> None:
    """Have this process go on when nobody reads any more what a console writes.

    A Prefect worker that is killed takes along the pipe through which it reads a flow's output.
    Rich would end the process at its next line, and the run with it (rich.console,
    `Console.on_broken_pipe`).
    """
    vars(console)["on_broken_pipe"] = _write_to_nowhere


def console_handlers(logger: logging.Logger) -> list[PrefectConsoleHandler]:
    """The handlers through which Prefect writes a log to standard error."""
    return [one for one in logger.handlers if isinstance(one, PrefectConsoleHandler)]


def _write_to_nowhere() -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
