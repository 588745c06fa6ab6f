"""The control address: functions for tests and the command line that no AWS API offers.

- `GET containers`: the running containers (task, instance, process id).
- `POST containers/TASK_ID/kill`: SIGKILL to the container's command.
- `POST instances/INSTANCE_ID/interrupt?seconds=S`: a Spot interruption notice.
- `POST instances/INSTANCE_ID/rebalance`: a rebalance recommendation; `.../hang`: freezes its
  containers permanently; `.../disconnect`, `.../connect`: disconnects and reconnects its ECS agent.
- `POST account`: changes permissions, quotas and prices, as JSON (see `AccountLimits`).
- `GET chaos`, `POST chaos`: returns or changes switches, as JSON (see `Chaos`).
- `POST recording?on=true`: starts a new record of requests, or stops it; `GET recording`: requests
  by service and operation since its start.
- `GET events`: events of machines and tasks, oldest first.
"""

from typing import Any

from pydantic import ValidationError
from werkzeug.wrappers import Request, Response

from deployments.local.emulator.core.state import EmulatedMachine, EmulatorState, Region, now
from deployments.local.emulator.ec2.instances import interrupt, recommend_rebalance
from deployments.local.emulator.ecs.container_instances import connect, disconnect
from deployments.local.emulator.protocol.responses import answer_json


def control(emulator: EmulatorState, request: Request, path: str) -> Response:
    """Answer a request to the control address."""
    match request.method, path.split("/"):
        case "GET", ["health"]:
            return answer_json({"status": "ok"})
        case "GET", ["containers"]:
            return answer_json(containers(emulator))
        case "GET", ["events"]:
            return answer_json(list(emulator.events))
        case "GET", ["recording"]:
            return answer_json(emulator.recorder.counts())
        case "POST", ["recording"]:
            emulator.recorder.switch(request.args.get("on") == "true")
            return answer_json({})
        case "POST", ["account"]:
            emulator.account = emulator.account.changed(request.get_json())
            return answer_json({})
        case "GET", ["chaos"]:
            return answer_json(emulator.chaos.model_dump())
        case "POST", ["chaos"]:
            return _change_chaos(emulator, request.get_json())
        case "POST", ["containers", task_id, "kill"]:
            located = emulator.find_task(task_id)
            if located is None or located[1].container is None:
                return answer_json({"error": f"No container of a task {task_id}"}, 404)
            located[1].container.kill_command()
            return answer_json({"killed": located[1].arn})
        case "POST", ["instances", instance_id, "interrupt"]:
            return _interrupt(emulator, instance_id, request.args.get("seconds", type=float))
        case "POST", ["instances", instance_id, what] if what in DEEDS:
            return _do(emulator, instance_id, what)
    return answer_json({"error": f"No {request.method} {path}"}, 404)


def _change_chaos(emulator: EmulatorState, values: dict[str, Any]) -> Response:
    try:
        emulator.chaos = emulator.chaos.changed(values)
    except ValidationError as error:
        return answer_json({"error": str(error)}, 400)
    emulator.chaos_at = now()
    emulator.wake.set()
    return answer_json(emulator.chaos.model_dump())


def _interrupt(emulator: EmulatorState, instance_id: str, seconds: float | None) -> Response:
    located = emulator.find_machine(instance_id)
    if located is None or not located[1].alive:
        return answer_json({"error": f"No running instance {instance_id}"}, 404)
    if located[1].instance.lifecycle != "spot":
        return answer_json({"error": f"{instance_id} is not a Spot instance"}, 409)
    interrupt(emulator, located[1], seconds)
    emulator.wake.set()
    return answer_json({"interrupted": instance_id})


def _do(emulator: EmulatorState, instance_id: str, action: str) -> Response:
    located = emulator.find_machine(instance_id)
    if located is None or not located[1].alive:
        return answer_json({"error": f"No running instance {instance_id}"}, 404)
    DEEDS[action](emulator, *located)
    emulator.wake.set()
    return answer_json({action: instance_id})


def _rebalance(emulator: EmulatorState, region: Region, machine: EmulatedMachine) -> None:
    recommend_rebalance(emulator, machine)


def _hang(emulator: EmulatorState, region: Region, machine: EmulatedMachine) -> None:
    machine.hung = True


def _disconnect(emulator: EmulatorState, region: Region, machine: EmulatedMachine) -> None:
    for container_instance in region.container_instances.values():
        if container_instance.instance_id == machine.instance.id:
            disconnect(emulator, container_instance)


def _connect(emulator: EmulatorState, region: Region, machine: EmulatedMachine) -> None:
    for container_instance in region.container_instances.values():
        if container_instance.instance_id == machine.instance.id:
            connect(container_instance, region.tasks_on(container_instance.arn))


DEEDS = {"rebalance": _rebalance, "hang": _hang, "disconnect": _disconnect, "connect": _connect}


def containers(emulator: EmulatorState) -> list[dict[str, Any]]:
    """Return the running containers."""
    return [
        {
            "task_arn": task.arn,
            "task_id": task.id,
            "instance_id": _instance_id(region, task.container_instance_arn),
            "pid": task.container.pid,
            "last_status": task.last_status,
            "desired_status": task.desired_status,
            "protected": task.protected,
        }
        for region in emulator.regions.values()
        for task in region.tasks()
        if task.container is not None and task.last_status != "STOPPED"
    ]


def _instance_id(region: Any, arn: str) -> str:
    host = region.container_instances.get(arn)
    return "" if host is None else str(host.instance_id)
