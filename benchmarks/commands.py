"""How long each command of dcp takes, compared with a Python that does nothing.

    .venv/bin/python benchmarks/commands.py [--runs 5] [--json FILE]

Medians of several runs. Commands that call AWS call the emulator, with one run of one failed job;
`retry` only gets as far as connecting to a Prefect server, which does not exist.

--json FILE writes `cpu_seconds` and `wall_seconds` by command.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import yaml
from rich.console import Console
from rich.table import Table

PROJECT = Path(__file__).parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests" / "support")]  # run as a file

from recorded_run import config_at, end, fails, job, new_run, plan  # noqa: E402

from deployments.local.emulator_client import Emulator, start_emulator  # noqa: E402

APP = "Bench"
NOTHING = "python -c pass"
DCP_FILES = PROJECT / "tests" / "support" / "dcp_files"


@dataclass(frozen=True)
class Times:
    """Median seconds of a command's runs."""

    cpu: float
    wall: float


def commands(folder: Path) -> dict[str, list[str]]:
    """The command lines to measure, by their names in the table."""
    config, job_file = folder / "config.yaml", folder / "job.yaml"
    names = {"app_name": "New", "dockerhub_tag": "lab/worker:1", "aws_bucket": "bench-bucket"}
    config.write_text(yaml.safe_dump(names))
    keys = {"pipeline": "p/a.cppipe", "data_file": "p/a.csv", "output": "out"}
    groups = [{"Metadata": "Metadata_Plate=P1,Metadata_Well=A01"}]
    job_file.write_text(yaml.safe_dump(keys | {"groups": groups}))
    dcp_files = [str(DCP_FILES / "config.py"), str(DCP_FILES / "files" / "exampleJob.json")]
    dcp = {
        "--help": ["--help"],
        "--version": ["--version"],
        "retry --help": ["retry", "--help"],
        "import": ["import", *dcp_files, "--output", str(folder / "imported"), "--force"],
        "check": ["check", "--config", str(config), "--job", str(job_file)],
        "status": ["status"],
        f"failures {APP}": ["failures", APP],
        f"cleanup {APP}": ["cleanup", APP],
        "account check": ["account", "check"],
        f"retry {APP}": ["retry", APP],
    }
    script = [sys.executable, "-m", "deployments.cli"]
    return {NOTHING: [sys.executable, "-c", "pass"]} | {
        f"dcp {name}": [*script, *arguments] for name, arguments in dcp.items()
    }


def measured(command: Sequence[str], environment: Mapping[str, str], runs: int) -> Times:
    """Run a command several times, after a first run that fills the caches."""
    cpu, wall = [], []
    for _ in range(runs + 1):
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        # The exit status depends on the account; only a traceback is a defect.
        process = subprocess.run(
            command, env=environment, cwd=PROJECT, capture_output=True, text=True
        )
        after, ended = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        assert "Traceback" not in process.stderr, process.stderr
        cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
        wall.append(ended - started)
    return Times(median(cpu[1:]), median(wall[1:]))


def bare(emulator: Emulator, home: Path) -> dict[str, str]:
    """The environment of a computer with credentials only."""
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }


def table(times: Mapping[str, Times]) -> Table:
    """The times, and their ratio to Python alone."""
    shown = Table("command", box=None, pad_edge=False, header_style="dim")
    for heading in ("CPU s", "wall s", f"CPU of {NOTHING}"):
        shown.add_column(heading, justify="right")
    for name, median_times in times.items():
        ratio = f"{median_times.cpu / times[NOTHING].cpu:.0f} x"
        shown.add_row(name, f"{median_times.cpu:.2f}", f"{median_times.wall:.2f}", ratio)
    return shown


def main() -> None:
    """Measure every command and print the table."""
    parser = argparse.ArgumentParser(description="How long each command of dcp takes.")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="dcp-commands-") as name:
        folder = Path(name)
        with start_emulator(folder / "aws", Path(sys.executable)) as emulator:
            run = new_run(config_at(emulator.endpoint_url, APP))
            (message,) = plan(run, [job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
            fails(run, message, "image_missing")
            end(run)
            environment = bare(emulator, folder)
            times = {
                name: measured(command, environment, options.runs)
                for name, command in commands(folder).items()
            }
    Console().print(table(times))
    if options.json:
        figures = {
            "cpu_seconds": {
                name: round(median_times.cpu, 3) for name, median_times in times.items()
            },
            "wall_seconds": {
                name: round(median_times.wall, 3) for name, median_times in times.items()
            },
        }
        options.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
