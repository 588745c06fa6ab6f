"""Whether an image file is whole."""

from __future__ import annotations

import os


def problem(path: str) -> str:
    """What is wrong with an image file, to follow its name in a sentence; empty: nothing found."""
    return "" if os.path.getsize(path) else "has no bytes"
