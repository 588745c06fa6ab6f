"""SQS: queues, message store, approximate counts, and the metrics of queues in CloudWatch.

Rules on the parameters of queues are in `guards.parameter_rules`.
"""
