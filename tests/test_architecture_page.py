"""The picture of the architecture in docs/design.md shows the contracts that `make lint` checks."""

import re
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
SECTION = (PROJECT / "docs" / "design.md").read_text().partition("## How a run works")[0]
PICTURE, TABLE = SECTION.split("```")[1:]
PACKAGES = {
    "deployments": "pyproject.toml",
    "flows": "pyproject.toml",
    "tasks": "pyproject.toml",
    "blocks": "pyproject.toml",
    "dcp_worker": "worker/pyproject.toml",
}


def layers(package: str) -> list[list[str]]:
    """The rooms of a package from the top down, as in its contract."""
    file = tomllib.loads((PROJECT / PACKAGES[package]).read_text())
    contracts = file["tool"]["importlinter"]["contracts"]
    (contract,) = (each for each in contracts if each.get("containers") == [package])
    return [re.findall(r"\w+", layer) for layer in contract["layers"]]


@pytest.mark.parametrize("package", PACKAGES)
def test_the_picture_has_the_layers_of_the_contract(package: str) -> None:
    name = package.removeprefix("dcp_")
    (part,) = (each for each in PICTURE.strip().split("\n\n") if each.startswith(f"{name} "))
    lines = part.removeprefix(name).splitlines()
    assert [re.findall(r"\w+", line) for line in lines] == layers(package)


def test_the_table_explains_every_room() -> None:
    rooms = {
        room
        for package in PACKAGES.keys() - {"flows"}
        for layer in layers(package)
        for room in layer
        if room != "__main__"
    }
    assert not rooms - set(re.findall(r"`(\w+)`", TABLE))
