"""A single run: its config and clients, its record in S3, its limits, and how it is found again.

What a run has in AWS is in `tasks.fleet`, `tasks.resources` and `tasks.jobs`.
"""
