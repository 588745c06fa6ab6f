"""Replaces moto's actions by the emulator's."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from moto.core.parse import XFormedDict
from moto.core.responses import ActionResult, PaginatedResult
from moto.core.utils import get_pagination_model

from deployments.local.emulator.core.state import EmulatorState, Region

Action = Callable[[EmulatorState, Region, dict[str, Any]], dict[str, Any]]


def replace(
    response: Any, service: str, actions: Mapping[str, Action], emulator: EmulatorState
) -> None:
    """Make a response class of moto use the given actions.

    Args:
        response: moto's response class of the service.
        service: Name of the service in botocore.
        actions: Action by API name (`CreateFleet`). It runs under the lock; parameters and result
            have their botocore names.
        emulator: The state of the emulator; its reconcile loop runs after each.
    """
    paged = get_pagination_model(service)
    for name, action in actions.items():
        result_class = PaginatedResult if name in paged else ActionResult
        setattr(response, _method_name(name), _method(action, result_class, emulator))


def _method(action: Action, result_class: Any, emulator: EmulatorState) -> Callable[[Any], Any]:
    def answer(self: Any) -> Any:
        with emulator.lock:
            result = action(emulator, emulator.region(self.region), plain(self.params))
        emulator.wake.set()
        return result_class(result)

    return answer


def _method_name(action: str) -> str:
    return "".join(f"_{char.lower()}" if char.isupper() else char for char in action).lstrip("_")


def plain(value: Any) -> Any:
    """Return parsed parameters as plain dicts and lists, times as UTC without zone."""
    if isinstance(value, XFormedDict):
        value = value.original_dict()
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [plain(inner) for inner in value]
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value
