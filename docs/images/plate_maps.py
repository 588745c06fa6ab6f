"""Draws plate_status.png and plate_seconds.png beside this file, from records that are made up.

`.venv/bin/python docs/images/plate_maps.py`: a plate of 384 wells with four sites each, as the
report of a run draws it.
"""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blocks import RunConfig
from blocks.job_file.plate_layout import FORMATS, row_name
from tasks.aws.clients import Aws
from tasks.report.job_table import job_row, lost_result
from tasks.report.plate_map import seconds_map, status_map
from tasks.report.statistics import Figures
from tasks.runs.run import Run

PLATE, SIZE, SITES = "BR00117010", 384, 4
ROWS, COLUMNS = FORMATS[SIZE]
EMPTY = {(row, COLUMNS - 1) for row in range(8, ROWS)}
DONE_BEFORE = {(row, 0) for row in range(ROWS)}
NO_IMAGE = {(5, column) for column in range(9, 14)}
TOO_LARGE = {(2, 17), (11, 6), (12, 6)}
NO_RESULT = {(14, 20), (14, 21)}
POISONED = {row * COLUMNS + column for row in (3, 7, 9) for column in (4, 11, 12, 19)}


def end_of(at: tuple[int, int], site: int, chance: random.Random) -> tuple[str, dict[str, Any]]:
    """Status and result of the job of a site."""
    if at in DONE_BEFORE:
        return "skipped", {"reason": "already_done"}
    if at in NO_IMAGE and site % 2:
        return "failed", {"reason": "image_missing"}
    if at in TOO_LARGE and site == 1:
        return "failed", {"reason": "out_of_memory"}
    if at in NO_RESULT:
        return "lost", lost_result("")
    away = (at[0] / ROWS - 0.5) ** 2 + (at[1] / COLUMNS - 0.5) ** 2
    cells = 0.15 if at[0] * COLUMNS + at[1] in POISONED else 1 - away
    taken = {"download": 2.1, "cellprofiler": 40 + 90 * cells + chance.gauss(0, 5), "upload": 0.8}
    return "succeeded", {"seconds": taken}


def figures() -> Figures:
    """The figures of the plate."""
    config = RunConfig(app_name="Example", dockerhub_tag="example:1", aws_bucket="example")
    run = Run(config, "example", Aws.connect(config.credentials, config.aws_region))
    chance, found = random.Random(384), Figures()
    for at, site in sites():
        well = f"{row_name(at[0])}{at[1] + 1:02}"
        group = f"Metadata_Plate={PLATE},Metadata_Well={well},Metadata_Site={site}"
        status, result = end_of(at, site, chance)
        found.add(job_row(run, status, {"Metadata": group, **result}))
    return found


def sites() -> Iterator[tuple[tuple[int, int], int]]:
    """Every site of every well that has jobs."""
    for row in range(ROWS):
        for column in range(COLUMNS):
            if (row, column) not in EMPTY:
                for site in range(1, SITES + 1):
                    yield (row, column), site


def main() -> None:
    """Draw both maps."""
    ((name, wells),) = figures().plates.items()
    here = Path(__file__).parent
    (here / "plate_status.png").write_bytes(status_map(name, wells))
    (here / "plate_seconds.png").write_bytes(seconds_map(name, wells))


if __name__ == "__main__":
    main()
