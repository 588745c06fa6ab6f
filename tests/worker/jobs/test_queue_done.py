"""When the queue is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from dcp_worker.jobs import queue_done
from dcp_worker.jobs.queue import Counts
from dcp_worker.jobs.queue_done import LEAST_POLLS, QueueDone, QueuePoll
from hypothesis import given
from hypothesis import strategies as st

from cloud import NOBODY, Cloud

counts = st.sampled_from([0, 0, 0, 1, 5])
steps = st.lists(
    st.one_of(st.none(), st.tuples(st.floats(0.1, 300), counts, counts, counts)), max_size=30
)


def polls_of(polls: list[Any]) -> Iterator[QueuePoll | None]:
    """Polls at increasing times; None where the poll failed."""
    now = 1000.0
    for poll in polls:
        if poll is None:
            yield None
        else:
            pause, *numbers = poll
            now += pause
            yield QueuePoll(now, Counts(*numbers))


@given(steps, st.floats(1, 600))
def test_a_queue_is_done_only_if_all_polls_of_the_time_found_it_empty(
    polls: list[Any], idle_seconds: float
) -> None:
    done = QueueDone(idle_seconds)
    run: list[QueuePoll] = []
    for poll in polls_of(polls):
        done = done.after(poll)
        run = [*run, poll] if poll is not None and poll.counts.none else []
        enough = len(run) >= LEAST_POLLS and run[-1].at - run[0].at >= idle_seconds
        assert done.done is enough


@given(st.floats(1, 86_400))
def test_the_polls_are_frequent_enough_to_be_five_within_the_time(idle_seconds: float) -> None:
    done, now = QueueDone(idle_seconds), 0.0
    while not done.done:
        done = done.after(QueuePoll(now, Counts(0, 0, 0)))
        now += done.pause
    assert done.polls > LEAST_POLLS
    assert now <= idle_seconds + 2 * done.pause


@pytest.mark.parametrize("held", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_queue_with_any_message_is_not_done(held: tuple[int, int, int]) -> None:
    done = QueueDone(60)
    for at in range(0, 600, 10):
        done = done.after(QueuePoll(at, Counts(*held)))
    assert not done.done


def test_the_three_counts_of_a_queue(cloud: Cloud) -> None:
    assert queue_done.poll(cloud.sqs, cloud.queue_url, 5.0) == QueuePoll(5.0, Counts(0, 0, 0))
    for delay in (0, 0, 900):
        cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody="x", DelaySeconds=delay)
    cloud.sqs.receive_message(QueueUrl=cloud.queue_url, MaxNumberOfMessages=1)
    assert queue_done.poll(cloud.sqs, cloud.queue_url, 6.0) == QueuePoll(6.0, Counts(1, 1, 1))


def test_a_deleted_queue_is_empty_and_a_failed_poll_says_nothing(cloud: Cloud) -> None:
    cloud.sqs.delete_queue(QueueUrl=cloud.queue_url)
    assert queue_done.poll(cloud.sqs, cloud.queue_url, 1.0) == QueuePoll(1.0, Counts(0, 0, 0))
    unreachable = boto3.client("sqs", **NOBODY)
    assert queue_done.poll(unreachable, cloud.queue_url, 1.0) is None
