"""Start and end of a run in AWS: launch, continuation, clean-up, and remaining resources.

Monitoring is in `tasks.monitor`; `tasks.steps` makes Prefect tasks of all of it.
"""
