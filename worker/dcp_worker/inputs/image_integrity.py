"""Checks whether an image file is complete: CellProfiler reads a truncated TIFF without complaint.

The first bytes decide the format, not the name. For formats that only Bio-Formats knows, the file
size is the only check; it is compared with the size in S3.
"""

from __future__ import annotations

import os
import struct
import zlib
from typing import BinaryIO

from PIL import Image, PngImagePlugin

from dcp_worker.inputs import tiff

_PNG, _GIF, _JPEG, _BMP = b"\x89PNG\r\n\x1a\n", b"GIF8", b"\xff\xd8\xff", b"BM"
_KNOWN = (*tiff.MAGIC, _PNG, _GIF, _JPEG, _BMP)
# A file with such a name that starts like none of the above is not an image.
_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".gif", ".bmp")
_TEXTS = (".txt", ".csv", ".tsv", ".xml", ".json", ".log")
# Exceptions that Pillow raises for damaged files.
_DAMAGE = (OSError, SyntaxError, EOFError, ValueError, IndexError, struct.error, zlib.error)
# No limits on the size of images and their metadata: nobody attacks a worker with them.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**30


def problem(path: str) -> str:
    """Describe what is wrong with an image file, to follow its name in a sentence; empty if sound.

    Raises:
        OSError: The machine cannot read the file.
    """
    size = os.path.getsize(path)
    name = path.lower()
    if not size:
        # A file list may name files other than images, and CellProfiler skips them.
        return "" if name.endswith(_TEXTS) else "has no bytes"
    with open(path, "rb") as file:
        head = file.read(8)
        file.seek(0)
        if name.endswith(".npy"):
            return _npy(path)
        if head.startswith(tiff.MAGIC):
            return tiff.problem(file, size)
        if head.startswith(_JPEG):
            return _jpeg(file.read())
        if head.startswith((_PNG, _GIF)) or (head.startswith(_BMP) and name.endswith(".bmp")):
            return _by_pillow(file)
        if name.endswith(_SUFFIXES) and not head.startswith(_KNOWN):
            return f"is not an image: it begins with {head!r}"
    return ""


def _npy(path: str) -> str:
    import numpy  # no other format needs it, and it takes 20 MB

    try:
        # Compares the size in the header with the size of the file.
        numpy.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        return f"is truncated or not a NumPy array: {error}"
    return ""


def _jpeg(content: bytes) -> str:
    """Search for the end marker after the start of the pixels: a thumbnail has its own end marker.

    Source: "Information technology - Digital compression and coding of continuous-tone still
    images" (ITU-T T.81), annex B.
    """
    at = 2
    while content[at : at + 1] == b"\xff":
        marker = content[at + 1 : at + 2]
        if marker == b"\xff":  # fill byte
            at += 1
            continue
        if marker == b"\xda":
            end = content.find(b"\xff\xd9", at)
            return "" if end >= 0 else "is truncated: a JPEG without an end marker"
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return "is truncated: a JPEG without pixels"


def _by_pillow(file: BinaryIO) -> str:
    """Check a GIF or BMP by decoding it, and a PNG by its checksums."""
    try:
        with Image.open(file) as image:
            if image.format == "PNG":
                image.verify()
                return ""
            for frame in range(getattr(image, "n_frames", 1)):
                image.seek(frame)
                image.load()
    except _DAMAGE as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        # Bio-Formats may read what Pillow does not support, such as an unusual bit depth.
        return "" if str(error).startswith("Unsupported") else f"is truncated or damaged: {error}"
    return ""
