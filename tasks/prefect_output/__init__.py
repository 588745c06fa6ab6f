"""What a flow run writes to Prefect: log lines, artifacts, events, and failed states.

What the texts say is composed in `tasks.monitor` and `tasks.report`.
"""
