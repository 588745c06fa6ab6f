"""What to do: about each reason for which a job fails, and about a run that was stopped.

The reasons' codes are the worker's (docs/jobs.md).
"""

from tasks.runs.run import Run

_BUCKETS = "Look at the config's buckets and the job file's keys."
_ROLE = "Give the task role (or the machines' role) the right to it; docs/aws.md lists them."
_CSV = "Mend the LoadData CSV, then retry."
_GROUPS = "Make the groups of the job file and the pipeline's Groups module agree."
_IMAGE = "Look at the image named in the text; put a sound one into the bucket, then retry."
_PIPELINE = "Mend the pipeline in CellProfiler, then retry with it."
_MEMORY = "Retry with more `memory`, or fewer `docker_cores` in each container."
_DISK = "Retry with a larger `ebs_vol_size`, or fewer `tasks_per_machine`."
_AGAIN = "Retry: it may pass."
_REPLACED = "Let nothing write to the inputs while a run goes on, then retry."

REMEDIES = {
    "bad_message": "Make the messages with dcp: something else wrote into the queue.",
    "access_denied": _ROLE,
    "bucket_missing": _BUCKETS,
    "s3_refused": "Look at the text: S3 says there what it does not take.",
    "pipeline_missing": "Put the pipeline into the workspace bucket, or retry with another key.",
    "pipeline_broken": _PIPELINE,
    "pipeline_unreadable": _PIPELINE,
    "unknown_module": "Switch `use_plugins` on, or take a worker image that has it.",
    "data_file_missing": "Put the CSV into the workspace bucket, or mend the job file's data_file.",
    "csv_empty": _CSV,
    "csv_malformed": _CSV,
    "csv_unreadable": _CSV,
    "channel_missing": "Add the channel's FileName_ and PathName_ columns to the CSV, or take the "
    "image out of the pipeline.",
    "group_not_found": "Compare the group with the CSV's Metadata_ columns: mostly a zero, a space "
    "or a capital letter is missing. `dcp check` names the nearest.",
    "group_empty": _GROUPS,
    "group_keys": _GROUPS,
    "group_malformed": _GROUPS,
    "image_missing": "Put the image into the bucket, or take its row out of the CSV.",
    "image_broken": _IMAGE,
    "image_unreadable": _IMAGE,
    "input_missing": "Put the file back into the job file's input folder, then retry.",
    "file_missing": "Put the file into the job file's input folder, then retry.",
    "module_failed": "Read the log: it names the module and the image set. "
    "`always_continue` goes on with the others.",
    "no_outputs": "See that the pipeline has an Export or Save module that is active.",
    "disk_full": _DISK,
    "machine_error": _AGAIN,
    "s3_unreachable": _AGAIN,
    "url_unreachable": "See that the machines reach the address in the CSV, then retry.",
    "out_of_memory": _MEMORY,
    "killed": _MEMORY,
    "timeout": "Retry with a longer `job_timeout`, or smaller groups.",
    "not_complete": "Read the log, then retry.",
    "output_folder": _DISK,
    "input_replaced": _REPLACED,
    "output_missing": "See that nothing deletes from the destination bucket, then retry.",
    "upload_incomplete": _AGAIN,
    "worker_error": "Read the log, retry, and report it: it is a fault of dcp.",
    "worker_died": _MEMORY,
    "no_result": "Retry these jobs: they were not done.",
}


def remedy(reason: str) -> str:
    """What to do about a reason; its text and log say more."""
    return REMEDIES.get(reason, "Read its log.")


def how_to_continue(run: Run) -> str:
    """What to do about a run that was stopped and has kept its queue."""
    return (
        f"Continue it with `dcp continue {run.names.app}` or deployment dcp-continue/continue "
        f"(run_id={run.run_id}); max_hours and max_cost count anew, and settings may change."
    )
