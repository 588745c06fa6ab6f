"""Why a job failed: the closed set of reasons, and how the evidence leads to one of them.

Makes no calls and imports no other package; `slot` handles the failed job.
"""
