"""The lines that CellProfiler 4.2.8 prints when it fails, and what they mean."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class LogPattern:
    """A line of CellProfiler's log and what it means. The first match decides."""

    pattern: re.Pattern[str]
    code: str
    summary: str


def _log_pattern(pattern: str, code: str, summary: str) -> LogPattern:
    return LogPattern(re.compile(pattern), code, summary)


_MODULE_FAILED = "A module of the pipeline failed."

# Faults of the machine come first: they may cause the other errors in the log.
LOG_PATTERNS = (
    _log_pattern(
        r"No space left on device|Disk quota exceeded|database or disk is full",
        "disk_full",
        "The machine's disk is full.",
    ),
    _log_pattern(
        # Python and numpy (_ArrayMemoryError), Java, the operating system, PyTorch.
        r"MemoryError\b|java\.lang\.OutOfMemoryError|Cannot allocate memory|can't allocate memory",
        "out_of_memory",
        "CellProfiler ran out of memory.",
    ),
    _log_pattern(
        # The first two come from a mount that has ended.
        r"Transport endpoint is not connected|Stale file handle|\[Errno 5\] Input/output error"
        r"|IOException: Input/output error|Too many open files|can't start new thread",
        "machine_error",
        "The machine cannot read or write files, or cannot open more files or threads.",
    ),
    _log_pattern(
        # CellProfiler prints the last one when the download of an image was interrupted.
        r"URLError: (?!.*unknown url type)|ContentTooShortError: |HTTP Error (408|429|5\d\d)\b"
        r"|^(http\.client\.\w+|Connection\w*Error|TimeoutError|socket\.(timeout|gaierror))\b"
        r"|The file, \"None\", does not exist",
        "url_unreachable",
        "CellProfiler could not download an image from its URL.",
    ),
    _log_pattern(
        r"Default Output Folder, .* is not a directory|NotADirectoryError",
        "output_folder",
        "CellProfiler cannot use its output folder.",
    ),
    _log_pattern(
        r"Could not find the \S+ module",
        "unknown_module",
        "The pipeline uses a module that this CellProfiler does not have.",
    ),
    _log_pattern(
        r"Failed to load pipeline",
        "pipeline_broken",
        "CellProfiler loaded only a part of the pipeline.",
    ),
    _log_pattern(
        r"Received HDF5 file header was invalid|Could not find file, ",
        "pipeline_unreadable",
        "CellProfiler cannot read the pipeline.",
    ),
    _log_pattern(
        r"The grouping keys specified on the command line",
        "group_keys",
        "The pipeline groups its images by different metadata keys than the job.",
    ),
    _log_pattern(
        r"dictionary update sequence element",
        "group_malformed",
        "CellProfiler cannot read the group.",
    ),
    _log_pattern(
        r"Error on line \d+ of ",
        "csv_malformed",
        "A row of the LoadData CSV has too few columns.",
    ),
    _log_pattern(
        r"Could not load the file as an image",
        "image_unreadable",
        "A file is not an image that CellProfiler can read.",
    ),
    _log_pattern(
        r"The \S+ image is missing from the pipeline",
        "channel_missing",
        "The pipeline uses an image that nothing provides.",
    ),
    _log_pattern(
        r"FileNotFoundError: .*",
        "file_missing",
        "A file that the pipeline reads does not exist.",
    ),
    # Any module may print the lines below, for its own reasons.
    _log_pattern(
        r"Error detected during run of module \S+|Failed to prepare group in module \S+"
        r"|Failed during post-group processing for module \S+",
        "module_failed",
        _MODULE_FAILED,
    ),
    _log_pattern(
        r"zero-size array to reduction operation maximum",
        "csv_empty",
        "The LoadData CSV has a header but no rows.",
    ),
    _log_pattern(
        r"Failed to prepare run for module LoadData",
        "csv_unreadable",
        "LoadData cannot read the CSV.",
    ),
    _log_pattern(
        r"AssertionError: Feature .* for Image does not exist"
        r"|IndexError: index 0 is out of bounds for axis 0 with size 0",
        "group_empty",
        "CellProfiler found no image sets in the group.",
    ),
    _log_pattern(
        r"Failed to (prepare run|complete post_run processing) for module \S+",
        "module_failed",
        _MODULE_FAILED,
    ),
)
