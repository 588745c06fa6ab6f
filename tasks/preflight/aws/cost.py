"""What a run is expected to cost and to take, before it starts."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from blocks import FleetTemplate, RunConfig
from blocks.errors import Problem
from tasks.cost.amounts import Estimate, Part, Range, span, total
from tasks.cost.prices import Prices
from tasks.fleet.ebs_volumes import usd_of, volumes_of
from tasks.jobs.past_durations import JobSeconds
from tasks.preflight.aws.quotas import Demand
from tasks.preflight.finding import Finding

WHERE = "run config"
STARTUP = Range(3, 15)
"""Minutes from the request of a machine to its first job: capacity, boot, image, CellProfiler."""

NOT_COUNTED = "logs, data transfer and public addresses (not counted)"


@dataclass(frozen=True)
class Work:
    """All that cost and time follow from.

    Attributes:
        jobs: Jobs of the run.
        asked: Machines that it asks for.
        slots_per_machine: Jobs that a machine works on at a time.
        seconds: Seconds a job; None when not known.
        stagger: Seconds until the last slot of a machine has started.
        max_price: The most to pay for a spot machine, in USD an hour.
        volumes: GB of each machine's volumes, by volume type.
        writes: S3 requests of the PUT kind, for each job.
        reads: S3 requests of the GET kind, for each job; None when not known.
        renewal: Seconds between two renewals of a job at work.
    """

    jobs: int
    asked: Demand
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
        """How long it takes, in hours: from machines that share the jobs evenly to whole waves."""
        if self.seconds is None or not self.asked.machines:
            return None
        slots = self.asked.machines * self.slots_per_machine
        waves = Range(max(self.jobs / slots, 1), math.ceil(self.jobs / slots))
        start = STARTUP.times(60) + Range(0, self.stagger)
        return (start + waves.times(self.seconds)).times(1 / 3600)

    @property
    def machine_hours(self) -> Range | None:
        """Hours of all machines together: at least those of work, at most all to the end."""
        if self.seconds is None or self.hours is None:
            return None
        busy = self.jobs / self.slots_per_machine * self.seconds.low / 3600
        machines = self.asked.machines
        return Range(machines * STARTUP.low / 60 + busy, machines * self.hours.high)


def work(
    config: RunConfig,
    template: FleetTemplate,
    asked: Demand,
    jobs: int,
    seconds: JobSeconds | None,
    images_per_job: float | None = None,
) -> Work:
    """The work of a run, from its settings.

    Args:
        config: The run config.
        template: The fleet template.
        asked: Machines that it asks for.
        jobs: Jobs of the run.
        seconds: Seconds a job, when they are known.
        images_per_job: Images of a job, when their number is known.
    """
    looks = 1 if config.check_if_done_bool or config.check_if_done_exact else 0
    return Work(
        jobs=jobs,
        asked=asked,
        slots_per_machine=config.tasks_per_machine * config.docker_cores,
        seconds=None if seconds is None else seconds.mean,
        stagger=config.seconds_to_start * (config.docker_cores - 1),
        max_price=config.machine_price,
        volumes=volumes_of(config, template),
        # Outputs, the result record, the mark that the job is done, and a look at what is there.
        writes=config.expected_number_files + 2 + looks,
        reads=images_per_job,
        renewal=config.sqs_message_visibility / 3,
    )


def estimate(work: Work, prices: Prices, source: str = "") -> Estimate:
    """What the work is expected to cost and to take (pure).

    Args:
        work: The work.
        prices: What AWS tells of prices.
        source: Where the seconds a job are from.
    """
    hours, machine_hours = work.hours, work.machine_hours
    if hours is None or machine_hours is None:
        reason = "the seconds a job (set seconds_per_job, or run a few jobs first)"
        return Estimate(unknown=(reason if work.jobs else "the number of jobs",))
    machines = _machines(work, prices, machine_hours)
    disk = usd_of(work.volumes, prices.gb_month)
    parts = (
        Part("machines", machines),
        Part("volumes", None if disk is None else machine_hours.times(disk)),
        *_requests(work, prices),
    )
    bought = prices.on_demand_range()
    unknown = [*prices.unknown]
    if work.reads is None:
        unknown.append("requests for images (their number is not known)")
    return Estimate(
        usd=None if machines is None else total(parts),
        hours=hours,
        on_demand_usd=None if bought is None else machine_hours.times(bought) + total(parts[1:]),
        parts=parts,
        sources=tuple(filter(None, (source, *prices.sources))),
        unknown=(*unknown, NOT_COUNTED),
    )


def _machines(work: Work, prices: Prices, hours: Range) -> Range | None:
    shares = (
        (work.asked.spot, prices.spot_range(work.max_price)),
        (work.asked.on_demand, prices.on_demand_range()),
    )
    usd = Range(0, 0)
    for machines, price in shares:
        if machines and price is None:
            return None
        if price is not None:
            usd += hours.times(machines / work.asked.machines).times(price)
    return usd


def _requests(work: Work, prices: Prices) -> Iterator[Part]:
    assert work.seconds is not None
    renewals = work.seconds.times(1 / work.renewal)
    # Sent ten at a time; received and deleted one by one.
    queue = Range(2.1, 3.1) + Range(0, renewals.high)
    numbers = {
        "s3_write": Range(work.writes, work.writes),
        "s3_read": Range(work.reads or 0, work.reads or 0),
        "sqs": queue,
    }
    if not prices.requests.keys() >= numbers.keys():
        yield Part("S3 and SQS requests", None)
        return
    each = Range(0, 0)
    for name, number in numbers.items():
        each += number.times(prices.requests[name])
    yield Part("S3 and SQS requests", each.times(work.jobs))


def findings(
    estimate: Estimate, config: RunConfig, prices: Prices | None = None
) -> Iterator[Finding]:
    """What the estimate says about the run's settings (pure).

    Args:
        estimate: The estimate.
        config: The run config: its cost_limit, max_hours and machine_price.
        prices: The prices, when they were asked for.
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
                "cannot be held against the cost, which is not known",
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
                f"the run is expected to cost {span(estimate.usd)} USD",
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
                f"AWS ends the machines before the jobs are done, which take {span(hours)} h",
                got=f"{config.max_hours} h",
                remedy="Raise it, or take more machines.",
            ),
        )


def _too_cheap(prices: Prices, config: RunConfig) -> Iterator[Finding]:
    cheapest: dict[str, float] = {}
    for (name, _), usd in prices.current().items():
        cheapest[name] = min(usd, cheapest.get(name, usd))
    above = {name: usd for name, usd in cheapest.items() if usd > config.machine_price}
    if above:
        told = ", ".join(f"{name} {usd:.4g}" for name, usd in sorted(above.items()))
        yield Finding(
            "error" if len(above) == len(cheapest) else "warning",
            "machine_price_low",
            Problem(
                WHERE,
                "machine_price",
                "is below the spot price now: no such machine would come",
                got=f"{config.machine_price:g} USD/hour (spot price now: {told})",
                remedy="Raise it (a machine costs the spot price, not this), or take other types.",
            ),
        )
