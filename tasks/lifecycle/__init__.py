"""The begin and the end of a run in AWS: launch, continuation, clean-up, and what is left over.

What happens in between is in `tasks.monitor`; `tasks.steps` has all of it as Prefect tasks.
"""
