"""How long jobs took in earlier runs of the app, read from their reports."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from tasks import record
from tasks.money import Range
from tasks.run import Run

NEWEST = 5  # runs that are looked at


@dataclass(frozen=True)
class JobSeconds:
    """How long a job is expected to take.

    Attributes:
        mean: The mean over the jobs, in seconds, from run to run.
        most: What nine of ten jobs stay below, in seconds.
        source: Where this is from.
    """

    mean: Range
    most: float
    source: str


def expected(run: Run, pipelines: Collection[str]) -> JobSeconds | None:
    """How long a job is expected to take: as configured, else as in earlier runs.

    Args:
        run: The run.
        pipelines: The pipelines of its jobs; only what took the same pipeline counts.

    Returns:
        None when neither is there.
    """
    given = run.config.seconds_per_job
    if given is not None:
        return JobSeconds(Range(given, given), given, "seconds_per_job of the run config")
    found: dict[str, list[dict[str, Any]]] = {}
    for run_id in earlier_runs(run):
        for pipeline, seconds in _seconds_of(run, run_id).items():
            if pipeline in pipelines and seconds.get("jobs"):
                found.setdefault(run_id, []).append(seconds)
    if not found:
        return None
    all_of = [one for several in found.values() for one in several]
    means = [float(one["mean"]) for one in all_of]
    most = max(float(one.get("p90", one["mean"])) for one in all_of)
    jobs = sum(one["jobs"] for one in all_of)
    source = f"{jobs} jobs of earlier runs with the same pipeline ({', '.join(found)})"
    return JobSeconds(Range(min(means), max(means)), most, source)


def earlier_runs(run: Run) -> list[str]:
    """The ids of the app's newest runs but this one, the newest first."""
    prefix = run.names.record_prefix
    pages = run.aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=run.config.aws_bucket, Prefix=prefix, Delimiter="/"
    )
    found = [
        one["Prefix"].removeprefix(prefix).rstrip("/")
        for page in pages
        for one in page.get("CommonPrefixes", [])
    ]
    # A run's id begins with its date and time.
    runs = sorted((one for one in found if one[:1].isdigit()), reverse=True)
    return [one for one in runs if one != run.run_id][:NEWEST]


def _seconds_of(run: Run, run_id: str) -> dict[str, dict[str, Any]]:
    text = record.read(Run(run.config, run_id, run.aws), "report.json")
    seconds = json.loads(text).get("seconds", {}) if text else {}
    return seconds if isinstance(seconds, dict) else {}
