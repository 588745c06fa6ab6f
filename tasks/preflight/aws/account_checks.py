"""All checks of the account before a run: machines, quotas, permissions, prices, cost."""

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

SPOT_DAYS = 3  # days of spot price history; AWS keeps 90


@dataclass(frozen=True)
class JobStats:
    """Properties of the jobs that the account's checks need.

    Attributes:
        number: Number of jobs.
        pipelines: Keys of their pipelines, to find earlier runs.
        bytes_each: Size of the largest job's images, in bytes; None if unknown.
        images_each: Number of images per job; None if unknown.
    """

    number: int
    pipelines: Collection[str] = ()
    bytes_each: int | None = None
    images_each: float | None = None


def check_account(
    run: Run, template: FleetTemplate, jobs: JobStats
) -> tuple[list[Finding], Estimate]:
    """Check the account for a run; change nothing.

    Args:
        run: The run.
        template: The fleet template.
        jobs: Its jobs.

    Returns:
        The findings, and the estimated cost and time of the run.
    """
    config = run.config
    now = datetime.now(UTC)
    with ThreadPoolExecutor(5, thread_name_prefix="account") as pool:
        permission_results = pool.submit(permissions.check_permissions, run, template)
        described = pool.submit(_types, run)
        buckets = pool.submit(lambda: list(bucket_regions.findings(run)))
        priced = pool.submit(
            prices,
            run,
            config.machine_type,
            sorted(volumes_of(config, template)),
            since=now - timedelta(days=SPOT_DAYS),
            until=now,
        )
        seconds = expected(run, jobs.pipelines)
        types, findings = described.result()
        findings += _machines(run, template, types, jobs, seconds)
        findings += ami.check_images(run, template, types)
        estimate = _estimate(run, template, jobs, seconds, priced.result())
        findings += cost.findings(estimate, config, priced.result())
        findings += [*permission_answers.findings(permission_results.result()), *buckets.result()]
    return findings, estimate


def _machines(
    run: Run,
    template: FleetTemplate,
    types: MachineTypes,
    jobs: JobStats,
    seconds: JobSeconds | None,
) -> list[Finding]:
    size = limits_of(run, datetime.now(UTC))
    wanted_quotas = quotas.quotas_of(types.known, quotas.demand(size, template, jobs.number))
    answers = [quotas.read_quota(run.aws.service_quotas, wanted) for wanted in wanted_quotas]
    limits = [answer for answer in answers if isinstance(answer, quotas.QuotaLimit)]
    return [
        *container_fit.findings(run.config, template, types, seconds, jobs.bytes_each),
        *(answer for answer in answers if isinstance(answer, Finding)),
        *quotas.findings(size, template, types, limits, jobs.number),
    ]


def _estimate(
    run: Run, template: FleetTemplate, jobs: JobStats, seconds: JobSeconds | None, known: Prices
) -> Estimate:
    demand = quotas.demand(limits_of(run, datetime.now(UTC)), template, jobs.number)
    workload = cost.workload(run.config, template, demand, jobs.number, seconds, jobs.images_each)
    return cost.estimate(workload, known, seconds.source if seconds else "")


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
                    "could not check whether the containers fit on the machines",
                    got=error_code(error) or type(error).__name__,
                ),
            )
        ]
