"""Files of Distributed-CellProfiler as models of dcp: config.py and the fleet file.

Job files of DCP need no translation: `blocks.job_file` reads them.
"""
