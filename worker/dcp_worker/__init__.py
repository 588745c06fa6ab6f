"""The dcp worker: takes jobs from an SQS queue and runs CellProfiler for each of them.

`python -m dcp_worker` is what the container runs. It reads its settings from the environment,
starts one process a slot (`DOCKER_CORES` of them), and keeps them running until SIGTERM.
"""

__version__ = "0.1.0"
