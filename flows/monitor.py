"""Monitoring: polls a run until it is over, and scales the fleet down as jobs finish."""

from flows.lifecycle import name_after
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import Config, Credentials, RunId, Settings
from tasks import steps
from tasks.monitor.policy import Decision
from tasks.runs.open_run import open_existing


@dcp_flow("dcp-monitor")
def monitor(
    config: Config,
    run_id: RunId = None,
    credentials: Credentials = None,
    settings: Settings = None,
) -> Decision:
    """Monitor a run until every job has a result, or until the run must stop.

    Returns:
        The last decision, with the reason if jobs have no result.
    """
    run = open_existing(config, run_id, credentials, settings)
    name_after(run, subject="monitoring")
    return steps.monitor(run)
