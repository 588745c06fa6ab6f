"""What lies in the jobs' output folders already, and what skipping will make of it."""

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
class Rule:
    """When a job is done: so many files, each of so many bytes, with a text in their name."""

    files: int
    size: int
    text: str

    @classmethod
    def of(cls, config: RunConfig) -> "Rule":
        """Of a run config."""
        return cls(
            config.expected_number_files, config.min_file_size_bytes, config.necessary_string
        )

    def counts(self, key: str, size: int) -> bool:
        """Whether a file counts, by its name without folders."""
        return size >= self.size and self.text in key.rpartition("/")[2]


@dataclass
class Folders:
    """What the output folders of jobs hold.

    Attributes:
        jobs: All jobs.
        shared: Jobs that write into a folder of another.
        clashing: Of these, such as were meant to have one of their own.
        clash: A folder of these.
        started: Folders that hold anything.
        held: How many files that count -> how many folders hold so many, of those started.
    """

    jobs: int = 0
    shared: int = 0
    clashing: int = 0
    clash: str = ""
    started: int = 0
    held: Counter[int] = field(default_factory=Counter)

    def done(self, files: int) -> int:
        """Folders with at least so many files that count."""
        return sum(number for held, number in self.held.items() if held >= files)


Listing = Callable[[str], Iterable[tuple[str, int]]]
"""The objects (key, bytes) below a prefix, sorted by key."""


@contextmanager
def outputs_of(rule: Rule) -> Iterator["Outputs"]:
    """No output folders yet; what is kept of them goes away with the block."""
    with (
        tempfile.TemporaryDirectory(prefix="dcp-outputs-") as below,
        closing(sqlite3.connect(Path(below) / "outputs.sqlite", isolation_level=None)) as database,
    ):
        yield Outputs(rule, database)


class Outputs:
    """The output folders of all jobs, on disk, so that memory does not grow with the jobs."""

    def __init__(self, rule: Rule, database: sqlite3.Connection) -> None:
        self._rule, self._db = rule, database
        self._db.executescript(
            """PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;
            CREATE TABLE folder (top TEXT, prefix TEXT, jobs INTEGER, alone INTEGER,
                PRIMARY KEY (top, prefix)) WITHOUT ROWID; BEGIN;"""
        )

    def add(self, top: str, prefix: str, alone: bool = False) -> None:
        """Add the folder of a job.

        Args:
            top: What all jobs of its set write below, with a slash at the end.
            prefix: The job's own, with a slash at the end.
            alone: No other job is meant to write into it.
        """
        self._db.execute(
            "INSERT INTO folder VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET jobs = jobs + 1",
            (top, prefix, alone),
        )

    def look(self, listing: Listing) -> Folders:
        """Count what the folders hold."""
        ((jobs, shared),) = self._db.execute(
            "SELECT total(jobs), total(CASE WHEN jobs > 1 THEN jobs END) FROM folder"
        )
        ((clashing, clash),) = self._db.execute(
            "SELECT total(jobs), min(prefix) FROM folder WHERE jobs > 1 AND alone"
        )
        folders = Folders(int(jobs), int(shared), int(clashing), clash or "")
        tops = self._db.execute("SELECT top, min(prefix), max(prefix) FROM folder GROUP BY top")
        for top, first, last in tops.fetchall():
            query = "SELECT prefix FROM folder WHERE top = ? ORDER BY prefix"
            mine = self._db.execute(query, [top])
            # What all begin with, sign by sign, as S3 takes prefixes: other plates below the same
            # output are not listed.
            there = listing(commonprefix([first, last]))  # noqa: RUF071
            _count((prefix for (prefix,) in mine), there, self._rule, folders)
        return folders


def _count(
    prefixes: Iterator[str], objects: Iterable[tuple[str, int]], rule: Rule, folders: Folders
) -> None:
    """Merge two sorted sequences: folders, and the objects of which some lie in them."""
    prefix = next(prefixes, None)
    here: list[int] | None = None  # files that count, in the folder at hand, once it holds any
    for key, size in objects:
        while prefix is not None and not key.startswith(prefix) and _after(key, prefix):
            _close(here, folders)
            prefix, here = next(prefixes, None), None
        if prefix is not None and key.startswith(prefix) and key != prefix:
            here = here or [0]
            here[0] += rule.counts(key, size)
    _close(here, folders)


def _after(key: str, prefix: str) -> bool:
    return key.encode() > prefix.encode()


def _close(here: list[int] | None, folders: Folders) -> None:
    if here is not None:
        folders.started += 1
        folders.held[here[0]] += 1


def findings(
    folders: Folders, config: RunConfig, where: str, expected: int | None
) -> Iterator[Finding]:
    """What to know of outputs that are there already. Pure.

    Args:
        folders: What the folders hold.
        config: The run config.
        where: The job file's name.
        expected: How many files a job writes, when the pipeline tells.
    """
    if folders.clashing:
        yield Finding(
            "error",
            "output_clash",
            Problem(
                where,
                "output_structure",
                "different groups come to one output folder",
                got=f"{folders.clashing} jobs, some of them in {folders.clash!r}",
                remedy="Part the keys by / in output_structure.",
            ),
        )
    elif folders.shared:
        yield Finding(
            "note",
            "output_shared",
            Problem(
                where,
                "output_structure",
                "jobs write into one folder; files of one name overwrite each other",
                got=f"{folders.shared} of {folders.jobs} jobs",
                remedy="Name more keys in output_structure unless it is meant so.",
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
                "jobs will be skipped, for their folders hold enough files already",
                got=f"{done} of {folders.jobs} jobs",
                remedy="Set check_if_done_bool to false to do them again.",
            ),
        )


def _overwritten(folders: Folders, where: str) -> Finding:
    return Finding(
        "note",
        "outputs_there",
        Problem(
            where,
            "output",
            "output folders hold files already; all jobs are done, and files of the same name "
            "replaced",
            got=f"{folders.started} of {folders.jobs} jobs",
            remedy="Set check_if_done_exact to true to skip what has been done as it would be now.",
        ),
    )


def _number(folders: Folders, config: RunConfig, expected: int | None) -> Iterator[Finding]:
    """Whether expected_number_files is what a finished job has."""
    given = config.expected_number_files
    if config.necessary_string or config.min_file_size_bytes > 1:
        expected = None  # which of its files count, a pipeline does not tell
    usual = _usual(folders.held)
    right = expected if expected is not None else usual
    if right is None or right == given:
        return
    known = "a job of this pipeline writes" if expected is not None else "most folders there hold"
    if given > right:
        yield Finding(
            "warning",
            "skip_never",
            Problem(
                "run config",
                "expected_number_files",
                f"{known} {right} files that count: no job will ever be skipped",
                got=str(given),
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
                f"{known} {right} files: folders that lack some will be skipped as done",
                got=str(given),
                remedy=f"Set it to {right}.",
            ),
        )


def _usual(held: Mapping[int, int]) -> int | None:
    """The number of files that more than half of the folders hold, when several do."""
    most = max(held, key=lambda files: held[files], default=0)
    return most if most and held[most] > 1 and held[most] * 2 > sum(held.values()) else None
