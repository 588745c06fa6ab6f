"""CellProfiler's plugins: prepares the checkout in the image as the settings require."""

from __future__ import annotations

import difflib
import logging
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dcp_worker.common.settings import Settings

log = logging.getLogger(__name__)

CHECKOUT = Path("/home/ubuntu/CellProfiler-plugins")
_REMOTE = "origin"


class PluginsError(Exception):
    """The plugins could not be prepared as the settings require, so no job could run correctly."""


def prepare(settings: Settings, checkout: Path = CHECKOUT) -> Path | None:
    """Update, check out and install the plugins; once, before the first job.

    Returns:
        The plugins directory, or None without plugins.

    Raises:
        PluginsError: The checkout or the commit does not exist, or an installation failed.
    """
    if not settings.use_plugins:
        return None
    if not checkout.is_dir():
        raise PluginsError(f"USE_PLUGINS is 'True', but {checkout} does not exist in the image.")
    if settings.update_plugins:
        # --force: a tag may have moved since the image was built.
        _run(["git", "fetch", "--tags", "--force", "--prune", _REMOTE], checkout, "UPDATE_PLUGINS")
    if settings.plugins_commit or settings.update_plugins:
        _check_out(settings, checkout)
    active = checkout / "active_plugins"
    if settings.install_requirements:
        command = _install(settings.requirements, active.is_dir())
        _run(command, checkout, "INSTALL_REQUIREMENTS")
    return active if active.is_dir() else checkout


def _check_out(settings: Settings, checkout: Path) -> None:
    """Check out the requested commit, or by default the newest on the remote's main branch.

    A branch name means the remote branch: local branches are as old as the image.
    """
    revision = settings.plugins_commit or "HEAD"
    names = [f"refs/remotes/{_REMOTE}/{revision}", f"refs/tags/{revision}", revision]
    for name in names:
        if commit := _commit(name, checkout):
            _run(["git", "checkout", "--detach", "--force", commit], checkout, "PLUGINS_COMMIT")
            log.info("Checked out the plugins at %s (%s).", commit, revision)
            return
    raise PluginsError(_unknown(settings, checkout))


def _commit(name: str, checkout: Path) -> str:
    """The commit behind a name; empty if the name does not exist."""
    result = _call(["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"], checkout)
    return "" if result.returncode else result.stdout.strip()


def _unknown(settings: Settings, checkout: Path) -> str:
    commit = settings.plugins_commit
    fields = ["git", "for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags", "refs/remotes"]
    names = [name.split(f"{_REMOTE}/")[-1] for name in _call(fields, checkout).stdout.split()]
    nearest = difflib.get_close_matches(commit, names, 3)
    text = f"PLUGINS_COMMIT is {commit!r}, which is not a branch, tag or commit of the plugins."
    if nearest:
        text += f" The nearest names are {', '.join(nearest)}."
    if not settings.update_plugins:
        text += " If it is newer than the image, set UPDATE_PLUGINS to 'True'."
    return text


def _install(requirements: str, new_layout: bool) -> list[str]:
    pip = [sys.executable, "-m", "pip", "install"]
    if not new_layout:
        return [*pip, "-r", requirements or "requirements.txt"]
    if requirements.startswith("["):
        return [*pip, "-e", f".{requirements}"]
    return [*pip, "-e", ".", *shlex.split(requirements)]


def _run(command: list[str], folder: Path, setting: str) -> None:
    log.info("Plugins: %s", shlex.join(command))
    done = _call(command, folder)
    if done.returncode:
        raise PluginsError(f"{setting}: {shlex.join(command)} failed: {done.stderr.strip()}")


def _call(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(
            command,
            cwd=folder,
            # A remote that requires a password must fail, not wait for one.
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise PluginsError(f"Could not run {shlex.join(command)}: {error}") from error
