"""Prints the peak memory in bytes of making the groups of each CSV: `group_memory.py CSV...`.

In a separate process, because other threads of the tests' process allocate memory too.
"""

import sys
import tracemalloc
from pathlib import Path

from blocks.job_file.job_set import FromCsv
from tasks.jobs.csv_groups import groups_of
from tasks.jobs.load_data_csv import LoadData

BY = ("Metadata_Plate", "Metadata_Well", "Metadata_Site")

for path in map(Path, sys.argv[1:]):
    data = LoadData.open("s3://b/plate.csv", path)
    tracemalloc.start()
    groups = sum(1 for _ in groups_of(data, FromCsv(BY)))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    print(groups, most)  # noqa: T201 (what the test reads)
