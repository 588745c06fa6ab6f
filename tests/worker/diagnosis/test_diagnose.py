"""Every row of the failure table, with CellProfiler 4.2.8's output in that case."""

from __future__ import annotations

import errno
import re
from pathlib import Path

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ParamValidationError
from dcp_worker.diagnosis.diagnose import Diagnosis, Evidence, diagnose, diagnose_os, diagnose_s3
from dcp_worker.diagnosis.log_patterns import LOG_PATTERNS
from dcp_worker.diagnosis.reasons import REASONS
from hypothesis import given
from hypothesis import strategies as st

JOBS = Path(__file__).parents[3] / "docs" / "jobs.md"
# Printed at every start of a CellProfiler without a database; it must not affect the diagnosis.
START = [
    "MySQL could not be loaded.",
    "Traceback (most recent call last):",
    "ModuleNotFoundError: No module named 'MySQLdb'",
    "Times reported are CPU and Wall-clock times for each module",
]
MODULE = "Error detected during run of module LoadData"


def evidence(
    *lines: str,
    exit_status: int | None = 0,
    done: str | None = "Complete",
    files: int = 3,
    signal: int | None = None,
    timed_out: bool = False,
) -> Evidence:
    return Evidence(exit_status, signal, timed_out, done, [*START, *lines], files, 12.0)


def failure(run: Evidence) -> Diagnosis:
    diagnosis = diagnose(run)
    assert diagnosis is not None
    return diagnosis


def test_success_needs_everything() -> None:
    assert diagnose(evidence()) is None


TABLE = [
    (
        "missing image",
        255,
        "Failure",
        [MODULE, 'FileNotFoundError: [Errno 2] The file, "/w/nope.tif", does not exist.'],
        "file_missing",
    ),
    (
        "zero-byte image",
        255,
        "Failure",
        [MODULE, "OSError: [Errno 22] Could not load the file as an image (see log): b'/w/z.tif'"],
        "image_unreadable",
    ),
    (
        "group without rows, spreadsheet",
        255,
        "Failure",
        [
            "Failed to complete post_run processing for module ExportToSpreadsheet.",
            "IndexError: index 0 is out of bounds for axis 0 with size 0",
        ],
        "group_empty",
    ),
    (
        "group without rows, database",
        255,
        "Failure",
        ["AssertionError: Feature FileName_DNA for Image does not exist"],
        "group_empty",
    ),
    (
        "wrong grouping key",
        1,
        None,
        [
            "ValueError: The grouping keys specified on the command line (Metadata_Foo) must be "
            "the same as those defined by the modules in the pipeline (Metadata_Plate)"
        ],
        "group_keys",
    ),
    (
        "malformed group",
        1,
        None,
        ["ValueError: dictionary update sequence element #0 has length 1; 2 is required"],
        "group_malformed",
    ),
    (
        "CSV missing",
        255,
        "Failure",
        [
            "Failed to prepare run for module LoadData",
            "FileNotFoundError: [Errno 2] No such file or directory: '/w/ld.csv'",
        ],
        "file_missing",
    ),
    (
        "CSV lacks a channel",
        255,
        "Failure",
        [
            "Error detected during run of module IdentifyPrimaryObjects",
            "ValueError: The OrigRed image is missing from the pipeline.",
        ],
        "channel_missing",
    ),
    (
        "malformed CSV",
        255,
        "Failure",
        [
            "Failed to prepare run for module LoadData",
            "ValueError: Error on line 5 of load_data.csv.",
        ],
        "csv_malformed",
    ),
    (
        "CSV with a header only",
        255,
        "Failure",
        [
            "Failed to prepare run for module LoadData",
            "ValueError: zero-size array to reduction operation maximum which has no identity",
        ],
        "csv_empty",
    ),
    (
        "LoadData fails otherwise",
        255,
        "Failure",
        ["Failed to prepare run for module LoadData", "KeyError: 'Metadata_Plate'"],
        "csv_unreadable",
    ),
    (
        "pipeline missing",
        1,
        None,
        ["OSError: Could not find file, /w/p.cppipe"],
        "pipeline_unreadable",
    ),
    (
        "pipeline empty or garbage",
        1,
        None,
        ["ValueError: Received HDF5 file header was invalid"],
        "pipeline_unreadable",
    ),
    (
        "pipeline truncated",
        0,
        "Complete",
        ["Failed to load pipeline", "ValueError: Invalid format for attributes: [module_num:3|"],
        "pipeline_broken",
    ),
    (
        "unknown module",
        0,
        "Complete",
        ["Failed to load pipeline", "ValueError: Could not find the NoSuchModule module"],
        "unknown_module",
    ),
    (
        "output folder",
        1,
        None,
        ['AssertionError: Default Output Folder, "/w/out", is not a directory'],
        "output_folder",
    ),
    (
        "disk full",
        255,
        "Failure",
        [
            "Error detected during run of module SaveImages",
            "OSError: [Errno 28] No space left on device",
        ],
        "disk_full",
    ),
    (
        "out of memory",
        255,
        "Failure",
        [MODULE, "MemoryError"],
        "out_of_memory",
    ),
    (
        "out of memory, numpy",
        255,
        "Failure",
        [MODULE, "numpy.core._exceptions._ArrayMemoryError: Unable to allocate 728. TiB for an a"],
        "out_of_memory",
    ),
    (
        "out of memory, PyTorch",
        255,
        "Failure",
        [MODULE, "RuntimeError: DefaultCPUAllocator: can't allocate memory: you tried to alloc"],
        "out_of_memory",
    ),
    (
        "disk full, database",
        255,
        "Failure",
        [MODULE, "sqlite3.OperationalError: database or disk is full"],
        "disk_full",
    ),
    (
        "a mount that has ended",
        255,
        "Failure",
        [
            MODULE,
            "OSError: [Errno 22] Could not load the file as an image (see log): b'/w/z.tif'",
            "java.io.IOException: Transport endpoint is not connected",
        ],
        "machine_error",
    ),
    (
        "a mount that cannot read",
        255,
        "Failure",
        [MODULE, "OSError: [Errno 5] Input/output error"],
        "machine_error",
    ),
    (
        "a URL's server is busy",
        255,
        "Failure",
        [MODULE, "urllib.error.HTTPError: HTTP Error 503: Slow Down"],
        "url_unreachable",
    ),
    (
        "a URL's server is unreachable",
        255,
        "Failure",
        [MODULE, "urllib.error.URLError: <urlopen error [Errno 111] Connection refused>"],
        "url_unreachable",
    ),
    (
        "a URL's download is interrupted",
        255,
        "Failure",
        [MODULE, 'FileNotFoundError: [Errno 2] The file, "None", does not exist.'],
        "url_unreachable",
    ),
    (
        "a URL's download of an array is interrupted",
        255,
        "Failure",
        [
            MODULE,
            "urllib.error.ContentTooShortError: <urlopen error retrieval incomplete: got only 5 o",
        ],
        "url_unreachable",
    ),
    (
        "a URL of an unknown kind",
        255,
        "Failure",
        [MODULE, "urllib.error.URLError: <urlopen error unknown url type: gopher>"],
        "module_failed",
    ),
    (
        "a URL that does not exist",
        255,
        "Failure",
        [MODULE, "urllib.error.HTTPError: HTTP Error 404: Not Found"],
        "module_failed",
    ),
    (
        "a module fails as a CSV without rows does",
        255,
        "Failure",
        [
            "Error detected during run of module MeasureTexture",
            "ValueError: zero-size array to reduction operation maximum which has no identity",
        ],
        "module_failed",
    ),
    (
        "a module fails as a group without rows does",
        255,
        "Failure",
        [
            "Error detected during run of module MeasureTexture",
            "IndexError: index 0 is out of bounds for axis 0 with size 0",
        ],
        "module_failed",
    ),
    (
        "a module fails before the first image set",
        255,
        "Failure",
        ["Failed to prepare run for module ExportToDatabase", "ValueError: x"],
        "module_failed",
    ),
    (
        "a module fails before a group",
        255,
        "Failure",
        ["Failed to prepare group in module CorrectIlluminationCalculate", "ValueError: x"],
        "module_failed",
    ),
    (
        "a module fails after the last image set",
        255,
        "Failure",
        [
            "Failed to complete post_run processing for module ExportToSpreadsheet.",
            "ValueError: x",
        ],
        "module_failed",
    ),
    ("a module fails", 255, "Failure", [MODULE, "ZeroDivisionError: x"], "module_failed"),
    ("no done file", 0, None, [], "not_complete"),
    ("nothing known", 255, "Failure", ["RuntimeError: surprise"], "not_complete"),
]
TRANSIENT = (
    "output_folder",
    "disk_full",
    "out_of_memory",
    "machine_error",
    "url_unreachable",
    "not_complete",
)


@pytest.mark.parametrize(
    ("exit_status", "done", "lines", "code"),
    [row[1:] for row in TABLE],
    ids=[row[0] for row in TABLE],
)
def test_failure_table(exit_status: int, done: str | None, lines: list[str], code: str) -> None:
    diagnosis = failure(evidence(*lines, exit_status=exit_status, done=done))
    assert diagnosis.code == code
    assert diagnosis.permanent is (code not in TRANSIENT)
    assert diagnosis.summary
    if lines:
        assert lines[-1].split("(")[0] in diagnosis.detail


def test_complete_without_outputs_is_a_failure() -> None:
    assert failure(evidence(files=0)).code == "no_outputs"


def test_a_stale_or_absent_done_file_is_no_success() -> None:
    assert failure(evidence(done=None)).code == "not_complete"
    assert failure(evidence(done="Failure")).code == "not_complete"


def test_always_continue_may_complete_with_a_failed_image_set() -> None:
    assert diagnose(evidence(MODULE, "FileNotFoundError: x")) is None


def test_always_continue_leaves_no_image_set_out_for_the_machines_sake() -> None:
    full = "OSError: [Errno 28] No space left on device"
    assert failure(evidence(MODULE, full)).code == "disk_full"
    # No image set was skipped, so the error had no consequence.
    assert diagnose(evidence(full)) is None


@pytest.mark.parametrize(
    "lines", [[], [MODULE, "ValueError: The X image is missing from the pipeline."]]
)
def test_a_killed_process_is_retried_whatever_its_log_says(lines: list[str]) -> None:
    diagnosis = failure(evidence(*lines, exit_status=None, signal=9, done=None))
    assert (diagnosis.code, diagnosis.permanent) == ("killed", False)


def test_a_timeout_differs_from_other_kills() -> None:
    diagnosis = failure(evidence(exit_status=None, signal=9, timed_out=True, done=None))
    assert (diagnosis.code, diagnosis.permanent) == ("timeout", False)


@given(
    st.none() | st.integers(0, 255),
    st.none() | st.sampled_from(["Complete", "Failure", ""]),
    st.integers(0, 3),
    st.lists(st.sampled_from([line for row in TABLE for line in row[3]]), max_size=3),
    st.booleans(),
)
def test_nothing_but_a_clean_run_is_a_success(
    exit_status: int | None, done: str | None, files: int, lines: list[str], timed_out: bool
) -> None:
    signal = 9 if exit_status is None else None
    run = Evidence(exit_status, signal, timed_out, done, lines, files, 1.0)
    if diagnose(run) is None:
        assert (exit_status, done, timed_out) == (0, "Complete", False)
        assert files
        assert "Failed to load pipeline" not in lines


def s3_error(code: str, status: int) -> ClientError:
    response = {
        "Error": {"Code": code, "Message": "said so"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(response, "GetObject")  # type: ignore[arg-type]  # a part of the answer


@pytest.mark.parametrize(
    ("error", "code", "permanent"),
    [
        (s3_error("404", 404), "image_missing", True),
        (s3_error("NoSuchBucket", 404), "bucket_missing", True),
        (s3_error("403", 403), "access_denied", True),
        (s3_error("AccessControlListNotSupported", 400), "access_denied", True),
        (s3_error("InvalidStorageClass", 400), "s3_refused", True),
        (s3_error("SlowDown", 503), "s3_unreachable", False),
        (s3_error("InternalError", 500), "s3_unreachable", False),
        (s3_error("ExpiredToken", 400), "s3_unreachable", False),
        (s3_error("400", 400), "s3_unreachable", False),
        # Each from a transfer that was interrupted or repeated.
        (s3_error("RequestTimeout", 400), "s3_unreachable", False),
        (s3_error("IncompleteBody", 400), "s3_unreachable", False),
        (s3_error("NoSuchUpload", 404), "s3_unreachable", False),
        (s3_error("OperationAborted", 409), "s3_unreachable", False),
        (ParamValidationError(report="Invalid bucket name"), "s3_refused", True),
        (s3_error("RequestTimeout", 408), "s3_unreachable", False),
        (EndpointConnectionError(endpoint_url="http://x"), "s3_unreachable", False),
    ],
)
def test_the_diagnosis_of_an_s3_error(error: Exception, code: str, permanent: bool) -> None:
    diagnosis = diagnose_s3(error, "image", "the.bucket", "a/b.tif")
    assert (diagnosis.code, diagnosis.permanent) == (code, permanent)
    assert diagnosis.of_machine is not permanent
    assert "s3://the.bucket/a/b.tif" in diagnosis.summary


@pytest.mark.parametrize(
    ("what", "code", "permanent"),
    [
        ("pipeline", "pipeline_missing", True),
        ("data_file", "data_file_missing", True),
        ("image", "image_missing", True),
        ("input", "input_missing", True),
        # It existed a moment ago.
        ("output", "output_missing", False),
    ],
)
def test_the_diagnosis_of_a_missing_object(what: str, code: str, permanent: bool) -> None:
    diagnosis = diagnose_s3(s3_error("NoSuchKey", 404), what, "the.bucket", "a/b.tif")
    assert (diagnosis.code, diagnosis.permanent) == (code, permanent)


def test_every_log_pattern_has_one_of_the_reasons() -> None:
    assert {symptom.code for symptom in LOG_PATTERNS} <= REASONS.keys()


def test_the_documentation_lists_every_reason() -> None:
    rows = re.findall(r"^\| `(\w+)` \| (.+?) \| (.+?) \|$", JOBS.read_text(), re.MULTILINE)
    listed = {code: texts for code, *texts in rows if code in REASONS}
    assert listed == {code: [reason.meaning, reason.remedy] for code, reason in REASONS.items()}


@pytest.mark.parametrize(
    ("number", "code"), [(errno.ENOSPC, "disk_full"), (errno.EIO, "machine_error")]
)
def test_a_faulty_disk_is_the_machines_fault(number: int, code: str) -> None:
    diagnosis = diagnose_os(OSError(number, "x"), "downloading")
    assert (diagnosis.code, diagnosis.permanent, diagnosis.of_machine) == (code, False, True)
