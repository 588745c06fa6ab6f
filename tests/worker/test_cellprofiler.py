"""The command line that is run, as a list of words that nothing splits again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dcp_worker.cellprofiler import Call


def call(**changes: object) -> Call:
    return Call(
        **{
            "pipeline": Path("/w/a pipeline.cppipe"),
            "data_file": Path("/w/load data.csv"),
            "group": "Metadata_Plate=-P 1",
            "input_folder": Path("/w/input"),
            "output_folder": Path("/w/output"),
            "done_file": Path("/w/done"),
            **changes,
        }
    )


def test_the_cellprofiler_beside_the_workers_own_python_is_run() -> None:
    words = call().words()
    assert words[0] == str(Path(sys.executable).parent / "cellprofiler")
    assert words[1:] == [
        "-c",
        "-r",
        "-p",
        "/w/a pipeline.cppipe",
        "-i",
        "/w/input",
        "-o",
        "/w/output",
        "-d",
        "/w/done",
        "--data-file=/w/load data.csv",
        "-g",
        "Metadata_Plate=-P 1",
    ]


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ({"data_file": None}, ["/w/done", "-g", "Metadata_Plate=-P 1"]),
        ({"data_file": Path("/w/f.txt"), "group": ""}, ["/w/done", "--file-list=/w/f.txt"]),
        ({"plugins": Path("/p")}, ["Metadata_Plate=-P 1", "--plugins-directory=/p"]),
        ({"always_continue": True}, ["Metadata_Plate=-P 1", "--always-continue"]),
    ],
)
def test_what_a_setting_or_data_file_changes(changes: dict, last: list) -> None:
    assert call(**changes).words()[-len(last) :] == last
