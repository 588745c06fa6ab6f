"""Which few rows of a CSV give LoadData the columns that all its rows give it.

LoadData looks at every row to find whether a column holds integers, numbers or text, and how long
its longest value is: the types of ExportToDatabase's columns. For each column the first row of its
widest kind and the first of its longest values say the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dcp_worker.load_data.group_match import TEXT, kind_of
from dcp_worker.load_data.image_columns import Image, images_of

if TYPE_CHECKING:
    from dcp_worker.load_data.local_paths import Places

# A plate has its images in few folders; more than these are not remembered.
_FOLDERS_KEPT = 10_000


class Witnesses:
    """Collects them while every row of the CSV is shown to it."""

    def __init__(self, header: Sequence[str], places: Places) -> None:
        self.kinds = [-1] * len(header)
        self._places = places
        self._images = [(image, set[str]()) for image in images_of(header)]
        self._open = list(range(len(header)))
        of_images = {at for image, _ in self._images for at in _columns(image)}
        self._others = [at for at in range(len(header)) if at not in of_images]
        # Of a column and whether localizing changes the value: with a change the length grows by
        # that of the job's folder, which is not known here.
        self._widths: dict[tuple[int, bool], int] = {}
        self._found: dict[tuple[int, bool | None], int] = {}

    def see(self, row: list[str], place: int) -> None:
        """Look at one row."""
        for at in self._open:
            kind = kind_of(row[at])
            if kind > self.kinds[at]:
                self.kinds[at] = kind
                self._found[at, None] = place
                self._open = [column for column in self._open if self.kinds[column] < TEXT]
        widths = self._widths
        for at in self._others:
            if len(row[at]) > widths.get((at, False), -1):
                self._keep(at, False, row[at], place)
        for image, folders in self._images:
            if image.url < 0 <= image.file and "/" not in row[image.file]:
                # Only its folder tells what becomes of such a file, and its name stays.
                folder = row[image.path] if image.path >= 0 else ""
                if folder in folders:
                    if len(row[image.file]) > widths.get((image.file, False), -1):
                        self._keep(image.file, False, row[image.file], place)
                    continue
                if len(folders) < _FOLDERS_KEPT:
                    folders.add(folder)
            self._see_image(image, row, place)

    def places(self) -> list[int]:
        """The places of the rows that suffice."""
        return sorted(set(self._found.values()))

    def _see_image(self, image: Image, row: list[str], place: int) -> None:
        local = list(row)
        image.localize(local, self._places)
        for at in _columns(image):
            self._keep(at, local[at] != row[at], local[at], place)

    def _keep(self, at: int, changed: bool, value: str, place: int) -> None:
        if len(value) > self._widths.get((at, changed), -1):
            self._widths[at, changed] = len(value)
            self._found[at, changed] = place


def _columns(image: Image) -> list[int]:
    return [at for at in (image.url, image.path, image.file) if at >= 0]
