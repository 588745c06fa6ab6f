"""CloudWatch alarms on the CPU of a machine, and their actions: terminate, stop, reboot.

Sources: "Create alarms that stop, terminate, reboot, or recover an instance" and "CloudWatch
metrics that are available for your instances" in the Amazon EC2 User Guide (basic monitoring: one
datapoint per five minutes), "Evaluating an alarm" in the Amazon CloudWatch User Guide.
"""

import operator
import os
import re
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from moto.cloudwatch.models import Alarm, cloudwatch_backends
from moto.ec2.models.instance_types import INSTANCE_TYPES

from deployments.local.emulator.core.settings import ACCOUNT_ID
from deployments.local.emulator.core.state import EmulatedMachine, EmulatorState, Region, Task

MEASURE_SECONDS = 300.0
MAX_DATAPOINTS = 288  # datapoints: a day
ACTION = re.compile(r"arn:aws[a-z-]*:automate:[a-z0-9-]+:ec2:(?P<what>terminate|stop|reboot)")
COMPARED = {
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
    "GreaterThanThreshold": operator.gt,
    "GreaterThanOrEqualToThreshold": operator.ge,
}
STATISTICS: Mapping[str, Callable[[Sequence[float]], float]] = {
    "Maximum": max,
    "Minimum": min,
    "Average": lambda values: sum(values) / len(values),
}


def watch_idle(emulator: EmulatorState, region: Region) -> None:
    """Measure the machines when due, and evaluate the alarms."""
    measured = [
        machine
        for machine in region.machines.values()
        if machine.alive and _measure(emulator, region, machine)
    ]
    if not measured:
        return
    for alarm in list(_backend(region).alarms.values()):
        names = {dimension.name: dimension.value for dimension in alarm.dimensions}
        machine = region.machines.get(names.get("InstanceId", ""))
        if alarm.metric_name == "CPUUtilization" and machine is not None and machine.alive:
            _evaluate(emulator, region, alarm, machine)


def _backend(region: Region) -> Any:
    return cloudwatch_backends[ACCOUNT_ID][region.name]


def _measure(emulator: EmulatorState, region: Region, machine: EmulatedMachine) -> bool:
    """Add a datapoint of a machine's CPU if one is due and the CPU time is known."""
    now = time.monotonic()
    since = machine.measured_at or machine.boots_at
    if now < since + MEASURE_SECONDS / emulator.settings.speed:
        return False
    machine.measured_at = now
    used = _used(machine, region)
    if used is None:
        return False
    vcpus = INSTANCE_TYPES[machine.instance.instance_type]["VCpuInfo"]["DefaultVCpus"]
    # This computer may have fewer cores than the emulated machine.
    cores = min(vcpus, os.cpu_count() or 1)
    machine.cpu = [*machine.cpu, 100 * used / (now - since) / cores][-MAX_DATAPOINTS:]
    datum = {
        "MetricName": "CPUUtilization",
        "Dimensions": [{"Name": "InstanceId", "Value": machine.instance.id}],
        "Unit": "Percent",
        "Value": machine.cpu[-1],
    }
    _backend(region).put_metric_data("AWS/EC2", [datum])
    return True


def _used(machine: EmulatedMachine, region: Region) -> float | None:
    """CPU seconds of the machine's containers since the last measurement."""
    total = 0.0
    for task in _tasks(machine, region):
        assert task.container is not None
        used = task.container.cpu_seconds()
        if used is None and not machine.hung:
            return None
        total += max(0.0, (used or 0.0) - task.cpu_used)
        task.cpu_used = used or 0.0
    return total


def _tasks(machine: EmulatedMachine, region: Region) -> list[Task]:
    return [
        task
        for task in region.tasks()
        if task.host.instance_id == machine.instance.id
        and task.container is not None
        and task.last_status != "STOPPED"
    ]


def breached(alarm: Any, datapoints: Sequence[float]) -> bool | None:
    """Whether five-minute datapoints breach an alarm's threshold; None if there are too few.

    "M out of N": at least `DatapointsToAlarm` of the last evaluation periods must breach (default:
    all).
    """
    a_period = max(1, int(alarm.period // MEASURE_SECONDS))
    needed = a_period * alarm.evaluation_periods
    if len(datapoints) < needed:
        return None
    last = datapoints[-needed:]
    periods = [last[start : start + a_period] for start in range(0, needed, a_period)]
    values = [STATISTICS[alarm.statistic](period) for period in periods]
    breaching = sum(COMPARED[alarm.comparison_operator](value, alarm.threshold) for value in values)
    return bool(breaching >= (alarm.datapoints_to_alarm or alarm.evaluation_periods))


def _evaluate(
    emulator: EmulatorState, region: Region, alarm: Any, machine: EmulatedMachine
) -> None:
    is_breached = breached(alarm, machine.cpu)
    state = {None: "INSUFFICIENT_DATA", True: "ALARM", False: "OK"}[is_breached]
    if state == alarm.state_value:
        return
    latest = ", ".join(f"{datapoint:.2f}" for datapoint in machine.cpu[-alarm.evaluation_periods :])
    alarm.update_state(f"Threshold: {alarm.threshold}; last datapoints: [{latest}]", "{}", state)
    if state != "ALARM" or not alarm.actions_enabled:
        return
    for name in alarm.alarm_actions:
        if action := ACTION.fullmatch(name):
            emulator.record_event(
                "alarm-action", instance_id=machine.instance.id, action=action["what"]
            )
            _act(region, machine, action["what"])


def replace() -> None:
    """Make moto's alarms start without data (PutMetricAlarm, Amazon CloudWatch API Reference)."""
    original = Alarm.__init__

    def begin(self: Any, *arguments: Any, **attributes: Any) -> None:
        original(self, *arguments, **attributes)
        self.state_value = "INSUFFICIENT_DATA"

    setattr(Alarm, "__init__", begin)  # noqa: B010 - mypy rejects a plain assignment


def _act(region: Region, machine: EmulatedMachine, what: str) -> None:
    if what == "terminate":
        region.ec2.terminate_instances([machine.instance.id])
    elif what == "stop":
        region.ec2.stop_instances([machine.instance.id])
    else:
        machine.hung, machine.cpu = False, []
        for task in _tasks(machine, region):
            assert task.container is not None
            task.container.end()
