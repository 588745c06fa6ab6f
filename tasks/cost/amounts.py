"""Prices and sums of money: ranges in USD, and what could not be priced. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Range:
    """From the least to the most that something is expected to be."""

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 <= self.low <= self.high:
            raise ValueError(f"no range: from {self.low} to {self.high}")

    def __add__(self, other: "Range") -> "Range":
        return Range(self.low + other.low, self.high + other.high)

    def times(self, other: "Range | float") -> "Range":
        """The product with another range, or with a number that is not negative."""
        factor = other if isinstance(other, Range) else Range(other, other)
        return Range(self.low * factor.low, self.high * factor.high)


NOTHING = Range(0, 0)


@dataclass(frozen=True)
class Part:
    """One part of a cost.

    Attributes:
        name: What it is paid for, such as "machines".
        usd: What it costs; None when no price could be had.
    """

    name: str
    usd: Range | None


@dataclass(frozen=True)
class Estimate:
    """What a run is expected to cost and to take.

    Attributes:
        usd: Cost in USD, of the parts that have a price; None when the machines have none.
        hours: Time in hours; None when the seconds a job are not known.
        on_demand_usd: The same with all machines bought on demand, in USD; None when not known.
        parts: What the cost is made of.
        sources: Where each figure is from: which API, region and time, or which earlier run.
        unknown: What could not be had, and why.
    """

    usd: Range | None = None
    hours: Range | None = None
    on_demand_usd: Range | None = None
    parts: tuple[Part, ...] = ()
    sources: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The estimate in a line or a few."""
        hours = "unknown hours" if self.hours is None else f"{span(self.hours)} h"
        cost = "a cost that is not known" if self.usd is None else f"{span(self.usd)} USD"
        lines = [f"expected: {cost}, {hours}"]
        if self.on_demand_usd is not None:
            lines[0] += f" (on demand: {span(self.on_demand_usd)} USD)"
        if self.parts:
            lines.append("; ".join(_part(part) for part in self.parts))
        lines += [f"not known: {one}" for one in self.unknown]
        if self.sources:
            lines.append(f"from {'; '.join(self.sources)}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Cost:
    """What a run has cost.

    Attributes:
        usd: In USD, of the parts that have a price; None when the machines have none.
        machine_hours: Hours of all machines together.
        on_demand_usd: The same with all machines at on-demand prices; None when not known.
        parts: What the cost is made of.
        sources: Where the prices are from.
        unknown: What could not be had, and why.
    """

    usd: float | None
    machine_hours: float
    on_demand_usd: float | None = None
    parts: tuple[Part, ...] = ()
    sources: tuple[str, ...] = ()
    unknown: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The cost in a line."""
        cost = "cost not known" if self.usd is None else f"{figure(self.usd)} USD"
        text = f"{cost} for {figure(self.machine_hours)} machine hours"
        if self.on_demand_usd is not None:
            text += f" (on demand: {figure(self.on_demand_usd)} USD)"
        return "; ".join([text, *(f"not known: {one}" for one in self.unknown)])


def total(parts: Iterable[Part]) -> Range:
    """The sum of the parts that have a price."""
    found = NOTHING
    for part in parts:
        if part.usd is not None:
            found += part.usd
    return found


def figure(value: float) -> str:
    """A number as a person reads it: two digits behind the point, or what counts of a small one."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.2f}" if value >= 0.01 or value == 0 else f"{value:.1g}"


def span(found: Range) -> str:
    """A range as a person reads it."""
    low, high = figure(found.low), figure(found.high)
    return low if low == high else f"{low} to {high}"


def _part(part: Part) -> str:
    return f"{part.name}: " + ("not known" if part.usd is None else f"{span(part.usd)} USD")
