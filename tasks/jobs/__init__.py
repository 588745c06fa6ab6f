"""Jobs: groups from CSVs, messages, their order, submission to the queue, and their results.

What a job file says is in `blocks.job_file`; what became of all jobs is in `tasks.report`.
"""
