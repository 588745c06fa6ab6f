"""A CellProfiler pipeline as text (.cppipe, .cpproj's text, .json): its modules and settings. Pure.

Reads it like CellProfiler 4.2.8: a header of `key:value` lines and a blank line; then for each
module a line with its attributes, a line for each setting, and a blank line.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile

HEADER = "CellProfiler Pipeline: http://www.cellprofiler.org"
NEWEST_VERSION = 5
"""The newest file version that CellProfiler 4.2.8 reads; only JSON is version 6."""

_ENABLED = re.compile(r"\|enabled:(True|False)")
_REVISION = re.compile(r"\|variable_revision_number:(\d+)")
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")


class PipelineError(Exception):
    """The text is not a pipeline, or CellProfiler would not load it.

    Attributes:
        code: The kind of mistake.
        what: Description of the mistake.
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code, self.what = code, what


@dataclass(frozen=True)
class Setting:
    """One line of a module: a setting's label and its value."""

    label: str
    value: str


@dataclass(frozen=True)
class Module:
    """One module of a pipeline.

    Attributes:
        number: Its position, from 1.
        name: Such as IdentifyPrimaryObjects.
        revision: Version of its settings (variable_revision_number).
        enabled: Whether it runs.
        settings: Its settings in order; a label may occur several times.
    """

    number: int
    name: str
    revision: int
    enabled: bool
    settings: tuple[Setting, ...]

    def __str__(self) -> str:
        return f"module {self.number} ({self.name})"

    def value(self, label: str, near: int = 0) -> str | None:
        """The value of a setting; None if the module does not have it.

        Args:
            label: The setting's label.
            near: Position that chooses among repeated labels: the last setting up to it, otherwise
                the first after it.
        """
        positions = [at for at, setting in enumerate(self.settings) if setting.label == label]
        if not positions:
            return None
        before = [at for at in positions if at <= near]
        return self.settings[before[-1] if before else positions[0]].value

    def shown(self, conditions: Mapping[str, Mapping[str, list[str]]], near: int) -> bool:
        """Whether a setting is active, by the conditions in modules.json."""
        wanted, hiding = conditions.get("when"), conditions.get("unless", {})
        if wanted is not None and not wanted:
            return False
        shown = all(self.value(label, near) in texts for label, texts in (wanted or {}).items())
        hidden = any(self.value(label, near) in texts for label, texts in hiding.items())
        return shown and not hidden


@dataclass(frozen=True)
class Pipeline:
    """A pipeline.

    Attributes:
        modules: All modules in the file.
        expected: Number of modules in the header; None if the header has none.
    """

    modules: tuple[Module, ...]
    expected: int | None

    @property
    def cut_off(self) -> bool:
        """Whether the file has fewer modules than its header says."""
        return self.expected is not None and len(self.modules) < self.expected

    def active(self, *names: str) -> Iterator[Module]:
        """The enabled modules; with names, only those of these names."""
        return (
            module
            for module in self.modules
            if module.enabled and (not names or module.name in names)
        )


def parse_pipeline(text: str, is_json: bool = False) -> Pipeline:
    """Read a pipeline.

    Args:
        text: The file.
        is_json: Whether its name ends in .json, which determines CellProfiler's format.

    Raises:
        PipelineError: CellProfiler would not load it.
    """
    if not text.strip():
        raise PipelineError("pipeline_empty", "is empty")
    if is_json:
        return _from_json(text)
    if text.startswith(f"\ufeff{HEADER}"):
        raise PipelineError(
            "pipeline_format",
            "starts with a byte order mark, as some Windows editors write it; CellProfiler cannot "
            "read it",
        )
    if not text.startswith(HEADER):
        raise PipelineError("pipeline_format", "is not a CellProfiler pipeline")
    lines = iter([line.strip() for line in re.split(r"\r\n|\r|\n", text)])
    header = dict(line.partition(":")[::2] for line in _to_blank(lines))
    version = header.get("Version", "")
    if version.isdigit() and int(version) > NEWEST_VERSION:
        raise PipelineError(
            "pipeline_version", f"has version {version}, which CellProfiler 4.2.8 cannot read"
        )
    module_count = header.get("ModuleCount", "")
    expected = int(module_count) if module_count.isdigit() else None
    return Pipeline(tuple(_modules(lines, expected)), expected)


def _to_blank(lines: Iterator[str]) -> Iterator[str]:
    """The lines up to the next blank one; consumes the blank line too."""
    return takewhile(bool, lines)


def _modules(lines: Iterator[str], expected: int | None) -> Iterator[Module]:
    # A list of files may follow the modules.
    for number in count(1) if expected is None else range(1, expected + 1):
        first = next(lines, None)
        if first is None or not (first or any(list(lines))):
            return
        if not first:
            raise PipelineError(
                "pipeline_broken", f"has an extra blank line before module {number}"
            )
        name, colon, attributes = first.partition(":")
        if not colon or not attributes.startswith("[") or not attributes.endswith("]"):
            raise PipelineError(
                "pipeline_broken", f"has no module header where module {number} should start"
            )
        settings = list(_to_blank(lines))
        if bad := next((line for line in settings if ":" not in line), None):
            raise PipelineError("pipeline_broken", f"has an invalid line in {name}: {bad[:60]!r}")
        revision = _REVISION.findall(attributes)
        if not revision:
            raise PipelineError("pipeline_broken", f"has no variable_revision_number in {name}")
        enabled = _ENABLED.findall(attributes)
        yield Module(
            number,
            name.strip(),
            int(revision[-1]),
            # Notes are free text and precede `enabled`.
            not enabled or enabled[-1] == "True",
            tuple(Setting(*map(_plain, line.partition(":")[::2])) for line in settings),
        )


def _plain(text: str) -> str:
    """Unescape text: older versions write | and : as \\x7C and \\x3A, and some text in UTF-16."""
    if "\\x" not in text:
        return text
    return _ESCAPED.sub(lambda escape: chr(int(escape[1], 16)), text).replace("\0", "").strip("ÿþ")


def _from_json(text: str) -> Pipeline:
    try:
        document = json.loads(text)
        modules = tuple(
            Module(
                number,
                module["attributes"]["module_name"],
                int(module["attributes"].get("variable_revision_number", 0)),
                bool(module["attributes"].get("enabled", True)),
                tuple(Setting(str(s["text"]), str(s["value"])) for s in module["settings"]),
            )
            for number, module in enumerate(document["modules"], start=1)
        )
        expected = document.get("module_count")
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PipelineError("pipeline_format", f"is not a JSON pipeline ({error})") from error
    return Pipeline(modules, expected if isinstance(expected, int) else None)
