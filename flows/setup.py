"""Set-up: creates the queues, cluster, log groups, task definition and service of a run."""

from flows.lifecycle import name_after
from flows.support.dcp_flow import dcp_flow
from flows.support.flow_run import this_run_id
from flows.support.parameters import Config, Credentials, RunId, Settings
from tasks import steps
from tasks.preflight.run_checks import check_credentials
from tasks.runs import record
from tasks.runs.open_run import open_new


@dcp_flow("dcp-setup")
def setup(
    config: Config,
    run_id: RunId = None,
    credentials: Credentials = None,
    settings: Settings = None,
) -> str:
    """Create the resources of a run in AWS, except for the machines. Safe to repeat.

    Without run_id, this starts a new run.

    Returns:
        The id of the run, for the later steps.
    """
    asking = open_new(config, run_id or this_run_id(), credentials, settings)
    name_after(asking, subject="set-up")
    check_credentials(asking)
    record.begin(asking)
    # An existing run keeps its recorded settings, whatever the config says now.
    run = record.find(asking.aws, asking.config, asking.run_id)
    steps.set_up(run)
    return run.run_id
