"""Starting the fleet: machines are requested, and containers placed on them."""

from datetime import UTC, datetime
from typing import Any

from prefect import flow

from blocks import FleetTemplate
from blocks.errors import InputError, Problem
from blocks.reading import load_fleet
from flows.logger import log
from tasks import record
from tasks.limits import containers_needed, limits_of, machines_needed, useful_machines
from tasks.opening import open_existing
from tasks.remedies import how_to_continue
from tasks.results import account
from tasks.start import (
    ensure_dashboard,
    history_start,
    request_fleet,
    start_containers,
    wait_for_machines,
)


@flow(name="dcp-start-fleet")
def start_fleet(
    config: str,
    fleet: str | None = None,
    run_id: str | None = None,
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
) -> str:
    """Start the machines of a run, at most as many as its jobs can use. Can be repeated.

    Args:
        config: Run config: block name, local path or s3:// path.
        fleet: Fleet template or DCP fleet file: block name, local path or s3:// path; left out,
            the one the run was begun with, else the account's default network.
        run_id: Run to start machines for; left out, the app's newest.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that take the place of the config's own.

    Returns:
        The id of the fleet.
    """
    run = open_existing(config, run_id, credentials, settings)
    kept = record.load(run)
    if fleet or kept is None:
        template = load_fleet(fleet, run.config.credentials)
    else:
        template = FleetTemplate(**kept.fleet)
    if kept is None or not record.submitted(run):
        raise InputError(
            Problem(
                f"run {run.run_id}",
                "",
                "has no jobs to start machines for",
                remedy="Submit them first (dcp-submit).",
            )
        )
    limits = limits_of(run, kept.counts_from)
    if datetime.now(UTC) >= limits.ends_at:
        raise InputError(
            Problem(
                f"run {run.run_id}",
                "max_hours",
                "its time is over",
                got=f"{run.config.max_hours} h",
                remedy=how_to_continue(run),
            )
        )
    jobs = len(account(run).open)
    useful = useful_machines(jobs, limits.seconds_per_job, limits)
    machines = min(machines_needed(containers_needed(jobs, limits), limits), useful)
    containers = min(containers_needed(jobs, limits), machines * limits.tasks_per_machine)
    if not machines:
        log("every job has its result; no machine is started")
        return ""
    # Before the machines, which would otherwise be there for nothing if this fails.
    start_containers(run, containers)
    requested = request_fleet(run, template, machines)
    log(f"fleet {requested.id}: {machines} machines asked for, {containers} containers")
    try:
        ensure_dashboard(run, requested)
        asked = record.load(run)
        since = (asked and asked.fleet_at) or kept.started_at
        have = wait_for_machines(run, requested, history_start(since), len(template.subnets), log)
    except BaseException:
        requested.cancel()  # nobody may be watching when this step is run alone
        raise
    log(
        f"{have} machines are there"
        if have
        else "no machine came yet; the fleet asks on, and the monitor tells what AWS says"
    )
    return requested.id
