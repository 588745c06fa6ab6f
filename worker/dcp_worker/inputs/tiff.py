"""Whether a TIFF holds all that its directories point at: tags, strips and tiles.

No pixel is decoded and little read. tifffile is no help here: it is made to read what is left of a
broken file, and only logs that a directory, a tag or a page lies beyond the file's end.

Sources: "TIFF Revision 6.0" (Adobe), "The BigTIFF File Format" (AWare Systems).
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import BinaryIO

MAGIC = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")

_WIDTH, _LENGTH, _BITS, _COMPRESSION = 256, 257, 258, 259
_DESCRIPTION, _STRIP_OFFSETS, _SAMPLES, _ROWS_PER_STRIP, _STRIP_SIZES = 270, 273, 277, 278, 279
_PLANAR, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS, _TILE_SIZES, _SUB_IFDS = (
    284,
    322,
    323,
    324,
    325,
    330,
)
# Private tags may be copied from file to file with offsets that mean nothing any more.
_FIRST_PRIVATE = 32768
# Zeiss LSM writes the sizes that compressed strips had before their compression.
_LSM = 34412
_USED = frozenset(
    (
        *(_WIDTH, _LENGTH, _BITS, _COMPRESSION, _DESCRIPTION, _STRIP_OFFSETS, _SAMPLES),
        *(_ROWS_PER_STRIP, _STRIP_SIZES, _PLANAR, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS),
        *(_TILE_SIZES, _SUB_IFDS, _LSM),
    )
)
# Type of a tag -> code of `struct`; ASCII, undefined and rational are read as bytes.
_TYPES = {1: "B", 2: "c", 3: "H", 4: "I", 5: "Q", 6: "b", 7: "c", 8: "h", 9: "i", 10: "q"}
_TYPES |= {11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_TAGS = 4096
_UNCOMPRESSED = 1
_IMAGEJ_IMAGES = re.compile(rb"^ImageJ=.*?^images=(\d+)", re.MULTILINE | re.DOTALL)


class _CutOffError(Exception):
    """Something that should be there lies beyond the file's end."""


Tags = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class _Directory:
    """An image file directory: where it lies, its tags, and where the next one does."""

    offset: int
    tags: Tags
    following: int


def problem(file: BinaryIO, size: int) -> str:
    """What is wrong with a TIFF of so many bytes, to follow its name; empty: nothing found."""
    try:
        reader = _Reader(file, size)
        if reader.offsets_end_before(size):
            return ""  # NDPI keeps their upper half elsewhere: known to be whole by its size alone
        pages = list(reader.pages())
        for page in pages:
            _check_pixels(page.tags, size)
        if len(pages) == 1:
            _check_imagej_stack(pages[0], size)
    except _CutOffError as error:
        return f"is cut off: {error} lies beyond its end at byte {size}"
    if not any(_offsets(page.tags) for page in pages):
        return "is a TIFF without pixels"
    return ""


class _Reader:
    """Reads the directories of a file."""

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        head = self._read(0, 4, "its header")
        self._order = "<" if head[:2] == b"II" else ">"
        self._big = head in (b"II+\0", b"MM\0+")
        self._word = "Q" if self._big else "I"
        self._word_size = 8 if self._big else 4

    def offsets_end_before(self, size: int) -> bool:
        """Whether a file is larger than its offsets can tell: 4 GB, if it is no BigTIFF."""
        return not self._big and size >= 2**32

    def pages(self) -> Iterator[_Directory]:
        """All directories, those that others point at (SubIFDs) too."""
        (first,) = self._values(self._word, 8 if self._big else 4, 1, "its header")
        ahead, seen = [first], {0}
        while ahead:
            offset = ahead.pop()
            if offset in seen:
                continue
            seen.add(offset)
            directory = self._directory(offset)
            if directory is not None:
                yield directory
                ahead += [directory.following, *directory.tags.get(_SUB_IFDS, ())]

    def _directory(self, offset: int) -> _Directory | None:
        """The directory at a place; None when what is there is none."""
        what = f"the directory at byte {offset}"
        code, size = ("Q", 8) if self._big else ("H", 2)
        (count,) = self._values(code, offset, 1, what)
        if not 0 < count <= _MOST_TAGS:
            return None
        entry = 20 if self._big else 12
        entries = self._read(offset + size, count * entry, what)
        (following,) = self._values(self._word, offset + size + count * entry, 1, what)
        tags: dict[int, Sequence[int]] = {}
        for at in range(count):
            tag, kind, number = struct.unpack_from(
                f"{self._order}HH{self._word}", entries, at * entry
            )
            inline = offset + size + at * entry + 4 + self._word_size
            if kind in _TYPES:
                found = self._tag(tag, _TYPES[kind], number, inline)
                if found is not None:
                    tags[tag] = found
        return _Directory(offset, tags, following)

    def _tag(self, tag: int, code: str, count: int, inline: int) -> Sequence[int] | None:
        """The values of a tag; None when they do not matter here."""
        length = struct.calcsize(f"={code}") * count
        at = inline
        if length > self._word_size:
            (at,) = self._values(self._word, inline, 1, f"tag {tag}")
            if tag < _FIRST_PRIVATE and at + length > self._size:
                raise _CutOffError(f"tag {tag} at byte {at}")
        if tag not in _USED or (tag == _LSM and at + length > self._size):
            return None
        if code == "c":
            return self._read(at, length, f"tag {tag}")
        return self._values(code, at, count, f"tag {tag}")

    def _values(self, code: str, at: int, count: int, what: str) -> tuple[int, ...]:
        wanted = f"{self._order}{count}{code}"
        return struct.unpack(wanted, self._read(at, struct.calcsize(wanted), what))

    def _read(self, at: int, length: int, what: str) -> bytes:
        if at + length > self._size:
            raise _CutOffError(what)
        self._file.seek(at)
        found = self._file.read(length)
        if len(found) < length:
            raise _CutOffError(what)
        return found


def _offsets(tags: Tags) -> Sequence[int]:
    return tags.get(_TILE_OFFSETS) or tags.get(_STRIP_OFFSETS) or ()


def _check_pixels(tags: Tags, size: int) -> None:
    """Find a strip or tile that does not lie within the file."""
    offsets = _offsets(tags)
    sizes = tags.get(_TILE_SIZES) or tags.get(_STRIP_SIZES) or ()
    tiled = _TILE_OFFSETS in tags
    lsm = _LSM in tags and not _is_raw(tags)
    for at, offset in enumerate(offsets):
        told = sizes[at] if at < len(sizes) else 0
        if not offset or lsm:
            needed = 0  # a tile that was left out, as sparse files do
        elif _is_raw(tags):
            raw = _tile_bytes(tags) if tiled else _strip_bytes(tags, at)
            # The last strip may be told larger than it is.
            needed = min(told, raw) if told else raw
        else:
            needed = told
        if offset + needed > size:
            kind = "tile" if tiled else "strip"
            raise _CutOffError(f"{kind} {at + 1} of {len(offsets)} at byte {offset}")


def _is_raw(tags: Tags) -> bool:
    return _one(tags, _COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED


def _one(tags: Tags, tag: int, default: int) -> int:
    values = tags.get(tag)
    return values[0] if values else default


def _row_bytes(tags: Tags, width: int) -> int:
    separate = _one(tags, _PLANAR, 1) == 2
    samples = 1 if separate else _one(tags, _SAMPLES, 1)
    return (width * samples * _one(tags, _BITS, 1) + 7) // 8


def _tile_bytes(tags: Tags) -> int:
    return _row_bytes(tags, _one(tags, _TILE_WIDTH, 0)) * _one(tags, _TILE_LENGTH, 0)


def _strip_bytes(tags: Tags, at: int) -> int:
    length = _one(tags, _LENGTH, 0)
    rows = min(_one(tags, _ROWS_PER_STRIP, length) or length, length)
    strips = -(-length // rows) if rows else 1
    return _row_bytes(tags, _one(tags, _WIDTH, 0)) * min(rows, length - at % strips * rows)


def _check_imagej_stack(page: _Directory, size: int) -> None:
    """ImageJ writes one directory for a large stack, and its planes one after the other.

    A description that was copied to a file of one plane proves nothing: there are pixels of a
    second plane, or it is none.
    """
    description = page.tags.get(_DESCRIPTION, b"")
    found = _IMAGEJ_IMAGES.search(description) if isinstance(description, bytes) else None
    offsets = _offsets(page.tags)
    if not found or not offsets or not _is_raw(page.tags) or offsets[0] < page.offset:
        return
    length, samples = _one(page.tags, _LENGTH, 0), _one(page.tags, _SAMPLES, 1)
    planes = samples if _one(page.tags, _PLANAR, 1) == 2 else 1
    plane = _row_bytes(page.tags, _one(page.tags, _WIDTH, 0)) * length * planes
    images = int(found.group(1))
    if offsets[0] + plane < size < offsets[0] + plane * images:
        raise _CutOffError(f"the last of {images} planes")
