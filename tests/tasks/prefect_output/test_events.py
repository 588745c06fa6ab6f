"""Events reach Prefect with the run as their resource, and no Prefect is started for them."""

from collections.abc import Iterator
from typing import Any

import pytest
from prefect.events.clients import AssertingEventsClient
from prefect.events.worker import EventsWorker
from prefect.settings import PREFECT_API_URL, temporary_settings
from recorded_run import ends, fails, job, plan

from tasks.prefect_output import events
from tasks.prefect_output.events import LONGEST_TEXT, emit
from tasks.report.delivery import write_report
from tasks.runs.run import Run


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
    """The events that are sent while this is used."""
    AssertingEventsClient.reset()
    EventsWorker.set_client_override(AssertingEventsClient)
    found: list[Any] = []
    with temporary_settings({PREFECT_API_URL: "http://127.0.0.1:1/api"}):
        monkeypatch.setattr(EventsWorker, "send", lambda _, event: found.append(event))
        # What is not events: an artifact, for which no server answers here.
        monkeypatch.setattr("tasks.report.delivery.create_markdown_artifact", lambda *_, **__: None)
        yield found
    EventsWorker.set_client_override(None)


def test_an_event_names_the_run_and_what_happened(run: Run, sent: list[Any]) -> None:
    emit(run, events.STALLED, "no job ends " + "x" * 5000, machines=3)
    (event,) = sent
    assert event.event == events.STALLED
    assert event.resource.id == f"dcp.run.{run.names.app}.{run.run_id}"
    assert event.payload["machines"] == 3
    assert event.payload["text"].startswith("no job ends")
    assert len(event.payload["text"]) == LONGEST_TEXT


def test_without_a_prefect_none_is_started(run: Run, sent: list[Any]) -> None:
    with temporary_settings(restore_defaults={PREFECT_API_URL}):
        emit(run, events.STALLED, "no job ends")
    assert sent == []


def test_the_end_of_a_run_is_told_with_its_counts(run: Run, sent: list[Any]) -> None:
    good, bad = plan(run, [job(run, "Metadata_Well=A01"), job(run, "Metadata_Well=A02")])
    ends(run, good, "succeeded")
    ends(run, bad, "succeeded")
    write_report(run)
    fails(run, bad, "image_missing")
    run.aws.s3.delete_object(
        Bucket=run.config.aws_bucket, Key=run.key(f"results/succeeded/{bad.job_id}.json")
    )
    write_report(run, "it was cancelled")
    completed, failed = sent
    assert (completed.event, failed.event) == (events.COMPLETED, events.FAILED)
    assert completed.payload["jobs"]["succeeded"] == 2
    assert failed.payload["reasons"] == {"image_missing": 1}
    assert failed.payload["report"].endswith(f"{run.run_id}/report.json")
    assert "it was cancelled" in failed.payload["text"]
