"""Creates a small synthetic plate with known content, as the content of a bucket.

Eight wells of a dose series, two sites per well, two channels (DNA and ER). The number of nuclei
falls with the dose. Every image has uneven illumination, photon noise and camera noise; nuclei
differ in size, shape and brightness, and some touch. The same seed creates the same plate.

    python -m deployments.examples.demo.make_plate FOLDER
"""

import argparse
import csv
import math
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from blocks.job_file.s3_keys import MOUNT

Pixels = NDArray[np.float64]

PLATE = "DemoPlate"
DOSES = {  # µM
    "A01": 0.0,
    "A02": 0.1,
    "A03": 0.3,
    "A04": 1.0,
    "B01": 3.0,
    "B02": 10.0,
    "B03": 30.0,
    "B04": 100.0,
}
SITES = (1, 2)
CHANNELS = ("DNA", "ER")

PROJECT = "projects/demo"
IMAGES = f"{PROJECT}/images/{PLATE}"
PIPELINE = f"{PROJECT}/workspace/pipelines/demo.cppipe"
LOAD_DATA = f"{PROJECT}/workspace/load_data_csv/{PLATE}/load_data.csv"
TRUTH = f"{PROJECT}/workspace/truth.csv"

SIZE = 480  # pixels per side
EDGE = 22  # pixels without nuclei: CellProfiler discards those that touch the border
TRIES = 1000  # attempts to place a nucleus before the image counts as full
CLOSEST = 0.85  # of the sum of two nuclei's long radii: some touch, as in real images
OFFSET = 300.0  # camera counts without light


@dataclass(frozen=True)
class Nucleus:
    """One nucleus; lengths in pixels, angle in radians, brightness in camera counts."""

    y: float
    x: float
    long_radius: float
    short_radius: float
    angle: float
    brightness: float


@dataclass(frozen=True)
class DemoSite:
    """The content of one site of a well."""

    well: str
    site: int
    dose: float
    nuclei: tuple[Nucleus, ...]


def expected_nuclei(dose: float) -> float:
    """Nuclei per site at a dose in µM: a Hill curve from 75 down to 24, half-way at 5 µM."""
    return 24 + 51 / (1 + math.pow(dose / 5.0, 1.2))


def place_nuclei(count: int, rng: np.random.Generator) -> tuple[Nucleus, ...]:
    """Draws `count` nuclei, most of them apart and some touching.

    Raises:
        ValueError: They do not fit into the image.
    """
    nuclei: list[Nucleus] = []
    while len(nuclei) < count:
        candidates = (draw_nucleus(rng) for _ in range(TRIES))
        free = next((nucleus for nucleus in candidates if is_free(nucleus, nuclei)), None)
        if free is None:
            raise ValueError(f"{count} nuclei do not fit into {SIZE} x {SIZE} pixels")
        nuclei.append(free)
    return tuple(nuclei)


def draw_nucleus(rng: np.random.Generator) -> Nucleus:
    """A nucleus at a random position."""
    long_radius = rng.uniform(9, 14)
    return Nucleus(
        y=rng.uniform(EDGE, SIZE - EDGE),
        x=rng.uniform(EDGE, SIZE - EDGE),
        long_radius=long_radius,
        short_radius=long_radius * rng.uniform(0.7, 1.0),
        angle=rng.uniform(0, math.pi),
        brightness=rng.uniform(4000, 9000),
    )


def is_free(nucleus: Nucleus, others: list[Nucleus]) -> bool:
    """Whether a nucleus has enough distance from the others."""
    return all(
        math.hypot(nucleus.y - other.y, nucleus.x - other.x)
        >= CLOSEST * (nucleus.long_radius + other.long_radius)
        for other in others
    )


def make_sites(seed: int) -> list[DemoSite]:
    """All sites of the plate, in the order of the LoadData CSV."""
    rng = np.random.default_rng(seed)
    return [
        DemoSite(
            well, site, dose, place_nuclei(round(expected_nuclei(dose) + rng.normal(0, 2)), rng)
        )
        for well, dose in DOSES.items()
        for site in SITES
    ]


def add_ellipse(
    picture: Pixels, nucleus: Nucleus, height: float, scale: float, softness: float
) -> None:
    """Adds a nucleus with radii times `scale` and an edge of `softness` times the radii."""
    reach = int(nucleus.long_radius * scale * (1 + 8 * softness)) + 1
    top, left = max(0, int(nucleus.y) - reach), max(0, int(nucleus.x) - reach)
    window = picture[top : int(nucleus.y) + reach + 1, left : int(nucleus.x) + reach + 1]
    y, x = np.mgrid[0 : window.shape[0], 0 : window.shape[1]]
    y, x = y + top - nucleus.y, x + left - nucleus.x
    cos, sin = np.cos(nucleus.angle), np.sin(nucleus.angle)
    along, across = x * cos + y * sin, y * cos - x * sin
    radius = np.hypot(along / nucleus.long_radius, across / nucleus.short_radius) / scale
    window += height / (1 + np.exp(np.minimum((radius - 1) / softness, 30)))


def light(channel: str, site: DemoSite) -> Pixels:
    """The signal of a perfect camera, in counts above its offset."""
    picture = np.full((SIZE, SIZE), 250.0)
    for nucleus in site.nuclei:
        if channel == "DNA":
            add_ellipse(picture, nucleus, nucleus.brightness, scale=1.0, softness=0.09)
        else:  # around the nucleus; brighter in the stressed cells of a high dose
            height = 1500 * (1 + np.log1p(site.dose) / 4)
            add_ellipse(picture, nucleus, height, scale=1.7, softness=0.2)
            add_ellipse(picture, nucleus, -0.8 * height, scale=1.0, softness=0.1)
    return picture


def photograph(picture: Pixels, rng: np.random.Generator) -> NDArray[np.uint16]:
    """The camera's image: dim corners, photon noise, camera noise, 16 bits."""
    y, x = (np.mgrid[0:SIZE, 0:SIZE] / SIZE) - 0.45  # brightest a little off the centre
    lit = picture * (1 - 0.7 * (y**2 + x**2))
    counts = OFFSET + rng.poisson(lit) + rng.normal(0, 15, lit.shape)
    return np.asarray(np.clip(np.rint(counts), 0, 65535), dtype=np.uint16)


def file_name(site: DemoSite, channel: str) -> str:
    """The image's file name."""
    return f"{site.well}_s{site.site}_{channel}.tif"


def load_data_row(site: DemoSite) -> dict[str, str]:
    """A site's row of the LoadData CSV."""
    row = {}
    for channel in CHANNELS:
        row[f"FileName_Orig{channel}"] = file_name(site, channel)
        row[f"PathName_Orig{channel}"] = f"{MOUNT}/{IMAGES}"
    return row | {
        "Metadata_Plate": PLATE,
        "Metadata_Well": site.well,
        "Metadata_Site": str(site.site),
        "Metadata_Dose": f"{site.dose:g}",
    }


def write_csv(path: Path, rows: list[dict[str, str]]) -> None:
    """Writes rows with the same keys."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def make_plate(folder: Path, seed: int = 2006) -> list[DemoSite]:
    """Writes the plate and the demo's pipeline to a folder; its paths are a bucket's keys.

    The additional file truth.csv has the number of nuclei per site.
    """
    sites = make_sites(seed)
    rng = np.random.default_rng((seed, 1))
    (folder / IMAGES).mkdir(parents=True, exist_ok=True)
    for site in sites:
        for channel in CHANNELS:
            image = Image.fromarray(photograph(light(channel, site), rng))
            image.save(folder / IMAGES / file_name(site, channel))
    write_csv(folder / LOAD_DATA, [load_data_row(site) for site in sites])
    write_csv(
        folder / TRUTH,
        [
            {
                "Metadata_Plate": PLATE,
                "Metadata_Well": site.well,
                "Metadata_Site": str(site.site),
                "Metadata_Dose": f"{site.dose:g}",
                "Nuclei": str(len(site.nuclei)),
            }
            for site in sites
        ],
    )
    (folder / PIPELINE).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(Path(__file__).with_name("demo.cppipe"), folder / PIPELINE)
    return sites


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Create the demo's plate in a folder.")
    parser.add_argument("folder", type=Path, help="folder with the content of a bucket")
    make_plate(parser.parse_args().folder)
