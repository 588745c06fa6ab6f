"""CellProfiler's command line, as a list of words that nothing splits again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from dcp_worker.cellprofiler import command_line
from dcp_worker.cellprofiler.command_line import CellProfilerCall
from waiting import wait_for


def call(**changes: object) -> CellProfilerCall:
    return CellProfilerCall(
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
    words = call().command()
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
    assert call(**changes).command()[-len(last) :] == last


def test_nothing_that_it_has_started_outlives_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = ["sh", "-c", "sleep 600 & echo $!"]
    monkeypatch.setattr(command_line, "_executable", lambda: command)
    ended = command_line.run(call(), tmp_path, 60, lambda: None, lambda line: None)
    assert ended.exit_status == 0
    (pid,) = ended.log
    wait_for(lambda: gone(pid), "the process that it left behind to end")


def test_an_error_in_the_middle_of_a_long_log_is_not_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    error = "OSError: [Errno 28] No space left on device"
    script = f"seq 6000; echo '{error}'; seq 6001 30000"
    monkeypatch.setattr(command_line, "_executable", lambda: ["sh", "-c", script])
    ended = command_line.run(call(), tmp_path, 60, lambda: None, lambda line: None)
    assert len(ended.log) < 6000
    assert error in ended.log
    numbers = [int(line) for line in ended.log if line != error]
    assert numbers == sorted(numbers)
    assert (numbers[0], numbers[-1]) == (1, 30000)


def gone(pid: str) -> bool:
    """Whether a process has exited (its state is Z until its parent reaps it)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True
