"""Every reason for which a job fails: a closed set of codes, in two classes.

A permanent reason is the same on every machine: the job goes to the dead-letter queue at once. A
transient one may pass: the message goes back to the queue, `job_retries` times in all.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Reason:
    """A class of failures.

    Attributes:
        meaning: What happened, for the documentation.
        permanent: The same on every machine: trying again is of no use.
        of_machine: The next job would fail here in the same way.
    """

    meaning: str
    permanent: bool = True
    of_machine: bool = False


def _transient(meaning: str, of_machine: bool = False) -> Reason:
    return Reason(meaning, permanent=False, of_machine=of_machine)


REASONS = {
    "bad_message": Reason(
        "the message is no job: not JSON, a key is missing, or a value cannot be"
    ),
    "access_denied": Reason("S3 refuses an object to the task role"),
    "bucket_missing": Reason("a bucket does not exist"),
    "s3_refused": Reason("S3 refuses a request for another reason"),
    "pipeline_missing": Reason("the pipeline is not in S3"),
    "pipeline_broken": Reason("the pipeline is cut off or loads only in part"),
    "pipeline_unreadable": Reason("the pipeline is empty or is none"),
    "unknown_module": Reason("the pipeline has a module that this CellProfiler does not know"),
    "data_file_missing": Reason("the LoadData CSV or list of files is not in S3"),
    "csv_empty": Reason("the LoadData CSV has no rows"),
    "csv_malformed": Reason("the LoadData CSV is no CSV, or a row is too short"),
    "csv_unreadable": Reason("LoadData cannot read the CSV"),
    "channel_missing": Reason("the pipeline uses an image that the CSV does not name"),
    "group_not_found": Reason("no row of the CSV has the job's metadata"),
    "group_empty": Reason("CellProfiler finds no image set in the group"),
    "group_keys": Reason("the pipeline groups by other metadata than the job's"),
    "group_malformed": Reason("CellProfiler cannot read the group"),
    "image_missing": Reason("an image is not in S3"),
    "image_broken": Reason("an image is empty, cut off or not an image, found before CellProfiler"),
    "image_unreadable": Reason("CellProfiler cannot read an image"),
    "input_missing": Reason("a file of the default input folder is gone from S3"),
    "file_missing": Reason("CellProfiler does not find a file that the pipeline reads"),
    "module_failed": Reason("a module of the pipeline failed"),
    "no_outputs": Reason("CellProfiler ended well, and wrote nothing"),
    "disk_full": _transient("the machine's disk is full or has too little room", of_machine=True),
    "machine_error": _transient("the machine cannot work with its disk", of_machine=True),
    "s3_unreachable": _transient("S3 does not answer, or asks for less", of_machine=True),
    "url_unreachable": _transient("an image that is named by a URL cannot be downloaded"),
    "out_of_memory": _transient("CellProfiler ran out of memory"),
    "killed": _transient("CellProfiler was ended by a signal, mostly for want of memory"),
    "timeout": _transient("CellProfiler ran longer than `job_timeout`"),
    "not_complete": _transient("CellProfiler ended without success and says nothing known"),
    "output_folder": _transient("CellProfiler cannot make its output folder"),
    "input_replaced": _transient("a file in S3 was replaced while it was read"),
    "output_missing": _transient("an output is not in S3 after its upload"),
    "upload_incomplete": _transient("S3 has another size of an output than the machine"),
    "worker_error": _transient("the worker itself failed"),
}
