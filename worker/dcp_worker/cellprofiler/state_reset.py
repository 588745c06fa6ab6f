"""Resets CellProfiler's process, so that each job finds the state of a new process."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import random
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path

import bioformats
import h5py
import javabridge
import numpy
import psutil
from cellprofiler_core import preferences


def log_as_the_command_line() -> None:
    """Log to standard error, unformatted, and remove handlers that a job has added."""
    logging.root.handlers[:] = [logging.StreamHandler()]
    logging.root.setLevel(logging.INFO)


@contextlib.contextmanager
def as_new_process(temporary: Path, plugins: str) -> Iterator[None]:
    """Remove the state of earlier jobs on entry, and of this job on exit.

    Args:
        temporary: Folder for temporary files, and the working directory: files that a job drops
            there are removed with the folder.
        plugins: The plugins directory; may be empty.
    """
    folder, variables, path = os.getcwd(), dict(os.environ), list(sys.path)
    standard = sys.stdout, sys.stderr
    os.environ["TMPDIR"] = str(temporary)
    os.chdir(temporary)
    _set_preferences(temporary, plugins)
    numpy.seterr(all="ignore")  # as on import of the command line
    # Modules seed the random generators and do not reset them.
    numpy.random.seed()
    random.seed()
    try:
        # Resets which warnings were shown and, at the end, the filters that a module added.
        with warnings.catch_warnings():
            yield
    finally:
        sys.stdout, sys.stderr = standard
        sys.path[:] = path
        os.chdir(folder)
        os.environ.clear()
        os.environ.update(variables)
        log_as_the_command_line()
        _release()


def _set_preferences(temporary: Path, plugins: str) -> None:
    """Reset all options of the command line, which sets only those in its arguments."""
    preferences.set_preferences_from_dict({})  # also forgets the default folders
    preferences.set_temporary_directory(str(temporary), globally=False)  # tempfile's, too
    preferences.set_plugin_directory(plugins or None, globally=False)
    preferences.set_data_file(None)
    preferences.clear_image_set_file()
    preferences.set_always_continue(False, globally=False)
    preferences.set_conserve_memory(False, globally=False)
    preferences.set_allow_schema_write(True)


def _release() -> None:
    """Release the job's readers, files and memory, and kill the processes that it started."""
    # The next job's files may have the same names. So clear the readers, the folder listings (which
    # Bio-Formats keeps for an hour) and LoadData's headers.
    bioformats.clear_image_reader_cache()
    javabridge.JClassWrapper("loci.common.Location").clearDirectoryListingsCache()
    vars(sys.modules["cellprofiler_core.modules.loaddata"])["header_cache"] = {}
    gc.collect()
    for file in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE):
        h5py.File(file).close()  # the measurements of a job that failed
    children = psutil.Process().children(recursive=True)
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()
    psutil.wait_procs(children)
