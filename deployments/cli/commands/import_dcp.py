"""`dcp import`: converts files of Distributed-CellProfiler."""

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from deployments.cli.commands.options import Source
from deployments.exit_status import ExitStatus


def import_(
    config: Annotated[Source, Parameter(name="CONFIG.PY")],
    fleet: Annotated[Source | None, Parameter(name="FLEET.JSON")] = None,
    job: Annotated[Source | None, Parameter(name="JOB.JSON")] = None,
    /,
    *,
    output: Annotated[Path, Parameter(metavar="DIR")] = Path(),
    force: bool = False,
) -> int:
    """Convert DCP's config.py, fleet file and job file to dcp's format.

    Read a config.py of Distributed-CellProfiler, without running it, and its fleet file and job
    file. Write config.yaml, fleet.yaml and job.yaml, and report settings that are not used or
    different here.

    Exit status: 0 the files were written, 2 bad input; nothing was written.

    Args:
        config: DCP's config.py, from 1.x to 2.2
        fleet: its fleet file
        job: its job file
        output: folder to write to (default: the current one)
        force: overwrite existing files
    """
    from blocks.dcp_compat.config_py import is_dcp_config
    from deployments.cli.commands.dcp_conversion import (
        read_files,
        summary_lines,
        texts_of,
        write_files,
    )

    files = [file for file in (config, fleet, job) if file]
    files.sort(key=is_dcp_config, reverse=True)  # the order on the command line is free
    dcp_files = read_files(files[0], files[1:])
    written = write_files(texts_of(dcp_files, output), output, force)
    print("\n".join(summary_lines(dcp_files, written)))
    return ExitStatus.OK
