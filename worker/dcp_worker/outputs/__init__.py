"""A job's outputs: their upload to S3, and whether an earlier run completed the job.

`jobs` writes the result record.
"""
