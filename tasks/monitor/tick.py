"""One tick of the monitor: poll a run, decide what to do, and do it.

A tick is stateless: state between polls is in the run's record. So a loop, a schedule or a person
can run the ticks, from any computer.
"""

import logging
from collections.abc import Set
from dataclasses import replace
from datetime import UTC, datetime

from botocore.exceptions import ClientError

from tasks.aws.errors import error_code, is_transient
from tasks.cost import machine_hours
from tasks.cost.machine_hours import Machines
from tasks.cost.spend import spend_so_far
from tasks.diagnosis.diagnose import FleetDiagnosis, diagnose
from tasks.diagnosis.evidence import collect_symptoms
from tasks.fleet.base import Fleet
from tasks.fleet.find import find_fleets
from tasks.fleet.instances import terminate
from tasks.jobs.results import Account, claim_dead_letters
from tasks.monitor import state
from tasks.monitor.alerts import news
from tasks.monitor.cloudwatch_metrics import publish
from tasks.monitor.observation import Observation
from tasks.monitor.observe import Followed, observe
from tasks.monitor.policy import Decision, decide
from tasks.prefect_output.events import emit
from tasks.resources.cpu_alarms import delete_alarms_of
from tasks.resources.ecs import image_digest, set_desired_count
from tasks.runs import record
from tasks.runs.drain import drain
from tasks.runs.limits import limits_of
from tasks.runs.run import Run

logger = logging.getLogger("prefect.dcp")


def act(run: Run, fleets: list[Fleet], decision: Decision) -> None:
    """Act on a decision, except for ending the run, which is up to the clean-up."""
    if decision.finish:
        drain(run, decision.finish)
    if decision.desired is not None:
        set_desired_count(run, decision.desired)
    if decision.target is not None and fleets:
        _resize(fleets[0], decision.target)
    terminate(run.aws.ec2, sorted(decision.terminate))


def _resize(fleet: Fleet, machines: int) -> None:
    try:
        fleet.resize(machines)
    except ClientError as error:
        # The fleet is being modified; the next poll tries again.
        if "NotInModifiableState" not in error_code(error):
            raise


def diagnose_run(
    run: Run, fleets: list[Fleet], kept: record.RunRecord, worked: bool
) -> tuple[FleetDiagnosis, ...]:
    """Diagnose missing machines and containers; nothing if AWS refuses to answer."""
    since, subnets = kept.fleet_at or kept.started_at, len(kept.fleet.get("subnets", ()))
    try:
        return diagnose(collect_symptoms(run, fleets, since, subnets, worked))
    except ClientError as error:
        if is_transient(error):
            raise
        logger.warning("Could not ask AWS why machines are missing: %s", error)
        return ()


def clear_alarms(run: Run, machines: Machines) -> frozenset[str]:
    """Delete the idle alarms of machines that have ended.

    Returns:
        The machines whose alarms are deleted; those that AWS refuses are tried at the next poll.
    """
    gone = machine_hours.with_alarms(machines)
    return gone if delete_alarms_of(run, gone) else frozenset()


def tick(run: Run, jobs: Set[str] | Followed) -> tuple[Observation, Decision]:
    """Poll the run once, and act on the decision.

    Args:
        run: The run.
        jobs: The ids of its jobs; a loop passes `Followed` jobs, to list many results less often.
    """
    kept = record.load(run)
    if kept is None:
        return Observation(datetime.now(UTC), None, Account()), Decision(
            True, "the run has no record"
        )
    followed = jobs if isinstance(jobs, Followed) else Followed(jobs)
    limits = replace(limits_of(run, kept.counts_from), ended_before=kept.ended_before)
    fleets = find_fleets(run)
    before = state.recall(run)
    seen = observe(run, fleets, followed, limits, before)
    if seen.running < seen.desired or not seen.machines:
        seen = replace(seen, findings=diagnose_run(run, fleets, kept, seen.account.ended > 0))
    known = before.after(seen, limits)
    decision = decide(seen, limits, known)
    known = known.draining(decision.finish)
    if decision.claim:
        claim_dead_letters(run, seen.account.open)
    act(run, fleets, decision)
    # After the actions that save money: a failed write must not keep machines running. The cost
    # counts at the next poll.
    if seen.running and not kept.image_digest:
        record.update(run, image_digest=image_digest(run))
    for one in news(seen, limits, known, decision, before.at):
        emit(run, one.event, one.text, **one.payload)
        known = known.having_told(one.event)
    seen = replace(seen, spend=spend_so_far(run, seen.machines.keys(), seen.at))
    state.keep(run, known.paid(seen.spend, kept.spent_before))
    machines = seen.spend.machines or machine_hours.observe_machines(
        run, seen.machines.keys(), seen.at
    )
    machine_hours.record_machines(run, machines, seen.at, cleared=clear_alarms(run, machines.now))
    publish(run, seen, known.progress.seconds_per_job(seen, limits))
    return seen, decision
