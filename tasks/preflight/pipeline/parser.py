"""A CellProfiler pipeline as text (.cppipe, .cpproj's text, .json): its modules and settings. Pure.

It is read as CellProfiler 4.2.8 reads it: a header of `key:value` lines, a blank line, and for each
module a line with its attributes, a line for each setting, and a blank line.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, takewhile

HEADER = "CellProfiler Pipeline: http://www.cellprofiler.org"
NEWEST_VERSION = 5
"""The newest version of the file that CellProfiler 4.2.8 takes; JSON alone is version 6."""

_ENABLED = re.compile(r"\|enabled:(True|False)")
_REVISION = re.compile(r"\|variable_revision_number:(\d+)")
_ESCAPED = re.compile(r"\\x([0-9a-fA-F]{2})")


class PipelineError(Exception):
    """The text is no pipeline, or CellProfiler would not load it.

    Attributes:
        code: What kind of mistake it is.
        what: What is wrong, for people.
    """

    def __init__(self, code: str, what: str) -> None:
        super().__init__(what)
        self.code, self.what = code, what


@dataclass(frozen=True)
class Setting:
    """One line of a module: what is asked and what is answered."""

    label: str
    value: str


@dataclass(frozen=True)
class Module:
    """One module of a pipeline.

    Attributes:
        number: Its place, from 1.
        name: IdentifyPrimaryObjects …
        revision: Of its settings (variable_revision_number).
        enabled: Whether it is run.
        settings: In their order; a label may come several times.
    """

    number: int
    name: str
    revision: int
    enabled: bool
    settings: tuple[Setting, ...]

    def __str__(self) -> str:
        return f"module {self.number} ({self.name})"

    def value(self, label: str, near: int = 0) -> str | None:
        """The answer to a question; None when the module does not ask it.

        Args:
            label: The question.
            near: The place of the setting that it is about: where the question comes several times,
                the last one before it counts, else the first after it.
        """
        places = [at for at, setting in enumerate(self.settings) if setting.label == label]
        if not places:
            return None
        before = [at for at in places if at <= near]
        return self.settings[before[-1] if before else places[0]].value

    def shown(self, conditions: Mapping[str, Mapping[str, list[str]]], near: int) -> bool:
        """Whether a setting is used, by the conditions of the table of modules (modules.json)."""
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
        modules: All that were found.
        expected: How many its header says there are; None when it does not say.
    """

    modules: tuple[Module, ...]
    expected: int | None

    @property
    def cut_off(self) -> bool:
        """Whether there are fewer modules than the header says."""
        return self.expected is not None and len(self.modules) < self.expected

    def active(self, *names: str) -> Iterator[Module]:
        """The modules that are run; with names, those of them."""
        return (
            module
            for module in self.modules
            if module.enabled and (not names or module.name in names)
        )


def parse_pipeline(text: str, is_json: bool = False) -> Pipeline:
    """Read a pipeline.

    Args:
        text: The file.
        is_json: Its name ends in .json: CellProfiler goes by the name.

    Raises:
        PipelineError: CellProfiler would not load it.
    """
    if not text.strip():
        raise PipelineError("pipeline_empty", "is empty")
    if is_json:
        return _from_json(text)
    if text.startswith(f"\ufeff{HEADER}"):
        raise PipelineError(
            "pipeline_no_pipeline",
            "begins with a byte order mark, as editors on Windows write it: CellProfiler cannot "
            "read it",
        )
    if not text.startswith(HEADER):
        raise PipelineError("pipeline_no_pipeline", "is no CellProfiler pipeline")
    lines = iter([line.strip() for line in re.split(r"\r\n|\r|\n", text)])
    header = dict(line.partition(":")[::2] for line in _to_blank(lines))
    version = header.get("Version", "")
    if version.isdigit() and int(version) > NEWEST_VERSION:
        raise PipelineError(
            "pipeline_version", f"is of version {version}, which CellProfiler 4.2.8 cannot read"
        )
    told = header.get("ModuleCount", "")
    expected = int(told) if told.isdigit() else None
    return Pipeline(tuple(_modules(lines, expected)), expected)


def _to_blank(lines: Iterator[str]) -> Iterator[str]:
    """The lines up to the next blank one, which is taken too."""
    return takewhile(bool, lines)


def _modules(lines: Iterator[str], expected: int | None) -> Iterator[Module]:
    # What follows the modules may be a list of files.
    for number in count(1) if expected is None else range(1, expected + 1):
        first = next(lines, None)
        if first is None or not (first or any(list(lines))):
            return
        if not first:
            raise PipelineError(
                "pipeline_broken", f"has a blank line too many before module {number}"
            )
        name, colon, attributes = first.partition(":")
        if not colon or not attributes.startswith("[") or not attributes.endswith("]"):
            raise PipelineError(
                "pipeline_broken", f"has something else where module {number} should begin"
            )
        settings = list(_to_blank(lines))
        if bad := next((line for line in settings if ":" not in line), None):
            raise PipelineError("pipeline_broken", f"has a broken line in {name}: {bad[:60]!r}")
        revision = _REVISION.findall(attributes)
        if not revision:
            raise PipelineError("pipeline_broken", f"has no variable_revision_number in {name}")
        enabled = _ENABLED.findall(attributes)
        yield Module(
            number,
            name.strip(),
            int(revision[-1]),
            # Notes are free text and stand before `enabled`.
            not enabled or enabled[-1] == "True",
            tuple(Setting(*map(_plain, line.partition(":")[::2])) for line in settings),
        )


def _plain(text: str) -> str:
    """Older versions write signs such as | and : as \\x7C, and some texts in UTF-16."""
    if "\\x" not in text:
        return text
    return _ESCAPED.sub(lambda found: chr(int(found[1], 16)), text).replace("\0", "").strip("ÿþ")


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
        raise PipelineError("pipeline_no_pipeline", f"is no pipeline in JSON ({error})") from error
    return Pipeline(modules, expected if isinstance(expected, int) else None)
