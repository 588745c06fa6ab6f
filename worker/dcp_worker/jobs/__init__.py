"""The job queue and the documents of the contract: message, result record, order to finish.

How a job is carried out is not here: that is `slot`.
"""
