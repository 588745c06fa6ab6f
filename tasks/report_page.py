"""The report of a run as a page in Prefect. Pure."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from tasks.plate_pictures import Picture
from tasks.remedies import remedy

if TYPE_CHECKING:
    from tasks.report import Report

SHOWN_PROBLEMS = 50
SHOWN_PLATES = 6  # a picture takes some 30 kB of the page


def markdown(report: "Report", address: str, pictures: Sequence[Picture] = ()) -> str:
    """The report as a person reads it.

    Args:
        report: The report.
        address: Where its `report.json` lies.
        pictures: The plate maps, in the order to be shown; those of the first plates are.
    """
    parts = [
        f"# {report.app_name} {report.run_id}",
        report.summary,
        report.note,
        _took(report),
        _reasons(report),
        _plates(pictures),
        _slowest(report),
        _problems(report),
        f"All of it: `{address}`" + (f", a row a job: `{report.table}`" if report.table else ""),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _took(report: "Report") -> str:
    if not report.table:
        return ""
    cost = report.cost["text"] if report.cost else "cost not known: no machine was noted"
    lines = [f"{report.hours:.2f} hours from begin to end; {cost}."]
    if report.seconds:
        lines += ["", "## Seconds a job", ""]
        names = ("jobs", "mean", "p10", "p50", "p90")
        lines += _table(
            ("pipeline", *names),
            ((key, *(taken[name] for name in names)) for key, taken in report.seconds.items()),
        )
    return "\n".join(lines)


def _reasons(report: "Report") -> str:
    if not report.reasons:
        return ""
    rows = ((number, code, remedy(code)) for code, number in report.reasons.items())
    return "\n".join(["## Reasons", "", *_table(("jobs", "reason", "what to do"), rows)])


def _plates(pictures: Sequence[Picture]) -> str:
    plates = [(name, list(own)) for name, own in groupby(pictures, key=lambda one: one.plate)]
    if not plates:
        return ""
    lines = ["## Plates"]
    for name, own in plates[:SHOWN_PLATES]:
        lines += [f"![plate {_cell(name)}, {picture.kind}]({picture.uri})" for picture in own]
    if len(plates) > SHOWN_PLATES:
        folder = pictures[0].address.rpartition("/")[0]
        lines.append(f"The maps of {len(plates) - SHOWN_PLATES} more plates: `{folder}/`")
    return "\n\n".join(lines)


def _slowest(report: "Report") -> str:
    if not report.slowest:
        return ""
    rows = (
        (_linked(_short(job["Metadata"]), job["log"]), job["seconds"], job["peak_memory_mb"])
        for job in report.slowest
    )
    return "\n".join(["## Slowest jobs", "", *_table(("job", "seconds", "peak memory, MB"), rows)])


def _problems(report: "Report") -> str:
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
    return " ".join(str(value).replace("|", "\\|").split())


def _short(metadata: str) -> str:
    """A group with less to read: `Plate=P1, Well=A01`."""
    return ", ".join(part.removeprefix("Metadata_") for part in metadata.split(","))


def _linked(text: str, address: str) -> str:
    return f"[{text}]({address})" if address else text
