"""The ECS service scheduler: keeps every service at its desired count."""

import math
import time
import uuid
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

from deployments.local.emulator.core.state import EmulatorState, Region, Service, Task, now
from deployments.local.emulator.ecs.agent import request_stop
from deployments.local.emulator.ecs.placement import Host, PlacementRequest, place

REPORTED_AT = 3  # failures in a row
RESTART_SECONDS = 0.5  # the scheduler takes some seconds on AWS
LONGEST_BACK_OFF = 60.0
STOPPED_TASKS_KEPT = timedelta(hours=1)


def requirements(definition: Any) -> tuple[int, int]:
    """Return the CPU units and MiB of memory that a task of a definition reserves.

    Source: the ContainerDefinition of the Amazon ECS API reference: placement counts
    `memoryReservation`, else `memory`; the task's own values take precedence.
    """
    containers = definition.container_definitions
    cpu = definition.cpu or sum(container.get("cpu", 0) for container in containers)
    memory = definition.memory or sum(
        container.get("memoryReservation") or container.get("memory", 0) for container in containers
    )
    return int(cpu), int(memory)


def hosts(region: Region, cluster: str, group: str = "") -> list[Host]:
    """Return the container instances that accept new tasks, with their free resources."""
    free_hosts = []
    for container_instance in region.container_instances.values():
        if (
            container_instance.cluster != cluster
            or container_instance.status != "ACTIVE"
            or not container_instance.connected
        ):
            continue
        tasks = region.tasks_on(container_instance.arn)
        free_hosts.append(
            Host(
                arn=container_instance.arn,
                cpu=container_instance.cpu - sum(task.cpu for task in tasks),
                memory=container_instance.memory - sum(task.memory for task in tasks),
                attributes=container_instance.attributes,
                tasks=sum(task.group == group for task in tasks),
            )
        )
    return free_hosts


def placement_request(definition: Any, request: dict[str, Any]) -> PlacementRequest:
    """Return the placement requirements of a task of a service or RunTask request."""
    cpu, memory = requirements(definition)
    constraints = [*definition.placement_constraints, *request.get("placementConstraints", [])]
    strategies = request.get("placementStrategy", [])
    fields = [strategy.get("field", "") for strategy in strategies if strategy["type"] == "binpack"]
    return PlacementRequest(
        cpu=cpu,
        memory=memory,
        constraints=tuple(
            constraint["expression"]
            for constraint in constraints
            if constraint["type"] == "memberOf"
        ),
        distinct=any(constraint["type"] == "distinctInstance" for constraint in constraints),
        binpack=fields[0].lower() if fields else "",
    )


def new_task(
    region: Region, cluster: str, definition: Any, host: str, group: str, started_by: str
) -> Task:
    """Place a task on a host."""
    cpu, memory = requirements(definition)
    task = Task(
        arn=region.arn("task", cluster, uuid.uuid4().hex),
        cluster_arn=region.arn("cluster", cluster),
        definition=definition,
        container_instance_arn=host,
        group=group,
        started_by=started_by,
        host=region.container_instances[host],
        cpu=cpu,
        memory=memory,
    )
    region.ecs.tasks.setdefault(cluster, {})[task.arn] = task
    return task


def run_services(emulator: EmulatorState, region: Region, failed: Sequence[Task]) -> None:
    """Bring every service of a region closer to its desired count; drop old stopped tasks."""
    for key, service in region.ecs.services.items():
        cluster = key.partition(":")[0]
        tasks = [task for task in region.tasks(cluster) if task.group == service.group]
        live = [task for task in tasks if task.last_status != "STOPPED"]
        if service.status == "DRAINING" and not live:
            service.status = "INACTIVE"
        if service.status == "INACTIVE":
            continue
        _back_off(service, [task for task in failed if task.group == service.group])
        running = [task for task in live if task.desired_status == "RUNNING"]
        staying = [task for task in running if not _on_draining(region, task)]
        _scale_in(service, staying if service.status == "ACTIVE" else running)
        _drain(region, service, running)
        _scale_out(region, cluster, service)
        _steady(service, live)
    _forget_old(region)


def _back_off(service: Service, ended: Sequence[Task]) -> None:
    """Delay the next start after tasks that never ran.

    Source: "Amazon ECS service throttle logic" in the Amazon ECS Developer Guide: tasks that
    stopped after they were RUNNING are replaced without delay. The delay doubles, and is shorter
    than on AWS, where it grows up to 27 minutes.
    """
    for task in ended:
        if task.started_at is not None:
            service.failures, service.next_start = 0, time.monotonic() + RESTART_SECONDS
            continue
        service.failures += 1
        delay = min(0.25 * 2**service.failures, LONGEST_BACK_OFF)
        service.next_start = time.monotonic() + delay
        if service.failures == REPORTED_AT:
            service.add_event("is unable to consistently start tasks successfully.")


def _scale_in(service: Service, running: list[Task]) -> None:
    """Stop excess tasks, the newest first, except protected and stopping tasks.

    Source: "Protect your Amazon ECS tasks from being terminated by scale-in events".
    """
    old = [task for task in running if task.definition.arn != service.task_definition_arn]
    current = [task for task in running if task.definition.arn == service.task_definition_arn]
    deleted = service.status == "DRAINING"
    excess = len(running) - service.desired_count
    newest_first = sorted(current, key=lambda task: task.created_at, reverse=True)
    stopped: list[Task] = []
    for task in [*old, *newest_first]:
        excessive = task in old or len(stopped) < excess
        if excessive and (deleted or not task.protected):
            text = f"Scaling activity initiated by (deployment {service.deployment_id})"
            request_stop(task, "ServiceSchedulerInitiated", text)
            stopped.append(task)
    if stopped:
        names = ", ".join(f"(task {task.id})" for task in stopped)
        service.add_event(f"has stopped {len(stopped)} running tasks: {names}.")
        service.steady = False


def _drain(region: Region, service: Service, running: list[Task]) -> None:
    """Stop tasks on draining machines as far as the minimum healthy percent allows.

    Source: "Draining Amazon ECS container instances". Protected tasks are spared.
    """
    least = service.request.get("deploymentConfiguration", {}).get("minimumHealthyPercent", 100)
    spare = len(running) - math.ceil(service.desired_count * least / 100)
    for task in running:
        if task.desired_status == "STOPPED":
            continue  # Stopped by the scale-in just before.
        if spare > 0 and _on_draining(region, task) and not task.protected:
            request_stop(task, "ServiceSchedulerInitiated", "Container instance is draining.")
            spare -= 1


def _on_draining(region: Region, task: Task) -> bool:
    host = region.container_instances.get(task.container_instance_arn)
    return host is None or host.status == "DRAINING"


def _scale_out(region: Region, cluster: str, service: Service) -> None:
    if service.status != "ACTIVE" or time.monotonic() < service.next_start:
        return
    current = [
        task
        for task in region.tasks(cluster)
        if task.group == service.group and task.desired_status == "RUNNING"
    ]
    staying = [task for task in current if not _on_draining(region, task)]
    most = service.request.get("deploymentConfiguration", {}).get("maximumPercent", 200)
    room = math.floor(service.desired_count * most / 100) - len(current)
    missing = min(service.desired_count - len(staying), room)
    started: list[Task] = []
    reason = ""
    definition = region.ecs.describe_task_definition(service.task_definition_arn)
    while len(started) < missing:
        host, reason = place(
            placement_request(definition, service.request), hosts(region, cluster, service.group)
        )
        if reason:
            break
        started.append(
            new_task(region, cluster, definition, host, service.group, service.deployment_id)
        )
    if reason and reason != service.unplaced:
        service.add_event(
            "was unable to place a task because no container instance met all of its "
            f"requirements. Reason: {reason}"
        )
    service.unplaced = reason
    if started:
        names = " ".join(f"(task {task.id})" for task in started)
        service.add_event(f"has started {len(started)} tasks: {names}.")
        service.steady = False


def _steady(service: Service, live: list[Task]) -> None:
    running = [task for task in live if task.last_status == "RUNNING"]
    if len(running) == len(live) == service.desired_count and not service.steady:
        service.steady = True
        service.add_event("has reached a steady state.")


def _forget_old(region: Region) -> None:
    """Drop tasks that stopped an hour ago; ECS shows them for about that long."""
    limit = now() - STOPPED_TASKS_KEPT
    for tasks in region.ecs.tasks.values():
        for arn in [task.arn for task in tasks.values() if (task.stopped_at or now()) < limit]:
            del tasks[arn]
