"""Checks that read buckets: data files, groups, images, outputs of earlier runs.

The text of a pipeline is checked in `tasks.preflight.pipeline`.
"""
