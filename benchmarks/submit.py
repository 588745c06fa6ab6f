"""How fast jobs get from a LoadData CSV into the queue, and with how much memory.

    .venv/bin/python benchmarks/submit.py [--quick] [--json FILE]

It starts an endpoint (submit_endpoint.py), which answers SQS and S3 requests after 10 ms, and a
Prefect server. Everything is measured, nothing is extrapolated.

The figures:

* `jobs_per_second_vs_single`: jobs per second of `tasks.jobs.submission.send_jobs` (from the plan
  in the run's record to the queue, with progress notes), divided by those of one `send_message`
  after the other on a boto3 queue, as in Distributed-CellProfiler. One process alternates between
  them.
* `rss_mb_10k`, `rss_mb_100k`, `rss_mb_1m`: peak resident set of a process that submits this number
  of jobs: CSV from the bucket, one group per row, plan, queue, in Prefect's tasks and with all
  flows imported. Each in a new process.

--quick skips the 100,000 jobs, and sends only the last 100,000 of the million, like an interrupted
submission; CSV, groups and plan are those of the million.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from submit_endpoint import object_file

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))  # run as a file

from deployments.local.prefect_server import free_port, start_server, use_server  # noqa: E402

TABLE_WIDTH = 120
GOALS = {"jobs_per_second_vs_single": ">= 40", "rss_mb_1m": "< 300"}
NAMES = {10_000: "10k", 100_000: "100k", 1_000_000: "1m"}
SITES, COLUMNS, WELLS = 9, 24, 384
ROW = (
    "r{row:02}c{column:02}f{site}-ch1.tiff,{folder},r{row:02}c{column:02}f{site}-ch2.tiff,{folder},"
    "P{plate:05},{well},{site}\n"
)


@dataclass(frozen=True)
class SubmissionPlan:
    """The measurements.

    Attributes:
        sent: Jobs to send, by number of jobs.
        rounds: Alternations between the two methods.
        singles: Messages per round that are sent one at a time; 10,000 are sent in batches.
    """

    sent: dict[int, int]
    rounds: int
    singles: int


WHOLE = SubmissionPlan(
    {10_000: 10_000, 100_000: 100_000, 1_000_000: 1_000_000}, rounds=10, singles=200
)
QUICK = SubmissionPlan({10_000: 10_000, 1_000_000: 100_000}, rounds=4, singles=100)


@dataclass(frozen=True)
class SubmissionResults:
    """The measured rates, and the submissions by number of jobs."""

    rates: dict[str, Any]
    submissions: dict[int, dict[str, Any]]

    def figures(self) -> dict[str, float]:
        """The figures by name."""
        return {
            "jobs_per_second_vs_single": self.rates["batched"] / self.rates["single"],
            **{
                f"rss_mb_{NAMES[jobs]}": submission["rss_mb"]
                for jobs, submission in self.submissions.items()
            },
        }


def write_csv(file: Path, rows: int) -> None:
    """A LoadData CSV of two channels, of 384-well plates with nine sites a well."""
    files = [f"{kind}Name_{channel}" for channel in ("DNA", "ER") for kind in ("File", "Path")]
    with file.open("w") as csv:
        csv.write(",".join([*files, "Metadata_Plate", "Metadata_Well", "Metadata_Site"]) + "\n")
        for number in range(rows):
            plate, place = divmod(number, WELLS * SITES)
            well, site = divmod(place, SITES)
            row, column = divmod(well, COLUMNS)
            csv.write(
                ROW.format(
                    plate=plate,
                    row=row + 1,
                    column=column + 1,
                    site=site + 1,
                    well=f"{chr(ord('A') + row)}{column + 1:02}",
                    folder=f"/home/ubuntu/bucket/projects/lab/batch/images/P{plate:05}/Images",
                )
            )


@contextmanager
def endpoint(folder: Path) -> Iterator[str]:
    """The endpoint with its objects in a folder; yields its address."""
    command = [sys.executable, str(HERE / "submit_endpoint.py"), str(folder)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.communicate()  # it ends when its standard input closes


def run(measurement: str, address: str, csv: str, *options: object) -> dict[str, Any]:
    """Measure in a new process."""
    command = [sys.executable, str(HERE / "submit_run.py"), measurement, address, csv]
    environment = os.environ | {
        "PYTHONPATH": str(HERE.parent),
        "PREFECT_LOGGING_LEVEL": "ERROR",
        # The tasks run without a flow.
        "PREFECT_LOGGING_TO_API_WHEN_MISSING_FLOW": "ignore",
    }
    ended = subprocess.run(
        [*command, *map(str, options)], env=environment, stdout=subprocess.PIPE, text=True
    )
    if ended.returncode:
        raise SystemExit(f"{measurement} failed with status {ended.returncode}")
    measured: dict[str, Any] = json.loads(ended.stdout)
    return measured


def measure(plan: SubmissionPlan, folder: Path) -> SubmissionResults:
    """Measure everything."""
    objects = folder / "objects"
    objects.mkdir()
    port = free_port()
    use_server(folder / "prefect", port)
    with start_server(folder / "prefect", port) as wait, endpoint(objects) as address:
        for jobs in plan.sent:
            write_csv(object_file(objects, f"{jobs}.csv"), jobs)
        wait()
        few = f"{min(plan.sent)}.csv"
        rates = run("rate", address, few, "--rounds", plan.rounds, "--singles", plan.singles)
        submissions = {
            jobs: run("memory", address, f"{jobs}.csv", "--from", jobs - sent)
            for jobs, sent in plan.sent.items()
        }
    return SubmissionResults(rates, submissions)


def by_goal(results: SubmissionResults) -> Table:
    """A table of the figures and their goals."""
    rates = results.rates
    bases = {
        "jobs_per_second_vs_single": (
            f"{rates['batched']:,.0f} and {rates['single']:.1f} jobs per second; "
            f"{rates['batched_jobs']:,} and {rates['single_jobs']:,} jobs, "
            f"in {rates['rounds']} rounds"
        )
    }
    table = Table(box=box.MARKDOWN)
    for name in ("figure", "measured", "goal", "based on"):
        table.add_column(name)
    for name, value in results.figures().items():
        table.add_row(name, f"{value:.1f}", GOALS.get(name, ""), bases.get(name, ""))
    return table


def by_size(results: SubmissionResults) -> Table:
    """A table of the submissions."""
    table = Table(box=box.MARKDOWN)
    names = (
        "jobs",
        "CSV to plan, s",
        "jobs sent",
        "plan to queue, s",
        "jobs per second",
        "RSS, MB",
    )
    for name in names:
        table.add_column(name, justify="right")
    for jobs, took in results.submissions.items():
        table.add_row(
            f"{jobs:,}",
            f"{took['plan_seconds']:.1f}",
            f"{took['sent']:,}",
            f"{took['send_seconds']:.1f}",
            f"{took['sent'] / took['send_seconds']:,.0f}",
            f"{took['rss_mb']:.0f}",
        )
    return table


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer jobs: within 2 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    console = Console(width=TABLE_WIDTH)  # independent of the terminal: the tables are Markdown
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dcp-submit-") as folder:
        results = measure(QUICK if arguments.quick else WHOLE, Path(folder))
    console.print(by_size(results), by_goal(results))
    console.print(f"{os.cpu_count()} cores, {platform.machine()}.", highlight=False)
    console.print(f"The benchmark took {time.monotonic() - started:.0f} s.", highlight=False)
    if arguments.json:
        figures = {name: round(value, 4) for name, value in results.figures().items()}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
