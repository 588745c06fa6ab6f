"""Whether an image file is whole: CellProfiler reads a cut-off TIFF without complaint.

Each kind is told by its first bytes, whatever it is called. Of the formats that only Bio-Formats
knows, a file is known to be whole by its size alone, which is compared with S3's.
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
# A file of such a name that begins like none of the above is no image.
_SUFFIXES = (".tif", ".tiff", ".png", ".jpg", ".jpeg", ".gif", ".bmp")
_TEXTS = (".txt", ".csv", ".tsv", ".xml", ".json", ".log")
# What Pillow raises of damaged files.
_DAMAGE = (OSError, SyntaxError, EOFError, ValueError, IndexError, struct.error, zlib.error)
# Nobody attacks a worker by the size of an image, or of what a microscope says of it.
Image.MAX_IMAGE_PIXELS = None
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = 2**30


def problem(path: str) -> str:
    """What is wrong with an image file, to follow its name in a sentence; empty: nothing found.

    Raises:
        OSError: The machine cannot read the file.
    """
    size = os.path.getsize(path)
    name = path.lower()
    if not size:
        # A list of files may name others beside its images, and CellProfiler leaves them out.
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
            return f"is no image: it begins with {head!r}"
    return ""


def _npy(path: str) -> str:
    import numpy  # no other image needs it, and it takes 20 MB

    try:
        # Compares the size that the header tells with the file's.
        numpy.load(path, mmap_mode="r")
    except (ValueError, EOFError) as error:
        return f"is cut off or no NumPy array: {error}"
    return ""


def _jpeg(content: bytes) -> str:
    """Look for the end marker behind the start of the pixels, for a thumbnail has one of its own.

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
            return "" if content.find(b"\xff\xd9", at) >= 0 else "is cut off: a JPEG without end"
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return "is cut off: a JPEG without pixels"


def _by_pillow(file: BinaryIO) -> str:
    """PNG, GIF and BMP; of a PNG the checksums are compared."""
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
        # Bio-Formats may know what Pillow does not: an odd number of bits.
        return "" if str(error).startswith("Unsupported") else f"is cut off or damaged: {error}"
    return ""
