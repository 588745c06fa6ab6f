"""A separate process that keeps a restarted flow run from being marked as crashed again.

When a Prefect worker loses a flow run's process, it runs the flow's hooks, one of which schedules
the flow run again. After the hooks, the worker reports the crash once more and overwrites that
state. Unless a worker has picked up the flow run by then, it would be lost.
"""

import logging
import os
import subprocess
import sys
import time
from uuid import UUID

import httpx
from prefect import get_client
from prefect.client.orchestration import SyncPrefectClient
from prefect.settings import get_current_settings
from prefect.states import AwaitingRetry

POLL_SECONDS = 1
WATCH_SECONDS = 120  # the worker reports the crash again once the process of the hooks has exited


def watch_in_background(flow_run_id: UUID) -> None:
    """Run `watch` in a process that outlives this one, which runs the hooks."""
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    subprocess.Popen(
        [sys.executable, "-m", "flows.support.restart_watch", str(flow_run_id)],
        env=os.environ | settings,
        # The worker waits until every process has closed the output of the hooks.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def watch(flow_run_id: UUID, seconds: float = WATCH_SECONDS) -> None:
    """Schedule a flow run once more if its crash is reported again before a worker picks it up.

    Args:
        flow_run_id: The flow run, which is scheduled.
        seconds: How long to watch.
    """
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        try:
            with get_client(sync_client=True) as client:
                if _is_settled(client, flow_run_id):
                    return
        except httpx.HTTPError as error:
            logging.getLogger(__name__).debug("Could not ask Prefect: %s", error)
        time.sleep(POLL_SECONDS)


def _is_settled(client: SyncPrefectClient, flow_run_id: UUID) -> bool:
    """Whether the flow run is safe; schedules it again if the crash was reported again."""
    states = sorted(client.read_flow_run_states(flow_run_id), key=lambda one: one.timestamp)
    before, last = states[-2:]
    # In any other state, a worker has picked up the flow run.
    if last.is_crashed() and before.is_scheduled():
        client.set_flow_run_state(flow_run_id, AwaitingRetry())
        return True
    return not last.is_scheduled()


if __name__ == "__main__":
    watch(UUID(sys.argv[1]))
