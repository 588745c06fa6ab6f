"""The worker finds all groups that dcp generates from a CSV.

tests/support/csv_groups.json holds the CSVs and their groups; tests/tasks/jobs/test_csv_groups.py
tests the code that generates the groups against it.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
from dcp_worker.load_data import image_set_index
from dcp_worker.load_data.group_match import CsvError
from dcp_worker.load_data.local_paths import PathMapping

EXAMPLES = json.loads(
    (Path(__file__).parents[2] / "support" / "csv_groups.json").read_text(encoding="utf-8")
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e["about"])
def test_the_worker_finds_every_group(example: dict[str, Any], tmp_path: Path) -> None:
    csv_file = tmp_path / "load_data.csv"
    csv_file.write_bytes(example["csv"].encode())
    keys = example["by"]
    rows = 0
    for *values, count in example["groups"]:
        sets = image_set_index.find(
            csv_file,
            "etag",
            tmp_path / "index",
            keys,
            dict(zip(keys, values)),
            PathMapping("bucket", "/slot"),
            lambda: None,
        )
        assert len(sets.rows) == count
        rows += count
    assert rows == rows_of(example["csv"])


def rows_of(text: str) -> int:
    """Number of rows of a CSV; each is in one of the groups."""
    _, *rows = csv.reader(io.StringIO(text, newline=""))
    return sum(1 for row in rows if row)


def test_the_zeros_of_the_csv_are_not_those_of_the_group(tmp_path: Path) -> None:
    (example,) = (example for example in EXAMPLES if "002 is 2" in example["about"])
    csv_file = tmp_path / "load_data.csv"
    csv_file.write_bytes(example["csv"].encode())
    group = {"Metadata_Plate": "0007", "Metadata_Site": "001"}
    with pytest.raises(CsvError):
        image_set_index.find(
            csv_file,
            "etag",
            tmp_path / "index",
            list(group),
            group,
            PathMapping("bucket", "/slot"),
            lambda: None,
        )
