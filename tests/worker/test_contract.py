"""The two documents that worker and flows share, as docs/contract.schema.json has them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import pytest
from dcp_worker import message
from dcp_worker.record import Figures, Result
from jsonschema import Draft202012Validator, FormatChecker

CONTRACT = json.loads(
    (Path(__file__).parents[2] / "docs" / "contract.schema.json").read_text(encoding="utf-8")
)


def about(case: dict[str, Any]) -> str:
    return str(case["about"])


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(CONTRACT["$defs"][name], format_checker=FormatChecker())


@pytest.mark.parametrize("case", CONTRACT["examples"], ids=about)
def test_a_message_means_what_the_contract_says(case: dict[str, Any]) -> None:
    validator("job_message").validate(case["message"])
    job = message.parse(json.dumps(case["message"]), "own-run")
    assert job.metadata == case["metadata_text"]
    assert job.metadata_id == case["metadata_id"]
    assert job.output == case["output_prefix"]
    assert job.job_id == case["job_id"]
    assert job.run_id == case["message"].get("run_id", "own-run")


@pytest.mark.parametrize("case", CONTRACT["refused"], ids=about)
def test_a_message_that_is_no_job_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(message.BadMessageError):
        message.parse(json.dumps(case["message"]), "own-run")


@pytest.mark.parametrize("status", ["succeeded", "skipped", "failed"])
@pytest.mark.parametrize("readable", [True, False])
def test_every_record_is_valid(status: str, readable: bool) -> None:
    body = json.dumps(CONTRACT["examples"][0]["message"])
    job = message.parse(body, "own-run") if readable else None
    now = datetime.now(timezone.utc)
    result = Result(
        job=job,
        job_id=job.job_id if job else "",
        run_id="own-run",
        app_name="App",
        status=status,
        reason="" if status == "succeeded" else "timeout",
        reason_text="",
        attempt=1,
        instance_id="",
        started_at=now,
        ended_at=now,
        log_stream="P1-A01",
        figures=Figures(wait=0.5),
    )
    validator("result_record").validate(json.loads(json.dumps(result.document())))
