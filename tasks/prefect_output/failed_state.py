"""Failed states of flow runs and task runs, for errors that the user can fix."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from prefect.states import Failed

from blocks.errors import DcpError

P = ParamSpec("P")
R = TypeVar("R")


def readable(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a `DcpError` of a flow or task into a failed state with the error's text as message.

    Prefect logs a traceback for an exception that a flow or task raises, but not for a state that
    it returns. The error is the data of the state, so a caller in the same process still gets it.

    Args:
        function: The function of the flow or task.
    """

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> Any:
        try:
            return function(*args, **kwargs)
        except DcpError as error:
            return Failed(message=str(error), data=error)

    return cast(Callable[P, R], call)
