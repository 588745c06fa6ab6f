"""Runs of which everything breaks that can: are all results there, each once, and is nothing left?

    python benchmarks/chaos.py [--seeds N] [--first SEED] [--jobs N] [--keep DIR]

Each seed is a run of its own on the emulator, with real worker processes and a stand-in for
CellProfiler's arithmetic: Spot interruptions with short notice and killed containers all the time,
the Prefect worker killed, its server ended and started again, the flow's process killed, in an
order and at moments that the seed decides. Exit status 1 when anything is lost, doubled, wrong or
left.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from chaos import Told, chaos_run
from prefect_site import prefect_site

COLUMNS = (
    ("seed", 6),
    ("s", 5),
    ("after last job, s", 18),
    ("interrupted", 12),
    ("killed", 7),
    ("errors", 7),
    ("again", 6),
    ("ended by", 36),
    ("Prefect", 48),
    ("wrong", 0),
)


def row(told: Told) -> list[str]:
    """A run as a row of the table."""
    return [
        str(told.seed),
        f"{told.seconds:.0f}",
        f"{told.after_last:.0f}",
        str(told.interruptions),
        str(told.killed),
        str(told.errors),
        str(told.again),
        told.ended_by,
        ", ".join(told.strikes),
        str(len(told.wrong)),
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
    given = parser.parse_args()
    found = []
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="dcp-chaos-") as scratch:
        folder = (given.keep or Path(scratch)).absolute()
        with prefect_site(folder / "prefect") as site:
            show([name for name, _ in COLUMNS])
            for seed in range(given.first, given.first + given.seeds):
                (folder / str(seed)).mkdir(parents=True)
                found.append(chaos_run(site, seed, folder / str(seed), given.jobs))
                show(row(found[-1]))
    print(f"{len(found)} runs of {given.jobs} jobs in {time.monotonic() - started:.0f} s")
    for told in found:
        for text in told.wrong:
            print(f"seed {told.seed}: {text}")
    return int(any(told.wrong for told in found))


if __name__ == "__main__":
    sys.exit(main())
