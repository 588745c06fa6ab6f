"""The exact skip: a job is done if its outputs from the same files still exist."""

from __future__ import annotations

import dataclasses
import json
from typing import Callable

import pytest
from botocore.exceptions import EndpointConnectionError
from dcp_worker.common.settings import Settings
from dcp_worker.diagnosis.diagnose import JobFailedError
from dcp_worker.inputs.job_inputs import InputVersions
from dcp_worker.jobs import message
from dcp_worker.jobs.message import Job
from dcp_worker.outputs import completed_jobs
from dcp_worker.outputs.upload import UploadedFiles

from cloud import RUN, Cloud, job_message

VERSIONS = InputVersions('"pipeline"', '"csv"')
FILES = {"Image.csv": 5, "masks/ü b.png": 7}


def settings(cloud: Cloud, **changes: str) -> Settings:
    return Settings.from_environment(cloud.environment(**changes))


def job(**changes: str) -> Job:
    return message.parse(job_message(**changes), RUN)


def note(cloud: Cloud) -> None:
    """Note a success whose outputs are in the bucket."""
    cloud.put({f"{job().output}{name}": b"x" * size for name, size in FILES.items()})
    completed_jobs.write_note(cloud.s3, settings(cloud), job(), VERSIONS, UploadedFiles(FILES))


def is_done(cloud: Cloud, other: Job | None = None, versions: InputVersions = VERSIONS) -> bool:
    return completed_jobs.is_done(cloud.s3, settings(cloud), other or job(), versions)


def test_a_noted_success_is_done(cloud: Cloud) -> None:
    assert not is_done(cloud)
    note(cloud)
    assert is_done(cloud)
    later = message.parse(job_message(), "20250131T120000Z-later")
    assert is_done(cloud, later)


def test_other_files_beside_the_outputs_change_nothing(cloud: Cloud) -> None:
    note(cloud)
    cloud.put({f"{job().output}by_hand.txt": b"x"})
    assert is_done(cloud)


@pytest.mark.parametrize(
    "versions", [InputVersions('"new"', '"csv"'), InputVersions('"pipeline"', '"new"')]
)
def test_what_was_made_from_other_files_is_not_done(cloud: Cloud, versions: InputVersions) -> None:
    note(cloud)
    assert not is_done(cloud, versions=versions)


def remove_one(cloud: Cloud) -> None:
    cloud.s3.delete_object(Bucket=cloud.bucket, Key=f"{job().output}Image.csv")


def shorten_one(cloud: Cloud) -> None:
    cloud.put({f"{job().output}Image.csv": b"x" * 4})


def rubbish(body: bytes) -> Callable[[Cloud], None]:
    return lambda cloud: cloud.put({completed_jobs.key(cloud.name, job().job_id): body})


@pytest.mark.parametrize(
    "change",
    [
        remove_one,
        shorten_one,
        rubbish(b""),
        rubbish(b"\xff"),
        rubbish(b"[]"),
        rubbish(b"null"),
        rubbish(b'{"files": {"Image.csv": 5}}'),
    ],
)
def test_a_job_with_a_missing_output_is_not_done(
    cloud: Cloud, change: Callable[[Cloud], None]
) -> None:
    note(cloud)
    change(cloud)
    assert not is_done(cloud)


def test_a_note_without_files_proves_nothing(cloud: Cloud) -> None:
    completed_jobs.write_note(cloud.s3, settings(cloud), job(), VERSIONS, UploadedFiles({}))
    assert not is_done(cloud)


def test_outputs_with_another_prefix_do_not_count(cloud: Cloud) -> None:
    note(cloud)
    # With the same id, as in a message written by hand.
    moved = dataclasses.replace(job(), output="elsewhere/")
    assert not is_done(cloud, moved)
    elsewhere = settings(cloud, DESTINATION_BUCKET=f"{cloud.bucket}.other")
    assert not completed_jobs.is_done(cloud.s3, elsewhere, job(), VERSIONS)


def test_the_note_names_its_job_and_run(cloud: Cloud) -> None:
    note(cloud)
    document = json.loads(cloud.text(f"dcp/{cloud.name}/done/{job().job_id}.json"))
    assert document["run_id"] == RUN
    assert document["files"] == FILES


def test_an_s3_that_does_not_answer_is_no_no(cloud: Cloud) -> None:
    note(cloud)

    def lost(**_: object) -> None:
        raise EndpointConnectionError(endpoint_url="http://s3")

    cloud.s3.meta.events.register("before-call.s3.GetObject", lost)
    with pytest.raises(JobFailedError) as error:
        is_done(cloud)
    assert error.value.diagnosis.code == "s3_unreachable"
    cloud.s3.meta.events.unregister("before-call.s3.GetObject", lost)
    cloud.s3.meta.events.register("before-call.s3.HeadObject", lost)
    with pytest.raises(JobFailedError) as error:
        is_done(cloud)
    assert error.value.diagnosis.code == "s3_unreachable"
