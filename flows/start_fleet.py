"""Fleet: requests the machines of a run, and starts containers on them."""

from blocks.loading.load import load_fleet
from flows.lifecycle import name_after
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import Config, Credentials, Fleet, RunId, Settings
from tasks import steps
from tasks.runs.open_run import open_existing


@dcp_flow("dcp-start-fleet")
def start_fleet(
    config: Config,
    fleet: Fleet = None,
    run_id: RunId = None,
    credentials: Credentials = None,
    settings: Settings = None,
) -> str:
    """Launch the machines of a run, at most as many as its jobs can use. Safe to repeat.

    Returns:
        The id of the fleet.
    """
    run = open_existing(config, run_id, credentials, settings)
    name_after(run, subject="fleet")
    return steps.start_fleet(run, load_fleet(fleet, run.config.credentials) if fleet else None)
