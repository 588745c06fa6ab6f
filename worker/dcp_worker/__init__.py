"""The dcp worker: takes jobs from an SQS queue and runs CellProfiler for each of them.

The container runs `python -m dcp_worker`. It reads its settings from the environment, starts one
process per slot (`DOCKER_CORES` slots), and keeps them running until SIGTERM.

Packages; each imports only what stands below it:

* `supervisor`: the main process; it starts the slots and replaces those that die;
* `slot`: the process of a slot, which runs one job after another;
* `outputs`: the upload of outputs, and whether an earlier run completed a job;
* `cellprofiler`: CellProfiler, either loaded once in its own process or by its command line;
* `inputs`: downloads pipeline, data file, images and input folder;
* `load_data`: the LoadData CSV: the rows of a group, and a copy with local paths;
* `jobs`: the queue, the result record and the drain order;
* `machine`: the EC2 instance and the ECS task around the container;
* `common`: settings, AWS clients, S3 transfers, cancellation;
* `diagnosis`: why a job failed.
"""

__version__ = "0.1.0"
