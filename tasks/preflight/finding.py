"""What a look before the start found: findings, and how they are shown. Pure."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from rich.table import Column, Table
from rich.text import Text

from blocks.errors import Problem

Level = Literal["error", "warning", "note"]
LEVELS: tuple[Level, ...] = ("error", "warning", "note")
"""An error stops the run; a warning may be meant so; a note is worth knowing."""


@dataclass(frozen=True)
class Finding:
    """One thing that was found before anything was made.

    Attributes:
        level: Whether it stops the run.
        code: What kind of finding it is, the same however its words change.
        problem: What, where and how to mend it.
    """

    level: Level
    code: str
    problem: Problem

    def __str__(self) -> str:
        return f"{self.level}: {self.problem} [{self.code}]"


def by_level(findings: Iterable[Finding]) -> list[Finding]:
    """The findings with the errors first, otherwise in their order."""
    return sorted(findings, key=lambda finding: LEVELS.index(finding.level))


def errors(findings: Iterable[Finding]) -> tuple[Problem, ...]:
    """The problems that stop the run."""
    return tuple(finding.problem for finding in findings if finding.level == "error")


def summary(findings: Iterable[Finding]) -> str:
    """The number of findings of each level in one line."""
    numbers = Counter(finding.level for finding in findings)
    return ", ".join(f"{numbers[level]} {level}s" for level in LEVELS)


def rows(findings: Iterable[Finding]) -> list[dict[str, str]]:
    """The findings as the rows of a table: what, where, how to mend."""
    return [
        {
            "level": finding.level,
            "where": ": ".join(filter(None, (finding.problem.where, finding.problem.key))),
            "what": _what(finding.problem),
            "how to mend": finding.problem.remedy,
            "code": finding.code,
        }
        for finding in by_level(findings)
    ]


def table(findings: Iterable[Finding]) -> Table:
    """The findings for a terminal, each with the code by which it can be accepted.

    Addresses are long and must be whole: a finding's place, text and remedy stand below each other.
    """
    shown = Table("level", Column("what was found, and how to mend it", overflow="fold"))
    shown.show_lines = True
    for row in rows(findings):
        text = "\n".join(filter(None, (row["where"], row["what"], row["how to mend"])))
        # As Text: what a pipeline or a CSV holds in brackets is no markup.
        shown.add_row(Text(f"{row['level']}\n{row['code']}"), Text(text))
    return shown


def _what(problem: Problem) -> str:
    text = problem.what
    if problem.got:
        text += f", got {problem.got}"
    if problem.allowed:
        text += f"; allowed: {problem.allowed}"
    return text
