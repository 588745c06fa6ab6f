"""A single run: its config and clients, its record in S3, its limits, and how to find it again.

The resources of a run in AWS are in `tasks.fleet`, `tasks.resources` and `tasks.jobs`.
"""
