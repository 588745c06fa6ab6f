"""All runs of an account: their records, their resources in AWS, and their states.

Runs are found by the tags of their resources (`dcp:app`, `dcp:run`, `dcp:bucket`), and by records
in the searched buckets. Each run takes a few small S3 objects and its queue's counts, however many
jobs it has.
"""

import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from blocks import RunConfig
from blocks.credentials.identity import Credentials
from blocks.errors import NotFound
from blocks.plurals import plural
from blocks.resource_names import RECORDS, Names
from tasks.account_runs.tagged_resources import COSTLY, Resource, inventory
from tasks.aws.clients import Aws
from tasks.aws.concurrency import in_order
from tasks.aws.errors import AwsError, error_code
from tasks.jobs.queues import QueueCounts, count, find_queue
from tasks.monitor import state as monitor_state
from tasks.runs import heartbeat, record
from tasks.runs.heartbeat import Watch
from tasks.runs.lookup import asking, buckets_of, locate
from tasks.runs.record import RunRecord
from tasks.runs.run import Run

PARALLEL = 16
SETTLING = timedelta(minutes=10)  # AWS finds tags with a delay, and a new run has no resources yet


class State(StrEnum):
    """The state of a run."""

    WATCHED = "watched"  # a flow monitors it
    UNWATCHED = "unwatched"  # it has machines, and no flow monitors it
    WAITING = "waiting"  # it has not ended, and nothing costs by the hour
    ENDED = "ended"
    ORPHANED = "orphaned"  # it has resources, but has ended or has no record
    UNKNOWN = "unknown"  # its record cannot be read


@dataclass(frozen=True)
class RunState:
    """A run and its resources.

    Attributes:
        app: Its app.
        run_id: Its id; "" if unknown.
        region: Its AWS region.
        bucket: The bucket of its record; "" if unknown.
        record: Its record; None if missing or unreadable.
        unread: Why the record could not be read; "" if it was read or does not exist.
        watch: The newest heartbeat of a flow that monitors it.
        resources: Its resources in AWS.
        queue: Counts of its queue; None if the run has ended or the queue does not exist.
        jobs: Numbers of jobs by status, as last recorded.
        usd: Cost of its machines so far, in USD; None if unknown.
    """

    app: str
    run_id: str
    region: str
    bucket: str
    record: RunRecord | None = None
    unread: str = ""
    watch: Watch | None = None
    resources: tuple[Resource, ...] = ()
    queue: QueueCounts | None = None
    jobs: tuple[tuple[str, int], ...] = ()
    usd: float | None = None

    @property
    def costly(self) -> tuple[Resource, ...]:
        """Its resources that cost by the hour."""
        return tuple(one for one in self.resources if one.kind in COSTLY)

    @property
    def state(self) -> State:
        """Its state."""
        if self.unread:
            return State.UNKNOWN
        if self.record is None or self.record.state == "ended":
            return State.ORPHANED if self.resources else State.ENDED
        if self.watch is not None and self.watch.alive:
            return State.WATCHED
        return State.UNWATCHED if self.costly else State.WAITING

    @property
    def orphans(self) -> tuple[Resource, ...]:
        """Its resources, if it has ended or has no record."""
        return self.resources if self.state is State.ORPHANED else ()

    def machines(self) -> dict[str, int]:
        """Number of machines by EC2 state."""
        states = [one.state for one in self.resources if one.kind == "machine"]
        return {state: states.count(state) for state in sorted(set(states))}

    def age(self, now: datetime) -> timedelta | None:
        """Time from its start to now or its end; None without a record."""
        if self.record is None:
            return None
        return (self.record.ended_at or now) - self.record.started_at


class Deed(StrEnum):
    """What a reaper does about a run."""

    LEAVE = "leave"
    TICK = "tick"
    END = "end"


def due(run: RunState, now: datetime) -> tuple[Deed, str]:
    """What to do about a run, and why (pure).

    The reaper does not touch runs that a flow monitors, runs with an unreadable record, and runs
    that cost nothing by the hour and can be continued.
    """
    if run.state is State.WATCHED and run.watch is not None:
        return Deed.LEAVE, f"watched by {run.watch.beat.by}"
    if run.state is State.UNKNOWN:
        return Deed.LEAVE, run.unread
    if run.state is State.ENDED:
        return Deed.LEAVE, "ended"
    if run.record is None:
        return Deed.END, f"no record in s3://{run.bucket}"
    if run.state is State.ORPHANED:
        ended = run.record.ended_at or now
        settled = bool(run.costly) or now - ended >= SETTLING
        return (Deed.END if settled else Deed.LEAVE), "ended with orphaned resources"
    if run.state is State.UNWATCHED:
        return Deed.TICK, "machines are running, and no flow monitors the run"
    return _waiting(run, run.record, now)


def _waiting(run: RunState, kept: RunRecord, now: datetime) -> tuple[Deed, str]:
    age = now - kept.counts_from
    if run.queue is None and age >= SETTLING:
        return Deed.END, "no machines and no queue"
    if run.queue is None:
        return Deed.LEAVE, "just started"
    if run.queue.total:
        return Deed.LEAVE, f"{plural(run.queue.total, 'queued message')}, no machines"
    if kept.jobs and kept.fleet_id:
        return Deed.TICK, "the queue is empty, and the run has not ended"
    hours = RunConfig.model_fields["max_hours"].default
    if age >= timedelta(hours=float(kept.config.get("max_hours", hours))):
        return Deed.END, "max_hours are over, and the run never had a machine"
    return Deed.LEAVE, "set up, no machines"


def plan(runs: Iterable[RunState], now: datetime) -> list[tuple[RunState, Deed, str]]:
    """What to do about each run, and why (pure).

    A clean-up finds resources by the app's names, so a run is skipped while another run of the same
    app in the same region has not ended.
    """
    found = list(runs)
    planned = []
    for run in found:
        deed, why = due(run, now)
        others = [
            one.bucket
            for one in found
            if (one.app, one.region) == (run.app, run.region)
            and one is not run
            and one.state not in (State.ENDED, State.ORPHANED)
        ]
        if deed is not Deed.LEAVE and others:
            deed, why = Deed.LEAVE, f"another run of this app has not ended, bucket {others[0]}"
        planned.append((run, deed, why))
    return planned


def find_runs(
    credentials: Credentials,
    regions: Collection[str],
    buckets: Collection[str] | None = (),
    app: str | None = None,
) -> list[RunState]:
    """The runs of an account.

    Args:
        credentials: The credentials; empty ones select AWS's default chain.
        regions: Regions to search for resources.
        buckets: Buckets to search for records, besides those that the tags name; None for every
            bucket of the account.
        app: Only this app.

    Returns:
        All runs with resources, and the newest run of every app in the buckets.

    Raises:
        InputError: AWS refuses the credentials.
    """
    settings = asking(app or "all-apps", credentials, min(regions), "to-be-found")
    clients = {region: Aws.connect(settings.credentials, region) for region in sorted(regions)}
    resources = [one for aws in clients.values() for one in inventory(aws, app)]
    first = next(iter(clients.values()))
    listed = buckets_of(first) if buckets is None else buckets
    named = {(one.bucket, one.app, one.run_id) for one in resources if one.bucket}
    recorded = set(in_records(first, listed, app))
    runs = list(
        in_order(
            lambda key: _read(first, settings, *key), sorted(named | recorded), PARALLEL, "runs"
        )
    )
    return [_asked(one, settings, clients) for one in draw(runs, resources)]


def in_records(aws: Aws, buckets: Iterable[str], app: str | None) -> Iterator[tuple[str, str, str]]:
    """Bucket, app and id of the newest recorded run of each app in the buckets."""
    for bucket in buckets:
        try:
            apps = [app] if app else _apps(aws, bucket)
            for one in apps:
                text = record.read_object(aws, bucket, Names.of(one).latest_key)
                if text is not None:
                    yield bucket, one, record.newest_in(text)
        except AwsError as error:
            if not error_code(error):
                raise  # no answer at all; a bucket that refuses us is not ours


def _apps(aws: Aws, bucket: str) -> list[str]:
    pages = aws.s3.get_paginator("list_objects_v2").paginate(
        Bucket=bucket, Prefix=RECORDS, Delimiter="/"
    )
    found = [one["Prefix"] for page in pages for one in page.get("CommonPrefixes", [])]
    return [one.removeprefix(RECORDS).rstrip("/") for one in found]


def _read(aws: Aws, asking: RunConfig, bucket: str, app: str, run_id: str) -> RunState:
    """A run as its record describes it."""
    config = asking.model_copy(update={"app_name": app, "aws_bucket": bucket})
    run = Run(config, run_id, aws)
    unknown = RunState(app, run_id, "", bucket)
    try:
        kept = record.load(run)
        if kept is None:
            return unknown
        found = replace(
            unknown, record=kept, region=str(kept.config.get("aws_region", config.aws_region))
        )
        if kept.state == "ended":
            return _reported(run, found)
        known = monitor_state.recall(run)
        jobs = (("submitted", kept.jobs or 0), ("done", known.progress.ended)) if kept.jobs else ()
        return replace(found, watch=heartbeat.newest(run), jobs=jobs, usd=known.spending.spent)
    except (*AwsError, ValueError) as error:
        return replace(unknown, unread=f"could not read its record in s3://{bucket}: {error}")


def _reported(run: Run, found: RunState) -> RunState:
    told: dict[str, Any] = json.loads(record.read(run, record.REPORT) or "{}")
    names = ("submitted", "succeeded", "skipped", "failed", "lost")
    jobs = tuple((name, int(told[name])) for name in names if name in told)
    return replace(found, jobs=jobs, usd=(told.get("cost") or {}).get("usd"))


def draw(runs: Iterable[RunState], resources: Iterable[Resource]) -> list[RunState]:
    """Assign every resource to its run; resources without a run form a new one (pure).

    All runs of an app share its names. So a resource belongs to the run that has not ended, even if
    another run created it; else to the run that its tag names, else to the newest.
    """
    by_key = {(one.bucket, one.app, one.run_id): one for one in runs}
    taken: dict[tuple[str, str, str], list[Resource]] = {key: [] for key in by_key}
    for one in resources:
        key = _owner(one, by_key)
        if key not in by_key:
            unread = "" if one.bucket else "the bucket of its record is unknown"
            by_key[key] = RunState(one.app, one.run_id, one.region, one.bucket, unread=unread)
            taken[key] = []
        taken[key].append(one)
    found = [
        replace(run, resources=tuple(taken[key]), region=run.region or _region(taken[key]))
        for key, run in by_key.items()
    ]
    # A tag may name a run that has neither a record nor resources: that is no run.
    real = [run for run in found if run.record or run.resources or run.unread]
    return sorted(real, key=lambda run: (run.state is State.ENDED, run.app, run.run_id))


def _region(resources: list[Resource]) -> str:
    return resources[0].region if resources else ""


def _owner(one: Resource, runs: dict[tuple[str, str, str], RunState]) -> tuple[str, str, str]:
    key = (one.bucket, one.app, one.run_id)
    same = [
        (key, run)
        for key, run in runs.items()
        if run.app == one.app and run.region in ("", one.region) and one.bucket in ("", key[0])
    ]
    live = [pair for pair in same if pair[1].record and pair[1].record.state == "active"]
    exact = [pair for pair in same if one.run_id and pair[1].run_id == one.run_id]
    for found in (live, exact, same):
        if found:
            return max((key for key, _ in found), key=lambda key: (key[2] == one.run_id, key))
    return key


def _asked(run: RunState, settings: RunConfig, clients: dict[str, Aws]) -> RunState:
    """The run with its queue's counts, unless it has ended."""
    aws = clients.get(run.region)
    if run.record is None or run.record.state == "ended" or aws is None:
        return run
    found = open_run(run, settings, aws)
    url = find_queue(aws.sqs, found.names.queue)
    return replace(run, queue=count(aws.sqs, url) if url else None)


def open_run(state: RunState, settings: RunConfig, aws: Aws | None = None) -> Run:
    """Open a run; without a record, from its tags alone.

    Args:
        state: The run and its resources.
        settings: Config with the credentials.
        aws: The clients of its region; None to create them.
    """
    mine = settings.model_copy(update={"aws_region": state.region, "app_name": state.app})
    aws = aws or Aws.connect(settings.credentials, state.region)
    if state.record is not None:
        at = mine.model_copy(update={"aws_bucket": state.bucket})
        return Run(record.recorded_config(state.record, at), state.run_id, aws)
    told: dict[str, Any] = {"aws_bucket": state.bucket} if state.bucket else {}
    for one in state.resources:
        if one.kind == "queue":
            told["sqs_queue_name"] = one.id
        if one.kind == "service" and "/" in one.id:
            told["ecs_cluster"] = one.id.split("/")[0]
    return Run(mine.model_copy(update=told), state.run_id, aws)


def find_app(
    app: str,
    credentials: Credentials,
    region: str,
    bucket: str | None = None,
    run_id: str | None = None,
) -> tuple[Run, bool]:
    """Find a run to clean up by its app's name alone; the arguments are those of `locate`.

    Returns:
        The run, and whether it has a record; without one, it was found by the app's tag.

    Raises:
        InputError: The app has neither a record nor resources in the region, or AWS refuses the
            credentials.
    """
    try:
        return locate(app, credentials, region, bucket, run_id), True
    except NotFound:
        settings = asking(app, credentials, region, bucket or "to-be-found")
        found = find_runs(credentials, [region], (), app)
        for state in found:
            return open_run(state, settings), state.record is not None
        raise
