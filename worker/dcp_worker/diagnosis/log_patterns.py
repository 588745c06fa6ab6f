"""What CellProfiler 4.2.8 prints when it fails, and what that means."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Symptom:
    """A line of CellProfiler's log and what it means. The first that matches decides."""

    pattern: re.Pattern[str]
    code: str
    summary: str
    resolution: str


def _symptom(pattern: str, code: str, summary: str, resolution: str) -> Symptom:
    return Symptom(re.compile(pattern), code, summary, resolution)


_MODULE_FAILED = "A module of the pipeline failed."
_TEST_IT = "Run this group in CellProfiler's test mode."

# What CellProfiler 4.2.8 prints in each case. Faults of the machine come first: whatever else the
# log says may follow from them.
SYMPTOMS = (
    _symptom(
        r"No space left on device|Disk quota exceeded|database or disk is full",
        "disk_full",
        "The disk of the machine is full.",
        "Raise ebs_vol_size or lower the number of slots a machine.",
    ),
    _symptom(
        # numpy's is called _ArrayMemoryError; the third is the system's, the last PyTorch's.
        r"MemoryError\b|java\.lang\.OutOfMemoryError|Cannot allocate memory|can't allocate memory",
        "out_of_memory",
        "CellProfiler ran out of memory.",
        "Raise memory, lower docker_cores or take a larger machine type.",
    ),
    _symptom(
        # The first two are how a mount ends.
        r"Transport endpoint is not connected|Stale file handle|\[Errno 5\] Input/output error"
        r"|IOException: Input/output error|Too many open files|can't start new thread",
        "machine_error",
        "The machine cannot read or write its files, or has no room for another one.",
        "It is tried again.",
    ),
    _symptom(
        # CellProfiler says the last of an image whose download broke off.
        r"URLError: (?!.*unknown url type)|ContentTooShortError: |HTTP Error (408|429|5\d\d)\b"
        r"|^(http\.client\.\w+|Connection\w*Error|TimeoutError|socket\.(timeout|gaierror))\b"
        r"|The file, \"None\", does not exist",
        "url_unreachable",
        "An image that is named by a URL could not be downloaded.",
        "It is tried again.",
    ),
    _symptom(
        r"Default Output Folder, .* is not a directory|NotADirectoryError",
        "output_folder",
        "The output folder could not be made on the machine.",
        "It is a fault of the machine or of a path in the pipeline's export modules.",
    ),
    _symptom(
        r"Could not find the \S+ module",
        "unknown_module",
        "The pipeline has a module that this CellProfiler does not know.",
        "Set use_plugins when it is a plugin, or save the pipeline with CellProfiler 4.2.",
    ),
    _symptom(
        r"Failed to load pipeline",
        "pipeline_broken",
        "The pipeline could be loaded only in part.",
        "The file is cut off or damaged: save it again from CellProfiler.",
    ),
    _symptom(
        r"Received HDF5 file header was invalid|Could not find file, ",
        "pipeline_unreadable",
        "CellProfiler cannot read the pipeline.",
        "The file is empty or is no pipeline: save it again from CellProfiler.",
    ),
    _symptom(
        r"The grouping keys specified on the command line",
        "group_keys",
        "The job's metadata keys are not those by which the pipeline groups its images.",
        "Make Metadata in the job file and the grouping in the pipeline name the same keys.",
    ),
    _symptom(
        r"dictionary update sequence element",
        "group_malformed",
        "CellProfiler cannot read the group.",
        "Write Metadata as K=V,K=V.",
    ),
    _symptom(
        r"Error on line \d+ of ",
        "csv_malformed",
        "A row of the LoadData CSV has too few columns.",
        "Correct that row.",
    ),
    _symptom(
        r"Could not load the file as an image",
        "image_unreadable",
        "A file is not an image that CellProfiler can read.",
        "It is empty, cut off or of another format: copy it again from the microscope.",
    ),
    _symptom(
        r"The \S+ image is missing from the pipeline",
        "channel_missing",
        "The pipeline uses an image that nothing provides.",
        "Give the LoadData CSV FileName_ and PathName_ columns of that name.",
    ),
    _symptom(
        r"FileNotFoundError: .*",
        "file_missing",
        "A file that the pipeline reads does not exist.",
        "Put it below the job's input folder, or correct its path in the CSV or pipeline.",
    ),
    # What follows may be said by any module, for reasons of its own.
    _symptom(
        r"Error detected during run of module \S+|Failed to prepare group in module \S+"
        r"|Failed during post-group processing for module \S+",
        "module_failed",
        _MODULE_FAILED,
        _TEST_IT,
    ),
    _symptom(
        r"zero-size array to reduction operation maximum",
        "csv_empty",
        "The LoadData CSV has a header and no rows.",
        "Make the CSV again.",
    ),
    _symptom(
        r"Failed to prepare run for module LoadData",
        "csv_unreadable",
        "LoadData cannot read the CSV.",
        "Make the CSV again.",
    ),
    _symptom(
        r"AssertionError: Feature .* for Image does not exist"
        r"|IndexError: index 0 is out of bounds for axis 0 with size 0",
        "group_empty",
        "CellProfiler found no image sets in the group.",
        "Compare Metadata with the metadata columns, and the pipeline's range of rows.",
    ),
    _symptom(
        r"Failed to (prepare run|complete post_run processing) for module \S+",
        "module_failed",
        _MODULE_FAILED,
        _TEST_IT,
    ),
)
