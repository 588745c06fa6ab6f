"""Asking AWS how a run's machines and containers are, for `tasks.diagnosis.diagnose.findings`.

    symptoms(run, fleets, since) -> Symptoms

Six calls and one a fleet, however many jobs there are; more only where the answers have pages, and
one for each hundred machines.
"""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from tasks.diagnosis.diagnose import RECENT, Machine, StoppedTask, Symptoms
from tasks.fleet.base import Fleet
from tasks.fleet.instances import app_instances, container_instances
from tasks.resources.ecs import find_service
from tasks.runs.run import Run

MOST_TASKS = 100  # in an answer of DescribeTasks (Amazon ECS API Reference)
ALIVE = ("pending", "running")


def symptoms(
    run: Run,
    fleets: Sequence[Fleet],
    since: datetime,
    subnets: int = 0,
    worked: bool = False,
) -> Symptoms:
    """Ask AWS how the run's machines and containers are.

    Args:
        run: The run.
        fleets: Its fleets.
        since: From when on events and stopped tasks count: at the earliest the request of the
            fleet, since what was mended before then is of no concern.
        subnets: Subnets that machines are asked for in; 0 when it is left to AWS.
        worked: Whether a job of the run has come to an end.
    """
    now = datetime.now(UTC)
    recently = max(since, now - RECENT)
    service = find_service(run)
    joined = list(container_instances(run))
    return Symptoms(
        at=now,
        types=tuple(run.config.machine_type),
        subnets=subnets,
        events=tuple(event for fleet in fleets for event in fleet.events(since)),
        machines=tuple(_machines(run, since)),
        joined={
            one["containerInstanceArn"].rpartition("/")[2]: one["ec2InstanceId"] for one in joined
        },
        service=tuple(
            event.get("message", "")
            for event in (service["events"] if service else ())
            if event["createdAt"] >= recently
        ),
        stopped=tuple(_stopped(run, recently)),
        running=service["runningCount"] if service else 0,
        placed=sum(one["runningTasksCount"] + one["pendingTasksCount"] for one in joined),
        worked=worked,
    )


def _machines(run: Run, since: datetime) -> Iterator[Machine]:
    for one in app_instances(run.aws.ec2, run.names.app):
        alive = one["State"]["Name"] in ALIVE
        # EC2 shows a terminated instance for an hour; one of an earlier fleet may be among them.
        if alive or one["LaunchTime"] >= since:
            reason = one.get("StateReason", {})
            code, text = reason.get("Code", ""), reason.get("Message", "")
            told = text if text.startswith(code) else f"{code}: {text}"
            yield Machine(one["InstanceId"], one["LaunchTime"], alive, "" if alive else told)


def _stopped(run: Run, since: datetime) -> Iterator[StoppedTask]:
    """The tasks that have stopped; ECS shows them for at least an hour."""
    ecs, cluster = run.aws.ecs, run.config.ecs_cluster
    arns = ecs.list_tasks(
        cluster=cluster,
        family=run.names.task_family,
        desiredStatus="STOPPED",
        maxResults=MOST_TASKS,
    )["taskArns"]
    if not arns:
        return
    for task in ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]:
        if task.get("stoppedAt", since) >= since:
            yield _stopped_task(task)


def _stopped_task(task: Any) -> StoppedTask:
    containers = task.get("containers", [])
    said = [task.get("stoppedReason", ""), *(one.get("reason", "") for one in containers)]
    exit_codes = [one["exitCode"] for one in containers if one.get("exitCode") is not None]
    started, stopped = task.get("startedAt"), task.get("stoppedAt")
    return StoppedTask(
        code=task.get("stopCode", ""),
        reason="; ".join(dict.fromkeys(filter(None, said))),
        exit_code=max(exit_codes, default=None),
        ran=stopped - started if started and stopped else timedelta(0),
    )
