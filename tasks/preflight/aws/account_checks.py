"""All that is asked of the account before a run: machines, quotas, permissions, prices, cost."""

from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from blocks import FleetTemplate
from blocks.errors import Problem
from tasks.aws.errors import AwsError, error_code, is_refused
from tasks.cost.amounts import Estimate
from tasks.cost.prices import Prices, prices
from tasks.fleet.ebs_volumes import volumes_of
from tasks.fleet.instance_types import MachineTypes, describe
from tasks.jobs.past_durations import JobSeconds, expected
from tasks.preflight.aws import (
    ami,
    bucket_regions,
    container_fit,
    cost,
    permission_answers,
    permissions,
    quotas,
)
from tasks.preflight.finding import Finding
from tasks.runs.limits import limits_of
from tasks.runs.run import Run

SPOT_DAYS = 3  # of spot price history; AWS keeps 90


@dataclass(frozen=True)
class Jobs:
    """What the account's checks need to know of the jobs.

    Attributes:
        number: How many.
        pipelines: The keys of their pipelines, by which earlier runs are found.
        bytes_each: Images of the largest job, in bytes; None when not known.
        images_each: Images of a job; None when not known.
    """

    number: int
    pipelines: Collection[str] = ()
    bytes_each: int | None = None
    images_each: float | None = None


def look(run: Run, template: FleetTemplate, jobs: Jobs) -> tuple[list[Finding], Estimate]:
    """Ask the account about a run; nothing is changed.

    Args:
        run: The run.
        template: The fleet template.
        jobs: Its jobs.

    Returns:
        What was found, and what the run is expected to cost and to take.
    """
    config = run.config
    now = datetime.now(UTC)
    with ThreadPoolExecutor(5, thread_name_prefix="account") as pool:
        proved = pool.submit(permissions.prove, run, template)
        described = pool.submit(_types, run)
        buckets = pool.submit(lambda: list(bucket_regions.findings(run)))
        told = pool.submit(
            prices,
            run,
            config.machine_type,
            sorted(volumes_of(config, template)),
            since=now - timedelta(days=SPOT_DAYS),
            until=now,
        )
        seconds = expected(run, jobs.pipelines)
        types, refused = described.result()
        found = [*refused, *_machines(run, template, types, jobs, seconds)]
        found += ami.look(run, template, types)
        estimate = _estimate(run, template, jobs, seconds, told.result())
        found += cost.findings(estimate, config, told.result())
        found += [*permission_answers.findings(proved.result()), *buckets.result()]
    return found, estimate


def _machines(
    run: Run,
    template: FleetTemplate,
    types: MachineTypes,
    jobs: Jobs,
    seconds: JobSeconds | None,
) -> list[Finding]:
    size = limits_of(run, datetime.now(UTC))
    asked = quotas.demand(size, template, jobs.number)
    answers = [
        quotas.limit(run.aws.service_quotas, one) for one in quotas.quotas_of(types.known, asked)
    ]
    limits = [one for one in answers if isinstance(one, quotas.Limit)]
    return [
        *container_fit.findings(run.config, template, types, seconds, jobs.bytes_each),
        *(one for one in answers if isinstance(one, Finding)),
        *quotas.findings(size, template, types, limits, jobs.number),
    ]


def _estimate(
    run: Run, template: FleetTemplate, jobs: Jobs, seconds: JobSeconds | None, told: Prices
) -> Estimate:
    asked = quotas.demand(limits_of(run, datetime.now(UTC)), template, jobs.number)
    work = cost.work(run.config, template, asked, jobs.number, seconds, jobs.images_each)
    return cost.estimate(work, told, seconds.source if seconds else "")


def _types(run: Run) -> tuple[MachineTypes, list[Finding]]:
    try:
        return describe(run.aws.ec2, run.config.machine_type), []
    except AwsError as error:
        return MachineTypes(()), [
            Finding(
                "warning",
                "machine_types_unknown",
                Problem(
                    "AWS credentials" if is_refused(error) else "AWS",
                    "ec2:DescribeInstanceTypes on *",
                    "whether the containers fit on the machines could not be looked at",
                    got=error_code(error) or type(error).__name__,
                ),
            )
        ]
