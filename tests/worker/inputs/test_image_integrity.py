"""Complete images pass, and images that lost pixels are found, in formats of common software."""

from __future__ import annotations

import io
import struct
from functools import cache
from pathlib import Path
from typing import Any, Callable

import imageio
import numpy as np
import pytest
import skimage.io
import tifffile
from dcp_worker.inputs import image_integrity, tiff
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageSequence
from PIL.PngImagePlugin import PngInfo

import plate

RANDOM = np.random.default_rng(7)
GRAY = RANDOM.integers(0, 60_000, (70, 90)).astype(np.uint16)
BYTES = (GRAY >> 8).astype(np.uint8)
COLOUR = RANDOM.integers(0, 255, (40, 50, 3)).astype(np.uint8)
STACK = RANDOM.integers(0, 60_000, (5, 40, 50)).astype(np.uint16)
PLANES = [Image.fromarray(plane) for plane in STACK]
PALETTE = [Image.fromarray((plane >> 8).astype(np.uint8)) for plane in STACK]
PAGES = {"save_all": True, "append_images": PLANES[1:]}


def pyramid(path: Path) -> None:
    with tifffile.TiffWriter(path) as writer:
        writer.write(GRAY, subifds=2)
        writer.write(GRAY[::2, ::2], subfiletype=1)
        writer.write(GRAY[::4, ::4], subfiletype=1)


def page_by_page(path: Path) -> None:
    """Pixels and directory of each page follow those of the previous page."""
    with tifffile.TiffWriter(path) as writer:
        for plane in STACK:
            writer.write(plane, contiguous=False, compression="zlib")


def by_tifffile(pixels: Any, **options: Any) -> Callable[[Path], None]:
    return lambda path: tifffile.imwrite(path, pixels, **options)


def by_pillow(pixels: Any, **options: Any) -> Callable[[Path], None]:
    return lambda path: Image.fromarray(pixels).save(path, **options)


def by_skimage(pixels: Any) -> Callable[[Path], None]:
    return lambda path: skimage.io.imsave(str(path), pixels, check_contrast=False)


MAKERS: dict[str, Callable[[Path], None]] = {
    "plain.tif": by_tifffile(GRAY),
    "big_endian.tif": by_tifffile(GRAY, byteorder=">"),
    "strips.tif": by_tifffile(GRAY, rowsperstrip=7),
    "float.tif": by_tifffile(GRAY.astype(np.float32)),
    "bilevel.tif": by_tifffile(GRAY > 30_000),
    "colour.tif": by_tifffile(COLOUR, photometric="rgb"),
    "planar.tif": by_tifffile(
        np.ascontiguousarray(COLOUR.transpose(2, 0, 1)),
        photometric="rgb",
        planarconfig="separate",
        rowsperstrip=9,
    ),
    "tiles.tif": by_tifffile(GRAY, tile=(32, 32)),
    "deflate.tif": by_tifffile(GRAY, compression="zlib"),
    "deflate_tiles.tif": by_tifffile(GRAY, compression="zlib", tile=(32, 32)),
    "stack.tif": by_tifffile(STACK),
    "bigtiff.tif": by_tifffile(STACK, bigtiff=True),
    "bigtiff_tiles.tif": by_tifffile(STACK, bigtiff=True, tile=(16, 16)),
    "ome.ome.tif": by_tifffile(STACK, ome=True, metadata={"axes": "ZYX"}),
    "imagej.tif": by_tifffile(STACK, imagej=True),
    "pyramid.tif": pyramid,
    "page_by_page.tiff": page_by_page,
    "pillow.TIF": by_pillow(BYTES),
    "lzw.tif": by_pillow(GRAY, compression="tiff_lzw"),
    "lzw_pages.tif": lambda path: PLANES[0].save(path, compression="tiff_lzw", **PAGES),
    "adobe_deflate.tif": by_pillow(GRAY, compression="tiff_adobe_deflate"),
    "packbits.tif": by_pillow(BYTES, compression="packbits"),
    "jpeg.tif": by_pillow(BYTES, compression="jpeg"),
    "pages.tif": lambda path: PLANES[0].save(path, **PAGES),
    "skimage.tif": by_skimage(GRAY / 65_536),
    "imageio_volume.tif": lambda path: imageio.volwrite(path, STACK),
    "skimage.png": by_skimage(GRAY),
    "gray.png": by_pillow(BYTES, optimize=True),
    "colour.png": by_pillow(COLOUR),
    "gray.jpg": by_pillow(BYTES),
    "progressive.jpeg": by_pillow(COLOUR, progressive=True),
    "thumbnail.jpg": by_pillow(COLOUR, exif=b"Exif\0\0" + b"\xff\xd8\xff\xd9" * 20),
    "gray.bmp": by_pillow(BYTES),
    "colour.bmp": by_pillow(COLOUR),
    "gray.gif": by_pillow(BYTES),
    "film.gif": lambda path: PALETTE[0].save(path, save_all=True, append_images=PALETTE[1:]),
    "illumination.npy": lambda path: np.save(path, GRAY / 3),
    "scalar.npy": lambda path: np.save(path, np.float64(1.5)),
    "plate.tif": lambda path: path.write_bytes(plate.image(7)) and None,
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("images")


@cache
def content(name: str, folder: Path) -> bytes:
    path = folder / name
    MAKERS[name](path)
    return path.read_bytes()


def pixels(name: str, data: bytes) -> list[Any]:
    """All pixels of a file, decoded."""
    if name.endswith(".npy"):
        return [np.load(io.BytesIO(data))]
    with Image.open(io.BytesIO(data)) as image:
        return [np.asarray(frame.copy()) for frame in ImageSequence.Iterator(image)]


def of_tifffile(data: bytes) -> list[Any]:
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        return [page.asarray() for page in file.pages]


@pytest.mark.parametrize("name", MAKERS)
def test_a_whole_image_passes(name: str, folder: Path) -> None:
    content(name, folder)
    assert image_integrity.problem(str(folder / name)) == ""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(sorted(MAKERS)), st.floats(0, 1, exclude_max=True), st.data())
def test_a_truncated_image_is_detected_unless_it_has_all_pixels(
    folder: Path, name: str, share: float, data: st.DataObject
) -> None:
    whole = content(name, folder)
    # Anywhere, or near the end, where directories and tags may be.
    near_end = st.integers(max(0, len(whole) - 300), len(whole) - 1)
    cut = data.draw(st.just(int(share * len(whole))) | near_end)
    path = folder / f"cut_{name}"
    path.write_bytes(whole[:cut])
    if image_integrity.problem(str(path)):
        return
    beyond_pillow = ("planar", "pyramid", "float", "colour.tif", "bilevel", "big")
    frames, expected = (
        of_tifffile(content) if name.startswith(beyond_pillow) else pixels(name, content)
        for content in (whole[:cut], whole)
    )
    assert len(frames) == len(expected)
    for frame, other in zip(frames, expected):
        assert np.array_equal(frame, other)


@pytest.mark.parametrize("name", [name for name in MAKERS if name != "scalar.npy"])
def test_half_of_an_image_is_cut_off(name: str, folder: Path) -> None:
    whole = content(name, folder)
    path = folder / f"half_{name}"
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in image_integrity.problem(str(path))


@pytest.mark.parametrize("name", ["a.tif", "a.png", "a.npy", "a.C01", "a"])
def test_an_image_without_bytes_is_broken(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert image_integrity.problem(str(tmp_path / name)) == "has no bytes"


@pytest.mark.parametrize("name", ["notes.txt", "Index.XML"])
def test_an_empty_file_that_is_no_image_breaks_nothing(name: str, tmp_path: Path) -> None:
    (tmp_path / name).touch()
    assert image_integrity.problem(str(tmp_path / name)) == ""


@pytest.mark.parametrize("name", ["a.tif", "a.TIFF", "a.png", "a.jpg", "a.npy", "a.bmp"])
def test_a_text_is_no_image(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("<?xml version='1.0'?><Error>Access Denied</Error>")
    assert image_integrity.problem(str(tmp_path / name))


def test_formats_of_bio_formats_alone_are_not_checked(tmp_path: Path) -> None:
    (tmp_path / "a.C01").write_bytes(b"\x10\x00\x00\x00 of another maker")
    assert image_integrity.problem(str(tmp_path / "a.C01")) == ""


def test_the_first_bytes_determine_the_format(folder: Path, tmp_path: Path) -> None:
    whole = content("gray.png", folder)
    path = tmp_path / "named.tif"
    path.write_bytes(whole)
    assert image_integrity.problem(str(path)) == ""
    path.write_bytes(whole[:-100])
    assert "truncated" in image_integrity.problem(str(path))


def test_a_damaged_png_is_detected(folder: Path, tmp_path: Path) -> None:
    damaged = bytearray(content("colour.png", folder))
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "a.png").write_bytes(damaged)
    assert "damaged" in image_integrity.problem(str(tmp_path / "a.png"))


def test_an_imagej_stack_of_one_directory_is_whole_or_not(tmp_path: Path) -> None:
    """ImageJ writes stacks beyond 4 GB like this."""
    path = tmp_path / "stack.tif"
    with tifffile.TiffWriter(path, imagej=True) as writer:
        writer.write(STACK, metadata={"axes": "ZYX"})
    whole = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        assert len(file.pages) >= 1
        following = file.pages[0].offset + 2 + 12 * len(file.pages[0].tags)
        end = file.pages[0].dataoffsets[0] + STACK.nbytes
    whole[following : following + 4] = bytes(4)  # no second directory
    path.write_bytes(whole[:end])
    assert image_integrity.problem(str(path)) == ""
    path.write_bytes(whole[: end - 1])
    assert "planes" in image_integrity.problem(str(path))


@pytest.mark.parametrize("options", [{}, {"imagej": True}])
def test_a_file_beyond_4_gb_is_no_broken_one(options: dict[str, bool], tmp_path: Path) -> None:
    """ImageJ and slide scanners write such files, larger than offsets can address."""
    path = tmp_path / "large.tif"
    tifffile.imwrite(path, STACK, **options)
    with path.open("r+b") as file:
        file.truncate(2**32 + 1)  # a sparse file
    assert image_integrity.problem(str(path)) == ""


def test_overstated_sizes_are_not_a_truncation(tmp_path: Path) -> None:
    """Some microscopes state a size too large for the last strip, or for LSM's compressed ones."""
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GRAY, rowsperstrip=32)
    whole = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        sizes = file.pages[0].tags["StripByteCounts"]
        end = file.pages[0].dataoffsets[-1] + file.pages[0].databytecounts[-1]
        size = {3: 2, 4: 4}[int(sizes.dtype)]
        at = sizes.valueoffset + size * (sizes.count - 1)
    whole[at : at + size] = whole[sizes.valueoffset : sizes.valueoffset + size]
    path.write_bytes(whole[:end])
    assert image_integrity.problem(str(path)) == ""


def test_a_private_tag_may_point_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    tifffile.imwrite(path, GRAY, extratags=[(65_000, "s", 0, "of a microscope", True)])
    whole = bytearray(path.read_bytes())
    with tifffile.TiffFile(path) as file:
        tag = file.pages[0].tags[65_000]
    whole[tag.offset + 8 : tag.offset + 12] = (2**31).to_bytes(4, "little")
    path.write_bytes(whole)
    assert image_integrity.problem(str(path)) == ""


@given(st.binary(max_size=300), st.sampled_from([b"II*\0", b"MM\0*", b"II+\0\x08\0\0\0"]))
def test_no_rubbish_is_too_much(rubbish: bytes, magic: bytes) -> None:
    data = magic + rubbish
    assert isinstance(tiff.problem(io.BytesIO(data), len(data)), str)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_png_with_much_text_is_whole(compressed: bool, tmp_path: Path) -> None:
    """A microscope may store all metadata of an image in it, as XML."""
    metadata = PngInfo()
    metadata.add_itxt("Description", "<Plane/>" * 400_000, zip=compressed)
    path = tmp_path / "a.png"
    Image.fromarray(GRAY).save(path, pnginfo=metadata)
    assert image_integrity.problem(str(path)) == ""
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert "truncated" in image_integrity.problem(str(path))


@pytest.mark.parametrize(
    ("bits", "compression", "masks"), [(64, 0, b""), (32, 3, struct.pack("<3I", 7, 56, 448))]
)
def test_a_bitmap_unknown_to_pillow_is_not_checked(
    bits: int, compression: int, masks: bytes, tmp_path: Path
) -> None:
    start = 14 + 40 + len(masks)
    head = struct.pack("<IiiHHIIiiII", 40, 4, 4, 1, bits, compression, 16 * bits // 8, 0, 0, 0, 0)
    content = head + masks + bytes(16 * bits // 8)
    path = tmp_path / "a.bmp"
    path.write_bytes(b"BM" + struct.pack("<IHHI", 14 + len(content), 0, 0, start) + content)
    assert image_integrity.problem(str(path)) == ""


@pytest.mark.parametrize("name", ["gone.tif", "gone.npy"])
def test_a_file_that_the_machine_cannot_read_is_no_broken_image(name: str, tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        image_integrity.problem(str(tmp_path / name))
