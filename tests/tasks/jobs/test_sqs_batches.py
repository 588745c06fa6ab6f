"""Batches stay within SQS's limits, and every message is taken once."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import boto3
import pytest
from flawed_sqs import FlawedSqs, flawed_sqs
from hypothesis import example, given
from hypothesis import strategies as st

from blocks.errors import DcpError
from tasks.aws.clients import CLIENT_CONFIG
from tasks.jobs.sqs_batches import MOST_BYTES, MOST_MESSAGES, send_batch, within_limits

KEY = {"aws_access_key_id": "a", "aws_secret_access_key": "b", "region_name": "us-east-1"}
BODIES = [f"message {number}" for number in range(10)]


@given(
    st.lists(
        st.one_of(
            st.text(max_size=5),
            # Large ones, of one to four bytes a character.
            st.builds(
                lambda character, size: character * size,
                st.sampled_from("aµ€😀"),
                st.integers(MOST_BYTES // 16, MOST_BYTES // 4),
            ),
        ),
        max_size=40,
    )
)
@example(["a" * MOST_BYTES, "b", "c" * (MOST_BYTES - 1)])
def test_every_batch_is_within_the_limits_and_nothing_is_lost(bodies: list[str]) -> None:
    batches = list(within_limits(bodies))
    assert [body for batch in batches for body in batch] == bodies
    for batch in batches:
        assert 1 <= len(batch) <= MOST_MESSAGES
        assert sum(len(body.encode()) for body in batch) <= MOST_BYTES
    # No batch could have taken the first message of the next one.
    for batch, after in pairwise(batches):
        size = sum(len(body.encode()) for body in [*batch, after[0]])
        assert len(batch) == MOST_MESSAGES or size > MOST_BYTES


def test_a_batch_is_made_before_the_messages_after_it_are_there() -> None:
    made = []

    def bodies() -> Iterator[str]:
        for number in range(1000):
            made.append(number)
            yield str(number)

    next(within_limits(bodies()))
    assert len(made) == MOST_MESSAGES + 1


@pytest.fixture
def sqs() -> Iterator[FlawedSqs]:
    with flawed_sqs() as running:
        yield running


def client(sqs: FlawedSqs) -> Any:
    return boto3.client("sqs", endpoint_url=sqs.endpoint_url, config=CLIENT_CONFIG, **KEY)


@pytest.mark.parametrize(
    "code",
    [
        pytest.param("InternalError", id="SQS failed"),
        pytest.param("", id="the answer does not name the message at all"),
    ],
)
def test_only_the_messages_that_were_not_taken_are_sent_again(sqs: FlawedSqs, code: str) -> None:
    odd = set(BODIES[1::2])
    sqs.verdict = lambda body, attempt: (code, False) if body in odd and attempt < 3 else None
    send_batch(client(sqs), f"{sqs.endpoint_url}/0/q", BODIES)
    assert sorted(sqs.taken) == BODIES
    assert sqs.attempts == {body: 3 if body in odd else 1 for body in BODIES}


@pytest.mark.parametrize("code", ["RequestThrottled", "KmsThrottled", "KMS.ThrottlingException"])
def test_a_throttled_message_is_sent_again_whosever_fault_it_is(sqs: FlawedSqs, code: str) -> None:
    sqs.verdict = lambda body, attempt: (code, True) if body == BODIES[4] and attempt < 2 else None
    send_batch(client(sqs), f"{sqs.endpoint_url}/0/q", BODIES)
    assert sorted(sqs.taken) == BODIES
    assert sqs.attempts[BODIES[4]] == 2


def test_a_request_that_is_throttled_is_sent_again(sqs: FlawedSqs) -> None:
    sqs.refusals = ["RequestThrottled", "ThrottlingException"]
    send_batch(client(sqs), f"{sqs.endpoint_url}/0/q", BODIES)
    assert sqs.taken == BODIES


def test_a_message_that_is_refused_for_its_content_is_named_at_once(sqs: FlawedSqs) -> None:
    sqs.verdict = lambda body, _: ("InvalidMessageContents", True) if body == BODIES[7] else None
    with pytest.raises(DcpError, match=r"InvalidMessageContents(.|\n)*message 7"):
        send_batch(client(sqs), f"{sqs.endpoint_url}/0/q", BODIES)
    assert sqs.attempts[BODIES[7]] == 1
