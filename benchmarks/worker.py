"""The share of the worker's time that CellProfiler computes, compared with a simple poller.

    .venv/bin/python benchmarks/worker.py [--quick] [--json FILE]

One run on one machine. It calibrates the size of a field of view so that CellProfiler takes about
2, 10 and 60 s per image set. Then the worker and the reference (worker_reference.py) measure such
image sets, one per job, with a local queue and bucket. Everything is measured, nothing is
extrapolated; the table shows the number of jobs behind each figure.

The figures:

* `utilisation_10s`: with one slot, seconds of CellProfiler's computation over wall seconds from the
  first receive to the last record. Computation is the sum of ExecutionTime_ in Image.csv: CPU
  seconds while modules run. Other work of the child (loading the pipeline, closing the
  measurements, writing spreadsheets) counts as lost.
* `jobs_per_hour_vs_reference`: of one slot, divided by the reference's, at 10 s.
* `time_ratio_100k_rows`: time of a job with a CSV of 100,000 rows over one with 100 rows, at 2 s:
  medians of the intervals between job ends; the jobs alternate, and the first of each is skipped.
* `two_slots_speedup`: jobs per hour of two slots over one, at 10 s, on all cores of this machine.
* `rss_mb_per_slot`: peak resident set of a slot (its poller and CellProfiler's process, with shared
  pages counted twice), at 10 s.
"""

import argparse
import json
import logging
import math
import os
import platform
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import worker_plate
import worker_reference
from rich import box
from rich.console import Console
from rich.table import Table
from worker_runs import WORKER_PYTHON, Batch, BenchmarkAws, WorkerContainer, aws, container

CALIBRATION_SIZES = (320, 800)
BEYOND = 2.3  # time of a large field goes with this power of its side
FEW_ROWS, MANY_ROWS = 100, 100_000
TABLE_WIDTH = 140
GOALS = {
    "utilisation_10s": ">= 0.95",
    "jobs_per_hour_vs_reference": ">= 4",
    "time_ratio_100k_rows": "0.95 to 1.05",
    "two_slots_speedup": ">= 1.8",
    "rss_mb_per_slot": "",
}


@dataclass(frozen=True)
class WorkerPlan:
    """The number of jobs of each kind, by approximate seconds of CellProfiler.

    Attributes:
        one_slot: Jobs of the worker with one slot.
        reference: Jobs of the reference.
        two_slots: Jobs of the worker with two slots, at 10 s.
        rows: Jobs with the small CSV, and as many with the large one, at 2 s.
    """

    one_slot: dict[int, int]
    reference: dict[int, int]
    two_slots: int
    rows: int


# 10 s with one slot is measured just before 10 s with two, because the machine's speed drifts.
WHOLE = WorkerPlan({2: 15, 60: 2, 10: 20}, {10: 2, 2: 1, 60: 1}, two_slots=16, rows=10)
QUICK = WorkerPlan({10: 3}, {10: 1}, two_slots=4, rows=3)


@dataclass(frozen=True)
class WorkerResults:
    """The measurements, by approximate seconds of CellProfiler per job."""

    one_slot: dict[int, Batch]
    reference: dict[int, float]
    two_slots: Batch
    rows: Batch

    def figures(self) -> dict[str, float]:
        """The figures by name."""
        many, few = self.steady(MANY_ROWS), self.steady(FEW_ROWS)
        return {
            "utilisation_10s": self.one_slot[10].arithmetic / self.one_slot[10].wall,
            "jobs_per_hour_vs_reference": self.one_slot[10].per_hour / self.reference[10],
            "time_ratio_100k_rows": statistics.median(many[1:]) / statistics.median(few[1:]),
            "two_slots_speedup": self.two_slots.per_hour / self.one_slot[10].per_hour,
            "rss_mb_per_slot": max(self.one_slot[10].slot_mb, self.two_slots.slot_mb),
        }

    def steady(self, rows: int) -> list[float]:
        """Seconds of the jobs whose CSV has this number of rows."""
        return [took for csv, took in self.rows.intervals() if f"/rows-{rows}/" in csv]


class Benchmark:
    """Uploads batches and runs them."""

    def __init__(
        self, cloud: BenchmarkAws, folder: Path, plan: WorkerPlan, console: Console
    ) -> None:
        self.cloud = cloud
        self.folder = folder
        self.plan = plan
        self.console = console
        self.sizes: dict[int, int] = {}

    def measure(self) -> WorkerResults:
        """Measure everything."""
        with container(self.cloud, self.folder / "one", slots=1) as one_slot_container:
            self.sizes = self.calibrate(one_slot_container)
            rows = self.by_rows(one_slot_container)
            one_slot = {
                seconds: self.batch(one_slot_container, f"one-slot-{seconds}", seconds, jobs)
                for seconds, jobs in self.plan.one_slot.items()
            }
        with container(self.cloud, self.folder / "two", slots=2) as two:
            # Warm-up of both slots, including everything that CellProfiler loads at first use.
            self.batch(two, "two-slots-first", 2, 2)
            two_slots = self.batch(two, "two-slots", 10, self.plan.two_slots)
        reference = {
            seconds: self.reference(seconds, jobs) for seconds, jobs in self.plan.reference.items()
        }
        return WorkerResults(one_slot, reference, two_slots, rows)

    def calibrate(self, running: WorkerContainer) -> dict[int, int]:
        """Sizes (pixels) of fields that take 2, 10 and 60 s: a x + b x² through two measurements.

        A field that is much larger than both takes more than in proportion to its pixels.
        """
        small, large = CALIBRATION_SIZES
        self.sized(running, "first", small)
        times = {size: self.sized(running, f"size-{size}", size) for size in CALIBRATION_SIZES}
        b = (times[large] / large - times[small] / small) / (large - small)
        a = times[small] / small - b * small
        sizes = {
            seconds: round((math.sqrt(a * a + 4 * b * seconds) - a) / (2 * b))
            for seconds in (2, 10)
        }
        sizes[60] = round(sizes[10] * 6 ** (1 / BEYOND))
        self.say("calibrated", ", ".join(f"{size} px: {s} s" for s, size in sizes.items()))
        return sizes

    def sized(self, running: WorkerContainer, name: str, size: int) -> float:
        """Seconds of computation in a field of this size."""
        worker_plate.put(self.cloud.s3, self.cloud.bucket, name, worker_plate.field(size), 1, 1)
        return running.run(worker_plate.jobs_of(name, 1, 1)).arithmetic

    def put(self, name: str, seconds: int, jobs: int, rows: int) -> list[worker_plate.BenchmarkJob]:
        """Upload a batch; returns its jobs."""
        images = worker_plate.field(self.sizes[seconds])
        worker_plate.put(self.cloud.s3, self.cloud.bucket, name, images, jobs, rows)
        return worker_plate.jobs_of(name, jobs, rows)

    def batch(self, running: WorkerContainer, name: str, seconds: int, jobs: int) -> Batch:
        """Run jobs that take about this number of seconds."""
        batch = running.run(self.put(name, seconds, jobs, FEW_ROWS))
        self.say(name, f"{jobs} jobs in {batch.wall:.1f} s, {batch.arithmetic:.1f} s computation")
        return batch

    def by_rows(self, running: WorkerContainer) -> Batch:
        """Run jobs of the large and the small CSV alternately, the large one first."""
        many, few = (
            self.put(f"rows-{rows}", 2, self.plan.rows, rows) for rows in (MANY_ROWS, FEW_ROWS)
        )
        pairs = zip(many, few, strict=True)
        batch = running.run([job for pair in pairs for job in pair], limit=3600)
        self.say("rows", f"{len(batch.jobs)} jobs in {batch.wall:.1f} s")
        return batch

    def reference(self, seconds: int, jobs: int) -> float:
        """Jobs per hour of the reference."""
        name = f"reference-{seconds}"
        self.cloud.send(self.put(name, seconds, jobs, FEW_ROWS))
        cloud = self.cloud
        cellprofiler = WORKER_PYTHON.with_name("cellprofiler")
        per_hour = worker_reference.jobs_per_hour(
            cloud.sqs,
            cloud.s3,
            cloud.queue_url,
            cloud.bucket,
            cellprofiler,
            self.folder / name,
            jobs,
        )
        self.say(name, f"{jobs} jobs, {per_hour:.0f} per hour")
        return per_hour

    def say(self, topic: str, text: str) -> None:
        """Print progress."""
        self.console.print(f"{time.strftime('%H:%M:%S')} {topic}: {text}")


def by_length(results: WorkerResults, plan: WorkerPlan) -> Table:
    """A table of the worker and the reference by length of the jobs."""
    table = Table(box=box.MARKDOWN)
    columns = ("CellProfiler per job", "wall per job", "utilisation", "jobs per hour", "(jobs)")
    for name in (*columns, "reference", "(jobs)", "ratio"):
        table.add_column(name, justify="right")
    for seconds, batch in sorted(results.one_slot.items()):
        jobs = len(batch.jobs)
        reference = results.reference[seconds]
        table.add_row(
            f"{batch.arithmetic / jobs:.1f} s",
            f"{batch.wall / jobs:.1f} s",
            f"{batch.arithmetic / batch.wall:.3f}",
            f"{batch.per_hour:.0f}",
            str(jobs),
            f"{reference:.0f}",
            str(plan.reference[seconds]),
            f"{batch.per_hour / reference:.1f}",
        )
    return table


def by_goal(results: WorkerResults, plan: WorkerPlan) -> Table:
    """A table of the figures and their goals."""
    ten, two = results.one_slot[10], results.two_slots
    many, few = results.steady(MANY_ROWS), results.steady(FEW_ROWS)
    slower = two.arithmetic / len(two.jobs) / (ten.arithmetic / len(ten.jobs))
    bases = {
        "utilisation_10s": f"{len(ten.jobs)} jobs",
        "jobs_per_hour_vs_reference": f"{len(ten.jobs)} jobs, reference {plan.reference[10]}",
        "time_ratio_100k_rows": (
            f"{len(many) - 1} jobs each: {statistics.median(many[1:]):.2f} s and "
            f"{statistics.median(few[1:]):.2f} s; the first {many[0]:.2f} s"
        ),
        "two_slots_speedup": (
            f"{len(two.jobs)} jobs; the computation itself takes {slower:.3f} times as long"
        ),
        "rss_mb_per_slot": f"and {ten.supervisor_mb:.0f} MB for the supervisor",
    }
    table = Table(box=box.MARKDOWN)
    for name in ("figure", "measured", "goal", "based on"):
        table.add_column(name)
    for name, value in results.figures().items():
        table.add_row(name, f"{value:.3f}", GOALS[name], bases[name])
    return table


def phases(batch: Batch) -> str:
    """The wall time of a batch by phase, per job."""
    jobs = batch.jobs
    means = {
        name: statistics.mean(job.seconds[name] for job in jobs)
        for name in ("download", "cellprofiler", "upload")
    }
    parts = [f"{name} {seconds:.2f} s" for name, seconds in means.items()]
    arithmetic = batch.arithmetic / len(jobs)
    return (
        f"A 10 s job on one slot: {', '.join(parts)}; within cellprofiler {arithmetic:.2f} s of "
        f"computation; {batch.wall / len(jobs):.2f} s from end to end."
    )


def main() -> None:
    """Measure, print the tables, write the figures."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer jobs: within 3 minutes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to FILE")
    arguments = parser.parse_args()
    plan = QUICK if arguments.quick else WHOLE
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    console = Console(width=TABLE_WIDTH)  # independent of the terminal: the tables are Markdown
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, aws() as cloud:
        results = Benchmark(cloud, Path(folder), plan, console).measure()
    console.print(by_length(results, plan), by_goal(results, plan))
    console.print(f"One slot above; {os.cpu_count()} cores, {platform.machine()}.", highlight=False)
    console.print(phases(results.one_slot[10]), highlight=False)
    console.print(f"The benchmark took {time.monotonic() - started:.0f} s.", highlight=False)
    if arguments.json:
        figures = {name: round(value, 4) for name, value in results.figures().items()}
        arguments.json.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
