"""The account: every submitted job is in exactly one place."""

import json
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
from hypothesis import given
from hypothesis import strategies as st

from blocks import RunConfig
from tasks.aws.clients import Aws
from tasks.jobs.messages import JobMessage
from tasks.jobs.queues import Letter
from tasks.jobs.results import STATUSES, balance, given_up
from tasks.report.model import Report
from tasks.runs.run import Run

IDS = st.frozensets(st.sampled_from("abcdefghij"))


@given(IDS, st.fixed_dictionaries({status: IDS for status in STATUSES}))
def test_the_account_balances(
    submitted: frozenset[str], results: dict[str, frozenset[str]]
) -> None:
    account = balance(submitted, results)
    places = (account.succeeded, account.skipped, account.failed, account.open)
    assert sum(map(len, places)) == len(submitted)
    assert frozenset().union(*places) == submitted
    assert account.ended == len(submitted) - len(account.open)


@given(IDS, IDS)
def test_a_success_counts_before_a_failure(
    succeeded: frozenset[str], failed: frozenset[str]
) -> None:
    account = balance("abcdefghij", {"succeeded": succeeded, "failed": failed})
    assert account.succeeded == succeeded
    assert account.failed == failed - succeeded


def report(**counts: int) -> Report:
    given = {"submitted": 3, "succeeded": 3, "skipped": 0, "failed": 0, "lost": 0} | counts
    return Report(app_name="Lab", run_id="r", **given)


def test_a_run_is_complete_without_failed_and_lost_jobs() -> None:
    assert report().complete
    assert report(succeeded=1, skipped=2).complete
    assert not report(succeeded=2, failed=1).complete
    assert not report(succeeded=2, lost=1).complete


def test_the_summary_has_its_agreed_form() -> None:
    line = report(succeeded=1, skipped=1, failed=1).summary
    assert line == "3 jobs: 1 succeeded, 1 skipped, 1 failed, 0 lost"


def test_a_job_given_up_by_sqs_gets_a_result_record_as_agreed() -> None:
    schema = json.loads((Path(__file__).parents[3] / "docs/contract.schema.json").read_text())
    config = RunConfig(app_name="Lab", dockerhub_tag="lab/worker:1", aws_bucket="lab-bucket")
    run = Run(config, "r1", Aws.connect(config.credentials, config.aws_region))
    message = JobMessage(
        metadata="Metadata_Plate=P1,Metadata_Well=A01",
        pipeline="p/a.cppipe",
        data_file="p/a.csv",
        input="",
        output="out",
        output_structure="Metadata_Plate/Metadata_Well",
        run_id="r1",
    )
    letter = Letter(message.body, datetime.now(UTC), {})
    result = given_up(run, JobMessage.from_body(message.body), letter)
    jsonschema.validate(result, {**schema, "$ref": "#/$defs/result_record"})
    assert result["output"] == "out/P1/A01/"
