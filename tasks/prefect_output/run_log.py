"""The log of the current flow run, or of the process outside of a flow run."""

import logging

LOGGER = "prefect.dcp"


def log(text: str, level: int = logging.INFO) -> None:
    """Write a line to the log of the task run or flow run; in a hook, to the process's log.

    Args:
        text: The line.
        level: A level of `logging`.
    """
    from prefect import get_run_logger
    from prefect.exceptions import MissingContextError

    try:
        get_run_logger().log(level, text)
    except MissingContextError:
        logging.getLogger(LOGGER).log(level, text)
