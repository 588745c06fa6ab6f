"""Checks of a CellProfiler pipeline by its text: modules, channels, input folder, outputs. Pure.

Checks of the data that a pipeline runs on are in `tasks.preflight.data`.
"""
