"""Every reason for which a job fails: a closed set of codes, in two classes.

A job with a permanent reason would fail on every machine: it goes to the dead-letter queue at once.
A job with a transient reason goes back to the queue, for `job_retries` attempts in all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """A class of failures.

    Attributes:
        meaning: What happened, for the documentation.
        permanent: The job fails on every machine, so a retry is useless.
        of_machine: The machine is at fault, so the next job would fail on it too.
    """

    meaning: str
    permanent: bool = True
    of_machine: bool = False


def _transient(meaning: str, of_machine: bool = False) -> Reason:
    return Reason(meaning, permanent=False, of_machine=of_machine)


REASONS = {
    "bad_message": Reason(
        "the message is not a job: it is not JSON, lacks a key or has an invalid value"
    ),
    "access_denied": Reason("S3 denies the task role access to an object"),
    "bucket_missing": Reason("a bucket does not exist"),
    "s3_refused": Reason("S3 rejects a request for another reason"),
    "pipeline_missing": Reason("the pipeline is not in S3"),
    "pipeline_broken": Reason("the pipeline is truncated or loads only in part"),
    "pipeline_unreadable": Reason("the pipeline file is empty or not a pipeline"),
    "unknown_module": Reason("the pipeline uses a module that this CellProfiler does not have"),
    "data_file_missing": Reason("the LoadData CSV or file list is not in S3"),
    "csv_empty": Reason("the LoadData CSV has no rows"),
    "csv_malformed": Reason("the LoadData CSV is not a CSV, or a row is too short"),
    "csv_unreadable": Reason("LoadData cannot read the CSV"),
    "channel_missing": Reason("the pipeline uses an image that the CSV does not name"),
    "group_not_found": Reason("no row of the CSV matches the job's metadata"),
    "group_empty": Reason("CellProfiler finds no image sets in the group"),
    "group_keys": Reason("the pipeline groups by different metadata keys than the job"),
    "group_malformed": Reason("CellProfiler cannot read the group"),
    "image_missing": Reason("an image is not in S3"),
    "image_broken": Reason("an image is empty, truncated or not an image (found by the worker)"),
    "image_unreadable": Reason("CellProfiler cannot read an image"),
    "input_missing": Reason("a file of the default input folder is no longer in S3"),
    "file_missing": Reason("CellProfiler does not find a file that the pipeline reads"),
    "module_failed": Reason("a module of the pipeline failed"),
    "no_outputs": Reason("CellProfiler completed but wrote no files"),
    "disk_full": _transient("the machine's disk is full or almost full", of_machine=True),
    "machine_error": _transient("the machine cannot read or write its files", of_machine=True),
    "s3_unreachable": _transient("S3 does not answer or throttles requests", of_machine=True),
    "url_unreachable": _transient("CellProfiler cannot download an image from its URL"),
    "out_of_memory": _transient("CellProfiler ran out of memory"),
    "killed": _transient("a signal killed CellProfiler, usually for lack of memory"),
    "timeout": _transient("CellProfiler ran longer than `job_timeout`"),
    "not_complete": _transient("CellProfiler failed without a recognised error message"),
    "output_folder": _transient("CellProfiler cannot use its output folder"),
    "input_replaced": _transient("a file in S3 was replaced while the worker read it"),
    "output_missing": _transient("an output is not in S3 after its upload"),
    "upload_incomplete": _transient("an output has a different size in S3 than on the machine"),
    "worker_error": _transient("the worker itself failed"),
}
