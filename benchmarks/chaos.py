"""Runs with every possible fault: each job must have one result, and nothing may be left.

    python benchmarks/chaos.py [--seeds N] [--first SEED] [--jobs N] [--keep DIR]

Each seed is a run of its own on the emulator, with real worker processes and a stand-in for
CellProfiler's computation. The seed determines when Spot interruptions with short notice and
container kills happen, and when the Prefect worker is killed, its server restarted and the flow's
process killed. The exit status is 1 if anything is lost, duplicated, wrong or left.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from chaos import ChaosResult, chaos_run
from prefect_site import prefect_site

COLUMNS = (
    ("seed", 6),
    ("s", 5),
    ("after last job, s", 18),
    ("interrupted", 12),
    ("killed", 7),
    ("errors", 7),
    ("repeated", 9),
    ("ended by", 36),
    ("Prefect", 48),
    ("wrong", 0),
)


def row(result: ChaosResult) -> list[str]:
    """A run as a row of the table."""
    return [
        str(result.seed),
        f"{result.seconds:.0f}",
        f"{result.after_last:.0f}",
        str(result.interruptions),
        str(result.killed),
        str(result.errors),
        str(result.again),
        result.ended_by,
        ", ".join(result.strikes),
        str(len(result.wrong)),
    ]


def show(cells: list[str]) -> None:
    """Print a line of the table."""
    padded = (cell.ljust(width) for cell, (_, width) in zip(cells, COLUMNS, strict=True))
    print("  ".join(padded), flush=True)


def main() -> int:
    """Run the seeds and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--keep", type=Path, help="keep all logs in this folder")
    options = parser.parse_args()
    results = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dcp-chaos-") as scratch:
        folder = (options.keep or Path(scratch)).absolute()
        with prefect_site(folder / "prefect") as site:
            show([name for name, _ in COLUMNS])
            for seed in range(options.first, options.first + options.seeds):
                (folder / str(seed)).mkdir(parents=True)
                results.append(chaos_run(site, seed, folder / str(seed), options.jobs))
                show(row(results[-1]))
    print(f"{len(results)} runs of {options.jobs} jobs in {time.monotonic() - started:.0f} s")
    for result in results:
        for text in result.wrong:
            print(f"seed {result.seed}: {text}")
    return int(any(result.wrong for result in results))


if __name__ == "__main__":
    sys.exit(main())
