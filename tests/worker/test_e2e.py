"""The worker as a container, on the real CellProfiler: what a job leaves behind."""

import csv
import io

import plate
import pytest
from cloud import Cloud, Container, job_message, wait_for

pytestmark = pytest.mark.e2e


def counted(cloud: Cloud, key: str) -> dict:
    """Nuclei by site in an Image.csv."""
    rows = csv.DictReader(io.StringIO(cloud.text(key)))
    return {row["Metadata_Site"]: float(row["Count_Nuclei"]) for row in rows}


def test_a_job_leaves_outputs_record_and_log(cloud: Cloud, container: Container) -> None:
    cloud.put_plate()
    cloud.send(job_message())
    container.start()
    wait_for(cloud.empty, "the job to end")
    prefix = f"{plate.OUTPUT_KEY}/P1-A01/"
    assert cloud.keys(prefix) == [f"{prefix}{name}.csv" for name in ("Experiment", "Image", "Nuclei")]
    truth = {site: plate.nuclei("A01", site) for site in plate.SITES}
    assert counted(cloud, f"{prefix}Image.csv") == truth
    (record,) = cloud.records()
    assert record["status"] == "succeeded"
