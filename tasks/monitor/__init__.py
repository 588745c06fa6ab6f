"""Monitoring of a run: observation, pure decisions about it, and what is shown of both.

The report at the end of a run is in `tasks.report`.
"""
