"""`dcp import`: files of Distributed-CellProfiler as ours."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from deployments.exit_status import ExitStatus


def import_(
    config: Annotated[str, Parameter(name="CONFIG.PY")],
    /,
    *others: Annotated[str, Parameter(name="FLEET.JSON JOB.JSON")],
    output: Annotated[Path, Parameter(metavar="DIR")] = Path(),
    force: bool = False,
) -> int:
    """Turn DCP's config.py, fleet file and job file into dcp's own.

    Read a config.py of Distributed-CellProfiler, without running it, and the fleet file and job
    file that go with it. Write config.yaml, fleet.yaml and job.yaml, and report what has no
    counterpart or means something else here.

    Exit status: 0 the files were written, 2 bad input, with nothing written.

    Args:
        config: DCP's config.py, from 1.x to 2.2
        others: its fleet file, its job file
        output: folder to write to (default: the current one)
        force: overwrite existing files
    """
    from deployments.importing import read_files, texts_of, told, write_files

    brought = read_files(config, others)
    written = write_files(texts_of(brought, output), output, force)
    print("\n".join(told(brought, written)))
    return ExitStatus.OK
