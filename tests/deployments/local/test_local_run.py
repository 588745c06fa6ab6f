"""`dcp local run` as a new user types it: the real CellProfiler, from one folder to another."""

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from deployments.examples.demo.make_plate import IMAGES, LOAD_DATA, PIPELINE, PLATE, make_plate

pytestmark = pytest.mark.e2e

DEMO = Path(__file__).parents[3] / "deployments" / "examples" / "demo"
OUTPUT = "projects/demo/workspace/analysis"
STRUCTURE = "Metadata_Plate/Metadata_Well/Metadata_Site"


def local_run(folder: Path, job: dict[str, Any], config: Path = DEMO / "config.yaml") -> Any:
    (folder / "job.json").write_text(json.dumps(job))
    command = [sys.executable, "-m", "deployments.cli", "local", "run"]
    command += ["--config", str(config), "--job", str(folder / "job.json")]
    command += ["--data", str(folder / "data"), "--output", str(folder / "output")]
    command += ["--report", str(folder / "report.json")]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


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
    done = local_run(
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


def test_plates_are_found_in_the_folder_and_groups_in_their_csvs(tmp_path: Path) -> None:
    make_plate(tmp_path / "data")
    done = local_run(
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
    )
    assert done.returncode == 0, done.stderr
    found = {path.relative_to(tmp_path / "output") for path in tmp_path.rglob("Image.csv")}
    assert found == {Path(OUTPUT) / PLATE / "A01" / site / "Image.csv" for site in "12"}


def test_a_missing_pipeline_is_bad_input(tmp_path: Path) -> None:
    make_plate(tmp_path / "data")
    (tmp_path / "data" / PIPELINE).unlink()
    done = local_run(
        tmp_path,
        {
            "pipeline": PIPELINE,
            "data_file": LOAD_DATA,
            "input": "",
            "output": OUTPUT,
            "groups": [text_group("A01", 1)],
        },
    )
    assert done.returncode == 2
    assert PIPELINE in done.stderr
    assert not (tmp_path / "output").exists()
