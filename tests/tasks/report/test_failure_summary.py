"""A run that failed says which jobs failed and why, in one sentence."""

from typing import Any

from tasks.report.failure_summary import verdict
from tasks.report.model import Report


def report(reasons: dict[str, list[str]], submitted: int = 16, lost: int = 0) -> Report:
    problems: list[dict[str, Any]] = [
        {"reason": reason, "Metadata": f"Metadata_Plate=P1,Metadata_Well={well}"}
        for reason, wells in reasons.items()
        for well in wells
    ]
    return Report(
        app_name="Lab",
        run_id="r",
        submitted=submitted,
        succeeded=submitted - len(problems),
        skipped=0,
        failed=len(problems) - lost,
        lost=lost,
        reasons={reason: len(wells) for reason, wells in reasons.items()},
        problems=problems,
    )


def test_a_run_without_failures_has_nothing_to_say() -> None:
    assert verdict(report({})) == ""


def test_reasons_are_named_with_their_wells() -> None:
    failed = report({"image_missing": ["A03", "B02"]})
    assert verdict(failed) == "2 of 16 jobs failed: image_missing (A03, B02)"


def test_sites_of_a_well_name_it_once() -> None:
    assert verdict(report({"timeout": ["A03", "A03"]})) == "2 of 16 jobs failed: timeout (A03)"


def test_many_wells_and_reasons_are_counted() -> None:
    wells = [f"A{number:02}" for number in range(1, 9)]
    said = verdict(report({"one": wells, "two": ["B01"], "three": ["B02"], "four": ["B03"]}))
    assert "A05 and 3 more wells)" in said
    assert said.endswith("1 other reason")
    assert "A06" not in said


def test_lost_jobs_are_told_apart() -> None:
    said = verdict(report({"timeout": ["A01"], "no_result": ["A02"]}, lost=1))
    assert said.startswith("1 failed and 1 lost of 16 jobs: ")


def test_groups_without_wells_are_counted() -> None:
    failed = report({"timeout": [""]})
    assert verdict(failed) == "1 of 16 jobs failed: timeout (1 job)"
