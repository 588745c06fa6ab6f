"""A started run: service, queues, fleet and requested containers, created as by its flows."""

from collections.abc import Mapping

from blocks import FleetTemplate
from tasks.jobs.queues import ensure_queues
from tasks.lifecycle import launch
from tasks.resources.ecs import (
    ensure_cluster,
    ensure_service,
    ensure_task_definition,
    set_desired_count,
    worker_environment,
)
from tasks.resources.log_groups import ensure_log_groups
from tasks.runs.run import Run


def start_run(run: Run, machines: int = 1, more: Mapping[str, str] | None = None) -> None:
    """Set up a run and its fleet like the flows, with one container per machine.

    Args:
        run: The run.
        machines: Number of machines.
        more: Additional environment variables of the containers.
    """
    ensure_cluster(run)
    ensure_log_groups(run)
    urls = ensure_queues(run)
    environment = worker_environment(run, urls.jobs, urls.dead_letters) | dict(more or {})
    ensure_service(run, ensure_task_definition(run, environment))
    launch.request_fleet(run, FleetTemplate(), machines)
    assert set_desired_count(run, machines)
