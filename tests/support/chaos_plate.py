"""A plate of hundreds of small jobs with known results."""

import io
import json
import random
import shlex
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import stand_in_cellprofiler
from lab import LAB_PIPELINE
from PIL import Image

from blocks.job_file.s3_keys import MOUNT
from tasks.aws.clients import Aws

PIPELINE, CSV, OUTPUT = "p/a.cppipe", "p/load_data.csv", "out"
PIPELINE_TEXT = (
    LAB_PIPELINE.read_text().replace("grouping:Plate,Well", "grouping:Plate,Well,Site").encode()
)
IMAGES = "images"
# The flaw of a failing job, and the expected reason.
REASONS = {"missing": "image_missing", "fails": "module_failed", "dies": "killed"}


@dataclass(frozen=True)
class ChaosSite:
    """A site of a well, which is a job.

    Attributes:
        well: Its well.
        site: Its number.
        fate: Its flaw (a key of `REASONS`); "" for none.
        image: Content of its image file.
    """

    well: str
    site: int
    fate: str
    image: bytes

    @property
    def group(self) -> str:
        """The job's Metadata."""
        return f"Metadata_Plate=Chaos,Metadata_Well={self.well},Metadata_Site={self.site}"

    @property
    def key(self) -> str:
        """The key of its image."""
        return f"{IMAGES}/{self.well}_{self.site}.tif"

    @property
    def prefix(self) -> str:
        """The prefix of all its outputs."""
        return f"{OUTPUT}/Chaos-{self.well}-{self.site}/"


def _sites(jobs: int, fates: list[str], rng: random.Random) -> Iterator[ChaosSite]:
    for number in range(jobs):
        well = f"{'ABCDEFGHIJKLMNOP'[number // 24 % 16]}{number % 24 + 1:02}"
        pixels = Image.new("I;16", (8, 8))
        pixels.putdata([rng.randrange(1 << 16) for _ in range(64)])
        file = io.BytesIO()
        pixels.save(file, "TIFF")
        yield ChaosSite(well, 1 + number // 384, fates[number], file.getvalue())


@dataclass(frozen=True)
class Plate:
    """All sites of a plate."""

    sites: tuple[ChaosSite, ...]

    @classmethod
    def drawn(cls, jobs: int, rng: random.Random) -> "Plate":
        """A plate with this number of jobs, one in fifty of which must fail."""
        kinds = list(REASONS)
        fates = [kinds[number % 3] if number < jobs // 50 else "" for number in range(jobs)]
        rng.shuffle(fates)
        return cls(tuple(_sites(jobs, fates, rng)))

    @property
    def good(self) -> list[ChaosSite]:
        """The sites whose jobs must succeed."""
        return [site for site in self.sites if not site.fate]

    def fill(self, aws: Aws, bucket: str) -> None:
        """Upload pipeline, CSV and images to a bucket."""
        names = ["FileName_OrigDNA", "PathName_OrigDNA"]
        names += [f"Metadata_{name}" for name in ("Plate", "Well", "Site", "Fate")]
        rows = [
            f"{Path(site.key).name},{MOUNT}/{IMAGES},Chaos,{site.well},{site.site},{site.fate}"
            for site in self.sites
        ]
        text = "\n".join([",".join(names), *rows, ""])
        objects = {PIPELINE: PIPELINE_TEXT, CSV: text.encode()}
        objects |= {site.key: site.image for site in self.sites if site.fate != "missing"}
        for key, body in objects.items():
            aws.s3.put_object(Bucket=bucket, Key=key, Body=body)

    def job_file(self, folder: Path) -> Path:
        """Write the job file."""
        path = folder / "job.json"
        job = {
            "pipeline": PIPELINE,
            "data_file": CSV,
            "input": "",
            "output": OUTPUT,
            "output_structure": "Metadata_Plate-Metadata_Well-Metadata_Site",
            "groups": [{"Metadata": site.group} for site in self.sites],
        }
        path.write_text(json.dumps(job))
        return path

    def expected(self) -> dict[str, bytes]:
        """Every expected object below `OUTPUT`, with its content."""
        return {
            site.prefix + name: text.encode()
            for site in self.good
            for name, text in stand_in_cellprofiler.outputs(
                site.group, PIPELINE_TEXT, [site.image]
            ).items()
        }

    def wrong(self, records: list[dict[str, Any]]) -> list[str]:
        """The mistakes in the result records of a run that has ended."""
        counted = Counter(record["Metadata"] for record in records)
        groups = {site.group: site for site in self.sites}
        mistakes = [
            f"{group} has {counted[group]} results" for group in groups if counted[group] != 1
        ]
        mistakes += [f"{group} is no job of the plate" for group in counted.keys() - groups.keys()]
        for record in records:
            fate = groups[record["Metadata"]].fate if record["Metadata"] in groups else ""
            expected = ("failed", REASONS[fate]) if fate else ("succeeded", "")
            if (record["status"], record["reason"]) != expected:
                text = f"{record['status']} {record['reason']}: {record['reason_text']}"
                mistakes.append(
                    f"{record['Metadata']} should be {' '.join(expected)}; it is {text}"
                )
        return mistakes


def make_image(folder: Path, python: Path) -> Path:
    """A container image: the worker's environment with another `cellprofiler`.

    With `warm: false`, the worker runs the command line of the `cellprofiler` beside its
    interpreter.

    Args:
        folder: Folder of the image.
        python: Interpreter of the worker's environment.

    Returns:
        The interpreter of the image.
    """
    environment = python.parent.parent
    (folder / "bin").mkdir(parents=True)
    (folder / "pyvenv.cfg").write_text((environment / "pyvenv.cfg").read_text())
    (folder / "lib").symlink_to(environment / "lib")
    (folder / "bin" / "python").symlink_to(python.resolve())
    program = Path(stand_in_cellprofiler.__file__)
    script = folder / "bin" / "cellprofiler"
    interpreter = shlex.quote(str(python.resolve()))
    script.write_text(f'#!/bin/sh\nexec {interpreter} -I -S {shlex.quote(str(program))} "$@"\n')
    script.chmod(script.stat().st_mode | stat.S_IEXEC)
    return folder / "bin" / "python"
