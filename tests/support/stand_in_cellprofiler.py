"""CellProfiler's command line without its computation, for runs of hundreds of jobs.

It takes the arguments that the worker passes to CellProfiler. It reads the pipeline, the rows of
its group in the LoadData CSV and their images, waits a moment, and writes files that depend only on
these. The test therefore knows the expected bytes in S3.

`Metadata_Fate` of a row decides the result of its job: `fails` exits like a failed module, `dies`
like a killed process. Uses only the standard library of Python 3.9.
"""

import argparse
import csv
import hashlib
import os
import signal
import sys
import time
from pathlib import Path

SHORTEST, LONGEST = 0.1, 1.0  # seconds of a job, by its digest


def digest_of(group: str, pipeline: bytes, images: "list[bytes]") -> str:
    """A digest of a job's inputs."""
    whole = hashlib.sha256(f"{group}\n".encode())
    for part in (pipeline, *images):
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()


def seconds_of(digest: str) -> float:
    """The duration of a job."""
    return SHORTEST + (LONGEST - SHORTEST) * int(digest[:4], 16) / 0xFFFF


def outputs(group: str, pipeline: bytes, images: "list[bytes]") -> "dict[str, str]":
    """The files of a job, name and text; the digest determines the number of nuclei."""
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
    options = read_arguments()
    group = dict(pair.split("=") for pair in options.group.split(","))
    with options.data_file.open(newline="") as file:
        (row,) = (row for row in csv.DictReader(file) if group.items() <= row.items())
    image = Path(row["PathName_OrigDNA"], row["FileName_OrigDNA"]).read_bytes()
    pipeline = options.pipeline.read_bytes()
    time.sleep(seconds_of(digest_of(options.group, pipeline, [image])))
    if row["Metadata_Fate"] == "dies":
        os.kill(os.getpid(), signal.SIGKILL)
    if row["Metadata_Fate"] == "fails":
        sys.stdout.write("Error detected during run of module IdentifyPrimaryObjects\n")
        options.done.write_text("Failure\n")
        return 1
    for name, text in outputs(options.group, pipeline, [image]).items():
        (options.output / name).write_text(text)
    options.done.write_text("Complete\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
