"""`make demo`: creates a small plate, runs it on this computer, compares its nuclei with the truth.

    python -m deployments.demo [FOLDER]

Exit status: 0 the run succeeded and every well is right, 1 a well is wrong, else the run's own.
"""

import argparse
import csv
import shutil
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from deployments.cli.main import main
from deployments.examples.demo.make_plate import DOSES, PLATE, DemoSite, make_plate

EXAMPLE = Path(__file__).parent / "examples" / "demo"
TOLERANCE = 0.05
"""Maximum relative deviation of the nuclei of a well from the truth."""

BAR = 10  # characters of the fullest well's bar


@dataclass(frozen=True)
class DemoWell:
    """A well's nuclei over all its sites; `counted` is None if a site has no measurements."""

    name: str
    dose: float
    truth: int
    counted: int | None

    @property
    def deviation(self) -> float:
        """The relative deviation of the count from the truth; infinite without a count."""
        if self.counted is None:
            return float("inf")
        return abs(self.counted - self.truth) / self.truth

    @property
    def right(self) -> bool:
        """Whether the deviation is within the tolerance."""
        return self.deviation <= TOLERANCE


def read_counts(folder: Path) -> dict[tuple[str, int], int]:
    """Nuclei by well and site, from every Image.csv below a folder.

    Raises:
        ValueError: A site occurs twice.
    """
    counts: dict[tuple[str, int], int] = {}
    for path in sorted(folder.rglob("Image.csv")):
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                place = row["Metadata_Well"], int(row["Metadata_Site"])
                if place in counts:
                    raise ValueError(f"{path}: well {place[0]}, site {place[1]} occurs twice")
                counts[place] = round(float(row["Count_Nuclei"]))
    return counts


def compare(sites: Iterable[DemoSite], counts: dict[tuple[str, int], int]) -> list[DemoWell]:
    """The wells of the plate, each with its count and the truth."""
    by_well: dict[str, list[DemoSite]] = defaultdict(list)
    for site in sites:
        by_well[site.well].append(site)
    wells = []
    for name, members in by_well.items():
        counted = [counts.get((name, site.site)) for site in members]
        wells.append(
            DemoWell(
                name,
                members[0].dose,
                sum(len(site.nuclei) for site in members),
                sum(count for count in counted if count is not None)
                if None not in counted
                else None,
            )
        )
    return wells


def plate_map(wells: list[DemoWell]) -> Table:
    """The wells in the layout of the plate: dose, counted and true nuclei, a bar."""
    fullest = max(well.truth for well in wells)
    at = {well.name: well for well in wells}
    rows, columns = sorted({name[0] for name in at}), sorted({name[1:] for name in at})
    table = Table(
        title=f"{PLATE}: nuclei per well, counted / truth", title_justify="left", show_lines=True
    )
    table.add_column("")
    for column in columns:
        table.add_column(str(int(column)))
    for row in rows:
        cells = [_cell(at[row + column], fullest) for column in columns if row + column in at]
        table.add_row(row, *cells)
    return table


def _cell(well: DemoWell, fullest: int) -> str:
    counted = "none" if well.counted is None else str(well.counted)
    bar = "█" * round(BAR * (well.counted or 0) / fullest)
    verdict = "" if well.right else " OFF"  # a word, not a colour
    return f"{well.dose:g} µM\n{counted} / {well.truth}{verdict}\n{bar}"


def run(folder: Path) -> int:
    """Run the demo in a folder and replace earlier results; returns the exit status."""
    data, results = folder / "data", folder / "results"
    for earlier in (data, results):
        shutil.rmtree(earlier, ignore_errors=True)
    sites = make_plate(data)
    console = Console()
    console.print(f"created {len(sites)} sites in {len(DOSES)} wells in {data}")
    command = ["local", "run"]
    command += ["--config", str(EXAMPLE / "config.yaml"), "--job", str(EXAMPLE / "job.json")]
    command += ["--data", str(data), "--output", str(results)]
    command += ["--report", str(folder / "report.json")]
    status = main(command)
    if not results.exists():  # the run failed or was interrupted before any job completed
        return status
    wells = compare(sites, read_counts(results))
    console.print(plate_map(wells))
    worst = max(well.deviation for well in wells)
    console.print(f"largest deviation of a well: {worst:.1%} (at most {TOLERANCE:.0%})")
    console.print(f"measurements of every nucleus: {results}")
    return status or int(not all(well.right for well in wells))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Analyse a small plate on this computer.")
    parser.add_argument("folder", type=Path, nargs="?", default=Path("demo-output"))
    sys.exit(run(parser.parse_args().folder))
