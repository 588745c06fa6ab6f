"""The output folders of jobs: which jobs share one, on purpose or by accident."""

import hashlib
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from blocks.errors import Refusal
from blocks.groups import Pairs, joined, keys_in, metadata_id, metadata_text
from blocks.job_rules import too_long
from blocks.job_sets import JobSet
from tasks.jobs import GetCsv, pairs_of


@dataclass(frozen=True)
class Folders:
    """What is to be known of the output folders of all jobs.

    Attributes:
        jobs: The number of jobs.
        shared: Jobs that write into a folder of another. DCP's projection step means it so (all
            sites of a plate in one folder); files of the same name overwrite each other.
        refusals: Folders that are the same though the structure names every key of the groups,
            or that are too long; one of each kind, with `groups` or `output_structure` as key.
    """

    jobs: int
    shared: int
    refusals: tuple[Refusal, ...] = ()


def folders_of(sets: Sequence[JobSet], csvs: GetCsv) -> Folders:
    """Look at the folder of every job. Memory is constant: digests of the folders lie in a file.

    Raises:
        InputError: A CSV that groups are made from is not there or does not serve.
    """
    refusals: list[Refusal] = []

    def digests() -> Iterator[tuple[bytes]]:
        for jobs, pairs in _all(sets, csvs):
            folder = _folder(jobs, pairs)
            if not refusals and (refusal := too_long(folder)):
                refusals.append(refusal.at_key("groups", repr(metadata_text(pairs))))
            yield (hashlib.sha256(folder.encode()).digest()[:16],)

    with (
        tempfile.TemporaryDirectory(prefix="dcp-folders-") as place,
        closing(sqlite3.connect(Path(place) / "folders.sqlite", isolation_level=None)) as database,
    ):
        # Nothing in the file need outlive this process.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.execute("CREATE TABLE job (folder BLOB)")
        database.execute("BEGIN")
        count = database.executemany("INSERT INTO job VALUES (?)", digests()).rowcount
        database.execute(
            """CREATE TABLE same AS SELECT count(*) AS jobs, min(rowid) AS one, max(rowid) AS other
            FROM job GROUP BY folder HAVING count(*) > 1"""
        )
        shared = database.execute("SELECT ifnull(sum(jobs), 0) FROM same").fetchone()[0]
        twins = database.execute("SELECT one, other FROM same ORDER BY one LIMIT 1").fetchone()
    if twins and not _on_purpose(sets):
        refusals.append(_same(sets, csvs, twins))
    return Folders(count, shared, tuple(refusals))


def _all(sets: Sequence[JobSet], csvs: GetCsv) -> Iterator[tuple[JobSet, Pairs]]:
    for jobs in sets:
        for pairs in pairs_of(jobs, csvs):
            yield jobs, pairs


def _folder(jobs: JobSet, pairs: Pairs) -> str:
    return joined(jobs.output, metadata_id(pairs, jobs.output_structure))


def _on_purpose(sets: Sequence[JobSet]) -> bool:
    """Whether the structure leaves keys of the groups out.

    If it names all, equal folders are an accident: P1-A, 1 and P1, A-1 are both P1-A-1.
    """
    return any(
        jobs.output_structure and keys_in(jobs.output_structure, jobs.keys) != set(jobs.keys)
        for jobs in sets
    )


def _same(sets: Sequence[JobSet], csvs: GetCsv, twins: tuple[int, int]) -> Refusal:
    one, other = (next(islice(_all(sets, csvs), number - 1, None)) for number in twins)
    return Refusal(
        "has the same output folder as another",
        key="groups",
        got=f"{metadata_text(one[1])!r} and {metadata_text(other[1])!r}, both in {_folder(*one)!r}",
        remedy="Part the keys by / in output_structure.",
    )
