"""CellProfiler's command line without its arithmetic, for runs of hundreds of jobs.

It takes the arguments that the worker gives to CellProfiler, reads the pipeline, the rows of its
group in the LoadData CSV and their images, works for a moment, and writes files that are a function
of all of these: whoever knows the inputs knows, byte for byte, what must be in S3.

A row's `Metadata_Fate` decides what becomes of its job: `fails` ends as a module that failed,
`dies` as a process that was killed. Standard library alone, Python 3.9.
"""

import argparse
import csv
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

SHORTEST, LONGEST = 0.1, 1.0  # seconds that a job takes, by its digest


def digest_of(group: str, pipeline: bytes, images: "list[bytes]") -> str:
    """What a job is made from, as one number."""
    whole = hashlib.sha256(f"{group}\n".encode())
    for part in (pipeline, *images):
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


def seconds_of(digest: str) -> float:
    """How long a job takes."""
    return SHORTEST + (LONGEST - SHORTEST) * int(digest[:4], 16) / 0xFFFF


def outputs(group: str, pipeline: bytes, images: "list[bytes]") -> "dict[str, str]":
    """The files of a job, name and text: as many nuclei as its digest says."""
    digest = digest_of(group, pipeline, images)
    nuclei = 1 + int(digest[4:6], 16) % 40
    rows = [f"{number},{digest[number : number + 8]}" for number in range(nuclei)]
    return {
        "Image.csv": f"Metadata,Digest,Count_Nuclei\n{group.replace(',', ';')},{digest},{nuclei}\n",
        "Nuclei.csv": "\n".join(["ObjectNumber,AreaShape_Area", *rows, ""]),
    }


def read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("-c", action="store_true")
    parser.add_argument("-r", action="store_true")
    parser.add_argument("-p", dest="pipeline", type=Path)
    parser.add_argument("-i", dest="input")
    parser.add_argument("-o", dest="output", type=Path)
    parser.add_argument("-d", dest="done", type=Path)
    parser.add_argument("-g", dest="group")
    parser.add_argument("--data-file", type=Path)
    return parser.parse_args()


def main() -> int:
    given = read_arguments()
    wanted = dict(pair.split("=") for pair in given.group.split(","))
    with given.data_file.open(newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if wanted.items() <= row.items())
    image = Path(row["PathName_OrigDNA"], row["FileName_OrigDNA"]).read_bytes()
    pipeline = given.pipeline.read_bytes()
    time.sleep(seconds_of(digest_of(given.group, pipeline, [image])))
    if row["Metadata_Fate"] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if row["Metadata_Fate"] == "fails":
        sys.stdout.write("Error detected during run of module IdentifyPrimaryObjects\n")
        given.done.write_text("Failure\n")
        return 1
    for name, text in outputs(given.group, pipeline, [image]).items():
        (given.output / name).write_text(text)
    given.done.write_text("Complete\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
