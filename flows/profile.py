"""A profile: standard steps in order, each as its own run."""

import json
import re
from typing import Annotated, Any

from prefect import Flow
from prefect.client.schemas.objects import FlowRun, State
from prefect.states import Completed, Failed
from pydantic import Field

from blocks.job_file.profile import PlannedStep, may_continue
from blocks.plurals import plural
from blocks.prefect_blocks import JobFileBlock, block_of
from flows.full_run import dcp
from flows.lifecycle import end_cancelled, name_after
from flows.support.child_runs import HOOK_OUTAGE_SECONDS, children_of, patient_with_prefect
from flows.support.dcp_flow import dcp_flow
from flows.support.flow_run import this_flow_run
from flows.support.parameters import (
    Accept,
    AcceptCost,
    Config,
    Credentials,
    Fleet,
    Plates,
    Settings,
    Undone,
)
from tasks.prefect_output.run_log import log
from tasks.runs import record
from tasks.runs.open_run import open_new, open_profile, with_settings
from tasks.runs.run import Run


def end_left_steps(flow: Flow[..., Any], flow_run: FlowRun, state: State[Any]) -> None:
    """Clean up the steps of a profile that was cancelled, or whose process was killed."""
    for child in patient_with_prefect(HOOK_OUTAGE_SECONDS)(children_of, flow_run.id):
        end_cancelled(flow, child, state)


@dcp_flow("dcp-profile", on_cancellation=[end_left_steps], on_crashed=[end_left_steps])
def run_profile(
    config: Config,
    profile: Annotated[str, Field(description="Profile: block name, local path or s3:// path.")],
    fleet: Fleet = None,
    credentials: Credentials = None,
    plates: Plates = None,
    settings: Settings = None,
    undone: Undone = False,
    accept_cost: AcceptCost = False,
    accept: Accept = None,
) -> State[Any]:
    """Run the steps of a profile in order, each after the one before it is complete.

    The profile stops after a step if more of its jobs failed than the profile's failed_share, or if
    jobs have no result. Settings apply to all steps; a step's own settings replace them.

    Returns:
        Completed if every step was run, else Failed; either message lists each step's counts.
    """
    asking = open_new(config, "", credentials, settings)
    chosen = open_profile(profile, asking.config.credentials)
    steps = chosen.plan(profile)
    name_after(asking, subject="profile")
    # Reports mistakes in a later step before the first one has run for hours.
    for step in steps:
        with_settings(asking.config, step.settings, f"{profile}: {step.name}: settings")
        step.job.sets(plates or (), f"{profile}: {step.name}")
    done: list[str] = []
    completed = _completed()
    for number, step in enumerate(steps, 1):
        log(f"step {number} of {len(steps)}: {step.name}, app {step.app}")
        job = _saved(step)
        if job in completed:
            log(f"{step.name} was completed before this flow run was retried")
            done.append(f"{step.name}: {completed[job]}")
            continue
        own = {**(settings or {}), **step.settings}
        app = open_new(config, "", credentials, own)
        before = record.latest_id(app.aws, app.config)
        state: State[Any] = dcp(
            config=config,
            job=job,
            fleet=fleet,
            credentials=credentials,
            plates=plates,
            settings=own,
            undone=undone,
            accept_cost=accept_cost,
            accept=accept,
            return_state=True,
        )
        done.append(f"{step.name}: {state.message}")
        stop = "" if state.is_completed() else _stop(app, before, chosen.failed_share)
        if stop:
            left = ", ".join(one.name for one in steps[number:])
            done.append(
                f"stopped after {step.name}: {stop}" + (f"; not run: {left}" if left else "")
            )
            return Failed(message="\n".join(done))
    return Completed(message="\n".join(done))


def _completed() -> dict[str, str]:
    """The job file and message of each step that this flow run completed before it was retried.

    Without this, a retry would run those steps again: Prefect does not store their results.
    """
    return {
        child.parameters["job"]: child.state.message or ""
        for child in children_of(this_flow_run().id)
        if child.state is not None and child.state.is_completed()
    }


def _saved(step: PlannedStep) -> str:
    """Save a step's job file as a block named after its app; returns the block's name.

    You can run the step alone from that block.
    """
    name = re.sub("[^a-z0-9]+", "-", step.app.lower()).strip("-")
    block_of(JobFileBlock, step.job).save(name, overwrite=True)
    return name


def _stop(app: Run, before: str | None, failed_share: float) -> str:
    """Why the profile stops after a step that did not fully succeed; "" if it continues.

    Args:
        app: Names the step's app.
        before: The app's newest run before the step.
        failed_share: The share of its jobs that may fail.
    """
    newest = record.latest_id(app.aws, app.config)
    if newest is None or newest == before:
        return "its run did not start"
    step = Run(app.config, newest, app.aws)
    text = record.read(step, record.REPORT)
    if text is None:
        return "its run has no report"
    report = json.loads(text)
    submitted, failed, lost = (int(report[key]) for key in ("submitted", "failed", "lost"))
    if lost:
        return f"{lost} of {plural(submitted, 'job')} without a result"
    kept = record.load(step)
    if kept is None or kept.state != "ended":
        return "its run has not ended: the clean-up is not complete"
    if may_continue(submitted, failed, lost, failed_share):
        return ""
    return (
        f"{failed} of {plural(submitted, 'job')} failed ({failed / submitted:.1%}), more than the "
        f"failed_share of {failed_share:.1%}"
    )
