"""What every flow of dcp shares: its name, the descriptions of its parameters, how it fails."""

import inspect
import logging
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import PurePosixPath
from typing import Any, ParamSpec, TypeVar, cast, get_args

from prefect import Flow, flow
from prefect.exceptions import FailedRun
from prefect.runtime import flow_run
from pydantic.fields import FieldInfo

from blocks.errors import DcpError
from tasks.prefect_output.console import console_handlers, outlive_reader
from tasks.prefect_output.failed_state import readable

P = ParamSpec("P")
R = TypeVar("R")

SEPARATOR = " · "
APP_TAG = "app:"


def dcp_flow(name: str, **options: Any) -> Callable[[Callable[P, R]], Flow[P, R]]:
    """Make a flow of a function.

    A `DcpError` fails the flow run with the error's text as message and no traceback. The flow run
    is first named after its parameters; `flows.lifecycle` gives it a better name later.

    Args:
        name: Name of the flow.
        options: Further options of Prefect's `flow`.
    """

    def decorate(function: Callable[P, R]) -> Flow[P, R]:
        @wraps(function)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            outlive_readers()
            _log_failures_once()
            return readable(function)(*args, **kwargs)

        call.__doc__ = _described(function)
        made = flow(name=name, flow_run_name=lambda: first_name(name), **options)
        return cast(Flow[P, R], made(call))

    return decorate


def first_name(flow_name: str) -> str:
    """The name of a flow run from its parameters: `<app or config> · <subject>`.

    A restarted flow run keeps the name that it has.
    """
    if any(tag.startswith(APP_TAG) for tag in flow_run.tags):
        return str(flow_run.name)
    given = flow_run.parameters
    app = (given.get("settings") or {}).get("app_name") or given.get("app")
    subject = ", ".join(given.get("plates") or ()) or stem(given.get("job") or given.get("profile"))
    kind = flow_name.removeprefix("dcp-")
    parts = (app or stem(given.get("config")), subject or given.get("action") or kind)
    return SEPARATOR.join(dict.fromkeys(filter(None, parts)))


def stem(source: str | None) -> str:
    """The name of a block, path or address, without folders and suffix."""
    return PurePosixPath(source).stem if source else ""


def _described(function: Callable[..., Any]) -> str:
    """The docstring of a flow, with the descriptions of common parameters added.

    Prefect reads descriptions of parameters only from the docstring, not from
    `flows.support.parameters`.
    """
    lines = [
        f"    {name}: {text}"
        for name, parameter in inspect.signature(function).parameters.items()
        for text in _description(parameter.annotation)
    ]
    text = inspect.getdoc(function) or ""
    if not lines:
        return text
    head, section, rest = text.partition("\nArgs:\n")
    if not section:
        head, section, rest = text.partition("\nReturns:\n")
        rest = f"\nReturns:\n{rest}" if section else ""
    return "\n".join([head.rstrip("\n"), "", "Args:", *lines, rest.strip("\n") and rest]).rstrip()


def _description(annotation: Any) -> Iterator[str]:
    for part in get_args(annotation)[1:]:
        if isinstance(part, FieldInfo) and part.description:
            yield part.description


def outlive_readers() -> None:
    """Keep this process running when the reader of Prefect's log output is gone."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for logger in (one for one in loggers if isinstance(one, logging.Logger)):
        for handler in console_handlers(logger):
            outlive_reader(handler.console)


def _log_failures_once() -> None:
    """Keep Prefect's engine from logging a traceback for an expected failure.

    The flow run's log has the message already. The engine would log it twice more as an unexpected
    exception: in that log and in the log of the process.
    """
    for name in ("prefect.flow_runs", "prefect.engine"):
        logging.getLogger(name).addFilter(is_unexpected)


def is_unexpected(entry: logging.LogRecord) -> bool:
    """Whether a log record reports an unexpected exception, not an expected failure."""
    error = entry.exc_info[1] if entry.exc_info else None
    return not isinstance(error, DcpError | FailedRun)
