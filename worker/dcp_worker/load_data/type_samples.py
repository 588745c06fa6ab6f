"""Selects a few rows of a CSV that give LoadData the same column types as all its rows.

LoadData reads every row to determine whether a column holds integers, numbers or text, and the
length of its longest value: the types of ExportToDatabase's columns. For each column, two rows give
the same result: the first with its widest kind, and the first with its longest value.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dcp_worker.load_data.group_match import TEXT, kind_of
from dcp_worker.load_data.image_columns import ImageColumns, images_of

if TYPE_CHECKING:
    from dcp_worker.load_data.local_paths import PathMapping

# The images of a plate are in few folders; only this many are remembered.
_FOLDERS_KEPT = 10_000


class TypeSamples:
    """Collects these rows while `add` receives every row of the CSV."""

    def __init__(self, header: Sequence[str], paths: PathMapping) -> None:
        self.kinds = [-1] * len(header)
        self._paths = paths
        self._images = [(image, set[str]()) for image in images_of(header)]
        self._open = list(range(len(header)))
        of_images = {at for image, _ in self._images for at in _columns(image)}
        self._others = [at for at in range(len(header)) if at not in of_images]
        # By column, and whether localizing changes the value: a changed value also contains the
        # path of the job's folder, whose length is unknown here.
        self._widths: dict[tuple[int, bool], int] = {}
        self._rows: dict[tuple[int, bool | None], int] = {}

    def add(self, row: list[str], offset: int) -> None:
        """Take one row."""
        for at in self._open:
            kind = kind_of(row[at])
            if kind > self.kinds[at]:
                self.kinds[at] = kind
                self._rows[at, None] = offset
                self._open = [column for column in self._open if self.kinds[column] < TEXT]
        widths = self._widths
        for at in self._others:
            if len(row[at]) > widths.get((at, False), -1):
                self._keep(at, False, row[at], offset)
        for image, folders in self._images:
            if image.url < 0 <= image.file and "/" not in row[image.file]:
                # Localizing changes only the folder of such a file, not its name.
                folder = row[image.path] if image.path >= 0 else ""
                if folder in folders:
                    if len(row[image.file]) > widths.get((image.file, False), -1):
                        self._keep(image.file, False, row[image.file], offset)
                    continue
                if len(folders) < _FOLDERS_KEPT:
                    folders.add(folder)
            self._see_image(image, row, offset)

    def offsets(self) -> list[int]:
        """Byte offsets of the selected rows."""
        return sorted(set(self._rows.values()))

    def _see_image(self, image: ImageColumns, row: list[str], offset: int) -> None:
        local = list(row)
        image.localize(local, self._paths)
        for at in _columns(image):
            self._keep(at, local[at] != row[at], local[at], offset)

    def _keep(self, at: int, changed: bool, value: str, offset: int) -> None:
        if len(value) > self._widths.get((at, changed), -1):
            self._widths[at, changed] = len(value)
            self._rows[at, changed] = offset


def _columns(image: ImageColumns) -> list[int]:
    return [at for at in (image.url, image.path, image.file) if at >= 0]
