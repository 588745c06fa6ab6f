"""Which jobs are run again, and what is refused."""

import json
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from recorded_run import end, ends, fails, job, plan

from blocks.errors import InputError
from blocks.loading.load import parse_config
from tasks.jobs.messages import JobMessage
from tasks.report.failures import Failures, by_reason
from tasks.report.job_table import JobRow, job_row
from tasks.report.retry import Choice, again, choose, chosen, sets_of
from tasks.runs import record
from tasks.runs.run import Run

PLACES = [("P1", "A01"), ("P1", "A02"), ("P2", "A01"), ("P2", "A02")]


@pytest.fixture
def jobs(run: Run) -> list[JobMessage]:
    """Four jobs of two plates, of which the last alone succeeded; the run has ended."""
    made = plan(run, (job(run, f"Metadata_Plate={p},Metadata_Well={w}") for p, w in PLACES))
    fails(run, made[0], "timeout")
    fails(run, made[1], "image_missing")
    ends(run, made[3], "succeeded")
    end(run)
    return made


def ids(rows: Sequence[JobRow]) -> set[str]:
    return {row.job_id for row in rows}


def test_all_that_failed_or_were_lost_are_taken(run: Run, jobs: list[JobMessage]) -> None:
    assert ids(choose(run, Choice())) == {one.job_id for one in jobs[:3]}


def test_by_reason_and_by_plate(run: Run, jobs: list[JobMessage]) -> None:
    assert ids(choose(run, Choice(["timeout", "no_result"]))) == {jobs[0].job_id, jobs[2].job_id}
    assert ids(choose(run, Choice(plates=["P1"]))) == {jobs[0].job_id, jobs[1].job_id}
    assert ids(choose(run, Choice(["timeout"], ["P1"]))) == {jobs[0].job_id}


def test_what_does_not_occur_is_refused_with_what_does(run: Run, jobs: list[JobMessage]) -> None:
    with pytest.raises(InputError) as caught:
        choose(run, Choice(["timeout", "disk_full"], ["P3"]))
    first, second = caught.value.problems
    assert (first.key, first.got) == ("reasons", "'disk_full'")
    assert first.allowed == "image_missing, no_result, timeout"
    assert (second.key, second.got, second.allowed) == ("plates", "'P3'", "P1, P2")
    with pytest.raises(InputError, match="of both"):
        choose(run, Choice(["timeout"], ["P2"]))


def test_a_run_that_goes_on_is_not_retried(run: Run, jobs: list[JobMessage]) -> None:
    record.update(run, state="active")
    with pytest.raises(InputError, match="has not ended"):
        choose(run, Choice())


def test_a_run_without_failures_has_nothing_to_retry(run: Run) -> None:
    (only,) = plan(run, [job(run, "Metadata_Plate=P1")])
    ends(run, only, "succeeded")
    end(run)
    with pytest.raises(InputError, match="nothing to retry"):
        choose(run, Choice())


def test_a_message_that_was_no_job_is_not_retried(run: Run) -> None:
    row = job_row(run, "failed", {"reason": "bad_message"})
    with pytest.raises(InputError, match="nothing to retry"):
        chosen(Failures("Lab", "r", by_reason([row]), 1), Choice())


def test_the_messages_are_the_same_but_for_their_run(run: Run, jobs: list[JobMessage]) -> None:
    taken = {jobs[2].job_id, jobs[0].job_id}
    messages = again(run, taken, "r2")
    assert [one.job_id for one in messages] == [jobs[0].job_id, jobs[2].job_id]
    assert {one.run_id for one in messages} == {"r2"}
    mended = again(run, taken, "r2", "p/mended.cppipe")
    assert {one.pipeline for one in mended} == {"p/mended.cppipe"}
    assert [one.metadata for one in mended] == [jobs[0].metadata, jobs[2].metadata]
    assert not taken & {one.job_id for one in mended}, "another pipeline makes another job"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("xy"), st.integers(1, 9))))
def test_sets_hold_every_job_once(given: list[tuple[str, str, int]]) -> None:
    messages = [
        JobMessage(f"Metadata_Site={site}", pipeline, "d.csv", "", output, "", "r")
        for pipeline, output, site in given
    ]
    found = [
        (one.pipeline, one.output, f"{key}={value}")
        for one in sets_of(messages)
        if isinstance(one.groups, list)
        for ((key, value),) in one.groups
    ]
    wanted = [(one.pipeline, one.output, one.metadata) for one in messages]
    assert sorted(found) == sorted(wanted)


def test_the_recorded_settings_are_a_config_again(run: Run) -> None:
    kept = record.load(run)
    assert kept is not None
    read = parse_config(json.dumps(kept.config), "config.json")
    assert read.model_dump(exclude={"aws_credentials"}) == run.config.model_dump(
        exclude={"aws_credentials"}
    )
    assert "local" not in json.dumps(kept.config.get("aws_credentials", ""))
