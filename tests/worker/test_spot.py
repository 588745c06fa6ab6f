"""The notice that EC2 takes a Spot machine back."""

from __future__ import annotations

import json

from dcp_worker import spot
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_for

from agent import Agent

NOTICE = json.dumps({"action": "terminate", "time": "2026-01-31T12:00:00Z"})


def test_a_notice_is_told_once_and_ends_the_watch(agent: Agent) -> None:
    told: list[str] = []
    thread = spot.watch(agent.environment, told.append, look_seconds=0.01)
    wait_for(lambda: agent.asked.count("spot/instance-action") > 3, "looks without a notice")
    assert told == []
    agent.metadata["spot/instance-action"] = NOTICE
    thread.join(600)
    (text,) = told
    assert "terminate" in text
    assert "2026-01-31T12:00:00Z" in text


def test_a_rebalance_recommendation_is_no_notice(agent: Agent) -> None:
    agent.metadata["events/recommendations/rebalance"] = '{"noticeTime": "2026-01-31T12:00:00Z"}'
    told: list[str] = []
    spot.watch(agent.environment, told.append, look_seconds=0.01)
    wait_for(lambda: len(agent.asked) > 5, "looks")
    assert told == []
    assert set(agent.asked) == {"spot/instance-action"}


def test_a_metadata_service_that_fails_for_a_while_hides_no_notice(agent: Agent) -> None:
    told: list[str] = []
    thread = spot.watch(
        {"AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{agent.url}/elsewhere/"}, told.append, 0.01
    )
    metadata = spot.watch(agent.environment, told.append, look_seconds=0.01)
    wait_for(lambda: len(agent.asked) > 2, "looks")
    agent.tokens.clear()
    agent.metadata["spot/instance-action"] = NOTICE
    metadata.join(600)
    assert len(told) == 1
    assert thread.is_alive()  # refused at every look, and looks on


@given(st.text())
def test_a_notice_of_any_form_is_a_notice(notice: str) -> None:
    assert spot.describe(notice).startswith("Spot interruption: EC2 will")
