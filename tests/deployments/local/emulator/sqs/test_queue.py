"""SQS for the worker and the monitor: visibility, counts, dead letters, old handles."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_app import App, client_of
from hypothesis import given, settings
from hypothesis import strategies as st
from waiting import wait_for

from deployments.local.emulator.sqs.lagging_counts import CountHistory
from deployments.local.emulator.sqs.message_store import MessageStore, NotInFlightError, StaleError


def counts(app: App, url: str) -> tuple[int, int, int]:
    found = app.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    names = ("", "NotVisible", "Delayed")
    visible, in_flight, delayed = (
        int(found[f"ApproximateNumberOfMessages{name}"]) for name in names
    )
    return visible, in_flight, delayed


def receive(app: App, url: str, **more: Any) -> list[dict[str, Any]]:
    found = app.sqs.receive_message(
        QueueUrl=url,
        MessageSystemAttributeNames=["ApproximateReceiveCount"],
        MessageAttributeNames=["All"],
        **more,
    )
    messages: list[dict[str, Any]] = found.get("Messages", [])
    return messages


def queue(app: App, name: str = "Queue", **attributes: str) -> str:
    url: str = app.sqs.create_queue(QueueName=f"{app.name}{name}", Attributes=attributes)[
        "QueueUrl"
    ]
    return url


def test_counts_follow_a_message_through_its_life(app: App) -> None:
    url = queue(app, VisibilityTimeout="60")
    app.sqs.send_message(QueueUrl=url, MessageBody="a")
    app.sqs.send_message(QueueUrl=url, MessageBody="later", DelaySeconds=900)
    assert counts(app, url) == (1, 0, 1)
    [message] = receive(app, url, MaxNumberOfMessages=10)
    assert message["Body"] == "a"
    assert message["Attributes"]["ApproximateReceiveCount"] == "1"
    assert counts(app, url) == (0, 1, 1)
    handle = message["ReceiptHandle"]
    app.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    assert counts(app, url) == (1, 0, 1)
    with pytest.raises(ClientError, match="MessageNotInflight"):
        app.sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=5)
    [again] = receive(app, url)
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
    app.sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    assert counts(app, url) == (0, 0, 1)
    app.sqs.delete_message(QueueUrl=url, ReceiptHandle=again["ReceiptHandle"])
    with pytest.raises(ClientError, match="InvalidParameterValue"):
        app.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=again["ReceiptHandle"], VisibilityTimeout=5
        )
    with pytest.raises(ClientError, match="ReceiptHandleIsInvalid"):
        app.sqs.delete_message(QueueUrl=url, ReceiptHandle="never given")


def test_old_handle_deletes_nothing(app: App) -> None:
    url = queue(app, VisibilityTimeout="0")
    app.sqs.send_message(QueueUrl=url, MessageBody="a")
    [old] = receive(app, url)
    [new] = receive(app, url)
    app.sqs.delete_message(QueueUrl=url, ReceiptHandle=old["ReceiptHandle"])
    assert counts(app, url)[0] == 1
    app.sqs.delete_message(QueueUrl=url, ReceiptHandle=new["ReceiptHandle"])
    assert counts(app, url)[0] == 0


def test_received_too_often_goes_to_the_dead_letter_queue(app: App) -> None:
    dead = queue(app, "Dead")
    arn = app.sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = {"deadLetterTargetArn": arn["QueueArn"], "maxReceiveCount": 2}
    url = queue(app, VisibilityTimeout="0", RedrivePolicy=json.dumps(policy))
    text = {"reason": {"DataType": "String", "StringValue": "why"}}
    sent = app.sqs.send_message(QueueUrl=url, MessageBody="bad", MessageAttributes=text)
    assert len(receive(app, url)) == 1
    assert len(receive(app, url)) == 1
    assert receive(app, url) == []
    assert counts(app, url) == (0, 0, 0)
    [message] = receive(app, dead)
    assert message["MessageId"] == sent["MessageId"]
    assert message["MessageAttributes"]["reason"]["StringValue"] == "why"


def test_long_poll_returns_as_soon_as_a_message_comes(app: App) -> None:
    url = queue(app)
    found: list[dict[str, Any]] = []
    poll = threading.Thread(target=lambda: found.extend(receive(app, url, WaitTimeSeconds=20)))
    poll.start()
    app.sqs.send_message(QueueUrl=url, MessageBody="a")
    poll.join(600)
    assert [message["Body"] for message in found] == ["a"]


def test_invisible_message_comes_back_to_a_long_poll(app: App) -> None:
    url = queue(app, VisibilityTimeout="1")
    app.sqs.send_message(QueueUrl=url, MessageBody="a")
    assert len(receive(app, url)) == 1
    [message] = receive(app, url, WaitTimeSeconds=20)
    assert message["Attributes"]["ApproximateReceiveCount"] == "2"


def test_no_message_is_received_twice_by_parallel_consumers(app: App) -> None:
    url = queue(app)
    for start in range(0, 200, 10):
        batch = [
            {"Id": str(number), "MessageBody": str(number)} for number in range(start, start + 10)
        ]
        app.sqs.send_message_batch(QueueUrl=url, Entries=batch)
    bodies: list[str] = []

    def consume() -> None:
        while found := receive(app, url, MaxNumberOfMessages=10):
            bodies.extend(message["Body"] for message in found)

    threads = [threading.Thread(target=consume) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(map(int, bodies)) == list(range(200))
    assert counts(app, url) == (0, 200, 0)


def test_batch_changes_fail_one_by_one(app: App) -> None:
    url = queue(app)
    app.sqs.send_message(QueueUrl=url, MessageBody="a")
    [message] = receive(app, url)
    done = app.sqs.change_message_visibility_batch(
        QueueUrl=url,
        Entries=[
            {"Id": "a", "ReceiptHandle": message["ReceiptHandle"], "VisibilityTimeout": 0},
            {"Id": "b", "ReceiptHandle": "none", "VisibilityTimeout": 0},
        ],
    )
    assert [entry["Id"] for entry in done["Successful"]] == ["a"]
    assert [entry["Id"] for entry in done["Failed"]] == ["b"]
    assert counts(app, url) == (1, 0, 0)


def test_deleted_queue_ends_a_long_poll(app: App) -> None:
    url = queue(app)
    failed: list[str] = []

    def poll() -> None:
        try:
            receive(app, url, WaitTimeSeconds=20)
        except ClientError as error:
            failed.append(error.response["Error"]["Code"])

    thread = threading.Thread(target=poll)
    thread.start()
    app.sqs.delete_queue(QueueUrl=url)
    thread.join(600)
    assert failed == ["AWS.SimpleQueueService.NonExistentQueue"]


class Message:
    def __init__(self, number: int) -> None:
        self.id = str(number)
        self.approximate_receive_count = 0
        self.receipt_handle = ""


steps = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.sampled_from([0.0, 5.0])),
        st.tuples(st.just("receive"), st.integers(0, 20)),
        st.tuples(st.just("delete"), st.integers(0, 50)),
        st.tuples(st.just("change"), st.integers(0, 50)),
        st.tuples(st.just("pass"), st.integers(1, 30)),
    ),
    max_size=60,
)


@settings(deadline=None)
@given(steps)
def test_no_message_is_lost_or_in_two_places(done: list[tuple[str, Any]]) -> None:
    time = [0.0]
    store = MessageStore(clock=lambda: time[0])
    added = deleted = 0
    handles: list[str] = []
    for step, value in done:
        if step == "add":
            store.add(Message(added), value)
            added += 1
        elif step == "receive":
            received, _ = store.receive(2, value, None)
            handles += [message.receipt_handle for message in received]
        elif step == "pass":
            time[0] += value
        elif handles and step == "delete":
            before = len(store.visible) + len(store.in_flight)
            store.delete(handles[value % len(handles)])
            deleted += before - len(store.visible) - len(store.in_flight)
        elif handles:
            try:
                store.change_visibility(handles[value % len(handles)], value)
            except (StaleError, NotInFlightError):
                continue
        store.wake()
        places = [*store.visible, *store.in_flight, *store.delayed]
        assert len(set(places)) == len(places) == added - deleted
    time[0] += 100
    store.wake()
    assert len(store.visible) == added - deleted


def test_counts_are_metrics_for_alarms(app: App) -> None:
    app.cluster()
    app.sqs.send_message(QueueUrl=queue(app), MessageBody="a")
    cloudwatch = client_of(app.emulator, "cloudwatch")
    now = datetime.now(UTC)

    def measured() -> list[float]:
        found = cloudwatch.get_metric_statistics(
            Namespace="AWS/SQS",
            MetricName="ApproximateNumberOfMessagesVisible",
            Dimensions=[{"Name": "QueueName", "Value": f"{app.name}Queue"}],
            StartTime=now - timedelta(minutes=5),
            EndTime=now + timedelta(minutes=5),
            Period=60,
            Statistics=["Maximum"],
        )["Datapoints"]
        return [point["Maximum"] for point in found]

    assert wait_for(measured, "a measurement of the queue")[-1] in (0.0, 1.0)
    wait_for(lambda: max(measured()) == 1.0, "the measurement that sees the message")


def test_counts_lag_behind_while_receives_are_exact(app: App, chaos: Callable[..., None]) -> None:
    chaos(count_lag=1.5)
    url = queue(app, VisibilityTimeout="60")
    app.sqs.send_message(QueueUrl=url, MessageBody="a")
    sent = time.monotonic()
    assert counts(app, url) == (0, 0, 0)
    [message] = receive(app, url)
    wait_for(lambda: counts(app, url) != (0, 0, 0), "the count")
    assert time.monotonic() - sent >= 1.0
    wait_for(lambda: counts(app, url) == (0, 1, 0), "the message in flight")
    app.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert counts(app, url) == (0, 1, 0)
    wait_for(lambda: counts(app, url) == (0, 0, 0), "the count of none")


def test_a_new_lag_shows_the_earlier_count(app: App, chaos: Callable[..., None]) -> None:
    url = queue(app)
    app.sqs.send_message(QueueUrl=url, MessageBody="a")
    chaos(count_lag=60)
    app.sqs.send_message(QueueUrl=url, MessageBody="b")
    wait_for(lambda: counts(app, url)[0] in (1, 2), "a count")
    chaos(count_lag=0)
    assert counts(app, url) == (2, 0, 0)


def test_counts_are_too_low_at_times(app: App, chaos: Callable[..., None]) -> None:
    url = queue(app)
    for _ in range(5):
        app.sqs.send_message(QueueUrl=url, MessageBody="a")
    chaos(low_counts=0.5)
    seen = [counts(app, url)[0] for _ in range(40)]
    assert max(seen) == 5
    assert min(seen) < 5
    chaos(low_counts=1)
    assert max(counts(app, url)[0] for _ in range(10)) < 5


def test_short_polls_miss_messages_that_long_polls_return(
    app: App, chaos: Callable[..., None]
) -> None:
    url = queue(app)
    app.sqs.send_message(QueueUrl=url, MessageBody="a")
    chaos(empty_receives=1)
    assert receive(app, url) == []
    [message] = receive(app, url, WaitTimeSeconds=1)
    assert message["Body"] == "a"


def test_a_message_is_delivered_once_more(app: App, chaos: Callable[..., None]) -> None:
    chaos(duplicates=1)
    url = queue(app, VisibilityTimeout="60")
    sent = app.sqs.send_message(QueueUrl=url, MessageBody="a")["MessageId"]
    [first] = receive(app, url, MaxNumberOfMessages=10)
    [second] = receive(app, url, MaxNumberOfMessages=10)
    assert first["MessageId"] == second["MessageId"] == sent
    assert first["ReceiptHandle"] != second["ReceiptHandle"]
    assert receive(app, url) == []
    for message in (first, second):
        app.sqs.change_message_visibility(
            QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=30
        )
        app.sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    assert counts(app, url) == (0, 0, 0)


@given(st.lists(st.integers(0, 3), min_size=1), st.integers(0, 9))
def test_history_has_the_count_of_that_time(noted: list[int], lag: int) -> None:
    history = CountHistory()
    for at, count in enumerate(noted):
        history.note(at, (count, 0, 0))
        assert history.as_of(at - lag)[0] == noted[max(0, at - lag)]
