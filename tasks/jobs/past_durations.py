"""How long jobs took in earlier runs of the same pipeline, read from their reports."""

import json
import logging
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from blocks.errors import InputError
from blocks.resource_names import RECORDS
from tasks.aws.concurrency import in_order
from tasks.aws.errors import AwsError
from tasks.cost.amounts import Range
from tasks.runs import record
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")

NEWEST = 5  # runs whose figures are taken
LOOKED_AT = 20  # runs whose reports are read for them
MOST_APPS, PARALLEL = 500, 16


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
    try:
        found = _told(earlier_runs(run), pipelines) or _told(runs_of_others(run), pipelines)
    except AwsError as error:
        logger.warning("How long jobs took in earlier runs could not be read: %s", error)
        return None
    if not found:
        return None
    all_of = [one for several in found.values() for one in several]
    means = [float(one["mean"]) for one in all_of]
    most = max(float(one.get("p90", one["mean"])) for one in all_of)
    jobs = sum(one["jobs"] for one in all_of)
    source = f"{jobs} jobs of earlier runs with the same pipeline ({', '.join(found)})"
    return JobSeconds(Range(min(means), max(means)), most, source)


def _told(runs: Iterable[Run], pipelines: Collection[str]) -> dict[str, list[dict[str, Any]]]:
    """What the newest runs with one of the pipelines say of it, by their app and id."""
    found: dict[str, list[dict[str, Any]]] = {}
    for earlier in runs:
        for pipeline, seconds in _seconds_of(earlier).items():
            if pipeline in pipelines and seconds.get("jobs"):
                found.setdefault(f"{earlier.names.app} {earlier.run_id}", []).append(seconds)
        if len(found) == NEWEST:
            break
    return found


def earlier_runs(run: Run) -> list[Run]:
    """The app's newest runs but this one, the newest first."""
    # A run's id begins with its date and time.
    ids = sorted(one for one in _folders(run, run.names.record_prefix) if one[:1].isdigit())
    others = [one for one in reversed(ids) if one != run.run_id]
    return [Run(run.config, one, run.aws) for one in others[:LOOKED_AT]]


def runs_of_others(run: Run) -> list[Run]:
    """The newest run of each other app in the same bucket and workspace, the newest first.

    An app has one name for each step, and may have one for each plate: a pipeline that is new to
    this app need not be new. What may not be read, or is of no kind that is known, is left out.
    """

    def newest(app: str) -> Run | None:
        try:
            config = run.config.model_copy(update={"app_name": app})
            found = record.find(run.aws, config, None)
        except (*AwsError, ValueError, InputError):
            return None
        return found if found.config.workspace == run.config.workspace else None

    apps = [one for one in _folders(run, RECORDS) if one != run.names.app]
    found = [one for one in in_order(newest, apps[:MOST_APPS], PARALLEL, "history") if one]
    return sorted(found, key=lambda one: one.run_id, reverse=True)[:LOOKED_AT]


def _folders(run: Run, prefix: str) -> list[str]:
    pages = run.aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=run.config.aws_bucket, Prefix=prefix, Delimiter="/"
    )
    return [
        one["Prefix"].removeprefix(prefix).rstrip("/")
        for page in pages
        for one in page.get("CommonPrefixes", [])
    ]


def _seconds_of(run: Run) -> dict[str, dict[str, Any]]:
    try:
        text = record.read(run, record.REPORT)
        seconds = json.loads(text).get("seconds", {}) if text else {}
    except (*AwsError, ValueError):
        return {}  # another app's may be of others
    return seconds if isinstance(seconds, dict) else {}
