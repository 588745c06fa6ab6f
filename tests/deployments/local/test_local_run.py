"""`dcp local run`: the real CellProfiler, from one folder to another.

The first test starts all servers, as a new user does; the others use running servers.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import forked_run
import pytest
import yaml

from deployments.examples.demo.make_plate import IMAGES, LOAD_DATA, PIPELINE, PLATE, make_plate
from deployments.local.emulator_client import Emulator

# One process with test_import.py: the fixtures are created once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("import")]

DEMO = Path(__file__).parents[3] / "deployments" / "examples" / "demo"
OUTPUT = "projects/demo/workspace/analysis"
STRUCTURE = "Metadata_Plate/Metadata_Well/Metadata_Site"


def options(folder: Path, job: dict[str, Any], **settings: object) -> list[str]:
    """Those of `dcp local run`, with the demo's config and one container."""
    values = yaml.safe_load((DEMO / "config.yaml").read_text()) | {"tasks_per_machine": 1}
    (folder / "config.json").write_text(json.dumps(values | settings))
    (folder / "job.json").write_text(json.dumps(job))
    given = ["--config", str(folder / "config.json"), "--job", str(folder / "job.json")]
    given += ["--data", str(folder / "data"), "--output", str(folder / "output")]
    return [*given, "--report", str(folder / "report.json")]


def text_group(well: str, site: int) -> dict[str, str]:
    return {
        "Metadata": f"Metadata_Plate={PLATE},Metadata_Well={well},Metadata_Site={site}",
    }


def mapped_group(well: str, site: int) -> dict[str, str]:
    return {"Metadata_Plate": PLATE, "Metadata_Well": well, "Metadata_Site": str(site)}


def test_dcps_two_kinds_of_groups_and_a_missing_image(tmp_path: Path) -> None:
    make_plate(tmp_path / "data")
    (missing,) = (tmp_path / "data" / IMAGES).glob("*A02*1*DNA*")
    missing.unlink()
    command = [sys.executable, "-m", "deployments.cli", "local", "run"]
    command += options(
        tmp_path,
        {
            "_comment1": "Paths in this file are relative to the root of your S3 bucket",
            "pipeline": PIPELINE,
            "data_file": LOAD_DATA,
            "input": "",
            "output": f"{OUTPUT}/",
            "output_structure": STRUCTURE,
            "_comment2": "The following groups are tasks",
            "groups": [text_group("A01", 1), text_group("A02", 1), mapped_group("A03", 2)],
        },
    )
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 1, done.stderr
    last = done.stdout.splitlines()[-1]
    assert last == "3 jobs: 2 succeeded, 0 skipped, 1 failed, 0 lost; nothing left running"
    report = json.loads((tmp_path / "report.json").read_text())
    (problem,) = report["problems"]
    assert problem["Metadata"] == text_group("A02", 1)["Metadata"]
    assert problem["reason"] == "image_missing"
    assert missing.name in problem["reason_text"]
    assert missing.name in done.stderr
    for well, site in (("A01", 1), ("A03", 2)):
        with (tmp_path / "output" / OUTPUT / PLATE / well / str(site) / "Image.csv").open() as file:
            (row,) = csv.DictReader(file)
        assert row["Metadata_Well"] == well
        assert int(float(row["Count_Nuclei"])) > 0
    assert not (tmp_path / "output" / OUTPUT / PLATE / "A02").exists()


@pytest.mark.usefixtures("prefect")
def test_plates_are_found_in_the_folder_and_groups_in_their_csvs(
    worker_emulator: Emulator, tmp_path: Path
) -> None:
    make_plate(tmp_path / "data")
    arguments = options(
        tmp_path,
        {
            "pipeline": PIPELINE,
            "data_file": LOAD_DATA.replace(PLATE, "{plate}"),
            "output": f"{OUTPUT}/{{plate}}",
            "output_structure": "Metadata_Well/Metadata_Site",
            "groups": {
                "by": ["Metadata_Plate", "Metadata_Well", "Metadata_Site"],
                "wells": ["A01"],
            },
        },
        app_name="Found",
        aws_bucket="found-bucket",
    )
    status, text = forked_run.finish(arguments, tmp_path, worker_emulator)
    assert status == 0, text
    found = {path.relative_to(tmp_path / "output") for path in tmp_path.rglob("Image.csv")}
    assert found == {Path(OUTPUT) / PLATE / "A01" / site / "Image.csv" for site in "12"}


@pytest.mark.usefixtures("prefect")
def test_a_missing_pipeline_is_bad_input(worker_emulator: Emulator, tmp_path: Path) -> None:
    make_plate(tmp_path / "data")
    (tmp_path / "data" / PIPELINE).unlink()
    job = {"pipeline": PIPELINE, "data_file": LOAD_DATA, "input": "", "output": OUTPUT}
    job["groups"] = [text_group("A01", 1)]
    arguments = options(tmp_path, job, app_name="Lacks", aws_bucket="lacks-bucket")
    status, text = forked_run.finish(arguments, tmp_path, worker_emulator)
    assert status == 2
    assert PIPELINE in text
    assert not (tmp_path / "output").exists()
