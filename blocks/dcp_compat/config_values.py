"""A config.py of Distributed-CellProfiler while it is translated to a run config."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from blocks.dcp_compat.remarks import Kind, Remark
from blocks.errors import Problem


@dataclass
class DcpSettings:
    """The settings of a config.py by our keys, and remarks about them.

    Attributes:
        where: The file's name.
        values: The settings of the run config.
        lines: The line of each assignment, from 1, for the keys in the file.
        remarks: Keys that differ here, are not used, or must be filled in.
        rejected: Required settings in the file that were rejected, each with the problem.
    """

    where: str
    values: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, int] = field(default_factory=dict)
    remarks: list[Remark] = field(default_factory=list)
    rejected: dict[str, Problem] = field(default_factory=dict)

    def place(self, key: str) -> str:
        """The file, with the line of one of our keys if it has one."""
        return f"{self.where}:{self.lines[key]}" if key in self.lines else self.where

    def add_remark(self, kind: Kind, key: str, text: str) -> None:
        """Add a remark about one of our keys."""
        self.remarks.append(Remark(kind, self.place(key), key.upper(), text))

    def in_dcp_terms(self, problems: Iterable[Problem]) -> list[Problem]:
        """Problems of the run config with the lines and the spelling of this file."""
        return [self._in_dcp_terms(problem) for problem in problems]

    def _in_dcp_terms(self, problem: Problem) -> Problem:
        key = re.split(r"[.\[]", problem.key, maxsplit=1)[0]
        if key in self.rejected and key not in self.values:
            return self.rejected[key]
        spelled = key.upper() + problem.key[len(key) :]
        return replace(problem, where=self.place(key), key=spelled)
