"""What is left of a run, and for how long, when its end comes from outside.

    python benchmarks/ending.py [--cases TEXT ...] [--trace]

Each case is a run of its own on the emulator, with real worker processes: when the first jobs are
done the run is cancelled, or Prefect is stopped or killed. What is left is looked at once a second.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from chaos import SETTINGS
from ending import CASES, CLICK, JOBS, Seen, end_a_run
from prefect_site import prefect_site


def seconds(value: float | None) -> str:
    """Seconds in the table."""
    return "they stay" if value is None else f"{value:.0f}"


def row(seen: Seen) -> str:
    """A case as a row of the table."""
    stays = ", ".join(f"{number} {kind}" for kind, number in sorted(seen.stays.items()))
    cells = [
        seen.case,
        seconds(seen.machines),
        seconds(seen.everything).replace("they stay", "-"),
        stays or "nothing",
        f"{seen.results} of {JOBS}",
        "ended" if seen.ended else "active",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=[], help="only cases with one of these words")
    parser.add_argument("--keep", type=Path, help="keep logs and pictures in this folder")
    parser.add_argument("--trace", action="store_true", help="print what was left at each second")
    given = parser.parse_args()
    chosen = [one for one in CASES if not given.cases or any(word in one for word in given.cases)]
    if CLICK in chosen and not shutil.which("chromedriver"):
        print(f"{CLICK}: left out, for there is no chromedriver (Debian: chromium-driver)")
        chosen.remove(CLICK)
    idle = SETTINGS["idle_seconds"]
    print(f"Scaled: idle_seconds {idle} (600), jobs of 0.1 to 1 s, monitor_seconds 1 (60).\n")
    print("| what ended it | machines gone, s | all gone, s | what stays | results | record |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="dcp-ending-") as scratch:
        for number, case in enumerate(chosen):
            folder = (given.keep or Path(scratch)).absolute() / str(number)
            folder.mkdir(parents=True)
            with prefect_site(folder / "prefect") as site:
                seen = end_a_run(site, case, folder)
            print(row(seen), flush=True)
            for at, kinds in seen.trace if given.trace else ():
                print(f"  {at:5.0f} s  {dict(kinds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
