"""From messages to the queue: planned once, and sent once as far as anybody sees."""

import json
import os
import subprocess
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError
from flawed_sqs import flawed_sqs
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blocks import AwsCredentials
from blocks.errors import DcpError, InputError, JobFileError
from tasks.aws.clients import Aws
from tasks.jobs.messages import JobMessage
from tasks.jobs.results import account, job_ids
from tasks.jobs.sqs_batches import MOST_BYTES
from tasks.jobs.submission import (
    MOST_TWICE,
    NOTED,
    Undone,
    count_done,
    done_ids,
    send_jobs,
    write_plan,
)
from tasks.runs import record
from tasks.runs.run import Run

ROOT = Path(__file__).parents[3]


def message(number: int, output: str = "out") -> JobMessage:
    return JobMessage(
        metadata=f"Metadata_Plate=P1,Metadata_Site={number}",
        pipeline="p/a.cppipe",
        data_file="p/a.csv",
        input="",
        output=output,
        output_structure="",
        run_id="r1",
    )


def messages(jobs: int) -> Iterator[JobMessage]:
    return (message(number) for number in range(jobs))


def with_clients(run: Run, endpoint_url: str, **client: Any) -> Run:
    """The run, with clients of another endpoint or of other settings."""
    parameters = {"endpoint_url": endpoint_url, "config": client}
    key = {"aws_access_key_id": "local", "aws_secret_access_key": "local"}
    credentials = AwsCredentials(**key, aws_client_parameters=parameters)
    return replace(run, aws=Aws.connect(credentials, run.config.aws_region))


@pytest.fixture
def queue(run: Run) -> str:
    return run.aws.sqs.create_queue(
        QueueName=run.names.queue, Attributes={"VisibilityTimeout": "3600"}
    )["QueueUrl"]


def drained(run: Run, queue: str) -> Counter[str]:
    """How often each job is in the queue."""

    def bodies(_: int) -> list[str]:
        found = []
        while got := run.aws.sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10):
            if "Messages" not in got:
                return found
            found += [one["Body"] for one in got["Messages"]]
        return found

    with ThreadPoolExecutor(4) as pool:
        every = [body for found in pool.map(bodies, range(4)) for body in found]
    return Counter(json.loads(body)["job_id"] for body in every)


def ids(jobs: int) -> set[str]:
    return {one.job_id for one in messages(jobs)}


def test_every_job_is_planned_and_sent_once(run: Run, queue: str) -> None:
    jobs = 2 * NOTED + 34
    told: list[int] = []
    assert write_plan(run, messages(jobs)) == jobs
    assert list(record.job_lines(run)) == [one.body for one in messages(jobs)]
    assert job_ids(run) == ids(jobs)
    assert send_jobs(run, queue, told.append) == jobs
    assert drained(run, queue) == dict.fromkeys(ids(jobs), 1)
    assert record.submitted(run) == jobs
    assert told == sorted(told)
    assert (told[0], told[-1]) == (0, jobs)
    assert len(told) < 6


def test_what_was_sent_is_not_sent_again(run: Run, queue: str) -> None:
    write_plan(run, messages(25))
    send_jobs(run, queue)
    assert write_plan(run, messages(25)) == 25
    assert send_jobs(run, queue) == 25
    assert drained(run, queue).total() == 25


def test_an_outage_of_s3_while_the_plan_is_written_loses_no_job(run: Run) -> None:
    once = {"mode": "standard", "total_max_attempts": 1}
    fragile = with_clients(run, run.aws.s3.meta.endpoint_url, retries=once)
    outages = [EndpointConnectionError(endpoint_url="s3")]

    def away(**_: object) -> None:
        if outages:
            raise outages.pop()

    fragile.aws.s3.meta.events.register("before-send.s3.PutObject", away)
    assert write_plan(fragile, messages(8)) == 8
    assert not outages
    assert job_ids(run) == ids(8)


def test_another_plan_is_refused_and_the_first_one_kept(run: Run) -> None:
    write_plan(run, messages(5), plates=("P1",))
    with pytest.raises(InputError, match="other jobs"):
        write_plan(run, messages(6), plates=("P2",))
    with pytest.raises(InputError, match="other jobs"):
        write_plan(run, [message(number, "elsewhere") for number in range(5)])
    assert job_ids(run) == ids(5)
    kept = record.load(run)
    assert kept is not None
    assert kept.plates == ("P1",), "a plate that was refused has no run"


def test_a_run_that_is_begun_again_sends_its_jobs_anew(run: Run, queue: str) -> None:
    write_plan(run, messages(12))
    send_jobs(run, queue)
    record.update(run, state="ended")
    record.begin(run)
    send_jobs(run, queue)
    assert drained(run, queue) == dict.fromkeys(ids(12), 2)


def test_a_plan_of_no_jobs_is_a_plan(run: Run, queue: str) -> None:
    assert write_plan(run, []) == 0
    assert send_jobs(run, queue) == 0
    assert job_ids(run) == set()


def test_a_job_whose_message_is_too_large_is_named_and_nothing_is_planned(run: Run) -> None:
    large = message(7, "o" * MOST_BYTES)
    with pytest.raises(JobFileError, match="Metadata_Site=7"):
        write_plan(run, [message(1), large])
    found = record.load(run)
    assert found is not None
    assert found.jobs is None


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.lists(st.text('aµ€\u2028\x85\r"', min_size=1, max_size=9), max_size=20), st.integers(1, 99)
)
def test_lines_are_read_as_they_were_written_wherever_a_block_ends(
    run: Run, values: list[str], block: int
) -> None:
    bodies = [json.dumps({"Metadata": value}, ensure_ascii=False) for value in values]
    record.put(run, "jobs.jsonl", "".join(f"{body}\n" for body in bodies))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(record, "BLOCK", block)
        assert list(record.job_lines(run)) == bodies


def test_a_submission_that_fails_goes_on_behind_what_was_taken(run: Run) -> None:
    jobs = 4 * NOTED
    write_plan(run, messages(jobs))
    bad = message(3 * NOTED).body
    with flawed_sqs() as sqs:
        sqs.verdict = lambda body, _: ("InvalidMessageContents", True) if body == bad else None
        flawed = with_clients(run, sqs.endpoint_url).aws.sqs
        broken = replace(run, aws=replace(run.aws, sqs=flawed))
        with pytest.raises(DcpError, match="InvalidMessageContents"):
            send_jobs(broken, f"{sqs.endpoint_url}/0/q")
        assert record.submitted(run) == 3 * NOTED
        sqs.verdict = lambda _body, _attempt: None
        assert send_jobs(broken, f"{sqs.endpoint_url}/0/q") == jobs
        times = Counter(json.loads(body)["job_id"] for body in sqs.taken)
    assert times.keys() == ids(jobs)
    assert times.total() - jobs <= MOST_TWICE


@pytest.mark.e2e
def test_a_submission_that_is_killed_goes_on_where_it_was(run: Run, queue: str) -> None:
    jobs, enough = 4 * MOST_TWICE, 2 * MOST_TWICE
    write_plan(run, messages(jobs))
    program = [sys.executable, str(ROOT / "tests/support/sender.py")]
    given = [run.config.app_name, run.aws.sqs.meta.endpoint_url, run.run_id, queue]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [*program, *given], env=environment, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        sent = next((int(line) for line in process.stdout if int(line) >= enough), jobs)
        process.kill()
    assert sent < jobs
    assert send_jobs(run, queue) == jobs
    times = drained(run, queue)
    assert times.keys() == ids(jobs)
    assert max(times.values()) <= 2
    assert times.total() - jobs <= MOST_TWICE


def test_the_memory_of_a_plan_does_not_grow_with_its_jobs(run: Run) -> None:
    def peak(jobs: int) -> int:
        record.update(run, jobs=None)
        tracemalloc.start()
        write_plan(run, messages(jobs))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(record, "BLOCK", 64 * 1024)
            assert sum(1 for _ in record.job_lines(run)) == jobs
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        return most

    peak(100)  # what is loaded at first use
    # 30,000 messages are 7 MB as a text, and twice that as objects.
    assert peak(30_000) < 3_000_000


def test_jobs_done_by_an_earlier_run_are_known_and_can_be_left_out(run: Run) -> None:
    done = [message(number).job_id for number in (2, 3, 11)]
    for job_id in [*done, "f" * 32]:
        key = f"dcp/{run.config.app_name}/done/{job_id}.json"
        run.aws.s3.put_object(Bucket=run.config.aws_bucket, Key=key, Body=b"{}")
    assert done_ids(run) == {*done, "f" * 32}
    undone = Undone(messages(10), done_ids(run))
    assert [one.job_id for one in undone] == [message(n).job_id for n in (0, 1, 4, 5, 6, 7, 8, 9)]
    assert undone.left_out == 2
    write_plan(run, messages(10))
    assert count_done(run) == 2


def test_jobs_done_since_they_were_planned_stay_in_the_plan(run: Run, queue: str) -> None:
    def done(number: int) -> None:
        key = f"dcp/{run.config.app_name}/done/{message(number).job_id}.json"
        run.aws.s3.put_object(Bucket=run.config.aws_bucket, Key=key, Body=b"{}")

    done(2)
    assert write_plan(run, Undone(messages(10), done_ids(run))) == 9
    send_jobs(run, queue)
    done(3)
    assert write_plan(run, Undone(messages(10), done_ids(run))) == 9
    assert count_done(run) == 0  # sent by this run, not to be sent again


def test_an_account_of_more_results_than_a_page(run: Run) -> None:
    jobs = 1_300  # a page of a listing has 1000 keys
    write_plan(run, messages(jobs))
    every = list(job_ids(run))

    def put(name: str) -> None:
        record.put(run, name, "{}")

    names = [f"results/succeeded/{one}.json" for one in every[: jobs - 50]]
    names += [f"results/failed/{one}.json" for one in every[jobs - 60 : jobs - 20]]
    names += [f"results/succeeded/{'e' * 32}.json", "results/failed/README.txt"]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(put, names))
    found = account(run)
    assert found.counts() == {
        "submitted": jobs,
        "succeeded": jobs - 50,
        "skipped": 0,
        "failed": 30,
        "open": 20,
    }
    assert found.open == set(every[-20:])
