"""Continuing a run that was stopped before all jobs were done; max_hours and max_cost start again.

The run keeps its jobs and their results. Size, duration and budget may change; settings that define
a job or its outcome may not.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from blocks import FleetTemplate, RunConfig
from blocks.errors import InputError, Problem
from tasks.cost.spend import spend_so_far
from tasks.fleet.find import find_fleets
from tasks.jobs.queues import count, find_queue
from tasks.jobs.results import account
from tasks.monitor import state
from tasks.runs import record
from tasks.runs.drain import resume
from tasks.runs.heartbeat import watched
from tasks.runs.open_run import NAMING, Settings, with_settings
from tasks.runs.run import Run

MAY_CHANGE = frozenset(
    {
        *("max_hours", "cost_limit", "max_cost", "stall_minutes", "alike_failures", "cheapest"),
        *("seconds_per_job", "cluster_machines", "tasks_per_machine", "machine_type"),
        *("machine_price", "ebs_vol_size", "assign_ip", "docker_cores"),
        *("cpu_shares", "memory", "seconds_to_start", "idle_seconds", "idle_action", "task_role"),
        *("execution_role", "download_files", "job_retries", "job_timeout"),
        *("monitor_seconds", "create_dashboard", "clean_dashboard"),
    }
)
"""Keys of the run config that do not affect the outcome of a job."""


def continued(
    run: Run, settings: Settings = None, template: FleetTemplate | None = None, by: str = ""
) -> Run:
    """Prepare a stopped run to be carried out again.

    Args:
        run: An existing run.
        settings: Keys of the run config to override from now on.
        template: The fleet template to use from now on (default: the run's own).
        by: The flow run that continues it.

    Raises:
        InputError: The run has ended, has no jobs yet or is running, or a setting is wrong or must
            not change.
    """
    config = check(run, settings)
    again = Run(config, run.run_id, run.aws)
    changes: dict[str, Any] = {
        "continued_at": datetime.now(UTC),
        "continued_by": by,
        "spent_before": spend_so_far(run, (), datetime.now(UTC)).usd or 0.0,
        "ended_before": account(run).ended,
        "config": config.model_dump(mode="json", exclude=record.NOT_RECORDED),
        "note": "",
    }
    if template is not None:
        changes["fleet"] = template.model_dump(mode="json", include=set(FleetTemplate.model_fields))
    if _empty(run):
        # SQS drops messages after 14 days, for example. Sending a finished job again is harmless:
        # workers just delete its message.
        record.note_submitted(run, 0)
    state.forget(run)
    resume(run)
    record.update(run, **changes)
    return again


def check(run: Run, settings: Settings = None) -> RunConfig:
    """The config with which a run would be continued. Changes nothing.

    Raises:
        InputError: As for `continued`.
    """
    where = f"run {run.run_id} of app {run.names.app}"
    kept = record.load(run)
    if kept is None or kept.jobs is None:
        remedy = "Submit them (dcp-submit)."
        raise InputError(Problem(where, "", "has no jobs yet", remedy=remedy))
    if kept.state == "ended":
        remedy = "Run failed and lost jobs again with `dcp retry` or deployment `retry-failed`."
        raise InputError(Problem(where, "", "has ended: its queue is gone", remedy=remedy))
    if find_fleets(run) and watched(run):
        remedy = "Wait until it stops, or cancel its flow run."
        raise InputError(Problem(where, "", "is running, and a flow monitors it", remedy=remedy))
    return changed(run.config, settings or {}, where)


def changed(config: RunConfig, settings: Mapping[str, Any], where: str = "settings") -> RunConfig:
    """Override keys of a run's config, if they may change (pure).

    Args:
        config: The run's config.
        settings: Keys of the run config, flat; an unchanged value is allowed for any key.
        where: Name of the run in messages.

    Raises:
        InputError: A key is unknown, its value is wrong, or it must not change; all are named.
    """
    given = {key: value for key, value in settings.items() if key not in NAMING}
    new = with_settings(config, given)
    fixed = [
        Problem(
            where,
            key,
            "cannot change when a run is continued: its jobs would differ",
            got=repr(value),
            allowed=f"{getattr(config, key)!r}, as before",
            remedy="Continue without this setting, or start another run.",
        )
        for key, value in given.items()
        if key not in MAY_CHANGE and getattr(new, key) != getattr(config, key)
    ]
    if fixed:
        raise InputError(*fixed)
    return new


def _empty(run: Run) -> bool:
    url = find_queue(run.aws.sqs, run.names.queue)
    return url is None or count(run.aws.sqs, url).total == 0
