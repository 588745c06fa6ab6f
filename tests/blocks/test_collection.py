"""Prefect finds the blocks of an installed dcp automatically."""

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from blocks import FleetTemplateBlock, JobFileBlock, ProfileBlock, RunConfigBlock, prefect_blocks

KINDS = (FleetTemplateBlock, JobFileBlock, ProfileBlock, RunConfigBlock)


def test_the_collection_is_the_module_with_the_blocks() -> None:
    assert entry_points(group="prefect.collections")["dcp"].load() is prefect_blocks


@pytest.mark.e2e
def test_a_new_server_lists_the_blocks_and_has_their_forms(tmp_path: Path) -> None:
    """Without a server's address, the command itself starts one in the empty PREFECT_HOME."""
    clean = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
    own = {
        "PREFECT_HOME": str(tmp_path),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "240",
    }
    command = subprocess.run(
        [sys.executable, "-m", "prefect", "block", "types", "ls", "--output", "json"],
        env=clean | own,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert command.returncode == 0, command.stderr
    slugs = {row["slug"] for row in json.loads(command.stdout)}
    assert {kind.get_block_type_slug() for kind in KINDS} < slugs
    assert "Failed to load collection" not in command.stdout + command.stderr
    with closing(sqlite3.connect(tmp_path / "prefect.db")) as database:
        rows = database.execute("SELECT checksum FROM block_schema")
        schemas = {checksum for (checksum,) in rows}
    assert {kind._calculate_schema_checksum() for kind in KINDS} < schemas
