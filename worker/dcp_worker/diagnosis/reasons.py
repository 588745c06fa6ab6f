"""Every reason for which a job fails: a closed set of codes, in two classes.

A job with a permanent reason would fail on every machine: it goes to the dead-letter queue at once.
A job with a transient reason goes back to the queue, for `job_retries` attempts in all.

docs/contract.schema.json has the same table, for the flows.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class FailureReason:
    """A class of failures.

    Attributes:
        meaning: What happened, for the documentation.
        remedy: What to do about it, in Markdown.
        permanent: The job fails on every machine, so a retry is useless.
        of_machine: The machine is at fault, so the next job would fail on it too.
    """

    meaning: str
    remedy: str
    permanent: bool = True
    of_machine: bool = False


def _transient(meaning: str, remedy: str, of_machine: bool = False) -> FailureReason:
    return FailureReason(meaning, remedy, permanent=False, of_machine=of_machine)


_CSV = "Correct the LoadData CSV, then retry."
_PIPELINE = "Save the pipeline again from CellProfiler and upload it, then retry."
_IMAGE = "Replace the image with an intact copy, then retry."
_MEMORY = "Retry with more `memory`, or fewer slots per container (`docker_cores`)."
_ANOTHER_TIME = "Retry: another attempt may succeed."

REASONS = {
    "bad_message": FailureReason(
        "the message is not a job: it is not JSON, lacks a key or has an invalid value",
        "Create the messages with dcp: another program has written to the queue.",
    ),
    "access_denied": FailureReason(
        "S3 denies the task role access to an object",
        "Give the task role (or the machines' role) access; docs/aws.md lists the permissions. "
        "Without permission to list the bucket, S3 gives the same answer for a missing object.",
    ),
    "bucket_missing": FailureReason(
        "a bucket does not exist",
        "Correct the bucket in the run config.",
    ),
    "s3_refused": FailureReason(
        "S3 rejects a request for another reason",
        "Correct the bucket, the key or the upload options; the text says what S3 rejected.",
    ),
    "pipeline_missing": FailureReason(
        "the pipeline is not in S3",
        "Upload the pipeline to the workspace bucket, or retry with another key.",
    ),
    "pipeline_broken": FailureReason("the pipeline is truncated or loads only in part", _PIPELINE),
    "pipeline_unreadable": FailureReason("the pipeline file is empty or not a pipeline", _PIPELINE),
    "unknown_module": FailureReason(
        "the pipeline uses a module that this CellProfiler does not have",
        "Set `use_plugins` if the module is a plugin; otherwise save the pipeline with "
        "CellProfiler 4.2.",
    ),
    "data_file_missing": FailureReason(
        "the LoadData CSV or file list is not in S3",
        "Upload the file to the workspace bucket, or correct `data_file` in the job file.",
    ),
    "csv_empty": FailureReason("the LoadData CSV has no rows", _CSV),
    "csv_malformed": FailureReason("the LoadData CSV is not a CSV, or a row is too short", _CSV),
    "csv_unreadable": FailureReason("LoadData cannot read the CSV", _CSV),
    "channel_missing": FailureReason(
        "the pipeline uses an image that the CSV does not name",
        "Add the FileName_ and PathName_ columns of the image to the CSV, or remove the image from "
        "the pipeline.",
    ),
    "group_not_found": FailureReason(
        "no row of the CSV matches the job's metadata",
        "Compare the group with the CSV's Metadata_ columns: often a zero, a space or a capital "
        "letter differs. `dcp check` shows the nearest values.",
    ),
    "group_empty": FailureReason(
        "CellProfiler finds no image sets in the group",
        "Compare the group with the CSV's Metadata_ columns, and check LoadData's range of rows.",
    ),
    "group_keys": FailureReason(
        "the pipeline groups by different metadata keys than the job",
        "Use the same keys in the job file's groups and in the pipeline's grouping.",
    ),
    "group_malformed": FailureReason(
        "CellProfiler cannot read the group",
        "Write Metadata as K=V,K=V.",
    ),
    "image_missing": FailureReason(
        "an image is not in S3",
        "Upload the image, or correct its path or remove its row in the CSV, then retry.",
    ),
    "image_broken": FailureReason(
        "an image is empty, truncated or not an image (found by the worker)", _IMAGE
    ),
    "image_unreadable": FailureReason("CellProfiler cannot read an image", _IMAGE),
    "input_missing": FailureReason(
        "a file of the default input folder is no longer in S3",
        "Put the file back into the job file's input folder, then retry.",
    ),
    "file_missing": FailureReason(
        "CellProfiler does not find a file that the pipeline reads",
        "Upload the file to the job file's input folder, or correct its path in the CSV or the "
        "pipeline, then retry.",
    ),
    "module_failed": FailureReason(
        "a module of the pipeline failed",
        "Read the log: it names the module and the image set. Run the group in CellProfiler's test "
        "mode. With `always_continue`, CellProfiler still processes the other image sets.",
    ),
    "no_outputs": FailureReason(
        "CellProfiler completed but wrote no files",
        "Add an export or save module to the pipeline that writes to the Default Output Folder, or "
        "enable it.",
    ),
    "disk_full": _transient(
        "the machine's disk is full or almost full",
        "Retry with a larger `ebs_vol_size`, or fewer slots per machine (`docker_cores`, "
        "`tasks_per_machine`).",
        of_machine=True,
    ),
    "machine_error": _transient(
        "the machine cannot read or write its files",
        "Retry: another machine may succeed.",
        of_machine=True,
    ),
    "s3_unreachable": _transient(
        "S3 does not answer or throttles requests",
        _ANOTHER_TIME,
        of_machine=True,
    ),
    "url_unreachable": _transient(
        "CellProfiler cannot download an image from its URL",
        "Check that the machines can reach the address in the CSV, then retry.",
    ),
    "out_of_memory": _transient(
        "CellProfiler ran out of memory",
        _MEMORY,
    ),
    "killed": _transient(
        "a signal killed CellProfiler, usually for lack of memory",
        _MEMORY,
    ),
    "timeout": _transient(
        "CellProfiler ran longer than `job_timeout`",
        "Retry with a longer `job_timeout` (at most 12 hours), or make the groups smaller.",
    ),
    "not_complete": _transient(
        "CellProfiler failed without a recognised error message",
        "Read the log, then retry.",
    ),
    "output_folder": _transient(
        "CellProfiler cannot use its output folder",
        "Check the paths in the pipeline's export modules; if they are correct, retry.",
    ),
    "input_replaced": _transient(
        "a file in S3 was replaced while the worker read it",
        "Make sure that no program changes the inputs during a run, then retry.",
    ),
    "output_missing": _transient(
        "an output is not in S3 after its upload",
        "Make sure that no program deletes from the destination bucket, then retry.",
    ),
    "upload_incomplete": _transient(
        "an output has a different size in S3 than on the machine",
        _ANOTHER_TIME,
    ),
    "worker_error": _transient(
        "the worker itself failed",
        "This is a fault of dcp: read the log, report it, and retry.",
    ),
}
