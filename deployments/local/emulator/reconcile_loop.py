"""The emulator's background thread: reconciles the actual state with the desired state."""

import logging
import threading
import time

from deployments.local.emulator.core.state import EmulatorState, Region
from deployments.local.emulator.ec2.cpu_alarms import watch_idle
from deployments.local.emulator.ec2.fleet_reconciler import reconcile_fleets
from deployments.local.emulator.ec2.instances import (
    adopt_all,
    end_interrupted,
    fail_launches,
    forget_terminated,
)
from deployments.local.emulator.ecs.agent import start_tasks, watch_tasks
from deployments.local.emulator.ecs.container_instances import boot, watch_machines
from deployments.local.emulator.ecs.service_scheduler import run_services
from deployments.local.emulator.random_events import disturb
from deployments.local.emulator.services.lambda_functions import run_schedules
from deployments.local.emulator.sqs.metrics import measure_queues, note_counts

log = logging.getLogger(__name__)


def tick(emulator: EmulatorState, region: Region) -> None:
    """Reconcile everything in a region once, from the machines to the services."""
    adopt_all(emulator, region)
    disturb(emulator, region)
    end_interrupted(emulator, region)
    watch_idle(emulator, region)
    fail_launches(emulator, region)
    reconcile_fleets(emulator, region)
    boot(emulator, region)
    watch_machines(emulator, region)
    failed = watch_tasks(emulator, region)
    run_services(emulator, region, [*failed, *start_tasks(emulator, region)])
    note_counts(region)
    measure_queues(emulator, region)
    forget_terminated(emulator, region)
    run_schedules(emulator, region)


def reconcile(emulator: EmulatorState, end: threading.Event) -> None:
    """Tick until the end is set, and soon after every request that changes something.

    A failed tick is logged, and ticks continue: one bad record must not stop the machines.
    """
    logged = ""
    while not end.is_set():
        emulator.wake.wait(emulator.settings.tick_seconds)
        emulator.wake.clear()
        for region in list(emulator.regions.values()):
            try:
                with emulator.lock:
                    tick(emulator, region)
            except Exception as error:
                if repr(error) != logged:
                    log.exception("A tick of region %s failed", region.name)
                logged = repr(error)


def stop_containers(emulator: EmulatorState) -> None:
    """Stop every container: SIGTERM, then SIGKILL after the time in the settings."""
    with emulator.lock:
        tasks = [task for region in emulator.regions.values() for task in region.tasks()]
    running = [task.container for task in tasks if task.container and task.last_status != "STOPPED"]
    for container in running:
        container.terminate()
    limit = time.monotonic() + emulator.settings.shutdown_seconds
    for container in running:
        if not container.wait(max(0.0, limit - time.monotonic())):
            container.end()
    for container in running:
        container.wait(10)
        container.exit_code()
