"""A slot's process: receives messages, and prepares, computes and publishes their jobs.

`python -m dcp_worker.slot` runs it; `supervisor` starts and replaces it.
"""
