"""Ways to stop a run from outside, and what remains afterwards, second by second."""

import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from browser import click_cancel
from chaos import SHORT_BOOT, prepare, reap, result_keys
from chaos_plate import Plate, make_image
from prefect_site import PrefectSite
from remaining_resources import remaining_in_account
from waiting import wait_for

from deployments.local.emulator_client import Emulator, start_emulator
from deployments.local.environment import worker_python
from tasks.runs import record
from tasks.runs.run import Run

JOBS, BEGUN = 300, 8  # jobs of a run, and how many are completed when it is stopped
LOOK_SECONDS = 1.0
STAYS_SECONDS = 30.0  # remaining resources without any machine count as permanent after this


def cancel(site: PrefectSite, flow_run: str) -> None:
    """Request what the UI's button requests of the API."""
    cancelling = {"state": {"type": "CANCELLING", "name": "Cancelling"}}
    site.ask(f"flow_runs/{flow_run}/set_state", cancelling)


def click(site: PrefectSite, flow_run: str) -> float:
    """The same with a browser; returns the time of the click, long before the browser exits."""
    return click_cancel(f"{site.api.removesuffix('/api')}/runs/flow-run/{flow_run}", site.home)


def stop_worker(site: PrefectSite, flow_run: str) -> None:
    """Send SIGTERM to the Prefect worker, like a service manager."""
    site.signal_worker(signal.SIGTERM)


def kill_worker(site: PrefectSite, flow_run: str) -> None:
    """Send SIGKILL to the Prefect worker."""
    site.signal_worker(signal.SIGKILL)


def kill_flow(site: PrefectSite, flow_run: str) -> None:
    """Send SIGKILL to the flow's process."""
    site.kill_flows(flow_run)


def pull_the_plug(site: PrefectSite, flow_run: str) -> None:
    """Send SIGKILL to all of Prefect."""
    site.signal_worker(signal.SIGKILL)
    site.kill_flows()
    site.signal_server(signal.SIGKILL)


CLICK = "Cancel clicked in the UI"
CASES: dict[str, Callable[[PrefectSite, str], float | None]] = {
    CLICK: click,
    "cancelled by the API": cancel,
    "flow's process killed": kill_flow,
    "Prefect worker stopped": stop_worker,
    "Prefect worker killed": kill_worker,
    "all of Prefect killed": pull_the_plug,
}


@dataclass
class EndingResult:
    """The outcome of a run that was stopped.

    Attributes:
        case: The cause, a key of `CASES`.
        machines: Seconds until the last machine was gone; None if one stayed.
        everything: Seconds until nothing was left; None if something stayed.
        stays: What stayed, by kind.
        results: Jobs with a result at the end.
        ended: Whether the run's record says that it has ended.
        trace: What was left at each second, by kind.
    """

    case: str
    machines: float | None = None
    everything: float | None = None
    stays: Counter[str] = field(default_factory=Counter)
    results: int = 0
    ended: bool = False
    trace: list[tuple[float, Counter[str]]] = field(default_factory=list)


def end_a_run(site: PrefectSite, case: str, folder: Path, limit: float = 240) -> EndingResult:
    """Start a run, stop it in the middle of its jobs, and observe what is left.

    Args:
        site: Prefect; restarted if the case stopped it.
        case: A key of `CASES`.
        folder: Folder for the run's files.
        limit: Seconds after which remaining resources count as permanent.
    """
    plate = Plate.drawn(JOBS, random.Random(case))
    image = make_image(folder / "image", worker_python())
    with start_emulator(
        folder / "aws", image, boot_seconds=SHORT_BOOT, shutdown_seconds=1
    ) as emulator:
        app = "".join(filter(str.isalpha, case.title()))
        run = prepare(folder, emulator, plate, app)
        reap(site, run())
        flow_run = site.start_run(
            "dcp/full-run",
            config=str(folder / "config.yaml"),
            job=str(plate.job_file(folder)),
            accept_cost=True,
            accept=["image_missing"],
        )
        wait_for(lambda: run().run_id and len(result_keys(run())) >= BEGUN, "the first results")
        before = time.monotonic()
        started = CASES[case](site, flow_run) or before
        result = _watch(case, run, emulator, started, limit)
        loaded = record.load(run())
        result.ended = loaded is not None and loaded.state == "ended"
        result.results = len(result_keys(run()))
    return result


def _watch(
    case: str, run: Callable[[], Run], emulator: Emulator, started: float, limit: float
) -> EndingResult:
    result = EndingResult(case)
    while (now := time.monotonic() - started) < limit:
        with suppress(ClientError, BotoCoreError):
            kinds = Counter(
                resource.split()[0] for resource in remaining_in_account(run().aws, emulator)
            )
            result.trace.append((now, kinds))
            result.stays = kinds
            if kinds["machine"]:
                result.machines = None
            elif result.machines is None:
                result.machines = now
            if not kinds:
                result.everything = now
                return result
            if result.machines is not None and now - result.machines > STAYS_SECONDS:
                return result
        time.sleep(LOOK_SECONDS)
    return result
