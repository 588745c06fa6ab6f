"""The look before a run goes by a table of modules: it is as this CellProfiler has them."""

from __future__ import annotations

import json
from pathlib import Path

import module_table

TABLE = Path(__file__).parents[2] / "tasks" / "checks" / "modules.json"


def test_the_table_is_what_cellprofiler_says_of_itself() -> None:
    assert json.loads(TABLE.read_text(encoding="utf-8")) == module_table.table()
