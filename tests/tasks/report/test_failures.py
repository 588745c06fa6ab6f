"""Failed, dead-lettered and lost jobs, from the record and from a queue that others share."""

import csv
import json
from collections.abc import Callable
from contextlib import closing
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from recorded_run import end, ends, fails, job, plan, result

from tasks.jobs.queues import count, letters, queue_arn, redrive_policy
from tasks.jobs.results import account, claim_dead_letters
from tasks.report.failures import find_failures
from tasks.report.remedies import REMEDIES
from tasks.runs import record
from tasks.runs.run import Run

ROOT = Path(__file__).parents[3]


def queue_of(run: Run) -> str:
    return run.aws.sqs.create_queue(QueueName=run.names.dead_letter_queue)["QueueUrl"]


def send(run: Run, url: str, body: str, **attributes: str) -> None:
    run.aws.sqs.send_message(
        QueueUrl=url,
        MessageBody=body,
        MessageAttributes={
            name: {"DataType": "String", "StringValue": text} for name, text in attributes.items()
        },
    )


def all_of(run: Run, url: str) -> dict[str, tuple[dict[str, Any], int]]:
    """Body to attributes and receive count of all messages that can be received."""
    found = {}
    while messages := run.aws.sqs.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        MessageAttributeNames=["All"],
        MessageSystemAttributeNames=["ApproximateReceiveCount"],
        VisibilityTimeout=60,
    ).get("Messages"):
        for one in messages:
            attributes = one.get("MessageAttributes", {})
            found[one["Body"]] = (attributes, int(one["Attributes"]["ApproximateReceiveCount"]))
    return found


def test_failures_are_grouped_by_reason_the_most_frequent_first(run: Run) -> None:
    wells = ("A02", "A01", "B01", "C01", "D01")
    jobs = plan(run, (job(run, f"Metadata_Plate=P1,Metadata_Well={well}") for well in wells))
    fails(run, jobs[2], "csv_empty")
    for message in jobs[:2]:
        fails(run, message, "image_missing", "no x.tif", attempt=3)
    ends(run, jobs[3], "succeeded")
    found = find_failures(run)
    assert [(reason.code, len(reason.jobs)) for reason in found.reasons] == [
        ("image_missing", 2),
        ("csv_empty", 1),
    ]
    assert [row.well for row in found.jobs] == ["A01", "A02", "B01"]
    first = found.jobs[0]
    assert (first.plate, first.reason_text, first.attempt) == ("P1", "no x.tif", 3)
    assert first.log.endswith("/log-events/P1-A01")
    assert found.open == 1
    assert found.summary == ("3 failed and 0 lost of 5 jobs; 1 have no result yet, the run goes on")
    rows = list(csv.DictReader(StringIO(found.csv(), newline="")))
    assert [row["well"] for row in rows] == ["A01", "A02", "B01"]


def test_failures_are_in_the_order_of_the_plate(run: Run) -> None:
    places = [("AA1", "1"), ("A10", "1"), ("A2", "10"), ("A2", "2"), ("B1", "1")]
    named = (f"Metadata_Plate=P,Metadata_Well={well},Metadata_Site={site}" for well, site in places)
    for message in plan(run, (job(run, one) for one in named)):
        fails(run, message, "timeout")
    found = [(row.well, row.site) for row in find_failures(run).jobs]
    assert found == [("A2", "2"), ("A2", "10"), ("A10", "1"), ("B1", "1"), ("AA1", "1")]


def test_a_job_that_succeeded_after_all_is_no_failure(run: Run) -> None:
    (message,) = plan(run, [job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
    fails(run, message, "timeout")
    ends(run, message, "succeeded")
    assert find_failures(run).reasons == ()


def test_jobs_without_a_result_are_lost_once_the_run_has_ended(run: Run) -> None:
    plan(run, [job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
    assert find_failures(run).jobs == ()
    end(run, "the run has reached its max_hours")
    (row,) = find_failures(run).jobs
    assert (row.status, row.reason) == ("lost", "no_result")
    assert row.reason_text == "the run has reached its max_hours"
    assert row.log.endswith("/log-events/P1-A01")


def test_a_message_that_was_no_job_is_a_failure(run: Run) -> None:
    (message,) = plan(run, [job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
    ends(run, message, "succeeded")
    text = json.dumps(result(run, message, "failed", reason="bad_message", job_id="", Metadata=""))
    record.put(run, "results/failed/message-0a1b.json", text)
    (row,) = find_failures(run).jobs
    assert (row.reason, row.group, row.plate) == ("bad_message", "", "")


def test_a_shared_dead_letter_queue_is_as_before(make_run: Callable[..., Run]) -> None:
    shared = "SharedDeadMessages"
    run = make_run(sqs_dead_letter_queue=shared)
    other = make_run(
        app="AnotherApp", run_id="20260301-130000-abcdef", sqs_dead_letter_queue=shared
    )
    url = queue_of(run)
    jobs = plan(run, (job(run, f"Metadata_Plate=P1,Metadata_Well=A{n}") for n in (1, 2, 3)))
    foreign = job(other, "Metadata_Plate=P1,Metadata_Well=A1")
    sent = {
        jobs[0].body: {},
        jobs[1].body: {"dcp_app": run.names.app, "reason": "disk_full", "reason_text": "full"},
        foreign.body: {"dcp_app": "AnotherApp", "reason": "timeout"},
        "not ours at all": {"kind": "x"},
        job(run, "Metadata_Plate=P9,Metadata_Well=A9").body: {},
    }
    for body, attributes in sent.items():
        send(run, url, body, **attributes)
    found = find_failures(run)
    assert {row.well: (row.status, row.reason) for row in found.jobs} == {
        "A1": ("failed", "worker_died"),
        "A2": ("failed", "disk_full"),
    }
    assert found.open == 1
    after = all_of(run, url)
    assert after.keys() == sent.keys(), "all are there, and can be received at once"
    for body, (attributes, _) in after.items():
        assert {name: value["StringValue"] for name, value in attributes.items()} == sent[body]
    assert {times for _, times in after.values()} == {2}, "each was received once by us"


def test_a_letter_from_before_the_run_was_begun_again_is_no_end_of_a_job(run: Run) -> None:
    url = queue_of(run)
    (message,) = plan(run, [job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
    send(run, url, message.body, reason="timeout")
    end(run)
    assert [row.reason for row in find_failures(run).jobs] == ["timeout"]
    record.begin(run)
    found = find_failures(run)
    assert (found.jobs, found.open) == ((), 1), "it is in the queue again"
    assert claim_dead_letters(run, frozenset({message.job_id})) == 0


def test_a_dead_job_gets_a_record_once_and_with_what_its_letter_says(run: Run) -> None:
    url = queue_of(run)
    jobs = plan(run, (job(run, f"Metadata_Plate=P1,Metadata_Well=A{n}") for n in (1, 2, 3)))
    send(run, url, jobs[0].body, dcp_app=run.names.app, reason="disk_full", reason_text="full")
    send(run, url, jobs[1].body)
    send(run, url, jobs[1].body)
    send(run, url, jobs[2].body, dcp_app="AnotherApp")
    assert claim_dead_letters(run, account(run).open) == 2
    reasons = {row.well: (row.reason, row.attempt) for row in find_failures(run).jobs}
    assert reasons == {"A1": ("disk_full", 3), "A2": ("worker_died", 3)}
    assert count(run.aws.sqs, url).waiting == 4


def test_a_queue_that_passes_its_messages_on_is_not_looked_into(run: Run) -> None:
    url = queue_of(run)
    last = run.aws.sqs.create_queue(QueueName="LastOfAll")["QueueUrl"]
    policy = redrive_policy(queue_arn(run.aws.sqs, last), 1)
    run.aws.sqs.set_queue_attributes(QueueUrl=url, Attributes={"RedrivePolicy": policy})
    (message,) = plan(run, [job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
    send(run, url, message.body)
    for _ in range(3):
        assert find_failures(run).open == 1
    assert (count(run.aws.sqs, url).waiting, count(run.aws.sqs, last).waiting) == (1, 0)
    assert [times for _, times in all_of(run, url).values()] == [1]


def test_a_queue_is_left_alone_when_every_job_has_a_result(run: Run) -> None:
    url = queue_of(run)
    (message,) = plan(run, [job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
    send(run, url, message.body)
    fails(run, message, "timeout")
    assert len(find_failures(run).jobs) == 1
    assert [times for _, times in all_of(run, url).values()] == [1]


@pytest.mark.parametrize("read", [0, 1, 25, 2000])
def test_reading_that_is_broken_off_shows_the_messages_again_at_once(
    make_run: Callable[..., Run], read: int
) -> None:
    run = make_run(app=f"BrokenOff{read}")
    url = queue_of(run)
    for number in range(0, 60, 10):
        run.aws.sqs.send_message_batch(
            QueueUrl=url,
            Entries=[{"Id": str(n), "MessageBody": str(number + n)} for n in range(10)],
        )
    with pytest.raises(KeyboardInterrupt), closing(letters(run.aws.sqs, url)) as found:  # noqa: PT012 (the reading is what is broken off)
        for _, _ in zip(range(read), found, strict=False):
            pass
        raise KeyboardInterrupt
    counted = count(run.aws.sqs, url)
    assert (counted.waiting, counted.in_flight) == (60, 0)


def test_our_job_is_found_among_thousands_of_others(run: Run) -> None:
    url = queue_of(run)
    for start in range(0, 3000, 10):
        run.aws.sqs.send_message_batch(
            QueueUrl=url,
            Entries=[{"Id": str(n), "MessageBody": f"other {start + n}"} for n in range(10)],
        )
    (message,) = plan(run, [job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
    send(run, url, message.body)
    (row,) = find_failures(run).jobs
    assert row.well == "A01"
    counted = count(run.aws.sqs, url)
    assert (counted.waiting, counted.in_flight) == (3001, 0)


def test_the_remedies_are_those_of_the_contract() -> None:
    shared = json.loads((ROOT / "docs" / "contract.schema.json").read_text())["shared"]
    reasons = {**shared["reasons"], **shared["flow_reasons"]}
    assert {code: reason["remedy"] for code, reason in reasons.items()} == REMEDIES
