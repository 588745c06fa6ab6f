"""CellProfiler's plugins: the checkout in the image, brought to what the settings ask for."""

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
    """The plugins cannot be had as the settings ask: no job could run as intended."""


def prepare(settings: Settings, checkout: Path = CHECKOUT) -> Path | None:
    """Update, check out and install the plugins; once, before the first job.

    Returns:
        The plugins directory, or None when plugins are not used.

    Raises:
        PluginsError: There is no checkout, the commit does not exist, an installation failed.
    """
    if not settings.use_plugins:
        return None
    if not checkout.is_dir():
        raise PluginsError(f"USE_PLUGINS is 'True', but {checkout} does not exist in the image.")
    if settings.update_plugins:
        # A tag may have been moved; the image's is then the old one.
        _run(["git", "fetch", "--tags", "--force", "--prune", _REMOTE], checkout, "UPDATE_PLUGINS")
    if settings.plugins_commit or settings.update_plugins:
        _check_out(settings, checkout)
    active = checkout / "active_plugins"
    if settings.install_requirements:
        command = _install(settings.requirements, active.is_dir())
        _run(command, checkout, "INSTALL_REQUIREMENTS")
    return active if active.is_dir() else checkout


def _check_out(settings: Settings, checkout: Path) -> None:
    """Bring the checkout to the commit asked for, else to the newest of the remote's main line.

    A branch means the remote's: a local one stays where it was when the image was made.
    """
    wanted = settings.plugins_commit or "HEAD"
    names = [f"refs/remotes/{_REMOTE}/{wanted}", f"refs/tags/{wanted}", wanted]
    for name in names:
        if commit := _commit(name, checkout):
            _run(["git", "checkout", "--detach", "--force", commit], checkout, "PLUGINS_COMMIT")
            log.info("The plugins are at %s (%s).", commit, wanted)
            return
    raise PluginsError(_unknown(settings, checkout))


def _commit(name: str, checkout: Path) -> str:
    """The commit that a name stands for; empty when there is none."""
    found = _call(["git", "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}"], checkout)
    return "" if found.returncode else found.stdout.strip()


def _unknown(settings: Settings, checkout: Path) -> str:
    commit = settings.plugins_commit
    fields = ["git", "for-each-ref", "--format=%(refname:lstrip=2)", "refs/tags", "refs/remotes"]
    known = [name.split(f"{_REMOTE}/")[-1] for name in _call(fields, checkout).stdout.split()]
    near = difflib.get_close_matches(commit, known, 3)
    text = f"PLUGINS_COMMIT is {commit!r}, which is no branch, tag or commit of the plugins."
    if near:
        text += f" The nearest are {', '.join(near)}."
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
            # A remote that wants a password must fail, not wait for one.
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    except OSError as error:
        raise PluginsError(f"{shlex.join(command)} cannot be run: {error}") from error
