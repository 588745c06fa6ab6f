"""Loads run configs, fleet templates and job files from saved blocks, files and S3.

What the models allow is in their own packages.
"""
