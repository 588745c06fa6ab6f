"""Generates preflight's table of CellProfiler's modules from the modules themselves.

.venv-worker/bin/python tests/worker/module_table.py > tasks/preflight/pipeline/modules.json
"""

from __future__ import annotations

import itertools
import json
import sys
from typing import Any

from cellprofiler_core import preferences
from cellprofiler_core.constants.modules import all_modules, renamed_modules
from cellprofiler_core.setting import Binary
from cellprofiler_core.setting.choice import Choice
from cellprofiler_core.setting.do_something import DoSomething
from cellprofiler_core.setting.subscriber import ImageListSubscriber, ImageSubscriber
from cellprofiler_core.setting.text import Directory, Filename, ImageName, LabelName
from cellprofiler_core.utilities.core.modules import fill_modules

# These modules' CSVs, programs and result folders are not files of the default input folder.
_NO_INPUTS = ("LoadData", "RunImageJMacro")
# This module reads the file in one mode and writes it in the other.
_READ = {"UntangleWorms": {"when": {"Train or untangle worms?": ["Untangle"]}}}


def table() -> dict[str, Any]:
    """Module -> its revision, its minimal number of settings, and those for images and files."""
    preferences.set_headless()
    if not all_modules:
        fill_modules()
    modules = {name: _about(name, make) for name, make in sorted(all_modules.items())}
    return {"modules": modules, "renamed": dict(sorted(renamed_modules.items()))}


def _about(name: str, make: Any) -> dict[str, Any]:
    settings = _module(make).settings()

    def named(*kinds: type) -> list[dict[str, Any]]:
        return [
            {"label": setting.text, **_shown(make, settings, at)}
            for at, setting in enumerate(settings)
            if isinstance(setting, kinds)
        ]

    files = [
        {
            "folder": folder.text,
            "file": file.text,
            **(_READ.get(name) or _shown(make, settings, at)),
        }
        for at, (folder, file) in enumerate(zip(settings, settings[1:]))
        if isinstance(folder, Directory) and isinstance(file, Filename) and name not in _NO_INPUTS
    ]
    about = {
        "revision": make.variable_revision_number,
        "settings": len(make().settings()),
        "images": _once(named(ImageSubscriber, ImageListSubscriber)),
        "makes": _once([s.text for s in settings if isinstance(s, ImageName)]),
        "objects": _once(named(LabelName)),
        "files": _once(files),
    }
    return {key: value for key, value in about.items() if value}


def _module(make: Any) -> Any:
    """A module with one of everything that can be added to it."""
    module = make()
    for setting in list(module.visible_settings()):
        if isinstance(setting, DoSomething) and (setting.label or "").startswith("Add"):
            setting.on_event_fired()
    return module


def _shown(make: Any, settings: list[Any], at: int) -> dict[str, dict[str, list[str]]]:
    """The values of other settings with which a setting is shown, and so used.

    Returns:
        `when`: label -> the values that together show it (none: never shown in such a module);
        `unless`: label -> the values that hide it.
    """
    values = {
        index: ["Yes", "No"] if isinstance(setting, Binary) else list(setting.choices)
        for index, setting in enumerate(settings)
        if isinstance(setting, (Binary, Choice)) and index != at
    }
    plain = _is_shown(make, at, {})
    effective: dict[str, list[str]] = {}
    for index, value in ((at, text) for at, texts in values.items() for text in texts):
        if _is_shown(make, at, {index: value}) != plain:
            effective.setdefault(settings[index].text, []).append(value)
    if effective or plain:
        return {"unless" if plain else "when": effective} if effective else {}
    for first, second in itertools.combinations(values, 2):
        for pair in itertools.product(values[first], values[second]):
            if _is_shown(make, at, dict(zip((first, second), pair))):
                effective.setdefault(settings[first].text, []).append(pair[0])
                effective.setdefault(settings[second].text, []).append(pair[1])
    return {"when": {label: sorted(set(texts)) for label, texts in effective.items()}}


def _is_shown(make: Any, at: int, values: dict[int, str]) -> bool:
    module = _module(make)
    settings = module.settings()
    for index, value in values.items():
        settings[index].value = value
    return any(setting is settings[at] for setting in module.visible_settings())


def _once(items: list[Any]) -> list[Any]:
    return [item for index, item in enumerate(items) if item not in items[:index]]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(table(), indent=1, ensure_ascii=False) + "\n")
