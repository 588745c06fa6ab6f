"""Reading a fleet's history."""

from datetime import UTC, datetime
from typing import Any

from tasks.fleet.base import history


def test_history_reads_all_pages() -> None:
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
