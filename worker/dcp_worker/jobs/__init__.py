"""The job queue, and the S3 objects of the contract: result record and drain order.

`slot` runs the jobs.
"""
