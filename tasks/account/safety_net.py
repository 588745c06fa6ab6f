"""The safety net: a Lambda function that terminates machines of runs without a flow and jobs.

It consists of this file alone and works without Prefect. EventBridge Scheduler calls `handler`
every 15 minutes. Each call checks every run whose machines or fleets have the tag `dcp:app`,
decides (`decide`, pure), and acts. It stops a run

* past its time limit, with or without a flow: all its fleets are past their `ValidUntil`, or it has
  no fleet and its machines are older than the run's `max_hours`;
* without a flow's heartbeat in its record, whose queue was empty or did not exist in three checks
  over at least half an hour.

Between calls it keeps its state in the run's record, `dcp/<app>/<run>/safety_net.json`. A run whose
record is in another bucket than `DCP_BUCKET` is only stopped past its time limit.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

log = logging.getLogger("dcp.safety_net")
log.setLevel(logging.INFO)

EMPTY_FOR = timedelta(minutes=28)  # three calls, one of which may be slightly early
EMPTY_LOOKS = 3  # SQS's counts are approximate
GRACE = timedelta(minutes=10)  # time for AWS itself to terminate expired fleets
BEATS = 5  # missed heartbeats in watch.json after which a flow counts as dead
LIVE = ["pending", "running", "stopping", "stopped"]
FLEETS_ENDED = {"deleted", "deleted_terminating", "failed"}
SPOT_FLEETS_ENDED = {"cancelled", "cancelled_terminating", "failed"}
NO_OBJECT = {"NoSuchKey", "404"}
NO_QUEUE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
NO_SERVICE = {"ClusterNotFoundException", "ServiceNotActiveException", "ServiceNotFoundException"}
UNREADABLE = (AttributeError, KeyError, TypeError, ValueError)  # errors for a foreign document
COUNTS = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]


@dataclass(frozen=True)
class Clients:
    """The AWS clients."""

    ec2: Any
    ecs: Any
    sqs: Any
    s3: Any
    cloudwatch: Any


@dataclass(frozen=True)
class Fleet:
    """A fleet that still exists.

    Attributes:
        id: Its id.
        valid_until: When AWS ends it; None: never.
    """

    id: str
    valid_until: datetime | None

    @property
    def is_spot_fleet(self) -> bool:
        """Whether it is a Spot Fleet (from a DCP fleet file)."""
        return self.id.startswith("sfr-")


@dataclass(frozen=True)
class Memory:
    """The results of earlier checks of a run's queue.

    Attributes:
        empty_since: Since when every check found it empty; None: the last check found messages.
        looks: Number of those checks.
    """

    empty_since: datetime | None = None
    looks: int = 0


@dataclass(frozen=True)
class Seen:
    """The current state of a run.

    Attributes:
        app: Its app.
        run: Its id.
        machines: Its machines, with their launch times.
        fleets: Its fleets.
        known: Whether its record was read; without it, the queue is unknown.
        messages: Number of messages in its queue, including hidden and delayed ones; 0 without a
            queue.
        watched: Whether a flow monitors it.
        max_hours: The longest run time of its machines; None: unknown.
        cluster: Its ECS cluster.
        memory: The results of earlier checks.
    """

    app: str
    run: str
    machines: dict[str, datetime] = field(default_factory=dict)
    fleets: tuple[Fleet, ...] = ()
    known: bool = False
    messages: int = 0
    watched: bool = False
    max_hours: float | None = None
    cluster: str = "default"
    memory: Memory = Memory()


@dataclass(frozen=True)
class Verdict:
    """The decision about a run.

    Attributes:
        end: Why to stop it; empty: do not stop it.
        memory: The state to keep about its queue.
    """

    end: str
    memory: Memory


def decide(seen: Seen, now: datetime) -> Verdict:
    """Whether to stop a run (pure)."""
    if _is_past(seen, now):
        return Verdict("it is past its time limit", seen.memory)
    if not seen.known or seen.watched or seen.messages:
        return Verdict("", Memory())
    since = seen.memory.empty_since or now
    memory = Memory(since, seen.memory.looks + 1)
    if memory.looks >= EMPTY_LOOKS and now - since >= EMPTY_FOR:
        reason = f"no flow monitors it, and its queue has been empty since {since:%H:%M} UTC"
        return Verdict(reason, memory)
    return Verdict("", memory)


def _is_past(seen: Seen, now: datetime) -> bool:
    if seen.fleets:
        return all(one.valid_until and now - one.valid_until > GRACE for one in seen.fleets)
    if seen.max_hours is None or not seen.machines:
        return False
    longest = timedelta(hours=seen.max_hours) + GRACE
    return all(now - launched > longest for launched in seen.machines.values())


def tend(clients: Clients, bucket: str, now: datetime) -> tuple[list[str], list[str]]:
    """Check every run, and stop it if necessary.

    Returns:
        The action for each run with its reason, and the failures; both in words.
    """
    said: list[str] = []
    failed: list[str] = []
    runs = _running(clients.ec2)
    for run in runs:
        name = f"{run.app} {run.run}"
        try:
            seen = _with_record(clients, bucket, run)
            verdict = decide(seen, now)
            if verdict.end:
                said.append(f"{name}: stopped, because {verdict.end}")
                others = {one for other in runs if other != run for one in other.machines}
                failed += [f"{name}: {text}" for text in _end(clients, seen, others)]
            else:
                said.append(f"{name}: not stopped")
            if verdict.memory != seen.memory:
                _remember(clients.s3, bucket, seen, verdict.memory)
        except (BotoCoreError, ClientError, *UNREADABLE) as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
    return said, failed


def _running(ec2: Any) -> list[Seen]:
    """Every run with machines or fleets."""
    runs: dict[tuple[str, str], Seen] = {}

    def of(tagged: Any) -> tuple[str, str] | None:
        tags = {tag["Key"]: tag["Value"] for tag in tagged.get("Tags", [])}
        app = tags.get("dcp:app")
        return (app, tags.get("dcp:run", "")) if app else None

    for machine in _machines(ec2):
        if key := of(machine):
            seen = runs.setdefault(key, Seen(*key))
            seen.machines[machine["InstanceId"]] = machine["LaunchTime"]
    for tagged, fleet in _fleets(ec2):
        if key := of(tagged):
            seen = runs.setdefault(key, Seen(*key))
            runs[key] = replace(seen, fleets=(*seen.fleets, fleet))
    return list(runs.values())


def _machines(ec2: Any) -> Iterator[Any]:
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": "tag-key", "Values": ["dcp:app"]},
            {"Name": "instance-state-name", "Values": LIVE},
        ]
    )
    for page in pages:
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def _fleets(ec2: Any) -> Iterator[tuple[Any, Fleet]]:
    for page in ec2.get_paginator("describe_fleets").paginate():
        for one in page["Fleets"]:
            if one["FleetState"] not in FLEETS_ENDED:
                yield one, Fleet(one["FleetId"], one.get("ValidUntil"))
    for page in ec2.get_paginator("describe_spot_fleet_requests").paginate():
        for one in page["SpotFleetRequestConfigs"]:
            if one["SpotFleetRequestState"] not in SPOT_FLEETS_ENDED:
                until = one["SpotFleetRequestConfig"].get("ValidUntil")
                yield one, Fleet(one["SpotFleetRequestId"], until)


def _with_record(clients: Clients, bucket: str, seen: Seen) -> Seen:
    """The run, with the data of its record and its queue."""
    record = _read(clients.s3, bucket, seen, "run.json") if seen.run else None
    if record is None:
        return seen
    config = json.loads(record["Body"].read())["config"]
    remembered = _read(clients.s3, bucket, seen, "safety_net.json")
    queue = config.get("sqs_queue_name") or f"{seen.app}Queue"
    return replace(
        seen,
        known=True,
        messages=_messages(clients.sqs, queue),
        watched=_is_watched(_read(clients.s3, bucket, seen, "watch.json")),
        max_hours=config.get("max_hours"),
        cluster=config.get("ecs_cluster") or "default",
        memory=_memory(remembered),
    )


def _key(seen: Seen, name: str) -> str:
    return f"dcp/{seen.app}/{seen.run}/{name}"


def _read(s3: Any, bucket: str, seen: Seen, name: str) -> Any:
    try:
        return s3.get_object(Bucket=bucket, Key=_key(seen, name))
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_OBJECT:
            return None
        raise


def _memory(found: Any) -> Memory:
    if found is None:
        return Memory()
    try:
        told = json.loads(found["Body"].read())
        since = told["empty_since"]
        return Memory(datetime.fromisoformat(since) if since else None, int(told["looks"]))
    except UNREADABLE:
        return Memory()


def _remember(s3: Any, bucket: str, seen: Seen, memory: Memory) -> None:
    if not seen.known:
        return
    since = memory.empty_since.isoformat() if memory.empty_since else None
    body = json.dumps({"empty_since": since, "looks": memory.looks}).encode()
    s3.put_object(Bucket=bucket, Key=_key(seen, "safety_net.json"), Body=body)


def _is_watched(found: Any) -> bool:
    """Whether the flow's last heartbeat is recent, by S3's clock alone."""
    if found is None:
        return False
    try:
        every = float(json.loads(found["Body"].read())["every"])
    except UNREADABLE:
        return False  # not written by dcp
    answered = parsedate_to_datetime(found["ResponseMetadata"]["HTTPHeaders"]["date"])
    age: timedelta = answered - found["LastModified"]
    return age <= timedelta(seconds=BEATS * every)


def _messages(sqs: Any, queue: str) -> int:
    try:
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        told = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=COUNTS)["Attributes"]
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_QUEUE:
            return 0
        raise
    return sum(int(told[name]) for name in COUNTS)


def _end(clients: Clients, seen: Seen, others: set[str]) -> list[str]:
    """Stop everything that costs money in a run; tries each step. Returns failures in words."""
    steps: list[Callable[[], None]] = [
        lambda: _empty_service(clients.ecs, seen),
        lambda: _cancel_fleets(clients.ec2, seen),
        lambda: _terminate(clients.ec2, list(seen.machines)),
        lambda: _delete_alarms(clients.cloudwatch, seen.app, others),
    ]
    failed = []
    for step in steps:
        try:
            step()
        except (BotoCoreError, ClientError, RuntimeError) as error:
            failed.append(str(error))
    return failed


def _empty_service(ecs: Any, seen: Seen) -> None:
    try:
        ecs.update_service(cluster=seen.cluster, service=f"{seen.app}Service", desiredCount=0)
    except ClientError as error:
        if error.response["Error"]["Code"] not in NO_SERVICE:
            raise


def _cancel_fleets(ec2: Any, seen: Seen) -> None:
    fleets = [one.id for one in seen.fleets if not one.is_spot_fleet]
    requests = [one.id for one in seen.fleets if one.is_spot_fleet]
    left: list[Any] = []
    if requests:
        answer = ec2.cancel_spot_fleet_requests(
            SpotFleetRequestIds=requests, TerminateInstances=True
        )
        left += answer.get("UnsuccessfulFleetRequests", [])
    if fleets:
        answer = ec2.delete_fleets(FleetIds=fleets, TerminateInstances=True)
        left += answer.get("UnsuccessfulFleetDeletions", [])
    if left:
        raise RuntimeError(f"could not cancel fleets: {left}")


def _terminate(ec2: Any, machines: list[str]) -> None:
    for first in range(0, len(machines), 1000):
        ec2.terminate_instances(InstanceIds=machines[first : first + 1000])


def _delete_alarms(cloudwatch: Any, app: str, others: set[str]) -> None:
    """Delete the idle alarms of an app, except those of machines that keep running."""
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{app}_i-")
    names = [one["AlarmName"] for page in pages for one in page["MetricAlarms"]]
    mine = [name for name in names if name.removeprefix(f"{app}_") not in others]
    for first in range(0, len(mine), 100):
        cloudwatch.delete_alarms(AlarmNames=mine[first : first + 100])


def _scheduled(event: Any) -> datetime:
    """The scheduled time of this call; the current time if the schedule did not make it."""
    try:
        return datetime.fromisoformat(event["time"]).astimezone(UTC)
    except UNREADABLE:
        return datetime.now(UTC)


def handler(event: object, context: object) -> list[str]:
    """Lambda's entry point.

    Args:
        event: `{"time": …}`, the scheduled time of the call.
        context: Lambda's context; not used.

    Raises:
        RuntimeError: Something failed. All runs were tried, and Lambda counts an error.
    """
    config = Config(retries={"mode": "standard", "total_max_attempts": 8})
    client: Any = boto3.client
    clients = Clients(
        **{name: client(name, config=config) for name in Clients.__dataclass_fields__}
    )
    said, failed = tend(clients, os.environ["DCP_BUCKET"], _scheduled(event))
    for line in said:
        log.info(line)
    for line in failed:
        log.error(line)
    if failed:
        raise RuntimeError("; ".join(failed))
    return said
