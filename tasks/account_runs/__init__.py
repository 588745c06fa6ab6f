"""All runs of an AWS account: what their records and tags show, and what is orphaned.

A single run is in `tasks.runs`; what an account is set up with is in `tasks.account`.
"""
