"""`dcp import`: files of Distributed-CellProfiler as ours."""

import argparse
import sys
from pathlib import Path

DONE, BAD_INPUT = 0, 2


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp import`."""
    bring = commands.add_parser(
        "import",
        help="turn DCP's config.py, fleet file and job file into ours",
        description="Read a config.py of Distributed-CellProfiler, without running it, and the "
        "fleet file and job file that go with it; write config.yaml, fleet.yaml and job.yaml, and "
        "tell what has no counterpart or means something else here. Exit status: 0 written, 2 bad "
        "input, with nothing written.",
    )
    bring.set_defaults(call=_import)
    bring.add_argument("config", metavar="config.py", help="DCP's config.py, from 1.x to 2.2")
    bring.add_argument(
        "others", nargs="*", metavar="fleet.json job.json", help="its fleet file, its job file"
    )
    bring.add_argument(
        "--output", type=Path, default=Path(), metavar="DIR", help="where to write; left out, here"
    )
    bring.add_argument("--force", action="store_true", help="write over files that are there")


def _import(given: argparse.Namespace) -> int:
    from blocks.errors import InputError
    from deployments.importing import read_files, texts_of, told, write_files

    try:
        brought = read_files(given.config, given.others)
        written = write_files(texts_of(brought, given.output), given.output, given.force)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    print("\n".join(told(brought, written)))
    return DONE
