"""Puts the emulator's actions in the place of moto's."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from moto.core.parse import XFormedDict
from moto.core.responses import ActionResult, PaginatedResult
from moto.core.utils import get_pagination_model

from deployments.local.emulator.core.state import Cloud, Region

Action = Callable[[Cloud, Region, dict[str, Any]], dict[str, Any]]


def replace(response: Any, service: str, actions: Mapping[str, Action], cloud: Cloud) -> None:
    """Let a response class of moto answer with the given actions.

    Args:
        response: moto's response class of the service.
        service: Name of the service in botocore.
        actions: Action by API name (`CreateFleet`); it takes the request's parameters under their
            botocore names and returns the response under its botocore names, under the lock.
        cloud: What the actions work on; its keeper looks again after each.
    """
    paged = get_pagination_model(service)
    for name, action in actions.items():
        result_class = PaginatedResult if name in paged else ActionResult
        setattr(response, _method_name(name), _method(action, result_class, cloud))


def _method(action: Action, result_class: Any, cloud: Cloud) -> Callable[[Any], Any]:
    def answer(self: Any) -> Any:
        with cloud.lock:
            result = action(cloud, cloud.region(self.region), plain(self.params))
        cloud.wake.set()
        return result_class(result)

    return answer


def _method_name(action: str) -> str:
    return "".join(f"_{one.lower()}" if one.isupper() else one for one in action).lstrip("_")


def plain(value: Any) -> Any:
    """Return parsed parameters as plain dicts and lists, times as UTC without zone."""
    if isinstance(value, XFormedDict):
        value = value.original_dict()
    if isinstance(value, Mapping):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    if isinstance(value, datetime) and value.tzinfo is not None:
        return value.astimezone(UTC).replace(tzinfo=None)
    return value
