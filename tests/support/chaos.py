"""A run of hundreds of jobs with faults everywhere, and the checks of its results.

The flows, the Prefect server and worker, and the worker processes are real; the emulator replaces
AWS, and a stand-in replaces CellProfiler's computation.
"""

import json
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.error import HTTPError

import yaml
from botocore.exceptions import BotoCoreError, ClientError
from chaos_plate import OUTPUT, Plate, make_image
from prefect_site import ENDED, PrefectSite
from remaining_resources import remaining_in_account

from blocks.loading.load import load_config
from deployments.local.bucket_folders import make_bucket
from deployments.local.emulator.guards.fault_injection import CODES, OTHERS, RESET
from deployments.local.emulator_client import Emulator, start_emulator
from deployments.local.environment import worker_python
from tasks.aws.clients import Aws
from tasks.runs import heartbeat, record
from tasks.runs.run import Run

MACHINES, SLOTS = 3, 2
LOOK_SECONDS, MOST_LOOKS = 0.3, 2000
AWAY_SECONDS = 3.0, 8.0  # downtime of Prefect's server or worker
NOTICE_SECONDS = 1.0, 6.0  # of a Spot interruption; 120 on AWS, where jobs take minutes
EVERY_JOBS = 6, 20  # between two interruptions
STRIKES = "worker", "server", "flow"
BETWEEN = 0.15, 0.75  # share of completed jobs at which Prefect is struck
# The worker's settings, scaled to jobs of about a second.
SETTINGS = {
    "dockerhub_tag": "lab/worker:1",
    "cluster_machines": MACHINES,
    "docker_cores": SLOTS,
    "memory": 4000,
    "seconds_to_start": 0,
    "sqs_message_visibility": 15,
    "monitor_seconds": 1,
    "idle_seconds": 20,
    "job_retries": 10,  # DCP's default: no job may fail because of repeated faults
    "warm": False,
}
SHORT_BOOT = 0.5
REAPER, REAPER_SECONDS = "dcp-reaper/reaper", 20
FAULTS = {RESET, *(code for codes in (*CODES.values(), OTHERS) for code, _ in codes)}
# Permanent faults of AWS, as switches of the emulator.
SWITCHES = {
    "errors": 0.05,
    "late": 2,
    "count_lag": 3,
    "low_counts": 0.2,
    "empty_receives": 0.2,
    "duplicates": 0.02,
}


@dataclass
class ChaosResult:
    """The events and the outcome of a run.

    Attributes:
        seed: Seed of all random numbers.
        jobs: Number of jobs.
        seconds: From the start to the end of the last resource.
        after_last: Seconds of these after the last job's result.
        interruptions: Interrupted machines.
        killed: Killed containers.
        errors: Requests that failed on AWS's side.
        strikes: Faults of Prefect, each with the number of completed jobs.
        ended_by: The cause of the run's end.
        again: Jobs that were received more than once.
        wrong: Anything lost, duplicated, wrong or left; empty if all is well.
    """

    seed: int
    jobs: int
    seconds: float = 0.0
    after_last: float = 0.0
    interruptions: int = 0
    killed: int = 0
    errors: int = 0
    strikes: list[str] = field(default_factory=list)
    ended_by: str = ""
    again: int = 0
    wrong: list[str] = field(default_factory=list)


@dataclass
class Strikes:
    """Injects faults, timed by the number of completed jobs, so that slow computers do not matter.

    Attributes:
        site: Prefect.
        emulator: AWS.
        flow_run: The run's flow run.
        rng: The random numbers.
        outcome: Collects the faults.
        plan: Faults of Prefect, each with the number of completed jobs.
        config: File of the run config.
    """

    site: PrefectSite
    emulator: Emulator
    flow_run: str
    rng: random.Random
    outcome: ChaosResult
    plan: dict[str, int]
    config: str
    _next_interruption: int = 0
    _hand: str = ""
    _back: list[tuple[float, Callable[[], None]]] = field(default_factory=list)

    def look(self, done: int) -> None:
        """Inject the faults that are due, and restart what was down for long enough."""
        for name, jobs in list(self.plan.items()):
            if done >= jobs and not self._back and self.site.answers():
                del self.plan[name]
                self.outcome.strikes.append(f"{name} at {done}")
                getattr(self, f"_{name}")()
        for entry in list(self._back):
            if time.monotonic() >= entry[0]:
                self._back.remove(entry)
                entry[1]()
        if self._next_interruption <= done < self.outcome.jobs:
            self._next_interruption = done + self.rng.randint(*EVERY_JOBS)
            self._interrupt()

    def take_over(self) -> None:
        """Finish the run like a person, if Prefect has no reaper."""
        if self.site.has(REAPER) or (self._hand and self.site.state(self._hand) not in ENDED):
            return
        step = "monitor" if not self._hand else "cleanup"
        self._hand = self.site.start_run(f"dcp-{step}/{step}", config=self.config)
        self.outcome.ended_by = "dcp-monitor and dcp-cleanup by hand"

    @property
    def over(self) -> bool:
        """Whether all faults of Prefect have happened and it runs again."""
        return not self.plan and not self._back and self.site.answers()

    def _away(self, start: Callable[[], None]) -> None:
        self._back.append((time.monotonic() + self.rng.uniform(*AWAY_SECONDS), start))

    def _worker(self) -> None:
        self.site.signal_worker(signal.SIGKILL)
        self._away(self.site.start_worker)

    def _server(self) -> None:
        self.site.signal_server(self.rng.choice([signal.SIGKILL, signal.SIGTERM]))
        self._away(self.site.start_server)

    def _flow(self) -> None:
        if not self.site.kill_flows(self.flow_run):
            self.outcome.strikes[-1] += " (gone already)"

    def _interrupt(self) -> None:
        """Interrupt a machine after a short notice, or kill one of its containers."""
        running = self.emulator.containers()
        if not running:
            return
        one = self.rng.choice(sorted(running, key=lambda candidate: str(candidate["task_id"])))
        try:
            if self.rng.random() < 0.3:
                self.emulator.kill_container(one["task_id"])
                self.outcome.killed += 1
            else:
                self.emulator.interrupt(one["instance_id"], self.rng.uniform(*NOTICE_SECONDS))
                self.outcome.interruptions += 1
        except HTTPError:
            return  # it has just been terminated


def chaos_run(site: PrefectSite, seed: int, folder: Path, jobs: int = 300) -> ChaosResult:
    """Run with every possible fault.

    Args:
        site: Prefect.
        seed: Seed of all random numbers.
        folder: Folder for its files.
        jobs: Number of jobs.
    """
    rng = random.Random(seed)
    outcome = ChaosResult(seed, jobs)
    plate = Plate.drawn(jobs, rng)
    image = make_image(folder / "image", worker_python())
    with start_emulator(
        folder / "aws",
        image,
        boot_seconds=SHORT_BOOT,
        shutdown_seconds=1,
    ) as emulator:
        run = prepare(folder, emulator, plate, f"Chaos{seed}")
        emulator.record()
        emulator.set_chaos(seed=seed, **SWITCHES)
        reap(site, run())
        started = time.monotonic()
        flow_run = site.start_run(
            "dcp/full-run",
            config=str(folder / "config.yaml"),
            job=str(plate.job_file(folder)),
            accept_cost=True,
            accept=["image_missing"],
        )
        low, high = (int(share * jobs) for share in BETWEEN)
        moments = sorted(rng.sample(range(low, high), len(STRIKES)))
        names = rng.sample(STRIKES, len(STRIKES))
        plan = dict(zip(names, moments, strict=True))
        strikes = Strikes(site, emulator, flow_run, rng, outcome, plan, str(folder / "config.yaml"))
        last = _until_over(run, strikes, started)
        outcome.seconds = time.monotonic() - started
        outcome.ended_by = outcome.ended_by or _ended_by(site, flow_run)
        outcome.after_last = outcome.seconds - last
        outcome.errors = sum(request["code"] in FAULTS for request in emulator.requests())
        emulator.set_chaos(**{name: type(value)() for name, value in SWITCHES.items()})
        outcome.wrong += remaining_in_account(run().aws, emulator)
        outcome.wrong += wrong_in(run(), plate)
        outcome.again = received_again(run())
    return outcome


def _ended_by(site: PrefectSite, flow_run: str) -> str:
    """The cause of the run's end: its flow, or the reaper if the flow died."""
    outcome = site.outcome(flow_run)
    reaped = site.state(flow_run) not in ENDED and site.has(REAPER)
    return f"{REAPER} (the flow: {outcome})" if reaped else outcome


def reap(site: PrefectSite, run: Run) -> None:
    """Schedule the reaper as often as jobs of a second require."""
    if site.has(REAPER):
        site.save("chaos", run.config.credentials)
        site.schedule(REAPER, REAPER_SECONDS, credentials="chaos", minutes=REAPER_SECONDS / 60)


def prepare(folder: Path, emulator: Emulator, plate: Plate, app: str) -> Callable[[], Run]:
    path = folder / "config.yaml"
    values = {
        **SETTINGS,
        "app_name": app,
        "aws_bucket": f"{app.lower()}-bucket",
        "ecs_cluster": app,
        "aws_credentials": {
            "aws_access_key_id": "local",
            "aws_secret_access_key": "local",
            "aws_client_parameters": {"endpoint_url": emulator.endpoint_url},
        },
    }
    path.write_text(yaml.safe_dump(values))
    config = load_config(str(path))
    aws = Aws.connect(config.credentials, config.aws_region)
    make_bucket(aws.s3, config.aws_bucket, config.aws_region)
    plate.fill(aws, config.aws_bucket)
    return lambda: Run(config, record.latest_id(aws, config) or "", aws)


def _until_over(run: Callable[[], Run], strikes: Strikes, started: float) -> float:
    """Inject faults until nothing is left; returns the time of the last job's result."""
    last, done = 0.0, 0
    for _ in range(MOST_LOOKS):
        time.sleep(LOOK_SECONDS)
        with suppress(ClientError, BotoCoreError):  # the faults also hit this client
            now = run()
            before, done = done, len(result_keys(now)) if now.run_id else 0
            if done > before:
                last = time.monotonic() - started
            strikes.look(done)
            if not now.run_id and strikes.site.state(strikes.flow_run) in ENDED:
                raise AssertionError(
                    f"the run did not begin: {strikes.site.message(strikes.flow_run)}"
                )
            loaded = record.load(now) if now.run_id else None
            ended = loaded is not None and loaded.state == "ended"
            if ended:
                strikes.plan.clear()
            if strikes.over and not ended and not heartbeat.watched(now):
                strikes.take_over()
            # Prefect reports a flow run whose process was killed as running forever.
            if ended and strikes.over and not remaining_in_account(now.aws, strikes.emulator):
                return last
    strikes.outcome.wrong.append(f"not finished after {MOST_LOOKS} polls")
    return last


def objects(run: Run, bucket: str, prefix: str) -> list[str]:
    """All keys below a prefix."""
    pages = run.aws.s3.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    return [item["Key"] for page in pages for item in page.get("Contents", [])]


def result_keys(run: Run) -> list[str]:
    """The keys of all result records."""
    return objects(run, run.config.aws_bucket, run.key("results/"))


def body(run: Run, bucket: str, key: str) -> bytes:
    """The content of an object."""
    return run.aws.s3.get_object(Bucket=bucket, Key=key)["Body"].read()


def wrong_in(run: Run, plate: Plate) -> list[str]:
    """Anything lost, duplicated or wrong in a run that has ended."""
    records = [json.loads(body(run, run.config.aws_bucket, key)) for key in result_keys(run)]
    mistakes = plate.wrong(records)
    outputs = {
        key: body(run, run.config.outputs_bucket, key)
        for key in objects(run, run.config.outputs_bucket, f"{OUTPUT}/")
    }
    expected = plate.expected()
    mistakes += [f"{key} is missing" for key in expected.keys() - outputs.keys()]
    mistakes += [f"{key} is no output" for key in outputs.keys() - expected.keys()]
    both = expected.keys() & outputs.keys()
    mistakes += [f"{key} is wrong" for key in both if expected[key] != outputs[key]]
    report = json.loads(record.read(run, "report.json") or "{}")
    counts = {name: report.get(name) for name in ("submitted", "succeeded", "failed", "lost")}
    good, all_of_it = len(plate.good), len(plate.sites)
    expected_counts = {
        "submitted": all_of_it,
        "succeeded": good,
        "failed": all_of_it - good,
        "lost": 0,
    }
    if counts != expected_counts:
        mistakes.append(f"the report has {counts}, not {expected_counts}")
    return mistakes


def received_again(run: Run) -> int:
    """The number of jobs that were received more than once, from the workers' logs."""
    attempts: Counter[str] = Counter()
    pages = run.aws.logs.get_paginator("filter_log_events").paginate(
        logGroupName=run.names.instance_log_group
    )
    for page in pages:
        for event in page["events"]:
            if event["message"].startswith('{"job_id"'):
                ended = json.loads(event["message"])
                # A killed attempt logs nothing, but the next one counts it.
                attempts[ended["job_id"]] += max(1, ended["attempt"] - attempts[ended["job_id"]])
    return sum(number > 1 for number in attempts.values())
