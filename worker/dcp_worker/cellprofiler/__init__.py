"""CellProfiler, for one job after the other: a process that keeps it loaded, or its command line.

`warm_child`, `state_reset` and `row_numbering` run in CellProfiler's process, all else in the
slot's. What CellProfiler reads is prepared by `inputs`; how it ended is judged by `diagnosis`.
"""
