"""The pictures of plates: every well at its place, in its colour, told apart without colours."""

import itertools
from io import BytesIO

import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from blocks.job_file.plate_layout import FORMATS
from tasks.report.plate_map import (
    CELL,
    COLOURS,
    DPI,
    NO_JOB,
    STYLES,
    Geometry,
    seconds_map,
    status_map,
)
from tasks.report.statistics import Plate, Well

Colour = tuple[int, int, int]
CORNER = 0.36  # of a cell, from the centre of a well: within its square and outside its mark


def colours(png: bytes, size: int, at: tuple[int, int]) -> list[Colour]:
    """The colours of a well in its four corners."""
    picture = Image.open(BytesIO(png)).convert("RGB")
    across, down = Geometry(size).pixel(at)
    away = round(CORNER * CELL[size] * DPI)
    found = []
    for right, below in itertools.product((-away, away), repeat=2):
        pixel = picture.getpixel((across + right, down + below))
        assert isinstance(pixel, tuple)
        found.append((pixel[0], pixel[1], pixel[2]))
    return found


def near(one: Colour, other: Colour) -> bool:
    return all(abs(a - b) <= 8 for a, b in zip(one, other, strict=True))


def bytes_of(colour: str | tuple[float, ...]) -> Colour:
    red, green, blue = (round(255 * part) for part in to_rgb(colour))
    return red, green, blue


@pytest.mark.parametrize("size", FORMATS)
def test_each_well_has_the_colour_of_its_status(size: int) -> None:
    rows, columns = FORMATS[size]
    corners = [(0, 0), (0, columns - 1), (rows - 1, 0), (rows - 1, columns - 1)]
    plate: Plate = {at: Well(status, 1) for at, status in zip(corners, STYLES, strict=True)}
    png = status_map("P1", plate)
    for at, status in zip(corners, STYLES, strict=True):
        for colour in colours(png, size, at):
            assert near(colour, bytes_of(STYLES[status].colour)), (at, status)
    for colour in colours(png, size, (rows // 2, columns // 2)):
        assert near(colour, bytes_of(NO_JOB.colour))


def test_statuses_are_told_apart_without_colours() -> None:
    plate: Plate = {(0, column): Well(status, 1) for column, status in enumerate(STYLES)}
    picture = Image.open(BytesIO(status_map("P1", plate, 96))).convert("L")
    half = round(0.3 * CELL[96] * DPI)
    shapes = []
    for at in plate:
        across, down = Geometry(96).pixel(at)
        well = picture.crop((across - half, down - half, across + half, down + half))
        ground = well.getpixel((0, 0))
        shapes.append(well.point([int(level != ground) for level in range(256)]).tobytes())
    assert len(set(shapes)) == len(STYLES)


def test_seconds_go_from_the_first_colour_to_the_last() -> None:
    plate: Plate = {(0, column): Well("succeeded", 2, 2.0 * column, 2) for column in range(12)}
    plate[3, 3] = Well("failed", 1)
    png = seconds_map("P1", plate)
    # The scale ends at the second slowest well: one that takes very long hides no difference.
    for column, share in ((0, 0.0), (5, 0.5), (10, 1.0), (11, 1.0)):
        for colour in colours(png, 96, (0, column)):
            assert near(colour, bytes_of(COLOURS(share)[:3])), column
    assert not near(colours(png, 96, (3, 3))[0], bytes_of(COLOURS(0.0)[:3]))


@pytest.mark.parametrize("name", ["", "cost $ and $x^2_$", "x" * 500, "Plate 1 µm"])
def test_a_picture_does_not_fail_for_a_name(name: str) -> None:
    plate: Plate = {(0, 0): Well("succeeded", 1, 5.0, 1)}
    for png in (status_map(name, plate), seconds_map(name, plate)):
        assert Image.open(BytesIO(png)).width > 500


def test_a_plate_without_a_succeeded_job_is_drawn() -> None:
    assert seconds_map("P1", {(0, 0): Well("failed", 1)}, 384)
