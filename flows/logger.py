"""The log of the flow that runs."""

from prefect import get_run_logger


def log(text: str) -> None:
    """Write a line to the flow run's log."""
    get_run_logger().info(text)
