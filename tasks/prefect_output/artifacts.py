"""Helpers for the artifacts of a run in Prefect.

Prefect is imported only when an artifact is written: many commands do without it.
"""

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager

from tasks.prefect_output.run_log import LOGGER
from tasks.runs.run import Run


def artifact_key(run: Run, what: str) -> str:
    """A key of a Prefect artifact: lower-case letters, digits and dashes only."""
    return re.sub(r"[^a-z0-9]+", "-", f"{run.names.app}-{what}".lower()).strip("-")


@contextmanager
def prefect_may_be_away() -> Iterator[None]:
    """Log and ignore errors of Prefect: the run matters more than its display."""
    import httpx
    from prefect.exceptions import PrefectException

    try:
        yield
    except (httpx.HTTPError, PrefectException) as error:
        logging.getLogger(LOGGER).warning("Could not update Prefect: %s", error)
