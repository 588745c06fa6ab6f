"""What a job writes: its upload to S3, and whether a job has been done before.

The result record is not here: that is in `jobs`.
"""
