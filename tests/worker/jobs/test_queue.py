"""Holding, returning and dead-lettering messages, on an emulated queue."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from dcp_worker.jobs.queue import Counts, Lease, Message, Queue
from waiting import wait_for

from cloud import Cloud


@pytest.fixture
def queue(cloud: Cloud) -> Queue:
    return Queue(cloud.sqs, cloud.queue_url, cloud.dead_letter_url)


def received(cloud: Cloud, queue: Queue, visibility: int, body: str = "a job") -> Message:
    cloud.send(body)
    message = queue.receive(visibility)
    assert message is not None
    return message


@contextmanager
def lease_of(queue: Queue, message: Message, visibility: int) -> Iterator[Lease]:
    lease = Lease(queue, message, visibility)
    lease.start()
    try:
        yield lease
    finally:
        lease.end()


def test_an_empty_queue_gives_nothing(queue: Queue) -> None:
    assert queue.receive(30) is None


def test_a_message_tells_its_attempts(cloud: Cloud, queue: Queue) -> None:
    message = received(cloud, queue, 30)
    assert (message.body, message.attempt) == ("a job", 1)
    queue.hide(message, 0)
    again = queue.receive(30)
    assert again is not None
    assert (again.message_id, again.attempt) == (message.message_id, 2)


def test_a_lease_outlives_the_visibility_timeout(cloud: Cloud, queue: Queue) -> None:
    message = received(cloud, queue, 2)
    with lease_of(queue, message, 2) as lease:
        # A poll of 3 s would receive the message if its lease were not extended.
        assert queue.receive(30) is None
        assert not lease.lost
    queue.delete(message)
    assert cloud.empty()


def test_a_message_received_at_the_end_of_a_long_poll_is_not_lost(
    cloud: Cloud, queue: Queue
) -> None:
    message = replace(received(cloud, queue, 3), received_at=time.monotonic() - 3)
    with lease_of(queue, message, 3) as lease:
        assert not lease.lost
    queue.delete(message)
    with lease_of(queue, message, 3) as lease:
        assert lease.lost


def test_a_lease_is_lost_with_its_message(cloud: Cloud, queue: Queue) -> None:
    message = received(cloud, queue, 3)
    with lease_of(queue, message, 3) as lease:
        queue.delete(message)
        wait_for(lambda: lease.lost, "the loss to be noticed")


def test_a_lease_that_cannot_be_extended_expires(cloud: Cloud, queue: Queue) -> None:
    unreachable = Queue(cloud.sqs, cloud.queue_url + "Gone", cloud.dead_letter_url)
    message = received(cloud, queue, 3)
    with lease_of(unreachable, message, 3) as lease:
        wait_for(lambda: lease.lost, "the loss to be noticed")


def test_an_interruption_is_no_attempt(cloud: Cloud, queue: Queue) -> None:
    queue.hide(received(cloud, queue, 30), 0)
    message = queue.receive(30)
    assert message is not None
    queue.give_back(message, begun=True)
    copy = queue.receive(30)
    assert copy is not None
    assert (copy.body, copy.attempt, copy.fresh) == ("a job", 2, False)
    assert cloud.counts() == {"visible": 0, "in flight": 1}


def test_a_message_whose_job_was_started_is_not_fresh(cloud: Cloud, queue: Queue) -> None:
    for begun in (True, False):
        message = queue.receive(30) if not begun else received(cloud, queue, 30)
        assert message is not None
        queue.give_back(message, begun)
    last = queue.receive(30)
    assert last is not None
    assert (last.attempt, last.fresh) == (1, False)


def test_attempts_that_are_no_number_count_as_none(cloud: Cloud, queue: Queue) -> None:
    cloud.sqs.send_message(
        QueueUrl=cloud.queue_url,
        MessageBody="a job",
        MessageAttributes={"dcp_attempts": {"DataType": "String", "StringValue": "many"}},
    )
    message = queue.receive(30)
    assert message is not None
    assert message.attempt == 1


def test_only_a_message_that_no_worker_has_had_is_fresh(cloud: Cloud, queue: Queue) -> None:
    message = received(cloud, queue, 30)
    assert message.fresh
    queue.hide(message, 0)
    again = queue.receive(30)
    assert again is not None
    assert not again.fresh
    queue.dead_letter(again, {"reason": "killed"})
    letters = Queue(cloud.sqs, cloud.dead_letter_url, cloud.queue_url)
    letter = letters.receive(30)
    assert letter is not None
    assert not letter.fresh


def test_a_message_returned_unstarted_keeps_its_attempts(cloud: Cloud, queue: Queue) -> None:
    message = received(cloud, queue, 30)
    queue.give_back(message, begun=False)
    untouched = queue.receive(30)
    assert untouched is not None
    assert (untouched.body, untouched.attempt, untouched.fresh) == ("a job", 1, True)
    queue.hide(untouched, 0)
    begun = queue.receive(30)
    assert begun is not None
    assert begun.attempt == 2
    queue.give_back(begun, begun=False)
    again = queue.receive(30)
    assert again is not None
    assert (again.attempt, again.fresh) == (2, False)


def test_the_queue_counts_its_messages(cloud: Cloud, queue: Queue) -> None:
    assert queue.counts() == Counts(0, 0, 0)
    received(cloud, queue, 30)
    cloud.send("another")
    assert queue.counts() == Counts(visible=1, in_flight=1, delayed=0)


def test_a_dead_letter_carries_its_reason(cloud: Cloud, queue: Queue) -> None:
    message = received(cloud, queue, 30)
    queue.dead_letter(message, {"reason": "image_missing", "job_id": ""})
    assert cloud.empty()
    (letter,) = cloud.dead_letters()
    assert letter["Body"] == "a job"
    attributes = {name: value["StringValue"] for name, value in letter["MessageAttributes"].items()}
    assert attributes == {"reason": "image_missing"}
