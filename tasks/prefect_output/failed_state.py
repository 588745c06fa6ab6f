"""How a flow run or task run ends when something that a reader can act on went wrong."""

from collections.abc import Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar, cast

from prefect.states import Failed

from blocks.errors import DcpError

P = ParamSpec("P")
R = TypeVar("R")


def readable(function: Callable[P, R]) -> Callable[P, R]:
    """Turn a `DcpError` of a flow or task into a failed state with the error's text as message.

    Prefect logs a traceback above whatever a flow or task raises, and none above a state that it
    returns. Whoever calls the flow or task in the same process gets the error raised as before: it
    is the data of the state.

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
