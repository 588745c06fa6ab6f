"""CellProfiler's plugins: the checkout in the image, brought to what the settings ask for."""

from __future__ import annotations

import logging
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcp_worker.settings import Plugins

log = logging.getLogger(__name__)

CHECKOUT = Path("/home/ubuntu/CellProfiler-plugins")


class PluginsError(Exception):
    """The plugins cannot be had as the settings ask: no job could run as intended."""


def prepare(plugins: Plugins | None, checkout: Path = CHECKOUT) -> Path | None:
    """Update, check out and install the plugins; once, before the first job.

    Returns:
        The plugins directory, or None when plugins are not used.

    Raises:
        PluginsError: There is no checkout, the commit does not exist, an installation failed.
    """
    if plugins is None:
        return None
    if not checkout.is_dir():
        raise PluginsError(f"USE_PLUGINS is 'True', but {checkout} does not exist in the image.")
    if plugins.update:
        _run(["git", "fetch", "--all", "--tags"], checkout, "UPDATE_PLUGINS")
    if plugins.commit:
        _run(["git", "checkout", plugins.commit, "--"], checkout, "PLUGINS_COMMIT")
    active = checkout / "active_plugins"
    if plugins.install:
        _run(_install(plugins.requirements, active.is_dir()), checkout, "INSTALL_REQUIREMENTS")
    return active if active.is_dir() else checkout


def _install(requirements: str, new_layout: bool) -> list[str]:
    pip = [sys.executable, "-m", "pip", "install"]
    if not new_layout:
        return [*pip, "-r", requirements or "requirements.txt"]
    if requirements.startswith("["):
        return [*pip, "-e", f".{requirements}"]
    return [*pip, "-e", ".", *shlex.split(requirements)]


def _run(command: list[str], folder: Path, setting: str) -> None:
    log.info("Plugins: %s", shlex.join(command))
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise PluginsError(f"{setting}: {shlex.join(command)} cannot be run: {error}") from error
    if done.returncode:
        raise PluginsError(f"{setting}: {shlex.join(command)} failed: {done.stderr.strip()}")
