"""Preflight: as a flow, as `dcp check`, and before every run; nothing is made by it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from lab import PIPELINE, Lab
from prefect import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey
from prefect.client.schemas.objects import State

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


def check(lab: Lab, job: str, *more: str) -> "subprocess.CompletedProcess[str]":
    """Type `dcp check`, with a Prefect server that is not there."""
    command = [sys.executable, "-m", "deployments.cli", "check"]
    environment = os.environ | {"PREFECT_API_URL": "http://127.0.0.1:9/api"}
    return subprocess.run(
        [*command, "--config", lab.config, "--job", job, *more],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
        env=environment,
    )


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


def test_dcp_check_says_it_by_its_exit_status(lab: Lab) -> None:
    done = check(lab, lab.jobs("A01"), "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "error" not in {finding["level"] for finding in json.loads(done.stdout)}
    job, told = with_mistakes(lab)
    done = check(lab, job, "--json")
    assert done.returncode == 1
    errors = [one for one in json.loads(done.stdout) if one["level"] == "error"]
    assert all(any(part in str(one) for one in errors) for part in told)
    in_words = check(lab, job)
    assert in_words.returncode == 1
    assert "error" in in_words.stdout
    Path(job).write_text("{not json")
    assert check(lab, job).returncode == 2
    assert check(lab, str(lab.folder / "nothing.yaml")).returncode == 2
    assert made(lab) == []


def test_dcp_check_takes_plates(lab: Lab) -> None:
    lab.plate("P1", "A01", csv="csv/P1.csv")
    by = {"by": ["Metadata_Plate", "Metadata_Well"]}
    job = lab.job_file(data_file="csv/{plate}.csv", groups=by)
    assert check(lab, job, "--plates", "P1").returncode == 0
    done = check(lab, job, "--plates", "P1", "P2", "--json")
    assert done.returncode == 1
    assert "csv/P2.csv" in done.stdout
    assert check(lab, job).returncode == 2, "no plate is named"
