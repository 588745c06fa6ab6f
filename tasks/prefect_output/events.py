"""Events in Prefect that automations act on: mail, chat, webhooks, other flows.

The resource of each is the run, `dcp.run.<app>.<run id>`. Its payload has `text`, a sentence for
people, `app_name`, `run_id` and more. docs/watching.md has the list.
"""

from typing import Any

from tasks.runs.run import Run

STARTED = "dcp.run.started"
COMPLETED = "dcp.run.completed"
FAILED = "dcp.run.failed"
MACHINES_LATE = "dcp.run.machines-late"
JOBS_FAILING = "dcp.jobs.failing"
STALLED = "dcp.run.stalled"
OVER_BUDGET = "dcp.run.over-budget"
OUT_OF_TIME = "dcp.run.out-of-time"
ORPHANED = "dcp.run.orphaned"

LONGEST_TEXT = 2000  # characters: an event should fit into a chat message


def emit(run: Run, event: str, text: str, **payload: Any) -> None:
    """Send an event about a run to Prefect.

    Prefect sends events from its own thread, so this never raises or waits if Prefect is out of
    reach. Without a Prefect server, nothing is sent. The current flow run is related to the event.

    Args:
        run: The run.
        event: One of this module's names.
        text: What happened, in a sentence.
        payload: Further JSON values.
    """
    from prefect.context import FlowRunContext
    from prefect.events import emit_event
    from prefect.settings import get_current_settings

    if get_current_settings().api.url is None and FlowRunContext.get() is None:
        return
    about = {"app_name": run.names.app, "run_id": run.run_id, "text": text[:LONGEST_TEXT]}
    emit_event(event, resource_of(run), payload=about | payload)


def resource_of(run: Run) -> dict[str, str]:
    """The run as a resource of Prefect's events."""
    return {
        "prefect.resource.id": f"dcp.run.{run.names.app}.{run.run_id}",
        "prefect.resource.name": f"{run.names.app} {run.run_id}",
        "dcp.app": run.names.app,
        "dcp.run": run.run_id,
    }
