"""A slot's process: it receives messages, and prepares, computes and publishes their jobs.

`python -m dcp_worker.slot` runs one. Slots are started and replaced by `supervisor`.
"""
