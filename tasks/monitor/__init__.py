"""Monitoring of a run: observation, pure decisions, and the display of both.

The report at the end of a run is in `tasks.report`.
"""
