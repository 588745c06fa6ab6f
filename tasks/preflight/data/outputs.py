"""Checks the files that exist in the jobs' output folders, and which jobs will be skipped."""

import sqlite3
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from os.path import commonprefix
from pathlib import Path

from blocks import RunConfig
from blocks.errors import Problem
from tasks.preflight.finding import Finding


@dataclass(frozen=True)
class SkipRule:
    """When a job is done: minimum number of files, their minimum size, and text in their name."""

    files: int
    size: int
    text: str

    @classmethod
    def of(cls, config: RunConfig) -> "SkipRule":
        """The rule of a run config."""
        return cls(
            config.expected_number_files, config.min_file_size_bytes, config.necessary_string
        )

    def counts(self, key: str, size: int) -> bool:
        """Whether a file counts; folders are not part of its name."""
        return size >= self.size and self.text in key.rpartition("/")[2]


@dataclass
class FolderCounts:
    """Contents of the jobs' output folders.

    Attributes:
        jobs: Number of jobs.
        shared: Number of jobs that share a folder with another.
        clashing: Number of those jobs that should have a folder of their own.
        clash: One of their folders.
        started: Number of folders with any file.
        held: Number of counted files -> number of such folders, among those with any file.
    """

    jobs: int = 0
    shared: int = 0
    clashing: int = 0
    clash: str = ""
    started: int = 0
    held: Counter[int] = field(default_factory=Counter)

    def done(self, files: int) -> int:
        """The number of folders with at least `files` counted files."""
        return sum(number for held, number in self.held.items() if held >= files)


Listing = Callable[[str], Iterable[tuple[str, int]]]
"""The objects (key, bytes) below a prefix, sorted by key."""


@contextmanager
def output_folders(rule: SkipRule) -> Iterator["OutputFolders"]:
    """An empty collection of output folders; its file is deleted at the end of the block."""
    with (
        tempfile.TemporaryDirectory(prefix="dcp-outputs-") as below,
        closing(sqlite3.connect(Path(below) / "outputs.sqlite", isolation_level=None)) as database,
    ):
        yield OutputFolders(rule, database)


class OutputFolders:
    """The output folders of all jobs, on disk, so that memory does not grow with the jobs."""

    def __init__(self, rule: SkipRule, database: sqlite3.Connection) -> None:
        self._rule, self._db = rule, database
        self._db.executescript(
            """PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
            CREATE TABLE folder (top TEXT, prefix TEXT, jobs INTEGER, alone INTEGER,
                PRIMARY KEY (top, prefix)) WITHOUT ROWID; BEGIN;"""
        )

    def add(self, top: str, prefix: str, alone: bool = False) -> None:
        """Add the folder of a job.

        Args:
            top: The common prefix of its job set, with a trailing slash.
            prefix: The job's own prefix, with a trailing slash.
            alone: Whether no other job should write into it.
        """
        self._db.execute(
            "INSERT INTO folder VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET jobs = jobs + 1",
            (top, prefix, alone),
        )

    def count_files(self, listing: Listing) -> FolderCounts:
        """Count the files in the folders."""
        ((jobs, shared),) = self._db.execute(
            "SELECT total(jobs), total(CASE WHEN jobs > 1 THEN jobs END) FROM folder"
        )
        ((clashing, clash),) = self._db.execute(
            "SELECT total(jobs), min(prefix) FROM folder WHERE jobs > 1 AND alone"
        )
        folders = FolderCounts(int(jobs), int(shared), int(clashing), clash or "")
        tops = self._db.execute("SELECT top, min(prefix), max(prefix) FROM folder GROUP BY top")
        for top, first, last in tops.fetchall():
            query = "SELECT prefix FROM folder WHERE top = ? ORDER BY prefix"
            rows = self._db.execute(query, [top])
            # S3's prefixes are strings, not paths: the common prefix excludes other plates below
            # the same output.
            objects = listing(commonprefix([first, last]))  # noqa: RUF071
            _count((prefix for (prefix,) in rows), objects, self._rule, folders)
        return folders


def _count(
    prefixes: Iterator[str],
    objects: Iterable[tuple[str, int]],
    rule: SkipRule,
    folders: FolderCounts,
) -> None:
    """Merge two sorted sequences: folders, and objects in and between them."""
    prefix = next(prefixes, None)
    counted: list[int] | None = None  # in the current folder, once it has any file
    for key, size in objects:
        while prefix is not None and not key.startswith(prefix) and _after(key, prefix):
            _close(counted, folders)
            prefix, counted = next(prefixes, None), None
        if prefix is not None and key.startswith(prefix) and key != prefix:
            counted = counted or [0]
            counted[0] += rule.counts(key, size)
    _close(counted, folders)


def _after(key: str, prefix: str) -> bool:
    return key.encode() > prefix.encode()


def _close(counted: list[int] | None, folders: FolderCounts) -> None:
    if counted is not None:
        folders.started += 1
        folders.held[counted[0]] += 1


def findings(
    folders: FolderCounts, config: RunConfig, where: str, expected: int | None
) -> Iterator[Finding]:
    """Findings about existing outputs. Pure.

    Args:
        folders: Contents of the folders.
        config: The run config.
        where: The job file's name.
        expected: Number of files that a job writes, if the pipeline determines it.
    """
    if folders.clashing:
        yield Finding(
            "error",
            "output_clash",
            Problem(
                where,
                "output_structure",
                "different groups map to one output folder",
                got=f"{folders.clashing} jobs, some of them in {folders.clash!r}",
                remedy="Separate the keys by / in output_structure.",
            ),
        )
    elif folders.shared:
        yield Finding(
            "note",
            "output_shared",
            Problem(
                where,
                "output_structure",
                "jobs write into the same folder; files with the same name overwrite each other",
                got=f"{folders.shared} of {folders.jobs} jobs",
                remedy="Name more keys in output_structure, unless this is intended.",
            ),
        )
    if not config.check_if_done_bool:
        if folders.started and not config.check_if_done_exact:
            yield _overwritten(folders, where)
        return
    yield from _number(folders, config, expected)
    if done := folders.done(config.expected_number_files):
        yield Finding(
            "note",
            "outputs_skipped",
            Problem(
                where,
                "groups",
                "jobs will be skipped, because their folders already have enough files",
                got=f"{done} of {folders.jobs} jobs",
                remedy="To run them again, set check_if_done_bool to false.",
            ),
        )


def _overwritten(folders: FolderCounts, where: str) -> Finding:
    return Finding(
        "note",
        "outputs_exist",
        Problem(
            where,
            "output",
            "output folders already have files; all jobs run, and overwrite files with the same "
            "name",
            got=f"{folders.started} of {folders.jobs} jobs",
            remedy="To skip jobs whose inputs have not changed, set check_if_done_exact to true.",
        ),
    )


def _number(folders: FolderCounts, config: RunConfig, expected: int | None) -> Iterator[Finding]:
    """Whether expected_number_files matches a finished job."""
    configured = config.expected_number_files
    if config.necessary_string or config.min_file_size_bytes > 1:
        expected = None  # the pipeline does not determine which of its files count
    usual = _usual(folders.held)
    right = expected if expected is not None else usual
    if right is None or right == configured:
        return
    basis = "a job of this pipeline writes" if expected is not None else "most folders have"
    files = "1 file" if right == 1 else f"{right} files"
    if configured > right:
        yield Finding(
            "warning",
            "skip_never",
            Problem(
                "run config",
                "expected_number_files",
                f"{basis} {files} that count{'s' if right == 1 else ''}: no job would be skipped",
                got=str(configured),
                remedy=f"Set it to {right}.",
            ),
        )
    elif expected is not None:
        yield Finding(
            "warning",
            "skip_too_soon",
            Problem(
                "run config",
                "expected_number_files",
                f"{basis} {files}: jobs with incomplete folders would be skipped as done",
                got=str(configured),
                remedy=f"Set it to {right}.",
            ),
        )


def _usual(held: Mapping[int, int]) -> int | None:
    """The number of files in more than half of the folders, if at least two have it."""
    most = max(held, key=lambda files: held[files], default=0)
    return most if most and held[most] > 1 and held[most] * 2 > sum(held.values()) else None
