"""Output of a flow run to Prefect: log lines, artifacts, events, and failed states.

`tasks.monitor` and `tasks.report` compose the texts.
"""
