"""Results of jobs, and the true values of the plate."""

from __future__ import annotations

import csv
import io
from typing import Any

from dcp_worker.slot.slot import CACHE_FOLDER
from waiting import wait_for

import plate
from cloud import Cloud, Container, job_message

A01, B02 = (f"Metadata_Plate={plate.PLATE},Metadata_Well={well}" for well in plate.WELLS)
PREFIX = f"{plate.OUTPUT_KEY}/P1-A01/"
OUTPUTS = ("Experiment.csv", "Image.csv", "Nuclei.csv")


def reasons(records: list[dict[str, Any]]) -> list[str]:
    """Status and reason of each record."""
    return [f"{record['status']} {record['reason']}".strip() for record in records]


def attempts(container: Container) -> list[str]:
    """Status and reason of every attempt, in order."""
    return reasons(container.lines())


def counted(cloud: Cloud, prefix: str = PREFIX) -> dict[str, float]:
    """Nuclei by site in the job's Image.csv."""
    rows = csv.DictReader(io.StringIO(cloud.text(f"{prefix}Image.csv")))
    return {row["Metadata_Site"]: float(row["Count_Nuclei"]) for row in rows}


def truth(well: str) -> dict[str, float]:
    return {site: plate.nuclei(well, site) for site in plate.SITES}


def local_files(container: Container) -> list[str]:
    """Files and folders of jobs; the machine's cache stays until the container ends."""
    cache = container.folder / CACHE_FOLDER
    return [str(path) for path in container.folder.rglob("*") if cache not in (path, *path.parents)]


def run_all(cloud: Cloud, container: Container, **changes: str) -> None:
    """Start the container and wait until the queue is empty."""
    container.start(**changes)
    wait_for(cloud.empty, "the queue to be empty")


def send_long(cloud: Cloud, times: int = 30) -> None:
    """Send a job of well A01 that repeats its two image sets `times` times, about 50 ms each."""
    cloud.put_plate()
    cloud.put({"long.csv": plate.load_data(plate.load_data_rows() * times).encode()})
    cloud.send(job_message(data_file="long.csv"))


def shorten(cloud: Cloud) -> None:
    """Let the next attempt at that job process its two image sets only once."""
    cloud.put({"long.csv": plate.load_data(plate.load_data_rows()).encode()})
