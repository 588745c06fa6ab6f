"""docs/contract.schema.json: what the worker shares with the flows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CONTRACT: dict[str, Any] = json.loads(
    (Path(__file__).parents[2] / "docs" / "contract.schema.json").read_text(encoding="utf-8")
)
SHARED = CONTRACT["shared"]
SETTINGS = CONTRACT["$defs"]["worker_settings"]["properties"]
REQUIRED = CONTRACT["$defs"]["worker_settings"]["required"]
