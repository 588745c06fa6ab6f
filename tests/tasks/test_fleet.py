"""What is made of a fleet's history."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tasks.fleet import FleetEvent, Verdict, history, judge

LACK = "allLaunchSpecsTemporarilyBlacklisted"


def event(subtype: str, error: bool = True) -> FleetEvent:
    return FleetEvent(datetime(2026, 3, 1, tzinfo=UTC), error, subtype, "what happened")


def test_a_history_is_read_to_its_last_page() -> None:
    at = datetime(2026, 3, 1, tzinfo=UTC)
    first = {"Timestamp": at, "EventType": "error", "EventInformation": {"EventSubType": "bad"}}
    second = {"Timestamp": at, "EventType": "information", "EventInformation": {}}
    pages = {
        None: {"HistoryRecords": [first], "NextToken": "2"},
        "2": {"HistoryRecords": [second], "NextToken": ""},
    }

    def describe(fleet: str, NextToken: str | None = None) -> dict[str, Any]:
        assert fleet == "f"
        return pages[NextToken]

    assert [event.error for event in history(describe, "error", fleet="f")] == [True, False]


@pytest.mark.parametrize(
    ("errors", "machines", "verdict"),
    [
        ([], 0, Verdict.WAIT),
        ([], 1, Verdict.READY),
        ([LACK], 1, Verdict.READY),
        ([LACK], 0, Verdict.WAIT),
        ([LACK, LACK], 0, Verdict.CANCEL),
        (["iamFleetRoleInvalid"], 0, Verdict.CANCEL),
        (["iamFleetRoleInvalid"], 3, Verdict.CANCEL),
        (["spotFleetRequestConfigurationInvalid", LACK], 1, Verdict.CANCEL),
    ],
)
def test_errors_cancel_but_for_a_lack_of_capacity(
    errors: list[str], machines: int, verdict: Verdict
) -> None:
    history = [event("active", error=False), *map(event, errors)]
    found, said = judge(history, machines)
    assert found is verdict
    assert all(error in said for error in errors)
