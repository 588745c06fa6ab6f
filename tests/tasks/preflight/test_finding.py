"""Findings as tables for people."""

from rich.console import Console

from blocks.errors import Problem
from tasks.preflight.finding import Finding, table


def test_the_table_shows_brackets_verbatim_and_the_code() -> None:
    problem = Problem("profile: steps[qc]", "[/]", "wrong [bold]", got="[red]", remedy="Do [it].")
    console = Console(width=200)
    with console.capture() as captured:
        console.print(table([Finding("error", "image_missing", problem)]))
    for part in ("steps[qc]", "[/]", "[bold]", "[red]", "Do [it].", "image_missing"):
        assert part in captured.get()
