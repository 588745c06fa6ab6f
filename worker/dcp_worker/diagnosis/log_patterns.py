"""The lines that CellProfiler 4.2.8 prints when it fails, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Symptom:
    """A line of CellProfiler's log and what it means. The first match decides."""

    pattern: re.Pattern[str]
    code: str
    summary: str
    resolution: str


def _symptom(pattern: str, code: str, summary: str, resolution: str) -> Symptom:
    return Symptom(re.compile(pattern), code, summary, resolution)


_MODULE_FAILED = "A module of the pipeline failed."
_TEST_IT = "Run this group in CellProfiler's test mode."

# Faults of the machine come first: they may cause the other errors in the log.
SYMPTOMS = (
    _symptom(
        r"No space left on device|Disk quota exceeded|database or disk is full",
        "disk_full",
        "The machine's disk is full.",
        "Raise ebs_vol_size or run fewer slots per machine.",
    ),
    _symptom(
        # Python and numpy (_ArrayMemoryError), Java, the operating system, PyTorch.
        r"MemoryError\b|java\.lang\.OutOfMemoryError|Cannot allocate memory|can't allocate memory",
        "out_of_memory",
        "CellProfiler ran out of memory.",
        "Raise memory, lower docker_cores or take a larger machine type.",
    ),
    _symptom(
        # The first two come from a mount that has ended.
        r"Transport endpoint is not connected|Stale file handle|\[Errno 5\] Input/output error"
        r"|IOException: Input/output error|Too many open files|can't start new thread",
        "machine_error",
        "The machine cannot read or write files, or cannot open more files or threads.",
        "The job is retried.",
    ),
    _symptom(
        # CellProfiler prints the last one when the download of an image was interrupted.
        r"URLError: (?!.*unknown url type)|ContentTooShortError: |HTTP Error (408|429|5\d\d)\b"
        r"|^(http\.client\.\w+|Connection\w*Error|TimeoutError|socket\.(timeout|gaierror))\b"
        r"|The file, \"None\", does not exist",
        "url_unreachable",
        "CellProfiler could not download an image from its URL.",
        "The job is retried.",
    ),
    _symptom(
        r"Default Output Folder, .* is not a directory|NotADirectoryError",
        "output_folder",
        "CellProfiler cannot use its output folder.",
        "Check the paths in the pipeline's export modules; if they are correct, retry.",
    ),
    _symptom(
        r"Could not find the \S+ module",
        "unknown_module",
        "The pipeline uses a module that this CellProfiler does not have.",
        "Set use_plugins if it is a plugin, or save the pipeline with CellProfiler 4.2.",
    ),
    _symptom(
        r"Failed to load pipeline",
        "pipeline_broken",
        "CellProfiler loaded only a part of the pipeline.",
        "The file is truncated or damaged: save it again from CellProfiler.",
    ),
    _symptom(
        r"Received HDF5 file header was invalid|Could not find file, ",
        "pipeline_unreadable",
        "CellProfiler cannot read the pipeline.",
        "The file is empty or not a pipeline: save it again from CellProfiler.",
    ),
    _symptom(
        r"The grouping keys specified on the command line",
        "group_keys",
        "The pipeline groups its images by different metadata keys than the job.",
        "Use the same keys in the job file's Metadata and in the pipeline's grouping.",
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
        "It is empty, truncated or in another format: copy it again from the microscope.",
    ),
    _symptom(
        r"The \S+ image is missing from the pipeline",
        "channel_missing",
        "The pipeline uses an image that nothing provides.",
        "Add FileName_ and PathName_ columns with that name to the LoadData CSV.",
    ),
    _symptom(
        r"FileNotFoundError: .*",
        "file_missing",
        "A file that the pipeline reads does not exist.",
        "Put it into the job's input folder, or correct its path in the CSV or pipeline.",
    ),
    # Any module may print the lines below, for its own reasons.
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
        "The LoadData CSV has a header but no rows.",
        "Create the CSV again.",
    ),
    _symptom(
        r"Failed to prepare run for module LoadData",
        "csv_unreadable",
        "LoadData cannot read the CSV.",
        "Create the CSV again.",
    ),
    _symptom(
        r"AssertionError: Feature .* for Image does not exist"
        r"|IndexError: index 0 is out of bounds for axis 0 with size 0",
        "group_empty",
        "CellProfiler found no image sets in the group.",
        "Compare Metadata with the metadata columns, and check LoadData's range of rows.",
    ),
    _symptom(
        r"Failed to (prepare run|complete post_run processing) for module \S+",
        "module_failed",
        _MODULE_FAILED,
        _TEST_IT,
    ),
)
