"""What every room may use: settings, AWS clients, S3 transfers, cancellation, the container's log.

What belongs to jobs, to CellProfiler or to the machine is not here.
"""
