"""The findings of the checks before a run, and how they are shown. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.table import Column, Table
from rich.text import Text

from blocks.errors import Problem

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""An error stops the run; a warning may be intentional; a note is for information."""


@dataclass(frozen=True)
class Finding:
    """One result of the checks before a run.

    Attributes:
        level: Whether it stops the run.
        code: Stable code of the kind of finding, independent of its wording.
        problem: What is wrong, where, and how to fix it.
    """

    level: Level
    code: str
    problem: Problem

    def __str__(self) -> str:
        return f"{self.level}: {self.problem} [{self.code}]"


def by_level(findings: Iterable[Finding]) -> list[Finding]:
    """The findings sorted by level, errors first; otherwise their order stays."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def errors(findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """The problems that stop the run."""
    return tuple(finding.problem for finding in findings if finding.level == "error")


def summary(findings: Iterable[Finding]) -> str:
    """The number of findings of each level in one line."""
    numbers = Counter(finding.level for finding in findings)
    return ", ".join(
        f"{numbers[level]} {level}{'' if numbers[level] == 1 else 's'}" for level in LEVELS
    )


def rows(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """The findings as table rows."""
    return [
        {
            "level": finding.level,
            "where": ": ".join(filter(None, (finding.problem.where, finding.problem.key))),
            "what": _what(finding.problem),
            "how to fix": finding.problem.remedy,
            "code": finding.code,
        }
        for finding in by_level(findings)
    ]


def table(findings: Iterable[Finding]) -> Table:
    """The findings for a terminal, each with the code that accepts it.

    Place, text and remedy are on separate lines, so that long addresses stay whole.
    """
    output = Table("level", Column("finding and fix", overflow="fold"))
    output.show_lines = True
    for row in rows(findings):
        text = "\n".join(filter(None, (row["where"], row["what"], row["how to fix"])))
        # As Text, because brackets from a pipeline or a CSV are not markup.
        output.add_row(Text(f"{row['level']}\n{row['code']}"), Text(text))
    return output


def _what(problem: Problem) -> str:
    text = problem.mistake
    if problem.got:
        text += f", got {problem.got}"
    if problem.allowed:
        text += f"; allowed: {problem.allowed}"
    return text
