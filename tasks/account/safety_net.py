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
EMPTY_CHECKS = 3  # SQS's counts are approximate
GRACE = timedelta(minutes=10)  # time for AWS itself to terminate expired fleets
MISSED_HEARTBEATS = 5  # in watch.json, after which a flow counts as dead
LIVE_STATES = ["pending", "running", "stopping", "stopped"]
FLEETS_ENDED = {"deleted", "deleted_terminating", "failed"}
SPOT_FLEETS_ENDED = {"cancelled", "cancelled_terminating", "failed"}
NO_OBJECT = {"NoSuchKey", "404"}
NO_QUEUE = {"AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"}
NO_SERVICE = {"ClusterNotFoundException", "ServiceNotActiveException", "ServiceNotFoundException"}
FORMAT_ERRORS = (AttributeError, KeyError, TypeError, ValueError)  # errors for a foreign document
COUNTS = [
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
]


@dataclass(frozen=True)
class SafetyNetClients:
    """The AWS clients."""

    ec2: Any
    ecs: Any
    sqs: Any
    s3: Any
    cloudwatch: Any


@dataclass(frozen=True)
class LiveFleet:
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
class QueueHistory:
    """The results of earlier checks of a run's queue.

    Attributes:
        empty_since: Since when every check found it empty; None: the last check found messages.
        checks: Number of those checks.
    """

    empty_since: datetime | None = None
    checks: int = 0


@dataclass(frozen=True)
class ObservedRun:
    """The current state of a run.

    Attributes:
        app: Its app.
        run_id: Its id.
        machines: Its machines, with their launch times.
        fleets: Its fleets.
        has_record: Whether its record was read; without it, the queue is unknown.
        messages: Number of messages in its queue, including hidden and delayed ones; 0 without a
            queue.
        monitored: Whether a flow monitors it.
        max_hours: The longest run time of its machines; None: unknown.
        cluster: Its ECS cluster.
        history: The results of earlier checks.
    """

    app: str
    run_id: str
    machines: dict[str, datetime] = field(default_factory=dict)
    fleets: tuple[LiveFleet, ...] = ()
    has_record: bool = False
    messages: int = 0
    monitored: bool = False
    max_hours: float | None = None
    cluster: str = "default"
    history: QueueHistory = QueueHistory()


@dataclass(frozen=True)
class Verdict:
    """The decision about a run.

    Attributes:
        stop_reason: Why to stop it; empty: do not stop it.
        history: The state to keep about its queue.
    """

    stop_reason: str
    history: QueueHistory


def decide(run: ObservedRun, now: datetime) -> Verdict:
    """Whether to stop a run (pure)."""
    if _is_expired(run, now):
        return Verdict("it is past its time limit", run.history)
    if not run.has_record or run.monitored or run.messages:
        return Verdict("", QueueHistory())
    since = run.history.empty_since or now
    history = QueueHistory(since, run.history.checks + 1)
    if history.checks >= EMPTY_CHECKS and now - since >= EMPTY_FOR:
        reason = f"no flow monitors it, and its queue has been empty since {since:%H:%M} UTC"
        return Verdict(reason, history)
    return Verdict("", history)


def _is_expired(run: ObservedRun, now: datetime) -> bool:
    if run.fleets:
        return all(fleet.valid_until and now - fleet.valid_until > GRACE for fleet in run.fleets)
    if run.max_hours is None or not run.machines:
        return False
    longest = timedelta(hours=run.max_hours) + GRACE
    return all(now - launched > longest for launched in run.machines.values())


def check_runs(
    clients: SafetyNetClients, bucket: str, now: datetime
) -> tuple[list[str], list[str]]:
    """Check every run, and stop it if necessary.

    Returns:
        The action for each run with its reason, and the failures; both for people.
    """
    results: list[str] = []
    failed: list[str] = []
    runs = _find_runs(clients.ec2)
    for observed in runs:
        name = f"{observed.app} {observed.run_id}"
        try:
            run = _add_record(clients, bucket, observed)
            verdict = decide(run, now)
            if verdict.stop_reason:
                results.append(f"{name}: stopped, because {verdict.stop_reason}")
                others = {
                    machine for other in runs if other != observed for machine in other.machines
                }
                failed += [f"{name}: {text}" for text in _stop(clients, run, others)]
            else:
                results.append(f"{name}: not stopped")
            if verdict.history != run.history:
                _save_history(clients.s3, bucket, run, verdict.history)
        except (BotoCoreError, ClientError, *FORMAT_ERRORS) as error:
            failed.append(f"{name}: {type(error).__name__}: {error}")
    return results, failed


def _find_runs(ec2: Any) -> list[ObservedRun]:
    """Every run with machines or fleets."""
    runs: dict[tuple[str, str], ObservedRun] = {}

    def key_of(tagged: Any) -> tuple[str, str] | None:
        tags = {tag["Key"]: tag["Value"] for tag in tagged.get("Tags", [])}
        app = tags.get("dcp:app")
        return (app, tags.get("dcp:run", "")) if app else None

    for machine in _machines(ec2):
        if key := key_of(machine):
            run = runs.setdefault(key, ObservedRun(*key))
            run.machines[machine["InstanceId"]] = machine["LaunchTime"]
    for tagged, fleet in _fleets(ec2):
        if key := key_of(tagged):
            run = runs.setdefault(key, ObservedRun(*key))
            runs[key] = replace(run, fleets=(*run.fleets, fleet))
    return list(runs.values())


def _machines(ec2: Any) -> Iterator[Any]:
    pages = ec2.get_paginator("describe_instances").paginate(
        Filters=[
            {"Name": "tag-key", "Values": ["dcp:app"]},
            {"Name": "instance-state-name", "Values": LIVE_STATES},
        ]
    )
    for page in pages:
        for reservation in page["Reservations"]:
            yield from reservation["Instances"]


def _fleets(ec2: Any) -> Iterator[tuple[Any, LiveFleet]]:
    for page in ec2.get_paginator("describe_fleets").paginate():
        for fleet in page["Fleets"]:
            if fleet["FleetState"] not in FLEETS_ENDED:
                yield fleet, LiveFleet(fleet["FleetId"], fleet.get("ValidUntil"))
    for page in ec2.get_paginator("describe_spot_fleet_requests").paginate():
        for request in page["SpotFleetRequestConfigs"]:
            if request["SpotFleetRequestState"] not in SPOT_FLEETS_ENDED:
                until = request["SpotFleetRequestConfig"].get("ValidUntil")
                yield request, LiveFleet(request["SpotFleetRequestId"], until)


def _add_record(clients: SafetyNetClients, bucket: str, run: ObservedRun) -> ObservedRun:
    """The run, with the data of its record and its queue."""
    record = _read(clients.s3, bucket, run, "run.json") if run.run_id else None
    if record is None:
        return run
    config = json.loads(record["Body"].read())["config"]
    queue = config.get("sqs_queue_name") or f"{run.app}Queue"
    return replace(
        run,
        has_record=True,
        messages=_messages(clients.sqs, queue),
        monitored=_has_recent_heartbeat(_read(clients.s3, bucket, run, "watch.json")),
        max_hours=config.get("max_hours"),
        cluster=config.get("ecs_cluster") or "default",
        history=_parse_history(_read(clients.s3, bucket, run, "safety_net.json")),
    )


def _key(run: ObservedRun, name: str) -> str:
    return f"dcp/{run.app}/{run.run_id}/{name}"


def _read(s3: Any, bucket: str, run: ObservedRun, name: str) -> Any:
    try:
        return s3.get_object(Bucket=bucket, Key=_key(run, name))
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_OBJECT:
            return None
        raise


def _parse_history(response: Any) -> QueueHistory:
    if response is None:
        return QueueHistory()
    try:
        document = json.loads(response["Body"].read())
        since = document["empty_since"]
        return QueueHistory(
            datetime.fromisoformat(since) if since else None, int(document["looks"])
        )
    except FORMAT_ERRORS:
        return QueueHistory()


def _save_history(s3: Any, bucket: str, run: ObservedRun, history: QueueHistory) -> None:
    if not run.has_record:
        return
    since = history.empty_since.isoformat() if history.empty_since else None
    body = json.dumps({"empty_since": since, "looks": history.checks}).encode()
    s3.put_object(Bucket=bucket, Key=_key(run, "safety_net.json"), Body=body)


def _has_recent_heartbeat(response: Any) -> bool:
    """Whether the flow's last heartbeat is recent, by S3's clock alone."""
    if response is None:
        return False
    try:
        every = float(json.loads(response["Body"].read())["every"])
    except FORMAT_ERRORS:
        return False  # not written by dcp
    answered = parsedate_to_datetime(response["ResponseMetadata"]["HTTPHeaders"]["date"])
    age: timedelta = answered - response["LastModified"]
    return age <= timedelta(seconds=MISSED_HEARTBEATS * every)


def _messages(sqs: Any, queue: str) -> int:
    try:
        url = sqs.get_queue_url(QueueName=queue)["QueueUrl"]
        counts = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=COUNTS)["Attributes"]
    except ClientError as error:
        if error.response["Error"]["Code"] in NO_QUEUE:
            return 0
        raise
    return sum(int(counts[name]) for name in COUNTS)


def _stop(clients: SafetyNetClients, run: ObservedRun, others: set[str]) -> list[str]:
    """Stop everything that costs money in a run; tries each step. Returns the failures."""
    steps: list[Callable[[], None]] = [
        lambda: _stop_containers(clients.ecs, run),
        lambda: _cancel_fleets(clients.ec2, run),
        lambda: _terminate(clients.ec2, list(run.machines)),
        lambda: _delete_alarms(clients.cloudwatch, run.app, others),
    ]
    failed = []
    for step in steps:
        try:
            step()
        except (BotoCoreError, ClientError, RuntimeError) as error:
            failed.append(str(error))
    return failed


def _stop_containers(ecs: Any, run: ObservedRun) -> None:
    try:
        ecs.update_service(cluster=run.cluster, service=f"{run.app}Service", desiredCount=0)
    except ClientError as error:
        if error.response["Error"]["Code"] not in NO_SERVICE:
            raise


def _cancel_fleets(ec2: Any, run: ObservedRun) -> None:
    fleets = [fleet.id for fleet in run.fleets if not fleet.is_spot_fleet]
    requests = [fleet.id for fleet in run.fleets if fleet.is_spot_fleet]
    failures: list[Any] = []
    if requests:
        answer = ec2.cancel_spot_fleet_requests(
            SpotFleetRequestIds=requests, TerminateInstances=True
        )
        failures += answer.get("UnsuccessfulFleetRequests", [])
    if fleets:
        answer = ec2.delete_fleets(FleetIds=fleets, TerminateInstances=True)
        failures += answer.get("UnsuccessfulFleetDeletions", [])
    if failures:
        raise RuntimeError(f"could not cancel fleets: {failures}")


def _terminate(ec2: Any, machines: list[str]) -> None:
    for first in range(0, len(machines), 1000):
        ec2.terminate_instances(InstanceIds=machines[first : first + 1000])


def _delete_alarms(cloudwatch: Any, app: str, others: set[str]) -> None:
    """Delete the idle alarms of an app, except those of machines that keep running."""
    pages = cloudwatch.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{app}_i-")
    names = [alarm["AlarmName"] for page in pages for alarm in page["MetricAlarms"]]
    own = [name for name in names if name.removeprefix(f"{app}_") not in others]
    for first in range(0, len(own), 100):
        cloudwatch.delete_alarms(AlarmNames=own[first : first + 100])


def _scheduled(event: Any) -> datetime:
    """The scheduled time of this call; the current time if the schedule did not make it."""
    try:
        return datetime.fromisoformat(event["time"]).astimezone(UTC)
    except FORMAT_ERRORS:
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
    clients = SafetyNetClients(
        **{name: client(name, config=config) for name in SafetyNetClients.__dataclass_fields__}
    )
    results, failed = check_runs(clients, os.environ["DCP_BUCKET"], _scheduled(event))
    for line in results:
        log.info(line)
    for line in failed:
        log.error(line)
    if failed:
        raise RuntimeError("; ".join(failed))
    return results
