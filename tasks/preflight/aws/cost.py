"""Estimates the cost and duration of a run before it starts."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from blocks import FleetTemplate, RunConfig
from blocks.errors import Problem
from tasks.cost.amounts import CostItem, Estimate, Range, span, total
from tasks.cost.prices import Prices
from tasks.fleet.ebs_volumes import volumes_of, volumes_usd_per_hour
from tasks.jobs.past_durations import JobSeconds
from tasks.preflight.aws.quotas import Demand
from tasks.preflight.finding import Finding

WHERE = "run config"
STARTUP = Range(3, 15)
"""Minutes from a machine's request to its first job: capacity, boot, image, CellProfiler."""

NOT_COUNTED = "logs, data transfer and public addresses (not counted)"


@dataclass(frozen=True)
class Workload:
    """The quantities that determine cost and time.

    Attributes:
        jobs: Number of jobs.
        demand: Requested machines.
        slots_per_machine: Slots per machine.
        seconds: Seconds per job; None if unknown.
        stagger: Seconds until the last slot of a machine has started.
        max_price: Highest spot price to pay, in USD per hour.
        volumes: GB of each machine's volumes, by volume type.
        writes: S3 PUT requests per job.
        reads: S3 GET requests per job; None if unknown.
        renewal: Seconds between two renewals of a running job's lease.
    """

    jobs: int
    demand: Demand
    slots_per_machine: int
    seconds: Range | None
    stagger: float
    max_price: float
    volumes: Mapping[str, int]
    writes: float = 0
    reads: float | None = None
    renewal: float = 60

    @property
    def hours(self) -> Range | None:
        """Duration in hours: from evenly shared jobs to whole waves of jobs."""
        if self.seconds is None or not self.demand.machines:
            return None
        slots = self.demand.machines * self.slots_per_machine
        waves = Range(max(self.jobs / slots, 1), math.ceil(self.jobs / slots))
        start = STARTUP.times(60) + Range(0, self.stagger)
        return (start + waves.times(self.seconds)).times(1 / 3600)

    @property
    def machine_hours(self) -> Range | None:
        """Hours of all machines together: from computing time alone to all machines to the end."""
        if self.seconds is None or self.hours is None:
            return None
        busy = self.jobs / self.slots_per_machine * self.seconds.low / 3600
        machines = self.demand.machines
        return Range(machines * STARTUP.low / 60 + busy, machines * self.hours.high)


def workload(
    config: RunConfig,
    template: FleetTemplate,
    demand: Demand,
    jobs: int,
    seconds: JobSeconds | None,
    images_per_job: float | None = None,
) -> Workload:
    """The work of a run, from its settings.

    Args:
        config: The run config.
        template: The fleet template.
        demand: Requested machines.
        jobs: Number of jobs.
        seconds: Seconds per job, if known.
        images_per_job: Number of images per job, if known.
    """
    listings = 1 if config.check_if_done_bool or config.check_if_done_exact else 0
    return Workload(
        jobs=jobs,
        demand=demand,
        slots_per_machine=config.tasks_per_machine * config.docker_cores,
        seconds=None if seconds is None else seconds.mean,
        stagger=config.seconds_to_start * (config.docker_cores - 1),
        max_price=config.machine_price,
        volumes=volumes_of(config, template),
        # Outputs, the result record, the done marker, and a listing of existing outputs.
        writes=config.expected_number_files + 2 + listings,
        reads=images_per_job,
        renewal=config.sqs_message_visibility / 3,
    )


def estimate(workload: Workload, prices: Prices, source: str = "") -> Estimate:
    """The estimated cost and duration of the work (pure).

    Args:
        workload: The work.
        prices: AWS's prices.
        source: Source of the seconds per job.
    """
    hours, machine_hours = workload.hours, workload.machine_hours
    if hours is None or machine_hours is None:
        reason = "the seconds per job (set seconds_per_job, or run a few jobs first)"
        return Estimate(unknown=(reason if workload.jobs else "the number of jobs",))
    machines = _machines(workload, prices, machine_hours)
    disk = volumes_usd_per_hour(workload.volumes, prices.gb_month)
    parts = (
        CostItem("machines", machines),
        CostItem("volumes", None if disk is None else machine_hours.times(disk)),
        *_requests(workload, prices),
    )
    on_demand = prices.on_demand_range()
    unknown = [*prices.unknown]
    if workload.reads is None:
        unknown.append("the number of requests for images")
    return Estimate(
        usd=None if machines is None else total(parts),
        hours=hours,
        on_demand_usd=(
            None if on_demand is None else machine_hours.times(on_demand) + total(parts[1:])
        ),
        parts=parts,
        sources=tuple(filter(None, (source, *prices.sources))),
        unknown=(*unknown, NOT_COUNTED),
    )


def _machines(workload: Workload, prices: Prices, hours: Range) -> Range | None:
    shares = (
        (workload.demand.spot, prices.spot_range(workload.max_price)),
        (workload.demand.on_demand, prices.on_demand_range()),
    )
    usd = Range(0, 0)
    for machines, price in shares:
        if machines and price is None:
            return None
        if price is not None:
            usd += hours.times(machines / workload.demand.machines).times(price)
    return usd


def _requests(workload: Workload, prices: Prices) -> Iterator[CostItem]:
    assert workload.seconds is not None
    renewals = workload.seconds.times(1 / workload.renewal)
    # Sent in tens; received and deleted one by one.
    queue = Range(2.1, 3.1) + Range(0, renewals.high)
    numbers = {
        "s3_write": Range(workload.writes, workload.writes),
        "s3_read": Range(workload.reads or 0, workload.reads or 0),
        "sqs": queue,
    }
    if not prices.requests.keys() >= numbers.keys():
        yield CostItem("S3 and SQS requests", None)
        return
    each = Range(0, 0)
    for name, number in numbers.items():
        each += number.times(prices.requests[name])
    yield CostItem("S3 and SQS requests", each.times(workload.jobs))


def findings(
    estimate: Estimate, config: RunConfig, prices: Prices | None = None
) -> Iterator[Finding]:
    """Compare the estimate with the run's settings (pure).

    Args:
        estimate: The estimate.
        config: The run config: its cost_limit, max_hours and machine_price.
        prices: The prices, if requested.
    """
    yield Finding("note", "cost", Problem("estimate", "", estimate.text.replace("\n", "; ")))
    limit = config.cost_limit
    if limit is not None and estimate.usd is None:
        yield Finding(
            "warning",
            "cost_unknown",
            Problem(
                WHERE,
                "cost_limit",
                "cannot be checked, because the cost is unknown",
                got=f"{limit:g} USD",
            ),
        )
    if limit is not None and estimate.usd is not None and estimate.usd.high > limit:
        yield Finding(
            "error",
            "cost_limit",
            Problem(
                WHERE,
                "cost_limit",
                f"the run is estimated to cost {span(estimate.usd)} USD",
                got=f"{limit:g} USD",
                remedy="Accept the cost (accept_cost), raise the limit, or make the run smaller.",
            ),
        )
    yield from _too_long(estimate, config)
    if prices is not None:
        yield from _too_cheap(prices, config)


def _too_long(estimate: Estimate, config: RunConfig) -> Iterator[Finding]:
    hours = estimate.hours
    if hours is not None and hours.high > config.max_hours:
        yield Finding(
            "error" if hours.low > config.max_hours else "warning",
            "max_hours_short",
            Problem(
                WHERE,
                "max_hours",
                f"AWS terminates the machines before all jobs are done: they take {span(hours)} h",
                got=f"{config.max_hours} h",
                remedy="Raise max_hours, or use more machines.",
            ),
        )


def _too_cheap(prices: Prices, config: RunConfig) -> Iterator[Finding]:
    cheapest: dict[str, float] = {}
    for (name, _), usd in prices.current().items():
        cheapest[name] = min(usd, cheapest.get(name, usd))
    above = {name: usd for name, usd in cheapest.items() if usd > config.machine_price}
    if above:
        current = ", ".join(f"{name} {usd:.4g}" for name, usd in sorted(above.items()))
        yield Finding(
            "error" if len(above) == len(cheapest) else "warning",
            "machine_price_low",
            Problem(
                WHERE,
                "machine_price",
                "is below the current spot price: no machine of these types would launch",
                got=f"{config.machine_price:g} USD/hour (current spot price: {current})",
                remedy="Raise it, or use other types. You pay the spot price, not machine_price.",
            ),
        )
