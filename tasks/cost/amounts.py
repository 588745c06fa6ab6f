"""Costs as ranges in USD, and the items without a price. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """The least and the most of an expected value."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"not a range: from {self.low} to {self.high}")

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def times(self, other: "Range | float") -> "Range":
        """The product with another range or a non-negative number."""
        factor = other if isinstance(other, Range) else Range(other, other)
        return Range(self.low * factor.low, self.high * factor.high)


NOTHING = Range(0, 0)


@dataclass(frozen=True)
class CostItem:
    """One item of a cost.

    Attributes:
        name: Such as "machines".
        usd: Its cost; None if it has no price.
    """

    name: str
    usd: Range | None


@dataclass(frozen=True)
class Estimate:
    """The estimated cost and duration of a run.

    Attributes:
        usd: Cost in USD of the parts with a price; None if the machines have no price.
        hours: Duration in hours; None if the seconds per job are unknown.
        on_demand_usd: The cost with only on-demand machines, in USD; None if unknown.
        parts: The parts of the cost.
        sources: Sources of the figures: API, region and time, or the earlier run.
        unknown: Missing figures, and the reason.
    """

    usd: Range | None = None
    hours: Range | None = None
    on_demand_usd: Range | None = None
    parts: tuple[CostItem, ...] = ()
    sources: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The estimate in a few lines."""
        hours = "unknown hours" if self.hours is None else f"{span(self.hours)} h"
        cost = "unknown cost" if self.usd is None else f"{span(self.usd)} USD"
        lines = [f"expected: {cost}, {hours}"]
        if self.on_demand_usd is not None:
            lines[0] += f" (on demand: {span(self.on_demand_usd)} USD)"
        if self.parts:
            lines.append("; ".join(_item_text(item) for item in self.parts))
        lines += [f"unknown: {item}" for item in self.unknown]
        if self.sources:
            lines.append(f"from {'; '.join(self.sources)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Cost:
    """The cost of a run.

    Attributes:
        usd: Cost in USD of the parts with a price; None if the machines have no price.
        machine_hours: Hours of all machines together.
        on_demand_usd: The cost at on-demand prices, in USD; None if unknown.
        parts: The parts of the cost.
        sources: Sources of the prices.
        unknown: Missing figures, and the reason.
    """

    usd: float | None
    machine_hours: float
    on_demand_usd: float | None = None
    parts: tuple[CostItem, ...] = ()
    sources: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The cost in one line."""
        cost = "unknown cost" if self.usd is None else f"{figure(self.usd)} USD"
        text = f"{cost} for {figure(self.machine_hours)} machine hours"
        if self.on_demand_usd is not None:
            text += f" (on demand: {figure(self.on_demand_usd)} USD)"
        return "; ".join([text, *(f"unknown: {item}" for item in self.unknown)])


def total(parts: Iterable[CostItem]) -> Range:
    """The sum of the parts with a price."""
    usd = NOTHING
    for item in parts:
        if item.usd is not None:
            usd += item.usd
    return usd


def figure(value: float) -> str:
    """A number for people: two decimals, or one significant digit of a small number."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.01 or value == 0 else f"{value:.1g}"


def span(values: Range) -> str:
    """A range for people."""
    low, high = figure(values.low), figure(values.high)
    return low if low == high else f"{low} to {high}"


def _item_text(item: CostItem) -> str:
    return f"{item.name}: " + ("unknown" if item.usd is None else f"{span(item.usd)} USD")
