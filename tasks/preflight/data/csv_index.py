"""The groups and images of a LoadData CSV and the jobs: on disk, not in memory."""

import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from blocks.job_file.metadata import Pairs

GroupValues = tuple[str, ...]


@dataclass(frozen=True)
class ImageReference:
    """An object that a CSV names, and the first line that names it."""

    bucket: str
    key: str
    line: int


@contextmanager
def new_index(keys: Sequence[str]) -> Iterator["CsvIndex"]:
    """An empty index for groups of these keys; its file is deleted at the end of the block."""
    with (
        tempfile.TemporaryDirectory(prefix="dcp-check-") as folder,
        closing(sqlite3.connect(Path(folder) / "index.sqlite", isolation_level=None)) as database,
    ):
        yield CsvIndex(keys, database)


class CsvIndex:
    """Groups, jobs and images of one CSV.

    Args:
        keys: The metadata keys of the groups, in the jobs' order.
        database: An empty one.
    """

    def __init__(self, keys: Sequence[str], database: sqlite3.Connection) -> None:
        self.keys = tuple(keys)
        self._db = database
        self._columns = [f"k{at}" for at in range(len(self.keys))]
        by = ", ".join(self._columns)
        texts = ", ".join(f"{column} TEXT" for column in self._columns)
        self._db.executescript(
            f"""
            PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA temp_store = FILE;
            CREATE TABLE job ({texts}, PRIMARY KEY ({by})) WITHOUT ROWID;
            CREATE TABLE csv_group ({texts}, rows INTEGER, PRIMARY KEY ({by})) WITHOUT ROWID;
            CREATE TABLE image (bucket TEXT, key TEXT, line INTEGER,
                PRIMARY KEY (bucket, key)) WITHOUT ROWID;
            """
        )
        self._equal = " AND ".join(f"{column} = ?" for column in self._columns)
        self._marks = ", ".join("?" * len(self.keys))
        self.is_job = lru_cache(4096)(self._is_job)

    def add_jobs(self, groups: Iterable[Pairs]) -> int:
        """Store the groups of jobs; returns how many were new."""
        rows = (tuple(dict(group)[key] for key in self.keys) for group in groups)
        return self._add(f"INSERT OR IGNORE INTO job VALUES ({self._marks})", rows)

    def _add(self, query: str, rows: Iterable[Sequence[object]]) -> int:
        self._db.execute("BEGIN")
        count = self._db.executemany(query, rows).rowcount
        self._db.execute("COMMIT")
        return count

    def add_rows(self, rows: Iterable[GroupValues]) -> None:
        """Count the rows of each group of the CSV."""
        self._add(
            f"""INSERT INTO csv_group VALUES ({self._marks}, 1)
            ON CONFLICT DO UPDATE SET rows = rows + 1""",
            rows,
        )

    def add_images(self, images: Iterable[tuple[str, str, int]]) -> None:
        """Store images (bucket, key, line)."""
        self._add("INSERT OR IGNORE INTO image VALUES (?, ?, ?)", images)

    def _is_job(self, group: GroupValues) -> bool:
        query = f"SELECT 1 FROM job WHERE {self._equal}"
        return self._db.execute(query, group).fetchone() is not None

    def jobs_without_rows(self, limit: int) -> tuple[int, list[Pairs]]:
        """The number of jobs without a row, and the first of them."""
        return self._unmatched("job", "csv_group", limit)

    def groups_without_job(self, limit: int) -> tuple[int, list[Pairs]]:
        """The number of groups of the CSV without a job, and the first of them."""
        return self._unmatched("csv_group", "job", limit)

    def _unmatched(self, table: str, other: str, limit: int) -> tuple[int, list[Pairs]]:
        by = ", ".join(f"{table}.{column}" for column in self._columns)
        joined = " AND ".join(f"{table}.{c} = {other}.{c}" for c in self._columns)
        query = f"FROM {table} LEFT JOIN {other} ON {joined} WHERE {other}.k0 IS NULL"
        ((count,),) = self._db.execute(f"SELECT count(*) {query}")
        rows = self._db.execute(f"SELECT {by} {query} ORDER BY {by} LIMIT {limit}")
        return count, [tuple(zip(self.keys, row, strict=True)) for row in rows]

    def groups(self) -> int:
        """The number of groups in the CSV."""
        ((count,),) = self._db.execute("SELECT count(*) FROM csv_group")
        return int(count)

    def rows_of_jobs(self) -> tuple[int, int]:
        """The fewest and the most rows of a job; (0, 0) without rows."""
        joined = " AND ".join(f"job.{c} = csv_group.{c}" for c in self._columns)
        query = f"SELECT min(rows), max(rows) FROM job JOIN csv_group ON {joined}"
        ((least, most),) = self._db.execute(query)
        return least or 0, most or 0

    def values(self, key: str, where: Mapping[str, str], limit: int) -> list[str]:
        """The values of a key in the CSV's groups that match `where`."""
        column = self._columns[self.keys.index(key)]
        others = [self._columns[self.keys.index(other)] for other in where]
        equal = " AND ".join(["1", *(f"{other} = ?" for other in others)])
        query = f"SELECT DISTINCT {column} FROM csv_group WHERE {equal} ORDER BY 1 LIMIT {limit}"
        return [value for (value,) in self._db.execute(query, list(where.values()))]

    def images(self) -> Iterator[ImageReference]:
        """All images, in S3's order of keys: by their UTF-8 bytes."""
        for row in self._db.execute("SELECT bucket, key, line FROM image ORDER BY bucket, key"):
            yield ImageReference(*row)
