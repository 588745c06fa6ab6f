"""Preflight uses a table of modules: it matches the installed CellProfiler."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest

import module_table

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parents[2]
TABLE = ROOT / "tasks" / "preflight" / "pipeline" / "modules.json"
GOOD = ROOT / "tests" / "support" / "analysis.cppipe"


def test_the_table_matches_the_installed_cellprofiler() -> None:
    assert json.loads(TABLE.read_text(encoding="utf-8")) == module_table.table()


def test_cellprofiler_loads_the_pipeline_that_is_taken_for_good() -> None:
    from cellprofiler_core import preferences

    preferences.set_headless()
    from cellprofiler_core.pipeline import Pipeline

    text = GOOD.read_text(encoding="utf-8")
    pipeline = Pipeline()
    pipeline.loadtxt(io.StringIO(text), raise_on_error=True)
    again = io.StringIO()
    pipeline.dump(again, save_image_plane_details=False)
    assert again.getvalue().splitlines() == text.splitlines()
    assert f"ModuleCount:{len(pipeline.modules())}" in text
