"""A plate on the local disk, and the folder of one job after the other: no cloud."""

from __future__ import annotations

import csv
import io
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dcp_worker.cellprofiler.command_line import CellProfilerCall, CellProfilerEnd
from dcp_worker.diagnosis.diagnose import Evidence, diagnose

import plate

A01 = "Metadata_Plate=P1,Metadata_Well=A01"
B02 = "Metadata_Plate=P1,Metadata_Well=B02"
# Different in every run of CellProfiler.
OWN = ("ExecutionTime_", "Timestamp")

RUN_PYTHON = """\
from cellprofiler_core.module import Module
from cellprofiler_core.setting.text import Text


class RunPython(Module):
    module_name = "RunPython"
    category = "Advanced"
    variable_revision_number = 1

    def create_settings(self):
        self.file = Text("File", "")

    def settings(self):
        return [self.file]

    def run(self, workspace):
        with open(self.file.value) as file:
            exec(file.read(), {"workspace": workspace})
"""
_MODULE = """
RunPython:[module_num:5|svn_version:'Unknown'|variable_revision_number:1|show_window:False\
|notes:[]|batch_state:array([], dtype=uint8)|enabled:True|wants_pause:False]
    File:{file}
"""


def never() -> None:
    """No interruption."""


@dataclass(frozen=True)
class LocalPlate:
    """The plate is in `root`; all jobs use the same folder, emptied for each, as in a slot."""

    root: Path

    @classmethod
    def make(cls, root: Path) -> LocalPlate:
        """Write the plate, and the plugin RunPython."""
        plate.write_below(root)
        (root / "plugins").mkdir()
        (root / "plugins" / "runpython.py").write_text(RUN_PYTHON)
        return cls(root)

    @property
    def plugins(self) -> Path:
        return self.root / "plugins"

    @property
    def job(self) -> Path:
        return self.root / "job"

    @property
    def temporary(self) -> Path:
        return self.job / "tmp"

    def rows(self) -> list[dict[str, str]]:
        """Rows of the plate's CSV."""
        return plate.load_data_rows(f"{self.root}/")

    def call(
        self,
        group: str = A01,
        pipeline: str | None = None,
        data: str | None = None,
        given: Path | None = None,
        **changes: object,
    ) -> CellProfilerCall:
        """Prepare a job in a new folder.

        Args:
            group: Its group.
            pipeline: Text of its pipeline, if not the plate's.
            data: Text of its CSV, if not the plate's.
            given: File to use as its pipeline instead.
            changes: Changed arguments of the call.
        """
        shutil.rmtree(self.job, ignore_errors=True)
        for name in ("input", "output", "tmp"):
            (self.job / name).mkdir(parents=True)
        (self.job / "p.cppipe").write_text(plate.pipeline() if pipeline is None else pipeline)
        text = plate.load_data(self.rows()) if data is None else data
        (self.job / "load_data.csv").write_text(text)
        values: dict[str, Any] = {
            "pipeline": given or self.job / "p.cppipe",
            "data_file": self.job / "load_data.csv",
            "group": group,
            "input_folder": self.job / "input",
            "output_folder": self.job / "output",
            "done_file": self.job / "done",
            "plugins": self.plugins,
            **changes,
        }
        return CellProfilerCall(**values)

    def python(self, code: str, **changes: object) -> CellProfilerCall:
        """Prepare a job that runs Python code after its export of each image set."""
        file = self.root / "code.py"
        file.write_text(code)
        text = plate.pipeline().replace("ModuleCount:4", "ModuleCount:5")
        return self.call(pipeline=text + _MODULE.format(file=file), **changes)

    def done(self) -> str | None:
        """Content of the job's done file."""
        path = self.job / "done"
        return path.read_text().strip() if path.exists() else None

    def code(self, ended: CellProfilerEnd) -> str | None:
        """The reason that the worker finds for a run; None: it succeeded."""
        diagnosis = diagnose(
            Evidence(
                exit_status=ended.exit_status,
                signal=ended.signal,
                timed_out=ended.timed_out,
                done=self.done(),
                log=ended.log,
                files=len(self.outputs()),
                seconds=ended.seconds,
            )
        )
        return diagnosis.code if diagnosis else None

    def outputs(self) -> dict[str, object]:
        """Comparable content of the job's output files, by name."""
        folder = self.job / "output"
        return {
            path.relative_to(folder).as_posix(): comparable(path)
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }


def comparable(path: Path) -> object:
    """The cells of a CSV that are the same in every run; all bytes of other files."""
    if path.suffix != ".csv":
        return path.read_bytes()
    rows = list(csv.reader(io.StringIO(path.read_bytes().decode())))
    varying = {
        column
        for column in range(len(rows[0]))
        if any(rows[0][column].startswith(name) for name in OWN)
    }
    return [
        [cell for column, cell in enumerate(row) if column not in varying]
        for row in rows
        if not any(name in cell for cell in row[:1] for name in OWN)
    ]
