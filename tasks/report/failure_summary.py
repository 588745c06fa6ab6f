"""Which jobs of a run failed and why, in one sentence. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any

from tasks.jobs.wells import place_of
from tasks.report.model import Report

REASONS, WELLS = 3, 5  # that are named; the report has all


def verdict(report: Report) -> str:
    """Say how many jobs did not succeed, and of which reasons and wells.

    Returns:
        For example `2 of 16 jobs failed: image_missing (A03, B02)`; "" when none did.
    """
    counts = (("failed", report.failed), ("lost", report.lost))
    said = " and ".join(f"{number} {what}" for what, number in counts if number)
    if not said:
        return ""
    if report.failed and not report.lost:
        said = f"{report.failed} of {report.submitted} jobs failed"
    else:
        said = f"{said} of {report.submitted} jobs"
    reasons = list(report.reasons)
    named = [
        _named(reason, report.problems, report.reasons[reason]) for reason in reasons[:REASONS]
    ]
    if len(reasons) > REASONS:
        others = len(reasons) - REASONS
        named.append(f"{others} other reason{'s' if others > 1 else ''}")
    return f"{said}: {', '.join(named)}" if named else said


def _named(reason: str, problems: Iterable[Mapping[str, Any]], jobs: int) -> str:
    groups = [str(one["Metadata"]) for one in problems if one["reason"] == reason]
    wells = list(dict.fromkeys(filter(None, map(_well, groups))))
    if not wells:
        return f"{reason} ({jobs} job{'s' if jobs > 1 else ''})"
    more = len(wells) - WELLS
    return f"{reason} ({', '.join(wells[:WELLS])}{f' and {more} more wells' if more > 0 else ''})"


def _well(metadata: str) -> str:
    return place_of(metadata).well
