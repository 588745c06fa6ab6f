"""What a new process would be, for a job in one that has run others. For CellProfiler's alone."""

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
    """Send Python's logging to standard error as it is: no handler of a job's own stays."""
    logging.root.handlers[:] = [logging.StreamHandler()]
    logging.root.setLevel(logging.INFO)


@contextlib.contextmanager
def process(temporary: Path, plugins: str) -> Iterator[None]:
    """Nothing of earlier jobs on entry, nothing of this one on exit.

    Args:
        temporary: Folder for temporary files, and the working directory: what a job drops there
            goes with the folder.
        plugins: The plugins directory; may be empty.
    """
    folder, variables, path = os.getcwd(), dict(os.environ), list(sys.path)
    standard = sys.stdout, sys.stderr
    os.environ["TMPDIR"] = str(temporary)
    os.chdir(temporary)
    _set_preferences(temporary, plugins)
    numpy.seterr(all="ignore")  # as the command line when it is loaded
    # Modules seed the generator and leave it so.
    numpy.random.seed()
    random.seed()
    try:
        # Forgets which warnings were given and, at the end, what a module has filtered.
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
    """Set all options that the command line has, for it sets only those that it is given."""
    preferences.set_preferences_from_dict({})  # also forgets the default folders
    preferences.set_temporary_directory(str(temporary), globally=False)  # tempfile's, too
    preferences.set_plugin_directory(plugins or None, globally=False)
    preferences.set_data_file(None)
    preferences.clear_image_set_file()
    preferences.set_always_continue(False, globally=False)
    preferences.set_conserve_memory(False, globally=False)
    preferences.set_allow_schema_write(True)


def _release() -> None:
    """Give back what a job holds: readers, files, memory, and processes that it has started."""
    # The next job's files may have the names of this one's: no reader, no listing of a folder
    # (Bio-Formats keeps those for an hour) and no header of LoadData may be taken for them.
    bioformats.clear_image_reader_cache()
    javabridge.JClassWrapper("loci.common.Location").clearDirectoryListingsCache()
    vars(sys.modules["cellprofiler_core.modules.loaddata"])["header_cache"] = {}
    gc.collect()
    for file in h5py.h5f.get_obj_ids(types=h5py.h5f.OBJ_FILE):
        h5py.File(file).close()  # the measurements of a job that failed
    left = psutil.Process().children(recursive=True)
    for one in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            one.kill()
    psutil.wait_procs(left)
