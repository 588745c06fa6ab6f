"""The log of the flow that runs."""

import logging
import os
import sys

from prefect import get_run_logger
from prefect.exceptions import MissingContextError
from rich.console import Console


def log(text: str) -> None:
    """Write a line to the flow run's log; in a hook, which has none, to the process's own."""
    try:
        get_run_logger().info(text)
    except MissingContextError:
        logging.getLogger("prefect.dcp").info(text)


def _go_on_unheard(console: Console) -> None:
    """Write to nowhere from now on, whoever read what this process writes being gone.

    A Prefect worker that is killed takes the pipe along which it reads a flow's output. Rich would
    end the process at its next line, and the run with it.
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


# Rich's own place for it (rich.console, `Console.on_broken_pipe`); on the class,
# since Prefect makes consoles of its own.
Console.on_broken_pipe = _go_on_unheard  # type: ignore[assignment, method-assign]
