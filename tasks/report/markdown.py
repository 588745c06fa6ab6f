"""The report of a run as a page in Prefect. Pure."""

import html
import re
from collections.abc import Mapping, Sequence
from itertools import groupby

from blocks.rendering.markdown_pages import render
from tasks.report.model import Report
from tasks.report.plate_images import Picture
from tasks.report.remedies import remedy

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
    plates = [(name, list(own)) for name, own in groupby(pictures, key=lambda one: one.plate)]
    return render(
        __file__,
        {"cell": _cell, "link": _link, "quoted": quoted, "remedy": _remedy, "short": _short},
        report=report,
        address=address,
        plates=plates,
        shown_plates=SHOWN_PLATES,
        folder=pictures[0].address.rpartition("/")[0] if pictures else "",
        shown_problems=SHOWN_PROBLEMS,
        not_shown=report.failed + report.lost - min(len(report.problems), SHOWN_PROBLEMS),
        links=[_link(what, where) for what, where in (links or {}).items()],
    )


def _cell(value: object) -> str:
    return value if isinstance(value, Markdown) else quoted(str(value))


def _remedy(code: str) -> Markdown:
    return Markdown(remedy(code))


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
