"""Sets of jobs: what a job file comes to, before any CSV is read. Pure.

The jobs of a set share everything but their group. A job file whose keys hold `{plate}` comes to
a set for each plate, any other to one set.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from blocks.job_file.metadata import Pairs, keys_in

PLATE, WELL, SITE = "Metadata_Plate", "Metadata_Well", "Metadata_Site"

Filters = tuple[tuple[str, tuple[str, ...]], ...]
"""Columns, each with values."""


@dataclass(frozen=True)
class FromCsv:
    """Groups that are to be made from the LoadData CSV: one for each combination in the file.

    Attributes:
        by: The columns whose values make a group, such as Metadata_Plate and Metadata_Well.
        include: Only rows that have one of these values in each of these columns.
        exclude: No row that has one of these values in any of these columns.
        first: Only so many groups, the first of the file; None for all.
    """

    by: tuple[str, ...]
    include: Filters = ()
    exclude: Filters = ()
    first: int | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """Every column that is looked at, those of the groups first."""
        filters = (column for column, _ in (*self.include, *self.exclude))
        return tuple(dict.fromkeys((*self.by, *filters)))


@dataclass(frozen=True)
class JobSet:
    """Jobs that share everything but their group.

    Attributes:
        pipeline: S3 key of the pipeline or batch file.
        data_file: S3 key of the LoadData CSV, batch file or list of files.
        input: S3 prefix of the default input folder; may be empty.
        output: S3 prefix of the outputs.
        output_structure: Folders below `output`, naming keys of the groups; may be empty.
        groups: The groups themselves, or how to make them from the data file.
        plate: The plate, when the set is of one.
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
        """The metadata keys of the groups, in their order."""
        if isinstance(self.groups, FromCsv):
            return self.groups.by
        return tuple(key for key, _ in self.groups[0])

    @property
    def names_all_keys(self) -> bool:
        """Whether each group is meant to have an output folder of its own.

        A structure that leaves keys out is a choice (DCP's projection step writes all sites of a
        plate into one folder). Equal folders in spite of all keys are an accident: P1-A, 1 and
        P1, A-1 are both P1-A-1.
        """
        structure = self.output_structure
        return not structure or keys_in(structure, self.keys) == set(self.keys)
