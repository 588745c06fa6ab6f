"""CellProfiler 4.2.8's modules, and which of their settings name images, objects and files.

tests/worker/module_table.py writes modules.json from CellProfiler itself, and a test compares them.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from tasks.preflight.pipeline.parser import Module, Pipeline

_BLANK = frozenset({"", "None", "Leave blank", "Leave this black", "Do not use", "Do not save"})
"""Values of settings that name nothing."""

_THRESHOLD_VERSION = "12"
"""Version of the threshold settings in CellProfiler 4.2.8."""

_PLUGINS = """
addnoise boxobjects brightfieldprojectchannels calculategini calculatemoments callbarcodes
compensatecolors convertoutlinestoobjects declumpobjects distancetransform
enforceobjectsonetoone enhancedmeasuretexture exporttoomerotable filterobjects_stringmatch
gaussian_byslice helloworld histogramequalization histogrammatching masktopbottomz
measurerwcperobj measurerwcperobject omeroreader pixelshuffle predict rescaleintensityslicewise
rollingball runcellpose rundeepprofiler runilastik runimagejscript runomnipose runstardist
runvista2d saveimagestoomero variancetransform
"""
PLUGINS = frozenset(_PLUGINS.split())
"""The modules of CellProfiler-plugins, in lower case (its folder active_plugins on GitHub)."""

Kind = Literal["known", "plugin", "unknown"]


@dataclass(frozen=True)
class NamingSetting:
    """A setting of a module that names something.

    Attributes:
        module: The module.
        label: The setting.
        name: The name of an image, a set of objects or a file.
        folder: The folder of a file, as `choice|path`.
    """

    module: Module
    label: str
    name: str
    folder: str = ""


@cache
def _table() -> dict[str, Any]:
    path = Path(__file__).with_name("modules.json")
    table: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return table


def known_names() -> list[str]:
    """The names of all modules of CellProfiler 4.2.8."""
    return list(_table()["modules"])


def kind(module: Module) -> Kind:
    """Whether a module is CellProfiler's own, one of the known plugins, or neither."""
    if _about(module):
        return "known"
    return "plugin" if module.name.lower() in PLUGINS else "unknown"


def lacks_settings(module: Module) -> bool:
    """Whether a module has fewer settings than CellProfiler writes, because the file is truncated.

    Threshold settings have their own version: with another version the number proves nothing.
    """
    about = _about(module)
    same = about.get("revision") == module.revision
    same = same and module.value("Threshold setting version") in (None, _THRESHOLD_VERSION)
    return same and len(module.settings) < about["settings"]


def images_needed(module: Module) -> Iterator[NamingSetting]:
    """The images that a module needs: each active setting that names one."""
    yield from _named(module, "images")


def objects_created(module: Module) -> Iterator[NamingSetting]:
    """The objects that a module creates."""
    yield from _named(module, "objects")


def files_needed(module: Module) -> Iterator[NamingSetting]:
    """The files that a module reads, other than images."""
    for entry in _about(module).get("files", ()):
        for at, setting in enumerate(module.settings):
            if setting.label == entry["file"] and module.shown(entry, at):
                folder = module.value(entry["folder"], at) or ""
                yield NamingSetting(module, setting.label, setting.value, folder)


def images_created(module: Module) -> set[str]:
    """The names of the images that a module may create.

    In a plugin, or in a module saved by an older CellProfiler with other settings, every value may
    be one.
    """
    about = _about(module)
    if about.get("revision") != module.revision:
        return {setting.value for setting in module.settings}
    return {setting.value for setting in module.settings if setting.label in about.get("makes", ())}


def mentions(pipeline: Pipeline, image: str) -> bool:
    """Whether any active module has the image's name among its values."""
    return any(
        image in setting.value.split(", ")
        for module in pipeline.active()
        for setting in module.settings
    )


def uses_all_images(pipeline: Pipeline) -> bool:
    """Whether a module measures all loaded images."""
    return any(
        module.value("Calculate metrics for which images?") == "All loaded images"
        for module in pipeline.active("MeasureImageQuality")
    )


def _about(module: Module) -> dict[str, Any]:
    table = _table()
    name = table["renamed"].get(module.name, module.name)
    about: dict[str, Any] = table["modules"].get(name, {})
    return about


def _named(module: Module, what: str) -> Iterator[NamingSetting]:
    for entry in _about(module).get(what, ()):
        for at, setting in enumerate(module.settings):
            if setting.label == entry["label"] and module.shown(entry, at):
                for name in setting.value.split(", "):
                    if name not in _BLANK:
                        yield NamingSetting(module, setting.label, name)
