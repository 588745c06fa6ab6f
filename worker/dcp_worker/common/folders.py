"""Local folders."""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_REMOVAL_SECONDS = 1.0


def remove_folder(folder: Path) -> None:
    """Remove a folder and its content, if it exists.

    It retries for a moment, because an aborted transfer may remove its own file at the same time.

    Raises:
        OSError: The folder could not be removed.
    """
    end = time.monotonic() + _REMOVAL_SECONDS
    while folder.exists():
        try:
            shutil.rmtree(folder)
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.05)
