"""EC2's Spot interruption notice."""

from __future__ import annotations

import json

from dcp_worker.machine import spot_notice
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_for

from agent import Agent

NOTICE = json.dumps({"action": "terminate", "time": "2026-01-31T12:00:00Z"})


def test_a_notice_is_reported_once_and_ends_the_thread(agent: Agent) -> None:
    notices: list[str] = []
    thread = spot_notice.watch(agent.environment, notices.append, poll_seconds=0.01)
    wait_for(lambda: agent.requested.count("spot/instance-action") > 3, "polls without a notice")
    assert notices == []
    agent.metadata["spot/instance-action"] = NOTICE
    thread.join(600)
    (text,) = notices
    assert "terminate" in text
    assert "2026-01-31T12:00:00Z" in text


def test_a_rebalance_recommendation_is_no_notice(agent: Agent) -> None:
    agent.metadata["events/recommendations/rebalance"] = '{"noticeTime": "2026-01-31T12:00:00Z"}'
    notices: list[str] = []
    spot_notice.watch(agent.environment, notices.append, poll_seconds=0.01)
    wait_for(lambda: len(agent.requested) > 5, "polls")
    assert notices == []
    assert set(agent.requested) == {"spot/instance-action"}


def test_a_metadata_service_that_fails_for_a_while_hides_no_notice(agent: Agent) -> None:
    notices: list[str] = []
    thread = spot_notice.watch(
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{agent.url}/elsewhere/"}, notices.append, 0.01
    )
    metadata = spot_notice.watch(agent.environment, notices.append, poll_seconds=0.01)
    wait_for(lambda: len(agent.requested) > 2, "polls")
    agent.tokens.clear()
    agent.metadata["spot/instance-action"] = NOTICE
    metadata.join(600)
    assert len(notices) == 1
    assert thread.is_alive()  # every poll was refused, but polling continues


@given(st.text())
def test_a_notice_of_any_form_is_a_notice(notice: str) -> None:
    assert spot_notice.describe(notice).startswith("Spot interruption: EC2 will")
