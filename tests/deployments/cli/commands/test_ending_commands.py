"""`dcp status` and `dcp cleanup APP`: from a computer with nothing but credentials."""

import json
from collections.abc import Iterator

import pytest
from foundation import start
from recorded_run import config_at, job, new_run, plan
from whole_run import make_whole

from deployments.cli.main import main
from deployments.local.emulator_client import Emulator
from tasks.lifecycle.leftovers import left_running
from tasks.runs import heartbeat, record

# One process: all runs of an account are looked at.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("ending-commands")]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account without other runs."""
    with start(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(autouse=True)
def bare(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a computer that has credentials and nothing else."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def test_a_run_is_told_and_ended_by_its_name(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(config_at(emulator.endpoint_url, "Told", monitor_seconds=1))
    make_whole(run)
    plan(run, [job(run, "Metadata_Well=A01")])
    status, out, _ = told(capsys, "status", "--json", "Told")
    (found,) = json.loads(out)
    assert status == 0
    assert (found["state"], found["machines"], found["jobs"]["submitted"]) == (
        "unwatched",
        {"running": 2},
        1,
    )
    with heartbeat.kept(run):
        status, _, err = told(capsys, "cleanup", "Told")
        assert status == 2
        assert "--yes" in err
    status, _, err = told(capsys, "cleanup", "Told")
    assert status == 1
    assert "--abandon" in err
    assert left_running(run) == [f"queue {run.names.queue}"]
    status, out, err = told(capsys, "cleanup", "Told", "--abandon")
    assert (status, left_running(run)) == (0, []), err
    assert "1 lost" in out
    status, out, _ = told(capsys, "status")
    assert status == 0
    assert "ended" in out


def test_what_has_no_record_is_told_as_orphaned_and_ended_by_its_tag(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(
        config_at(
            emulator.endpoint_url,
            "Lost",
            monitor_seconds=1,
            sqs_queue_name="AQueueOfAnotherName",
            ecs_cluster="another",
        )
    )
    make_whole(run)
    for key in (run.key("run.json"), run.names.latest_key):
        run.aws.s3.delete_object(Bucket=run.config.aws_bucket, Key=key)
    status, out, _ = told(capsys, "status")
    assert status == 1
    assert "dcp cleanup Lost" in out
    status, out, err = told(capsys, "cleanup", "Lost")
    assert (status, left_running(run)) == (0, []), err
    assert told(capsys, "status", "Lost")[0] == 0
    assert record.load(run) is None


def test_an_app_that_is_nowhere_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = told(capsys, "cleanup", "NeverSeen")
    assert status == 2
    assert "NeverSeen" in err
