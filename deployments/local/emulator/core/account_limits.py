"""What the emulated account may do, has, and pays: set by tests, empty otherwise.

`dcp local run` sets none of it, so that it never shows a price that nobody told: without a table,
the price list is empty and there is no spot price history.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from typing import Any

# "Amazon EC2 quotas": what an account that was never raised begins with is 5 vCPUs; an emulated
# machine costs nothing, so that there is room for any run.
DEFAULT_QUOTA = 1_000_000.0


@dataclass(frozen=True)
class Account:
    """The settable part of the account.

    Attributes:
        refused: Actions that the caller (not machines and containers) may not do: IAM actions,
            with `*` as in policies; a resource may follow after a space, which only simulations
            look at.
        missing: Names of roles and instance profiles that are not there; all others are.
        enforce: Whether IAM is strict: roles that were not made are not there, and may do nothing.
        quotas: Value of service quotas by their code.
        spot: Spot prices: `machine_type`, `zone`, `at` (ISO time), `usd` (an hour).
        on_demand: USD an hour by machine type.
        gb_month: USD a GB and month by volume type.
        requests: USD a request: `s3_write`, `s3_read`, `sqs`.
    """

    refused: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    enforce: bool = False
    quotas: Mapping[str, float] = field(default_factory=dict)
    spot: tuple[Mapping[str, Any], ...] = ()
    on_demand: Mapping[str, float] = field(default_factory=dict)
    gb_month: Mapping[str, float] = field(default_factory=dict)
    requests: Mapping[str, float] = field(default_factory=dict)

    def changed(self, values: Mapping[str, Any]) -> "Account":
        """This account with other values of some attributes.

        Raises:
            TypeError: There is no such attribute.
        """
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        return replace(self, **{**values, **lists})

    def refuses(self, action: str, resource: str = "*") -> bool:
        """Whether the caller may not do this."""
        for pattern in self.refused:
            refused, _, on = pattern.partition(" ")
            if fnmatchcase(action, refused) and (not on or fnmatchcase(resource, on)):
                return True
        return False
