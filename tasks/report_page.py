"""The report of a run as a page in Prefect. Pure."""

import html
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any

from tasks.plate_pictures import Picture
from tasks.remedies import remedy
from tasks.report import Report

SHOWN_PROBLEMS = 50
SHOWN_PLATES = 6  # the two pictures of one take 50 to 160 kB of the page
LONGEST_TEXT = 500  # characters of what is quoted; report.csv has all of it
# What would be formatting within a line or a cell (GitHub Flavored Markdown; HTML is escaped as
# such). An underscore between letters is none.
SPECIAL = re.compile(r"[\\`*\[\]|~]|(?<![^\W_])_|_(?![^\W_])")


class Markdown(str):
    """A text that is Markdown already."""


def markdown(
    report: Report,
    address: str,
    pictures: Sequence[Picture] = (),
    links: Mapping[str, str] | None = None,
) -> str:
    """The report as a person reads it.

    Args:
        report: The report.
        address: Where its `report.json` lies.
        pictures: The plate maps, in the order to be shown; those of the first plates are.
        links: Addresses in the AWS console by what they show.
    """
    parts = [
        f"# {report.app_name} {report.run_id}",
        report.summary,
        quoted(report.note),
        _took(report),
        _reasons(report),
        _plates(pictures),
        _slowest(report),
        _problems(report),
        f"All of it: `{address}`" + (f", a row a job: `{report.table}`" if report.table else ""),
        ", ".join(_link(what, where) for what, where in (links or {}).items()),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _took(report: Report) -> str:
    if not report.table:
        return ""
    cost = quoted(report.cost["text"]) if report.cost else "it had no machine"
    digest = f", `{report.image_digest}`" if report.image_digest else ""
    lines = [
        f"{report.hours:.2f} hours from begin to end; {cost}. Worker: `{report.image}`{digest}."
    ]
    if report.seconds:
        lines += ["", "## Seconds a job", ""]
        names = ("jobs", "mean", "p10", "p50", "p90")
        lines += _table(
            ("pipeline", *names),
            ((key, *(taken[name] for name in names)) for key, taken in report.seconds.items()),
        )
    return "\n".join(lines)


def _reasons(report: Report) -> str:
    if not report.reasons:
        return ""
    rows = ((number, code, Markdown(remedy(code))) for code, number in report.reasons.items())
    return "\n".join(["## Reasons", "", *_table(("jobs", "reason", "what to do"), rows)])


def _plates(pictures: Sequence[Picture]) -> str:
    plates = [(name, list(own)) for name, own in groupby(pictures, key=lambda one: one.plate)]
    if not plates:
        return ""
    lines = ["## Plates"]
    for name, own in plates[:SHOWN_PLATES]:
        lines += [f"![plate {quoted(name)}, {picture.kind}]({picture.uri})" for picture in own]
    if len(plates) > SHOWN_PLATES:
        folder = pictures[0].address.rpartition("/")[0]
        lines.append(f"The maps of {len(plates) - SHOWN_PLATES} more plates: `{folder}/`")
    return "\n\n".join(lines)


def _slowest(report: Report) -> str:
    if not report.slowest:
        return ""
    rows = (
        (_short(job["Metadata"]), job["seconds"], job["peak_memory_mb"], _link("log", job["log"]))
        for job in report.slowest
    )
    names = ("job", "seconds", "peak memory, MB", "log")
    return "\n".join(["## Slowest jobs", "", *_table(names, rows)])


def _problems(report: Report) -> str:
    if not report.problems:
        return ""
    rows = (
        (one["reason"], _short(one["Metadata"]), one["reason_text"])
        for one in report.problems[:SHOWN_PROBLEMS]
    )
    lines = ["## Jobs that did not succeed", ""]
    lines += _table(("reason", "job", "what happened"), rows)
    more = report.failed + report.lost - min(len(report.problems), SHOWN_PROBLEMS)
    return "\n".join(lines + (["", f"and {more} more"] if more else []))


def _table(names: Iterable[str], rows: Iterable[Iterable[Any]]) -> list[str]:
    heads = list(names)
    lines = ["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    return lines + ["| " + " | ".join(_cell(cell) for cell in row) + " |" for row in rows]


def _cell(value: Any) -> str:
    return value if isinstance(value, Markdown) else quoted(str(value))


def quoted(text: str) -> str:
    """A text as it is, in one line: nothing in it is formatting or HTML."""
    line = " ".join(text.split())
    if len(line) > LONGEST_TEXT:
        line = line[: LONGEST_TEXT - 1] + "…"
    return html.escape(SPECIAL.sub(r"\\\g<0>", line), quote=False)


def _short(metadata: str) -> str:
    """A group with less to read: `Plate=P1, Well=A01`."""
    return ", ".join(part.removeprefix("Metadata_") for part in metadata.split(","))


def _link(text: str, address: str) -> Markdown:
    return Markdown(f"[{text}]({address})" if address else "")
