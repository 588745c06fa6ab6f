"""Installing the two distributions: what their wheels hold, and what is left behind."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
PACKAGES = {
    ".": ("blocks", "tasks", "flows", "deployments"),
    "worker": ("dcp_worker",),
}


def files_below(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("distribution", PACKAGES)
def test_a_wheel_has_every_file_of_its_packages_and_leaves_none_beside_them(
    distribution: str, tmp_path: Path
) -> None:
    original, sources, target = PROJECT / distribution, tmp_path / "sources", tmp_path / "dist"
    listing = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(listing, cwd=original, text=True).splitlines():
        (sources / name).parent.mkdir(parents=True, exist_ok=True)
        (sources / name).write_bytes((original / name).read_bytes())
    packages = PACKAGES[distribution]
    (sources / packages[0] / "room").mkdir()
    (sources / packages[0] / "room" / "__init__.py").touch()
    before = files_below(sources)

    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(target)]
    subprocess.run(build, cwd=sources, check=True, capture_output=True)

    assert files_below(sources) == before
    (wheel,) = target.iterdir()
    with zipfile.ZipFile(wheel) as archive:
        found = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert found == {name for name in before if name.split("/")[0] in packages}


@pytest.mark.xdist_group("kept")
def test_tests_of_a_group_are_kept_in_one_process(request: pytest.FixtureRequest) -> None:
    """As pytest-xdist does by the end of their ids, if it fits the version of pytest."""
    if not hasattr(request.config, "workerinput"):
        pytest.skip("it is one process without pytest-xdist")
    assert request.node.nodeid.endswith("@kept")
