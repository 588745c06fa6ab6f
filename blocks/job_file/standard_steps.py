"""Tables of the standard steps of DCP's run_batch_general and of the folders of both path styles.

Every path is a template. `{plate}` stays in the paths that differ from plate to plate.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from blocks.job_file.job_set import PLATE, SITE, WELL

StepName = Literal["zproj", "illum", "qc", "qc_persite", "assaydev", "assaydev_persite", "analysis"]
PathStyle = Literal["default", "cpg"]

Folder = Literal["pipelines", "csv", "batch files", "input"]


@dataclass(frozen=True)
class Step:
    """A standard step.

    Attributes:
        keys: The metadata keys of its groups.
        pipeline: File name of the pipeline.
        csv: File name of the LoadData CSV.
        batch_file: File name of the batch file.
        output: Folder of the outputs, by path style.
        app_suffix: DCP's suffix to the identifier in the app name.
        output_structure: Folders below `output`; empty for the values joined by `-`.
    """

    keys: tuple[str, ...]
    pipeline: str
    csv: str
    batch_file: str
    output: Mapping[PathStyle, str]
    app_suffix: str
    output_structure: str = ""


FOLDERS: Mapping[PathStyle, Mapping[Folder, str]] = {
    "default": {
        "pipelines": "projects/{identifier}/workspace/pipelines/{batch}",
        "csv": "projects/{identifier}/workspace/load_data_csv/{batch}",
        "batch files": "projects/{identifier}/workspace/batchfiles/{batch}",
        "input": "projects/{identifier}/workspace/qc/{batch}/rules",
    },
    "cpg": {
        "pipelines": "{identifier}/{source}/workspace/pipelines/{batch}",
        "csv": "{identifier}/{source}/workspace/load_data_csv/{batch}",
        "batch files": "",
        "input": "{identifier}/{source}/workspace/qc/{batch}/rules",
    },
}
"""The input folders of all steps, by path style."""

_PROJECTED: Mapping[PathStyle, str] = {
    "default": "projects/{identifier}/{batch}/images_projected",
    "cpg": "{identifier}/{source}/images/{batch}/images_projected",
}
_ILLUM: Mapping[PathStyle, str] = {
    "default": "projects/{identifier}/{batch}/illum",
    "cpg": "{identifier}/{source}/images/{batch}/illum",
}
_QC: Mapping[PathStyle, str] = {
    "default": "projects/{identifier}/workspace/qc/{batch}/results",
    "cpg": "{identifier}/{source}/workspace/qc/{batch}/results",
}
_ASSAYDEV: Mapping[PathStyle, str] = {
    "default": "projects/{identifier}/workspace/assaydev/{batch}",
    "cpg": "{identifier}/{source}/workspace/assaydev/{batch}",
}
_ANALYSIS: Mapping[PathStyle, str] = {
    "default": "projects/{identifier}/workspace/analysis/{batch}",
    "cpg": "{identifier}/{source}/workspace/analysis/{batch}",
}

_WELLS = (PLATE, WELL)
_SITES = (PLATE, WELL, SITE)
_RAW, _CORRECTED = "load_data.csv", "load_data_with_illum.csv"

STEPS: Mapping[StepName, Step] = {
    "zproj": Step(
        _SITES,
        "Zproj.cppipe",
        "load_data_unprojected.csv",
        "Batch_data_zproj.h5",
        _PROJECTED,
        "Zproj",
        "Metadata_Plate",
    ),
    "illum": Step((PLATE,), "illum.cppipe", _RAW, "Batch_data_illum.h5", _ILLUM, "Illum"),
    "qc": Step(_WELLS, "qc.cppipe", _RAW, "Batch_data_qc.h5", _QC, "QC"),
    "qc_persite": Step(_SITES, "qc.cppipe", _RAW, "Batch_data_qc.h5", _QC, "QC"),
    "assaydev": Step(
        _WELLS, "assaydev.cppipe", _CORRECTED, "Batch_data_assaydev.h5", _ASSAYDEV, "AssayDev"
    ),
    "assaydev_persite": Step(
        _SITES, "assaydev.cppipe", _CORRECTED, "Batch_data_assaydev.h5", _ASSAYDEV, "AssayDev"
    ),
    "analysis": Step(
        _SITES,
        "analysis.cppipe",
        _CORRECTED,
        "Batch_data_analysis.h5",
        _ANALYSIS,
        "Analysis",
        "Metadata_Plate/analysis/Metadata_Plate-Metadata_Well-Metadata_Site",
    ),
}
"""The steps by name."""

ROWS, COLUMNS, SITES = "A-P", "1-24", "1-9"
"""The default layout of a step, as in DCP."""
