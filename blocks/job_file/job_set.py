"""Sets of jobs: the expansion of a job file before any CSV is read. Pure.

The jobs of a set share everything but their group. A job file with `{plate}` in its keys results in
one set per plate, any other in a single set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from blocks.job_file.metadata import Pairs, keys_in

PLATE, WELL, SITE = "Metadata_Plate", "Metadata_Well", "Metadata_Site"

Filters = tuple[tuple[str, tuple[str, ...]], ...]
"""Columns, each with its values."""


@dataclass(frozen=True)
class FromCsv:
    """A rule for groups from the LoadData CSV: one group per combination of values in the file.

    Attributes:
        by: The columns whose values define a group, such as Metadata_Plate and Metadata_Well.
        include: Use only rows with one of these values in each of these columns.
        exclude: Skip rows with one of these values in any of these columns.
        first: Use only the first N groups of the file; None for all.
    """

    by: tuple[str, ...]
    include: Filters = ()
    exclude: Filters = ()
    first: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the rule uses, those of the groups first."""
        filters = (column for column, _ in (*self.include, *self.exclude))
        return tuple(dict.fromkeys((*self.by, *filters)))


@dataclass(frozen=True)
class JobSet:
    """Jobs that share everything but their group.

    Attributes:
        pipeline: S3 key of the pipeline or batch file.
        data_file: S3 key of the LoadData CSV, batch file or file list.
        input: S3 prefix of the default input folder; may be empty.
        output: S3 prefix of the outputs.
        output_structure: Folders below `output`, with keys of the groups in them; may be empty.
        groups: The groups, or the rule that derives them from the data file.
        plate: The plate, if all jobs of the set belong to one.
    """

    pipeline: str
    data_file: str
    input: str
    output: str
    output_structure: str
    groups: Sequence[Pairs] | FromCsv
    plate: str = ""

    @property
    def keys(self) -> tuple[str, ...]:
        """The metadata keys of the groups, in order."""
        if isinstance(self.groups, FromCsv):
            return self.groups.by
        return tuple(key for key, _ in self.groups[0])

    @property
    def names_all_keys(self) -> bool:
        """Whether each group should have its own output folder.

        A structure may omit keys on purpose (DCP's projection step writes all sites of a plate into
        one folder). With all keys, equal folders are a mistake: P1-A, 1 and P1, A-1 both become
        P1-A-1.
        """
        structure = self.output_structure
        return not structure or keys_in(structure, self.keys) == set(self.keys)
