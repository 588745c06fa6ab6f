"""Preflight: as a flow, as `dcp check`, and before every run; nothing is made by it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab import PIPELINE, Lab
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State

from deployments.cli.main import main
from flows.full_run import dcp
from flows.preflight import preflight
from tasks.jobs.queues import find_queue
from tasks.prefect_output.artifacts import artifact_key

pytestmark = pytest.mark.e2e


def with_mistakes(lab: Lab) -> tuple[str, list[str]]:
    """A job file with two mistakes in what it names; returns what must be told."""
    job = lab.jobs("A01", "A02")
    text = (lab.folder / "job.yaml").read_text().replace("Metadata_Well=A02", "Metadata_Well=A2")
    (lab.folder / "job.yaml").write_text(text)
    lab.aws.s3.delete_object(Bucket=lab.settings.aws_bucket, Key=PIPELINE)
    return job, ["A2", "A02", PIPELINE]


def made(lab: Lab) -> list[str]:
    """What a run would leave behind that was begun."""
    records = lab.aws.s3.list_objects_v2(Bucket=lab.settings.aws_bucket, Prefix="dcp/")
    queue = find_queue(lab.aws.sqs, lab.settings.names.queue)
    clusters = lab.aws.ecs.describe_clusters(clusters=[lab.settings.ecs_cluster])["clusters"]
    return [*map(str, records.get("Contents", [])), *filter(None, [queue]), *map(str, clusters)]


@pytest.fixture
def check(lab: Lab, capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """The command `dcp check`: its exit status, and what it writes to standard output.

    That it needs no Prefect is proven in tests/deployments/cli/test_command_line.py.
    """

    def run(job: str, *options: str) -> tuple[int, str]:
        capsys.readouterr()
        status = main(["check", "--config", lab.config, "--job", job, *options])
        return status, capsys.readouterr().out

    return run


def test_a_sound_job_file_is_told_so_and_shown(lab: Lab) -> None:
    job = lab.jobs("A01", "A02")
    state: State[Any] = preflight(lab.config, job, return_state=True)
    assert state.is_completed(), state.message
    assert str(state.message).startswith("0 errors")
    keys = [artifact_key(lab.run(), what) for what in ("findings", "preflight")]
    with get_client(sync_client=True) as client:
        by_key = ArtifactFilter(key=ArtifactFilterKey(any_=keys))
        shown = client.read_artifacts(artifact_filter=by_key)
    assert sorted(str(one.key) for one in shown) == keys
    assert made(lab) == []


def test_all_that_is_wrong_is_told_at_once_and_nothing_is_made(lab: Lab) -> None:
    job, told = with_mistakes(lab)
    for flow in (preflight, dcp):
        run: Callable[..., State[Any]] = flow
        state = run(lab.config, job, return_state=True)
        assert state.is_failed()
        assert all(part in str(state.message) for part in told), state.message
    assert made(lab) == []


def test_an_error_that_is_accepted_by_its_code_stops_no_run(lab: Lab) -> None:
    job = lab.jobs("A01", "A02")
    image = "images/P1/A01.tif"
    lab.aws.s3.delete_object(Bucket=lab.settings.aws_bucket, Key=image)
    state: State[Any] = dcp(lab.config, job, accept=["cost_limit"], return_state=True)
    assert state.is_failed()
    assert image in str(state.message)
    assert made(lab) == []
    state = dcp(lab.config, job, accept=["image_missing"], return_state=True)
    assert state.is_completed(), state.message


def test_dcp_check_says_it_by_its_exit_status(
    lab: Lab, check: Callable[..., tuple[int, str]]
) -> None:
    status, text = check(lab.jobs("A01"), "--json")
    assert status == 0, text
    assert "error" not in {finding["level"] for finding in json.loads(text)}
    job, told = with_mistakes(lab)
    status, text = check(job, "--json")
    assert status == 1
    errors = [finding for finding in json.loads(text) if finding["level"] == "error"]
    assert all(any(part in str(error) for error in errors) for part in told)
    status, text = check(job)
    assert status == 1
    assert "error" in text
    Path(job).write_text("{not json")
    assert check(job)[0] == 2
    assert check(str(lab.folder / "nothing.yaml"))[0] == 2
    assert made(lab) == []


def test_dcp_check_takes_plates(lab: Lab, check: Callable[..., tuple[int, str]]) -> None:
    lab.plate("P1", "A01", csv="csv/P1.csv")
    by = {"by": ["Metadata_Plate", "Metadata_Well"]}
    job = lab.job_file(data_file="csv/{plate}.csv", groups=by)
    assert check(job, "--plates", "P1")[0] == 0
    status, text = check(job, "--plates", "P1", "P2", "--json")
    assert status == 1
    assert "csv/P2.csv" in text
    assert check(job)[0] == 2, "no plate is named"
