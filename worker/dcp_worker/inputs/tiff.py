"""Checks whether a TIFF contains everything that its directories point to: tags, strips and tiles.

It decodes no pixels and reads little. tifffile cannot do this: it is designed to read the rest of a
broken file, and only logs that a directory, a tag or a page lies beyond the end of the file.

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
# Programs copy private tags between files, and their offsets become meaningless.
_FIRST_PRIVATE = 32768
# Zeiss LSM stores the uncompressed sizes of compressed strips.
_LSM = 34412
_USED = frozenset(
    (
        *(_WIDTH, _LENGTH, _BITS, _COMPRESSION, _DESCRIPTION, _STRIP_OFFSETS, _SAMPLES),
        *(_ROWS_PER_STRIP, _STRIP_SIZES, _PLANAR, _TILE_WIDTH, _TILE_LENGTH, _TILE_OFFSETS),
        *(_TILE_SIZES, _SUB_IFDS, _LSM),
    )
)
# Type of a tag -> code of `struct`; ASCII and undefined are read as bytes.
_TYPES = {1: "B", 2: "c", 3: "H", 4: "I", 5: "Q", 6: "b", 7: "c", 8: "h", 9: "i", 10: "q"}
_TYPES |= {11: "f", 12: "d", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MOST_TAGS = 4096
_UNCOMPRESSED = 1
_IMAGEJ_IMAGES = re.compile(rb"^ImageJ=.*?^images=(\d+)", re.MULTILINE | re.DOTALL)


class _TruncatedError(Exception):
    """Something that the file should contain lies beyond its end."""


Tags = Mapping[int, Sequence[int]]


@dataclass(frozen=True)
class _Directory:
    """An image file directory: its offset, its tags, and the offset of the next one."""

    offset: int
    tags: Tags
    following: int


def problem(file: BinaryIO, size: int) -> str:
    """Describe what is wrong with a TIFF of `size` bytes, to follow its name; empty if sound."""
    try:
        reader = _Reader(file, size)
        if reader.offsets_end_before(size):
            return ""  # NDPI stores the upper half of offsets elsewhere: the size is the only check
        pages = list(reader.pages())
        for page in pages:
            _check_pixels(page.tags, size)
        if len(pages) == 1:
            _check_imagej_stack(pages[0], size)
    except _TruncatedError as error:
        return f"is truncated: {error} lies beyond its end at byte {size}"
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
        """Whether the offsets of a file are too small for its size: 4 GB, except for a BigTIFF."""
        return not self._big and size >= 2**32

    def pages(self) -> Iterator[_Directory]:
        """All directories, including those that others point to (SubIFDs)."""
        (first,) = self._values(self._word, 8 if self._big else 4, 1, "its header")
        ahead, visited = [first], {0}
        while ahead:
            offset = ahead.pop()
            if offset in visited:
                continue
            visited.add(offset)
            directory = self._directory(offset)
            if directory is not None:
                yield directory
                ahead += [directory.following, *directory.tags.get(_SUB_IFDS, ())]

    def _directory(self, offset: int) -> _Directory | None:
        """The directory at an offset; None if the bytes there are not a directory."""
        part = f"the directory at byte {offset}"
        code, size = ("Q", 8) if self._big else ("H", 2)
        (count,) = self._values(code, offset, 1, part)
        if not 0 < count <= _MOST_TAGS:
            return None
        entry = 20 if self._big else 12
        entries = self._read(offset + size, count * entry, part)
        (following,) = self._values(self._word, offset + size + count * entry, 1, part)
        tags: dict[int, Sequence[int]] = {}
        for at in range(count):
            tag, kind, number = struct.unpack_from(
                f"{self._order}HH{self._word}", entries, at * entry
            )
            inline = offset + size + at * entry + 4 + self._word_size
            if kind in _TYPES:
                values = self._tag(tag, _TYPES[kind], number, inline)
                if values is not None:
                    tags[tag] = values
        return _Directory(offset, tags, following)

    def _tag(self, tag: int, code: str, count: int, inline: int) -> Sequence[int] | None:
        """The values of a tag; None if they do not matter here."""
        length = struct.calcsize(f"={code}") * count
        at = inline
        if length > self._word_size:
            (at,) = self._values(self._word, inline, 1, f"tag {tag}")
            if tag < _FIRST_PRIVATE and at + length > self._size:
                raise _TruncatedError(f"tag {tag} at byte {at}")
        if tag not in _USED or (tag == _LSM and at + length > self._size):
            return None
        if code == "c":
            return self._read(at, length, f"tag {tag}")
        return self._values(code, at, count, f"tag {tag}")

    def _values(self, code: str, at: int, count: int, part: str) -> tuple[int, ...]:
        layout = f"{self._order}{count}{code}"
        return struct.unpack(layout, self._read(at, struct.calcsize(layout), part))

    def _read(self, at: int, length: int, part: str) -> bytes:
        if at + length > self._size:
            raise _TruncatedError(part)
        self._file.seek(at)
        content = self._file.read(length)
        if len(content) < length:
            raise _TruncatedError(part)
        return content


def _offsets(tags: Tags) -> Sequence[int]:
    return tags.get(_TILE_OFFSETS) or tags.get(_STRIP_OFFSETS) or ()


def _check_pixels(tags: Tags, size: int) -> None:
    """Raise for the first strip or tile that is not within the file."""
    offsets = _offsets(tags)
    sizes = tags.get(_TILE_SIZES) or tags.get(_STRIP_SIZES) or ()
    tiled = _TILE_OFFSETS in tags
    lsm = _LSM in tags and not _is_raw(tags)
    for at, offset in enumerate(offsets):
        stated = sizes[at] if at < len(sizes) else 0
        if not offset or lsm:
            needed = 0  # sparse files omit empty tiles
        elif _is_raw(tags):
            raw = _tile_bytes(tags) if tiled else _strip_bytes(tags, at)
            # The stated size of the last strip may be too large.
            needed = min(stated, raw) if stated else raw
        else:
            needed = stated
        if offset + needed > size:
            kind = "tile" if tiled else "strip"
            raise _TruncatedError(f"{kind} {at + 1} of {len(offsets)} at byte {offset}")


def _is_raw(tags: Tags) -> bool:
    return _first_value(tags, _COMPRESSION, _UNCOMPRESSED) == _UNCOMPRESSED


def _first_value(tags: Tags, tag: int, default: int) -> int:
    values = tags.get(tag)
    return values[0] if values else default


def _row_bytes(tags: Tags, width: int) -> int:
    separate = _first_value(tags, _PLANAR, 1) == 2
    samples = 1 if separate else _first_value(tags, _SAMPLES, 1)
    return (width * samples * _first_value(tags, _BITS, 1) + 7) // 8


def _tile_bytes(tags: Tags) -> int:
    width, length = _first_value(tags, _TILE_WIDTH, 0), _first_value(tags, _TILE_LENGTH, 0)
    return _row_bytes(tags, width) * length


def _strip_bytes(tags: Tags, at: int) -> int:
    width, length = _first_value(tags, _WIDTH, 0), _first_value(tags, _LENGTH, 0)
    rows = min(_first_value(tags, _ROWS_PER_STRIP, length) or length, length)
    strips = -(-length // rows) if rows else 1
    return _row_bytes(tags, width) * min(rows, length - at % strips * rows)


def _check_imagej_stack(page: _Directory, size: int) -> None:
    """Check the planes of an ImageJ stack: a large one has a single directory, then all planes.

    The description alone proves nothing, because programs copy it to files with one plane. The file
    is a truncated stack only if it contains pixels of a second plane.
    """
    description = page.tags.get(_DESCRIPTION, b"")
    match = _IMAGEJ_IMAGES.search(description) if isinstance(description, bytes) else None
    offsets = _offsets(page.tags)
    if not match or not offsets or not _is_raw(page.tags) or offsets[0] < page.offset:
        return
    width, length = _first_value(page.tags, _WIDTH, 0), _first_value(page.tags, _LENGTH, 0)
    samples = _first_value(page.tags, _SAMPLES, 1)
    planes = samples if _first_value(page.tags, _PLANAR, 1) == 2 else 1
    plane = _row_bytes(page.tags, width) * length * planes
    images = int(match.group(1))
    if offsets[0] + plane < size < offsets[0] + plane * images:
        raise _TruncatedError(f"the last of {images} planes")
