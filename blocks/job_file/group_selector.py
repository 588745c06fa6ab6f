"""Rules that make groups from the LoadData CSV or from a layout."""

import re
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from blocks.errors import Refusal, Refusals
from blocks.fields import PlainField, form_title
from blocks.job_file.job_set import PLATE, SITE, WELL, Filters, FromCsv
from blocks.job_file.metadata import check_value
from blocks.job_file.plate_layout import (
    Layout,
    expanded,
    row_name,
    row_number,
    rows_and_columns,
    wells_of,
)
from blocks.job_file.value_lists import Names, Ranges

PlateFormat = Annotated[
    Literal[96, 384, 1536] | None,
    BeforeValidator(lambda v: int(v) if isinstance(v, str) and v.isdigit() else v or None),
    PlainField(),
]


_ONE_OF = (
    ("wells", "format"),
    ("wells", "rows"),
    ("wells", "columns"),
    ("format", "rows"),
    ("format", "columns"),
)
"""Keys that exclude each other."""

_RANGE_OF_WELLS = re.compile(r"[A-Za-z]{1,2}\d+\s*-\s*[A-Za-z]{1,2}\d+")


class GroupRule(BaseModel):
    """A rule for groups: with `by` from the rows of the LoadData CSV, else from a layout."""

    model_config = ConfigDict(extra="forbid", frozen=True, field_title_generator=form_title)

    by: Names = Field(
        default=[],
        description="Metadata columns of the LoadData CSV: one group for each combination of their "
        "values in the file.",
    )
    plates: Names = Field(default=[], description="The plates; with by, use only these.")
    wells: Names = Field(
        default=[], description="The wells, such as A01; with by, use only these wells."
    )
    sites: Ranges = Field(
        default=[], description="The sites, such as 1-9; with by, use only these sites."
    )
    format: PlateFormat = Field(
        default=None, description="Plate format: use all wells of a plate with this many wells."
    )
    rows: Ranges = Field(default=[], description="Rows of the wells, such as A-P or AA-AF.")
    columns: Ranges = Field(default=[], description="Columns of the wells, such as 1-24.")
    pad: bool = Field(default=True, description="Write wells as A01 (true) or A1 (false).")
    include: dict[str, Names] = Field(
        default={}, description="Use only these values of these metadata keys."
    )
    exclude: dict[str, Names] = Field(
        default={}, description="Skip these values of these metadata keys."
    )
    first: Annotated[int | None, PlainField()] = Field(
        default=None,
        ge=1,
        le=1_000_000_000,
        description="Use only the first N groups of each data file.",
    )

    @field_validator("rows")
    @classmethod
    def _letters(cls, rows: list[str]) -> list[str]:
        for row in rows:
            if not (row.isascii() and row.isalpha() and len(row) <= 2):
                raise Refusal(
                    "is not a row of a plate",
                    got=repr(row),
                    allowed="A to Z, then AA, AB and so on",
                )
        return [row_name(row_number(row)) for row in rows]

    @field_validator("columns")
    @classmethod
    def _whole_numbers(cls, columns: list[str]) -> list[str]:
        for column in columns:
            if not (column.isascii() and column.isdigit() and int(column) > 0):
                raise Refusal(
                    "is not a column of a plate",
                    got=repr(column),
                    allowed="1, 2, 3 and so on",
                )
        return [str(int(column)) for column in columns]

    @model_validator(mode="after")
    def _check(self) -> Self:
        refusals = [*self._repeated_values(), *self._wrong_values(), *self._together()]
        if refusals:
            raise Refusals(refusals)
        return self

    def _repeated_values(self) -> list[Refusal]:
        keys = ("by", "plates", "wells", "sites", "rows", "columns")
        refusals = (repeated_value(getattr(self, key), f"groups.{key}") for key in keys)
        return [refusal for refusal in refusals if refusal]

    def _wrong_values(self) -> list[Refusal]:
        refusals = []
        for key, column in (("plates", PLATE), ("wells", WELL), ("sites", SITE)):
            for number, value in enumerate(getattr(self, key), 1):
                try:
                    check_value(column, value)
                except Refusal as refusal:
                    refusals.append(refusal.at_key(f"groups.{key}[{number}]", repr(value)))
        refusals += [
            Refusal(
                "is a range, but wells must be named one by one",
                key=f"groups.wells[{number}]",
                got=repr(well),
                remedy="Write rows and columns, such as rows: A-H and columns: 1-12, or format.",
            )
            for number, well in enumerate(self.wells, 1)
            if _RANGE_OF_WELLS.fullmatch(well)
        ]
        return refusals

    def _together(self) -> list[Refusal]:
        layout_keys = [key for key in ("format", "rows", "columns") if getattr(self, key)]
        if not self.pad:
            layout_keys.append("pad")
        if self.by:
            return [
                Refusal(
                    "describes a layout, but by makes the groups from the CSV",
                    key=f"groups.{key}",
                    remedy="Remove by, or name the wells.",
                )
                for key in layout_keys
            ]
        columns = [PLATE, WELL, SITE]
        refusals = [
            Refusal(
                f"names {column!r}, which a layout does not have",
                key=f"groups.{key}",
                allowed=", ".join(columns),
            )
            for key in ("include", "exclude")
            for column in getattr(self, key)
            if column not in columns
        ]
        for first, second in _ONE_OF:
            if getattr(self, first) and getattr(self, second):
                refusals.append(
                    Refusal(
                        f"cannot be combined with {first}",
                        key=f"groups.{second}",
                        remedy="Keep one of them.",
                    )
                )
        return refusals

    def from_csv(self, plates: tuple[str, ...]) -> FromCsv:
        """The rule for groups from a CSV, only for these plates; without any, for all."""
        include = {column: tuple(values) for column, values in self.include.items()}
        for column, values in ((PLATE, plates), (WELL, self.wells), (SITE, self.sites)):
            if values:
                included = include.get(column)
                include[column] = tuple(v for v in values if included is None or v in included)
        exclude: Filters = tuple((column, tuple(vs)) for column, vs in self.exclude.items())
        return FromCsv(tuple(self.by), tuple(include.items()), exclude, self.first)

    def with_defaults(self, keys: tuple[str, ...], rows: str, columns: str, sites: str) -> Self:
        """The same layout with only these keys, and with defaults for missing values."""
        update: dict[str, Any] = {}
        if WELL not in keys:
            update = {"wells": [], "rows": [], "columns": [], "format": None}
        elif not (self.wells or self.format or self.rows or self.columns):
            update = {"rows": expanded(rows), "columns": expanded(columns)}
        if SITE not in keys:
            update["sites"] = []
        elif not self.sites:
            update["sites"] = expanded(sites)
        return self.model_copy(update=update)

    def layout(self, plates: tuple[str, ...]) -> Layout:
        """The groups of the layout for these plates; without any, only by well and site.

        Raises:
            Refusal: It has no values, or its filters leave none.
        """
        axes = {PLATE: plates, WELL: self._wells(), SITE: tuple(self.sites)}
        left = {key: self._filtered(key, values) for key, values in axes.items() if values}
        if not left:
            raise Refusal(
                "has no plates, wells or sites, and no columns of the CSV",
                key="groups",
                remedy="Write by, such as by: [Metadata_Plate, Metadata_Well], or a layout.",
            )
        for key, values in left.items():
            if not values:
                raise Refusal(
                    f"matches no {key} of the layout"
                    if key in self.include
                    else f"excludes every {key} of the layout",
                    key="groups.include" if key in self.include else "groups.exclude",
                    got=", ".join((self.include.get(key) or self.exclude[key])[:5]),
                    allowed=f"some of {', '.join(axes[key][:5])} …",
                )
        return Layout(tuple(left.items()), self.first)

    def _wells(self) -> tuple[str, ...]:
        if self.format:
            return tuple(wells_of(*rows_and_columns(self.format), self.pad))
        if self.rows or self.columns:
            rows, columns = rows_and_columns(384)
            return tuple(wells_of(self.rows or rows, self.columns or columns, self.pad))
        return tuple(self.wells)

    def _filtered(self, key: str, values: tuple[str, ...]) -> tuple[str, ...]:
        include, exclude = self.include.get(key), set(self.exclude.get(key, ()))
        return tuple(
            v for v in values if v not in exclude and (include is None or v in set(include))
        )


def check_plates(plates: Sequence[str]) -> None:
    """Check the names of plates.

    Raises:
        Refusal: A name is not valid in a group, or occurs twice.
    """
    for plate in plates:
        check_value(PLATE, plate)
    if twice := repeated_value(list(plates), ""):
        raise twice


def repeated_value(values: list[str], key: str) -> Refusal | None:
    """The refusal of a list with a repeated value."""
    earlier: set[str] = set()
    for value in values:
        if value in earlier:
            return Refusal(f"has {value!r} twice", key=key, remedy="Keep one of them.")
        earlier.add(value)
    return None
