"""The dcp worker: takes jobs from an SQS queue and runs CellProfiler for each of them.

The container runs `python -m dcp_worker`. It reads its settings from the environment, starts one
process per slot (`DOCKER_CORES` slots), and keeps them running until SIGTERM.

Packages; each imports only what stands below it:

* `supervisor`: the main process; it starts the slots and replaces those that die;
* `slot`: a slot's process, which brings one message after another from receipt to record;
* `outputs`: the upload of what a job wrote, and whether a job has been done before;
* `cellprofiler`: CellProfiler, kept loaded in a process of its own, or its command line;
* `inputs`: pipeline, data file, images and input folder, brought to the machine;
* `load_data`: the LoadData CSV: the rows of a group, and a copy with local paths;
* `jobs`: the queue, and the documents of docs/contract.schema.json;
* `machine`: the EC2 instance and the ECS task around the container;
* `common`: settings, AWS clients, S3 transfers, cancellation;
* `diagnosis`: why a job failed.
"""

__version__ = "0.1.0"
