"""The dcp worker: takes jobs from an SQS queue and runs CellProfiler for each of them.

The container runs `python -m dcp_worker`. It reads its settings from the environment, starts one
process per slot (`DOCKER_CORES` slots), and keeps them running until SIGTERM.

Modules:

* processes: `__main__`, `supervisor`, `slot_process`, `slot`, `workplace`, `logs`;
* a message, from its receipt to its end: `queue`, `intake`, `pace`, `message`, `handling`,
  `ending`, `record`, `job_log`, `interruption`, `fitness`;
* a job in its three parts: `attempt`; then `inputs`, `sources`, `cache`, `transfer`,
  `input_folder`, `images`, `integrity`, `tiff`, `batch`; `engine` and the rest of CellProfiler;
  `outputs`, `done`;
* the LoadData CSV: `load_data`, `local_paths`, `csv_rows`, `image_columns`, `group`, `image_sets`,
  `witnesses`, `pipeline`, `numbering` (in CellProfiler's process);
* CellProfiler: `engine`, `loaded`, `cellprofiler` (its command line), `process`; in its process
  `child`, `fresh`, `numbering`;
* why a job failed: `reasons`, `symptoms`, `diagnosis`;
* the machine: `instance`, `imds`, `metrics`, `spot`, `leaving`, `protection`, `mount`, `plugins`;
* configuration and AWS clients: `settings`, `aws`.
"""

__version__ = "0.1.0"
