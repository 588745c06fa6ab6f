"""What to do: about each reason for which a job fails, and about a run that was stopped.

The remedies are those of the contract with the worker (docs/contract.schema.json).
"""

from tasks.runs.run import Run

_CSV = "Correct the LoadData CSV, then retry."
_PIPELINE = "Save the pipeline again from CellProfiler and upload it, then retry."
_IMAGE = "Replace the image with an intact copy, then retry."
_MEMORY = "Retry with more `memory`, or fewer slots per container (`docker_cores`)."
_ANOTHER_TIME = "Retry: another attempt may succeed."

REMEDIES = {
    "bad_message": "Create the messages with dcp: another program has written to the queue.",
    "access_denied": (
        "Give the task role (or the machines' role) access; docs/aws.md lists the "
        "permissions. Without permission to list the bucket, S3 gives the same answer for a "
        "missing object."
    ),
    "bucket_missing": "Correct the bucket in the run config.",
    "s3_refused": (
        "Correct the bucket, the key or the upload options; the text says what S3 rejected."
    ),
    "pipeline_missing": "Upload the pipeline to the workspace bucket, or retry with another key.",
    "pipeline_broken": _PIPELINE,
    "pipeline_unreadable": _PIPELINE,
    "unknown_module": (
        "Set `use_plugins` if the module is a plugin; otherwise save the pipeline with "
        "CellProfiler 4.2."
    ),
    "data_file_missing": (
        "Upload the file to the workspace bucket, or correct `data_file` in the job file."
    ),
    "csv_empty": _CSV,
    "csv_malformed": _CSV,
    "csv_unreadable": _CSV,
    "channel_missing": (
        "Add the FileName_ and PathName_ columns of the image to the CSV, or remove the image "
        "from the pipeline."
    ),
    "group_not_found": (
        "Compare the group with the CSV's Metadata_ columns: often a zero, a space or a "
        "capital letter differs. `dcp check` shows the nearest values."
    ),
    "group_empty": (
        "Compare the group with the CSV's Metadata_ columns, and check LoadData's range of rows."
    ),
    "group_keys": "Use the same keys in the job file's groups and in the pipeline's grouping.",
    "group_malformed": "Write Metadata as K=V,K=V.",
    "image_missing": (
        "Upload the image, or correct its path or remove its row in the CSV, then retry."
    ),
    "image_broken": _IMAGE,
    "image_unreadable": _IMAGE,
    "input_missing": "Put the file back into the job file's input folder, then retry.",
    "file_missing": (
        "Upload the file to the job file's input folder, or correct its path in the CSV or "
        "the pipeline, then retry."
    ),
    "module_failed": (
        "Read the log: it names the module and the image set. Run the group in CellProfiler's "
        "test mode. With `always_continue`, CellProfiler still processes the other image "
        "sets."
    ),
    "no_outputs": (
        "Add an export or save module to the pipeline that writes to the Default Output "
        "Folder, or enable it."
    ),
    "disk_full": (
        "Retry with a larger `ebs_vol_size`, or fewer slots per machine (`docker_cores`, "
        "`tasks_per_machine`)."
    ),
    "machine_error": "Retry: another machine may succeed.",
    "s3_unreachable": _ANOTHER_TIME,
    "url_unreachable": "Check that the machines can reach the address in the CSV, then retry.",
    "out_of_memory": _MEMORY,
    "killed": _MEMORY,
    "timeout": "Retry with a longer `job_timeout` (at most 12 hours), or make the groups smaller.",
    "not_complete": "Read the log, then retry.",
    "output_folder": (
        "Check the paths in the pipeline's export modules; if they are correct, retry."
    ),
    "input_replaced": "Make sure that no program changes the inputs during a run, then retry.",
    "output_missing": "Make sure that no program deletes from the destination bucket, then retry.",
    "upload_incomplete": _ANOTHER_TIME,
    "worker_error": "This is a fault of dcp: read the log, report it, and retry.",
    "worker_died": _MEMORY,
    "no_result": "Retry these jobs: they did not finish.",
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
