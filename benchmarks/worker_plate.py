"""The plate of the worker's benchmark: fields of view of any size, CSVs of any length, jobs.

A field is the demo's first site, repeated up to the given size, so that the computation grows with
pixels and nuclei as in real images. Every job has its own images.
"""

import csv
import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from blocks.job_file.s3_keys import MOUNT
from deployments.examples.demo.make_plate import (
    CHANNELS,
    SIZE,
    light,
    make_sites,
    photograph,
)

PIPELINE = "benchmark/pipeline.cppipe"
_WELL_ROWS, _WELL_COLUMNS, _SITES = 16, 24, 9
_SEED = 2006


@dataclass(frozen=True)
class BenchmarkJob:
    """A job for one image set.

    Attributes:
        job_id: Its id.
        data_file: Key of its LoadData CSV.
        message: Body of its SQS message.
        output: Key prefix of its outputs.
    """

    job_id: str
    data_file: str
    message: str
    output: str


def pipeline() -> bytes:
    """Segmentation, and the slowest measurements of published pipelines."""
    return Path(__file__).with_name("worker_pipeline.cppipe").read_bytes()


def field(size: int) -> dict[str, bytes]:
    """A 16-bit TIFF of `size` x `size` pixels for each channel."""
    site = make_sites(_SEED)[0]
    random = np.random.default_rng(_SEED)
    times = -(-size // SIZE)
    images = {}
    for channel in CHANNELS:
        pixels = np.tile(photograph(light(channel, site), random), (times, times))
        file = io.BytesIO()
        Image.fromarray(pixels[:size, :size]).save(file, format="TIFF")
        images[channel] = file.getvalue()
    return images


def metadata(row: int) -> dict[str, str]:
    """The site of a row of the CSV, for plates of 384 wells with 9 sites each."""
    well, site = divmod(row, _SITES)
    plate, well = divmod(well, _WELL_ROWS * _WELL_COLUMNS)
    letter, number = divmod(well, _WELL_COLUMNS)
    return {
        "Metadata_Plate": f"BR{plate:05d}",
        "Metadata_Well": f"{chr(ord('A') + letter)}{number + 1:02d}",
        "Metadata_Site": str(site + 1),
    }


def put(s3: Any, bucket: str, name: str, images: dict[str, bytes], jobs: int, rows: int) -> None:
    """Upload a batch to a bucket: its CSV, and the images of the measured rows."""
    folder = f"benchmark/images/{name}"
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    columns = [f"{kind}_Orig{channel}" for channel in CHANNELS for kind in ("FileName", "PathName")]
    writer.writerow([*columns, *metadata(0)])
    for row in range(rows):
        places = [text for channel in CHANNELS for text in (_file(row, channel), _mounted(folder))]
        writer.writerow([*places, *metadata(row).values()])
    s3.put_object(Bucket=bucket, Key=_csv(name), Body=file.getvalue().encode())
    for row in _measured(jobs, rows):
        for channel, content in images.items():
            s3.put_object(Bucket=bucket, Key=f"{folder}/{_file(row, channel)}", Body=content)


def jobs_of(name: str, jobs: int, rows: int) -> list[BenchmarkJob]:
    """The jobs of an uploaded batch."""
    jobs_made = []
    for row in _measured(jobs, rows):
        job_id, output = uuid.uuid4().hex, f"benchmark/out/{name}"
        group = metadata(row)
        message = {
            "Metadata": ",".join(f"{key}={value}" for key, value in group.items()),
            "pipeline": PIPELINE,
            "data_file": _csv(name),
            "input": "",
            "output": output,
            "output_structure": "",
            "job_id": job_id,
        }
        prefix = f"{output}/{'-'.join(group.values())}/"
        jobs_made.append(BenchmarkJob(job_id, _csv(name), json.dumps(message), prefix))
    return jobs_made


def _measured(jobs: int, rows: int) -> Iterator[int]:
    """Rows spread over the CSV."""
    return (number * rows // jobs for number in range(jobs))


def _csv(name: str) -> str:
    return f"benchmark/{name}/load_data.csv"


def _mounted(folder: str) -> str:
    return f"{MOUNT}/{folder}"


def _file(row: int, channel: str) -> str:
    return f"r{row:06d}_{channel}.tif"
