"""When the queue is done."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from dcp_worker.jobs import queue_done
from dcp_worker.jobs.queue import Counts
from dcp_worker.jobs.queue_done import LEAST_LOOKS, Look, QueueDone
from hypothesis import given
from hypothesis import strategies as st

from cloud import NOBODY, Cloud

counts = st.sampled_from([0, 0, 0, 1, 5])
steps = st.lists(
    st.one_of(st.none(), st.tuples(st.floats(0.1, 300), counts, counts, counts)), max_size=30
)


def looks(polls: list[Any]) -> Iterator[Look | None]:
    """Polls at increasing times; None where the poll failed."""
    now = 1000.0
    for poll in polls:
        if poll is None:
            yield None
        else:
            pause, *numbers = poll
            now += pause
            yield Look(now, Counts(*numbers))


@given(steps, st.floats(1, 600))
def test_a_queue_is_done_only_when_all_looks_of_the_time_were_empty(
    polls: list[Any], idle_seconds: float
) -> None:
    done = QueueDone(idle_seconds)
    run: list[Look] = []
    for look in looks(polls):
        done = done.seen(look)
        run = [*run, look] if look is not None and look.counts.none else []
        enough = len(run) >= LEAST_LOOKS and run[-1].at - run[0].at >= idle_seconds
        assert done.done is enough


@given(st.floats(1, 86_400))
def test_the_looks_come_often_enough_to_be_five_within_the_time(idle_seconds: float) -> None:
    done, now = QueueDone(idle_seconds), 0.0
    while not done.done:
        done = done.seen(Look(now, Counts(0, 0, 0)))
        now += done.pause
    assert done.looks > LEAST_LOOKS
    assert now <= idle_seconds + 2 * done.pause


@pytest.mark.parametrize("held", [(1, 0, 0), (0, 1, 0), (0, 0, 1)])
def test_a_message_anywhere_is_work_to_come(held: tuple[int, int, int]) -> None:
    done = QueueDone(60)
    for at in range(0, 600, 10):
        done = done.seen(Look(at, Counts(*held)))
    assert not done.done


def test_the_three_counts_of_a_queue(cloud: Cloud) -> None:
    assert queue_done.look(cloud.sqs, cloud.queue_url, 5.0) == Look(5.0, Counts(0, 0, 0))
    for delay in (0, 0, 900):
        cloud.sqs.send_message(QueueUrl=cloud.queue_url, MessageBody="x", DelaySeconds=delay)
    cloud.sqs.receive_message(QueueUrl=cloud.queue_url, MaxNumberOfMessages=1)
    assert queue_done.look(cloud.sqs, cloud.queue_url, 6.0) == Look(6.0, Counts(1, 1, 1))


def test_a_queue_that_is_deleted_holds_nothing_and_silence_is_no_answer(cloud: Cloud) -> None:
    cloud.sqs.delete_queue(QueueUrl=cloud.queue_url)
    assert queue_done.look(cloud.sqs, cloud.queue_url, 1.0) == Look(1.0, Counts(0, 0, 0))
    unreachable = boto3.client("sqs", **NOBODY)
    assert queue_done.look(unreachable, cloud.queue_url, 1.0) is None
