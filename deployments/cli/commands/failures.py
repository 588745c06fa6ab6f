"""`dcp failures APP`: lists every job that did not succeed, given only the app's name."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from deployments.cli.commands.options import AppName, RunOptions
from deployments.exit_status import ExitStatus

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from tasks.report.failures import Failures, Reason

SHOWN = 10  # jobs of each reason


def failures(
    app: AppName,
    /,
    *,
    selection: RunOptions = RunOptions(),
    csv: Annotated[Path | None, Parameter(metavar="FILE")] = None,
    all_: Annotated[bool, Parameter(name="--all")] = False,
) -> int:
    """List every job of a run that did not succeed, by reason.

    List every failed, dead-lettered or lost job of an app's newest run, by reason, with a remedy
    and a link to the log. Changes nothing. Needs only AWS credentials.

    Exit status: 0 every job succeeded, 1 some did not, 2 the run was not found or AWS refuses the
    credentials.

    Args:
        csv: write all failed jobs to this CSV file, one row per job
        all_: list every job, not only the first 10 per reason
    """
    from rich.console import Console

    from blocks.errors import InputError, Problem
    from tasks.report.failures import find_failures

    run_failures = find_failures(selection.find(app))
    if csv:
        try:
            csv.write_text(run_failures.csv(), encoding="utf-8", newline="")
        except OSError as error:
            mistake = f"Could not write {csv}: {error.strerror or error}"
            raise InputError(Problem("", "", mistake)) from error
    show(run_failures, Console(), None if all_ else SHOWN)
    return ExitStatus.PROBLEM if run_failures.reasons else ExitStatus.OK


def show(found: "Failures", console: "Console", most: int | None) -> None:
    """Print the failures, at most `most` jobs of each reason."""
    console.print(f"Run {found.run_id} of {found.app_name}: {found.summary}", highlight=False)
    for reason in found.reasons:
        console.print()
        title = f"{len(reason.jobs)} {reason.code}"
        console.print(title, style="bold", highlight=False, markup=False)
        console.print(reason.remedy, highlight=False, markup=False)
        console.print(_table(reason, most))
        if most is not None and len(reason.jobs) > most:
            console.print(f"and {len(reason.jobs) - most} more (--all, --csv FILE)")
        if first := next((row.log for row in reason.jobs if row.log), ""):
            console.print(f"log of the first: {first}", soft_wrap=True, highlight=False)


def _table(reason: "Reason", most: int | None) -> "Table":
    """The jobs of a reason; `log` is a link if the terminal supports links."""
    from rich.table import Table
    from rich.text import Text

    names = ("plate", "well", "site", "tries", "what happened", "log")
    table = Table(*names, box=None, pad_edge=False, header_style="dim")
    for row in reason.jobs[:most]:
        # If a job's metadata has no plate and no well, its group identifies it.
        place = (row.plate or row.group, row.well, row.site, str(row.attempt or ""))
        log = Text("log", style=f"link {row.log}") if row.log else Text()
        table.add_row(*map(Text, place), Text(row.reason_text), log)
    return table
