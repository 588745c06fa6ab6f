"""`dcp-failures` and `dcp-retry-failed`: what failed is told, and run again as it is or mended."""

import json
from typing import Any

import pytest
from lab import LAB_PIPELINE, Lab
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State

from blocks.errors import InputError
from flows.failures import failures
from flows.full_run import dcp
from flows.retry_failed import retry_failed
from tasks.lifecycle.leftovers import left_running
from tasks.prefect_output.artifacts import artifact_key
from tasks.report.job_table import planned
from tasks.runs import record

pytestmark = pytest.mark.e2e
MENDED = "p/fixed.cppipe"


def artifact(lab: Lab, what: str) -> Any:
    key = ArtifactFilter(key=ArtifactFilterKey(any_=[artifact_key(lab.run(), what)]))
    with get_client(sync_client=True) as client:
        return client.read_artifacts(artifact_filter=key)[-1].data


def error_of(state: State[Any]) -> BaseException:
    error: BaseException = state.result(raise_on_failure=False)
    assert isinstance(error, InputError)
    return error


def test_failed_jobs_are_told_and_run_again_with_another_pipeline(lab: Lab) -> None:
    lab.put(MENDED, LAB_PIPELINE.read_bytes())
    assert dcp(lab.config, lab.jobs("A01", "fail", "A03"), return_state=True).is_failed()
    first = lab.run()
    assert artifact(lab, "report").count("](data:image/png;base64,") == 2

    told = failures(lab.config, return_state=True)
    assert told.is_completed()
    assert told.message is not None
    assert told.message.startswith("1 failed and 0 lost of 3 jobs")
    (row,) = json.loads(artifact(lab, "failures"))
    assert (row["plate"], row["well"], row["reason"]) == ("P1", "fail", "fail")
    text = record.read(first, "failures.csv")
    assert text is not None
    assert len(text.splitlines()) == 2

    wrong = retry_failed(lab.config, reasons=["timeout"], return_state=True)
    assert "timeout" in str(error_of(wrong))
    wrong = retry_failed(lab.config, settings={"app_name": "Other"}, return_state=True)
    assert "app_name" in str(error_of(wrong))
    wrong = retry_failed(lab.config, settings={"memory": 900_000}, return_state=True)
    assert "does not fit on these machines" in str(error_of(wrong))
    assert lab.run().run_id == first.run_id, "nothing was begun"

    state = retry_failed(
        lab.config,
        reasons=["fail"],
        pipeline=MENDED,
        settings={"memory": 3000},
        return_state=True,
    )
    assert state.message == "1 job: 1 succeeded, 0 skipped, 0 failed, 0 lost"
    again = lab.run()
    assert again.run_id != first.run_id
    kept = record.load(again)
    assert kept is not None
    assert (kept.retry_of, kept.config["memory"], kept.state) == (first.run_id, 3000, "ended")
    (job,) = planned(again)
    assert (job.metadata, job.pipeline) == ("Metadata_Plate=P1,Metadata_Well=fail", MENDED)
    assert "out/P1-fail/Image.csv" in lab.outputs()
    assert left_running(again) == []

    nothing = retry_failed(lab.config, return_state=True)
    assert "nothing to retry" in str(error_of(nothing))


def test_a_run_under_another_name_is_retried_by_that_name(lab: Lab) -> None:
    name = {"app_name": f"{lab.settings.app_name}_P1"}
    job = lab.jobs("A01", "fail")
    assert dcp(lab.config, job, settings=name, return_state=True).is_failed()
    first = lab.app(name["app_name"])
    lab.put(MENDED, LAB_PIPELINE.read_bytes())
    state = retry_failed(lab.config, settings=name, pipeline=MENDED, return_state=True)
    assert state.message == "1 job: 1 succeeded, 0 skipped, 0 failed, 0 lost"
    again = lab.app(name["app_name"])
    kept = record.load(again)
    assert kept is not None
    assert (kept.retry_of, kept.state) == (first.run_id, "ended")
    assert left_running(again) == []
    assert lab.run().run_id == "", "the config's own app had no run"
