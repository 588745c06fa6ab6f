"""The console of a process: Prefect's log, and a progress bar in a terminal."""

import logging
import os
import sys

from prefect.logging.handlers import PrefectConsoleHandler
from rich.console import Console


def outlive_reader(console: Console) -> None:
    """Keep this process running when the reader of a console is gone.

    When a Prefect worker is killed, the pipe for its flow's output breaks. Rich would then exit the
    process, and end the run, at the next line (rich.console, `Console.on_broken_pipe`).
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
