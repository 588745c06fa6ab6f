"""CellProfiler, either loaded once in a warm process or started by its command line for each job.

`warm_child`, `state_reset` and `row_numbering` run in CellProfiler's process, all other modules in
the slot's process. `inputs` prepares the files; `diagnosis` judges each run.
"""
