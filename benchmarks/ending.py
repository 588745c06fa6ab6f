"""What a run leaves behind, and for how long, when it is stopped from outside.

    python benchmarks/ending.py [--cases TEXT ...] [--trace]

Each case is a run of its own on the emulator, with real worker processes. When the first jobs are
done, the run is cancelled, or Prefect is stopped or killed. The remaining resources are checked
once a second.
"""

import argparse
import shutil
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))

from chaos import SETTINGS
from ending import CASES, CLICK, JOBS, EndingResult, end_a_run
from prefect_site import prefect_site


def seconds(value: float | None) -> str:
    """A time in the table."""
    return "-" if value is None else f"{value:.0f}"


def row(result: EndingResult) -> str:
    """A case as a row of the table."""
    stays = ", ".join(f"{number} {kind}" for kind, number in sorted(result.stays.items()))
    cells = [
        result.case,
        seconds(result.machines),
        seconds(result.everything),
        stays or "nothing",
        f"{result.results} of {JOBS}",
        "ended" if result.ended else "active",
    ]
    return f"| {' | '.join(cells)} |"


def main() -> int:
    """Run the cases and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", nargs="*", default=[], help="only cases with one of these words")
    parser.add_argument("--keep", type=Path, help="keep logs and pictures in this folder")
    parser.add_argument("--trace", action="store_true", help="print what remained at each second")
    options = parser.parse_args()
    chosen = [
        case for case in CASES if not options.cases or any(word in case for word in options.cases)
    ]
    if CLICK in chosen and not shutil.which("chromedriver"):
        print(f"{CLICK}: skipped, because chromedriver is not installed (Debian: chromium-driver)")
        chosen.remove(CLICK)
    idle = SETTINGS["idle_seconds"]
    print(f"Scaled: idle_seconds {idle} (600), jobs of 0.1 to 1 s, monitor_seconds 1 (60).\n")
    print("| cause | machines gone, s | all gone, s | left | results | record |")
    print("|---|---|---|---|---|---|", flush=True)
    with tempfile.TemporaryDirectory(prefix="dcp-ending-") as scratch:
        for number, case in enumerate(chosen):
            folder = (options.keep or Path(scratch)).absolute() / str(number)
            folder.mkdir(parents=True)
            with prefect_site(folder / "prefect") as site:
                result = end_a_run(site, case, folder)
            print(row(result), flush=True)
            for at, kinds in result.trace if options.trace else ():
                print(f"  {at:5.0f} s  {dict(kinds)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
