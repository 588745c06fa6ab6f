"""Groups from a CSV, before a run: the same jobs as listed groups, and their output folders."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from good_project import PLATE, Project, connect

from deployments.local.emulator_client import Emulator
from tasks.aws.clients import Aws

BY = ["Metadata_Plate", "Metadata_Well", "Metadata_Site"]


@pytest.fixture
def aws(emulator: Emulator) -> Aws:
    return connect(emulator.endpoint_url)


def check(project: Project, aws: Aws, at: Path, **job: Any) -> list[tuple[str, str]]:
    project.job.update(job)
    findings = project.find(aws, f"lab-{uuid4().hex[:12]}", at)
    return [(finding.code, str(finding.problem)) for finding in findings if finding.code != "cost"]


@pytest.mark.parametrize(
    "groups",
    [
        {"by": BY},
        {"by": BY, "plates": [PLATE], "sites": "1-9", "exclude": {"Metadata_Well": ["P24"]}},
        {"plates": [PLATE], "rows": "A-B", "columns": "1-2", "sites": "1-2"},
    ],
)
def test_a_good_project_has_no_findings(groups: dict[str, Any], aws: Aws, tmp_path: Path) -> None:
    project = Project()
    sites = {row["Metadata_Site"] for row in project.rows}
    if "sites" in groups:
        groups = {**groups, "sites": sorted(sites)}
    assert check(project, aws, tmp_path, groups=groups) == []


def test_a_filter_that_matches_no_row(aws: Aws, tmp_path: Path) -> None:
    [(_, text)] = check(Project(), aws, tmp_path, groups={"by": BY, "wells": ["A1"]})
    assert "'A1'" in text
    assert "'A01'" in text


def test_a_missing_column(aws: Aws, tmp_path: Path) -> None:
    by = ["Metadata_Plate", "Metadata_Wel", "Metadata_Site"]
    texts = dict(check(Project(), aws, tmp_path, groups={"by": by}, output_structure=""))
    assert "Metadata_Wel:" in texts["csv_metadata_missing"]
    assert "nearest is 'Metadata_Well'" in texts["csv_metadata_missing"]


def test_different_groups_with_one_output_folder(aws: Aws, tmp_path: Path) -> None:
    project = Project()
    plates = ["P1-A", "P1"]
    for row, plate, well in zip(project.rows, plates, ["1", "A-1"], strict=False):
        row.update({"Metadata_Plate": plate, "Metadata_Well": well})
    texts = dict(check(project, aws, tmp_path, groups={"by": BY[:2]}, output_structure=""))
    assert "P1-A-1" in texts["output_clash"]


def test_a_folder_too_long_for_s3(aws: Aws, tmp_path: Path) -> None:
    project = Project()
    project.rows[0]["Metadata_Plate"] = "x" * 900
    texts = dict(check(project, aws, tmp_path, groups={"by": BY}))
    assert "too long" in texts["output_too_long"]
