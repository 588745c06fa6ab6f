"""What CellProfiler's own modules say of themselves: the table that the look before a run goes by.

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

# A module's CSV, programs and folders of results are none of the default input folder's files.
_NO_INPUTS = ("LoadData", "RunImageJMacro")
# It reads the file in one mode and writes it in the other.
_READ = {"UntangleWorms": {"when": {"Train or untangle worms?": ["Untangle"]}}}


def table() -> dict[str, Any]:
    """Module -> its revision, its least settings, and those that name images and files."""
    preferences.set_headless()
    if not all_modules:
        fill_modules()
    modules = {name: _about(name, made) for name, made in sorted(all_modules.items())}
    return {"modules": modules, "renamed": dict(sorted(renamed_modules.items()))}


def _about(name: str, made: Any) -> dict[str, Any]:
    settings = _module(made).settings()

    def named(*kinds: type) -> list[dict[str, Any]]:
        return [
            {"label": setting.text, **_shown(made, settings, at)}
            for at, setting in enumerate(settings)
            if isinstance(setting, kinds)
        ]

    files = [
        {
            "folder": folder.text,
            "file": file.text,
            **(_READ.get(name) or _shown(made, settings, at)),
        }
        for at, (folder, file) in enumerate(zip(settings, settings[1:]))
        if isinstance(folder, Directory) and isinstance(file, Filename) and name not in _NO_INPUTS
    ]
    about = {
        "revision": made.variable_revision_number,
        "settings": len(made().settings()),
        "images": _once(named(ImageSubscriber, ImageListSubscriber)),
        "makes": _once([s.text for s in settings if isinstance(s, ImageName)]),
        "objects": _once(named(LabelName)),
        "files": _once(files),
    }
    return {key: value for key, value in about.items() if value}


def _module(made: Any) -> Any:
    """A module with one of everything that can be added to it."""
    module = made()
    for setting in list(module.visible_settings()):
        if isinstance(setting, DoSomething) and (setting.label or "").startswith("Add"):
            setting.on_event_fired()
    return module


def _shown(made: Any, settings: list[Any], at: int) -> dict[str, dict[str, list[str]]]:
    """Under which values of other settings a setting is shown, and so used.

    Returns:
        `when`: label -> the values that show it, all together (none: it is never shown in a module
        of one each); `unless`: label -> the values that hide it.
    """
    values = {
        index: ["Yes", "No"] if isinstance(setting, Binary) else list(setting.choices)
        for index, setting in enumerate(settings)
        if isinstance(setting, (Binary, Choice)) and index != at
    }
    plain = _is_shown(made, at, {})
    found: dict[str, list[str]] = {}
    for index, value in ((at, text) for at, texts in values.items() for text in texts):
        if _is_shown(made, at, {index: value}) != plain:
            found.setdefault(settings[index].text, []).append(value)
    if found or plain:
        return {"unless" if plain else "when": found} if found else {}
    for first, second in itertools.combinations(values, 2):
        for pair in itertools.product(values[first], values[second]):
            if _is_shown(made, at, dict(zip((first, second), pair))):
                found.setdefault(settings[first].text, []).append(pair[0])
                found.setdefault(settings[second].text, []).append(pair[1])
    return {"when": {label: sorted(set(texts)) for label, texts in found.items()}}


def _is_shown(made: Any, at: int, values: dict[int, str]) -> bool:
    module = _module(made)
    settings = module.settings()
    for index, value in values.items():
        settings[index].value = value
    return any(setting is settings[at] for setting in module.visible_settings())


def _once(items: list[Any]) -> list[Any]:
    return [item for index, item in enumerate(items) if item not in items[:index]]


if __name__ == "__main__":
    sys.stdout.write(json.dumps(table(), indent=1, ensure_ascii=False) + "\n")
