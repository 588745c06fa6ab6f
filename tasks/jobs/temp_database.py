"""A database on the disk for what would be too much in memory."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path


@contextmanager
def scratch_database(name: str) -> Iterator[sqlite3.Connection]:
    """An empty SQLite database, gone after the `with` block.

    Args:
        name: What it is for; part of its folder's name.
    """
    with (
        tempfile.TemporaryDirectory(prefix=f"dcp-{name}-") as folder,
        closing(sqlite3.connect(Path(folder) / f"{name}.sqlite", isolation_level=None)) as database,
    ):
        # Nothing in the file need outlive this process.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("PRAGMA temp_store = FILE")
        yield database
