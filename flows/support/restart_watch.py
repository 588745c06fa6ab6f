"""Keeps a flow run that is to be started again from being taken for crashed: a process of its own.

A Prefect worker that lost a flow run's process has its hooks called, one of which schedules the
flow run again. When the hooks have ended, the worker reports the crash once more, over the state
that the hook has set. A flow run that the worker has not taken up by then would be lost.
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
WATCH_SECONDS = 120  # the worker's report comes when the process of the hooks has ended


def watch_in_background(flow_run_id: UUID) -> None:
    """Run `watch` in a process that outlives this one, which the hooks are called in."""
    settings = get_current_settings().to_environment_variables(exclude_unset=True)
    subprocess.Popen(
        [sys.executable, "-m", "flows.support.restart_watch", str(flow_run_id)],
        env=os.environ | settings,
        # The worker waits until nobody has the output of the hooks open any more.
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def watch(flow_run_id: UUID, seconds: float = WATCH_SECONDS) -> None:
    """Schedule a flow run once more if the crash is reported again before a worker takes it up.

    Args:
        flow_run_id: The flow run, which is scheduled.
        seconds: How long to watch; after that, whatever reports it has had its time.
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
    """Whether nothing is to be done any more for the flow run; does it if it can be done."""
    states = sorted(client.read_flow_run_states(flow_run_id), key=lambda one: one.timestamp)
    before, last = states[-2:]
    # After any other state, a worker has taken the flow run up: its process is on its way.
    if last.is_crashed() and before.is_scheduled():
        client.set_flow_run_state(flow_run_id, AwaitingRetry())
        return True
    return not last.is_scheduled()


if __name__ == "__main__":
    watch(UUID(sys.argv[1]))
