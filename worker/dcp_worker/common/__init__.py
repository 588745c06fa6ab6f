"""Shared by all packages: settings, AWS clients, S3 transfers, cancellation, the container's log.

Code that concerns only jobs, CellProfiler or the machine belongs to their packages.
"""
