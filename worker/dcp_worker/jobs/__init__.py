"""The job queue and the documents of the contract: message, result record, drain order.

How a job is carried out is not here: that is `slot`.
"""
