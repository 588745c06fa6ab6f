"""CellProfiler's plugins, with a real repository and its remote."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from dcp_worker.cellprofiler import plugins
from dcp_worker.cellprofiler.plugins import PluginsError
from dcp_worker.common.settings import Settings

from task_definition import settings

pytestmark = pytest.mark.e2e


def git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=folder, check=True, stdout=subprocess.PIPE)
    return done.stdout.decode().strip()


def commit(repository: Path, content: str, tag: str = "") -> str:
    """Commit this content of the only plugin; returns the commit's id."""
    (repository / "active_plugins").mkdir(exist_ok=True)
    (repository / "active_plugins" / "plugin.py").write_text(content)
    git(repository, "add", ".")
    git(repository, "-c", "user.name=t", "-c", "user.email=t@example.org", "commit", "-qm", "x")
    if tag:
        git(repository, "tag", "--force", tag)
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def remote(tmp_path: Path) -> Path:
    folder = tmp_path / "remote"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    commit(folder, "first", "v1")
    commit(folder, "second", "v2")
    return folder


@pytest.fixture
def checkout(remote: Path, tmp_path: Path) -> Path:
    """The checkout in the image: a clone as old as the image."""
    git(tmp_path, "clone", "-q", str(remote), "CellProfiler-plugins")
    return tmp_path / "CellProfiler-plugins"


def plugin_settings(**changes: object) -> Settings:
    return replace(settings(USE_PLUGINS="True"), **changes)


def prepared(checkout: Path, **changes: object) -> str:
    """Content of the plugin in the prepared folder."""
    folder = plugins.prepare(plugin_settings(**changes), checkout)
    assert folder is not None
    return (folder / "plugin.py").read_text()


def test_plugins_that_are_not_used_need_no_checkout(tmp_path: Path) -> None:
    assert plugins.prepare(settings(), tmp_path / "none") is None


def test_plugins_stay_as_in_the_image_by_default(remote: Path, checkout: Path) -> None:
    commit(remote, "third")
    assert prepared(checkout) == "second"


def test_updated_plugins_are_the_newest(remote: Path, checkout: Path) -> None:
    commit(remote, "third")
    assert prepared(checkout, update_plugins=True) == "third"


@pytest.mark.parametrize("update", [True, False])
def test_plugins_at_a_tag_and_at_a_commit(remote: Path, checkout: Path, update: bool) -> None:
    first = git(remote, "rev-parse", "v1")
    for revision in ("v1", first, first[:8]):
        assert prepared(checkout, plugins_commit=revision, update_plugins=update) == "first"
        assert prepared(checkout, plugins_commit="v2", update_plugins=update) == "second"


def test_a_branch_is_the_remotes(remote: Path, checkout: Path) -> None:
    git(remote, "checkout", "-qb", "cellpose")
    commit(remote, "third")
    assert prepared(checkout, plugins_commit="cellpose", update_plugins=True) == "third"
    commit(remote, "fourth")
    assert prepared(checkout, plugins_commit="cellpose") == "third"
    assert prepared(checkout, plugins_commit="cellpose", update_plugins=True) == "fourth"
    assert prepared(checkout, plugins_commit="main") == "second"


def test_a_tag_that_was_moved_is_where_the_remote_has_it(remote: Path, checkout: Path) -> None:
    commit(remote, "third", "v2")
    assert prepared(checkout, plugins_commit="v2", update_plugins=True) == "third"


def test_changed_files_of_an_earlier_start_are_put_back(checkout: Path) -> None:
    (checkout / "active_plugins" / "plugin.py").write_text("changed")
    assert prepared(checkout, plugins_commit="v1") == "first"


def test_the_old_layout_has_its_plugins_at_the_root(tmp_path: Path) -> None:
    assert plugins.prepare(plugin_settings(), tmp_path) == tmp_path


@pytest.mark.parametrize("update", [True, False])
@pytest.mark.parametrize("revision", ["v11", "--force", "a b", "0123456789abcdef", "v1..v2"])
def test_a_commit_that_does_not_exist_stops_the_container(
    checkout: Path, revision: str, update: bool
) -> None:
    with pytest.raises(PluginsError) as error:
        plugins.prepare(plugin_settings(plugins_commit=revision, update_plugins=update), checkout)
    assert f"PLUGINS_COMMIT is {revision!r}" in str(error.value)
    assert ("UPDATE_PLUGINS" in str(error.value)) is not update
    assert (checkout / "active_plugins" / "plugin.py").read_text() == "second"


def test_the_error_names_the_nearest_commits(checkout: Path) -> None:
    with pytest.raises(PluginsError, match="v1"):
        plugins.prepare(plugin_settings(plugins_commit="v11"), checkout)


def test_a_remote_that_cannot_be_reached_stops_the_container(remote: Path, checkout: Path) -> None:
    remote.rename(remote.with_name("gone"))
    with pytest.raises(PluginsError, match=r"UPDATE_PLUGINS: git fetch .* failed"):
        plugins.prepare(plugin_settings(update_plugins=True), checkout)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with pip, as in the image."""
    folder = tmp_path_factory.mktemp("image")
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    return folder / "bin" / "python"


def wheel(folder: Path) -> Path:
    """A distribution with one module, `needed`."""
    path = folder / "needed-1.0-py3-none-any.whl"
    folder_name = "needed-1.0.dist-info"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("needed.py", "")
        archive.writestr(
            f"{folder_name}/METADATA", "Metadata-Version: 2.1\nName: needed\nVersion: 1"
        )
        archive.writestr(f"{folder_name}/WHEEL", "Wheel-Version: 1.0\nTag: py3-none-any\n")
        archive.writestr(f"{folder_name}/RECORD", "")
    return path


@pytest.mark.parametrize("requirements", ["", "other.txt"])
def test_requirements_are_installed_for_the_workers_python(
    image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, requirements: str
) -> None:
    monkeypatch.setattr(sys, "executable", str(image))
    (tmp_path / (requirements or "requirements.txt")).write_text(f"./{wheel(tmp_path).name}\n")
    changed = plugin_settings(install_requirements=True, requirements=requirements)
    assert plugins.prepare(changed, tmp_path) == tmp_path
    subprocess.run([str(image), "-c", "import needed"], check=True)


def test_requirements_that_cannot_be_had_stop_the_container(
    image: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", str(image))
    with pytest.raises(PluginsError, match=r"(?s)INSTALL_REQUIREMENTS.*No such file.*gone.txt"):
        plugins.prepare(
            plugin_settings(install_requirements=True, requirements="-r gone.txt"), checkout
        )


def test_plugins_without_a_checkout_stop_the_container(tmp_path: Path) -> None:
    with pytest.raises(PluginsError, match="does not exist in the image"):
        plugins.prepare(plugin_settings(), tmp_path / "none")
