"""Permissions, quotas and prices of the emulated account: set by tests, empty otherwise.

`dcp local run` sets none of them, so that it never shows made-up prices: without a table, the price
list and the Spot price history are empty.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

# A new account has 5 vCPUs ("Amazon EC2 quotas"). Emulated machines cost nothing, so this quota
# allows any run.
DEFAULT_QUOTA = 1_000_000.0


@dataclass(frozen=True)
class AccountLimits:
    """The settable part of the account.

    Attributes:
        refused: IAM actions that are denied to the caller (not to machines and containers), with
            `*` as in policies; a resource may follow after a space, which only simulations use.
        missing: Names of roles and instance profiles that do not exist; all others do.
        enforce: Whether IAM is strict: only created roles exist, and other roles may do nothing.
        quotas: Service quotas by code.
        spot: Spot prices: `machine_type`, `zone`, `at` (ISO time), `usd` (per hour).
        on_demand: USD per hour by machine type.
        gb_month: USD per GB and month by volume type.
        requests: USD per request: `s3_write`, `s3_read`, `sqs`.
    """

    refused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    enforce: bool = False
    quotas: Mapping[str, float] = field(default_factory=dict)
    spot: tuple[Mapping[str, Any], ...] = ()
    on_demand: Mapping[str, float] = field(default_factory=dict)
    gb_month: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)

    def changed(self, values: Mapping[str, Any]) -> "AccountLimits":
        """A copy with some attributes changed.

        Raises:
            TypeError: An attribute is unknown.
        """
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return replace(self, **{**values, **lists})

    def refuses(self, action: str, resource: str = "*") -> bool:
        """Whether this action is denied to the caller."""
        for pattern in self.refused:
            refused, _, on = pattern.partition(" ")
            if fnmatchcase(action, refused) and (not on or fnmatchcase(resource, on)):
                return True
        return False
