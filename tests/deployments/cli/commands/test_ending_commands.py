"""`dcp status` and `dcp cleanup APP` on a computer that has only credentials."""

import json
from collections.abc import Iterator

import pytest
from recorded_run import config_at, job, new_run, plan
from shared_fixtures import start
from whole_run import make_whole

from deployments.cli.main import main
from deployments.local.emulator_client import Emulator
from tasks.lifecycle.leftovers import left_running
from tasks.runs import heartbeat, record

# One process: the commands list all runs of an account.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("ending-commands")]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account without other runs."""
    with start(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture(autouse=True)
def bare(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The environment of a computer that has only credentials."""
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", emulator.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


def run_command(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    status = main(arguments)
    out, err = capsys.readouterr()
    return status, out, err


def test_a_run_is_shown_and_cleaned_up_by_its_name(
    emulator: Emulator, capsys: pytest.CaptureFixture[str]
) -> None:
    run = new_run(config_at(emulator.endpoint_url, "Watched", monitor_seconds=1))
    make_whole(run)
    plan(run, [job(run, "Metadata_Well=A01")])
    status, out, _ = run_command(capsys, "status", "--json", "Watched")
    (shown_run,) = json.loads(out)
    assert status == 0
    assert (shown_run["state"], shown_run["machines"], shown_run["jobs"]["submitted"]) == (
        "unwatched",
        {"running": 2},
        1,
    )
    with heartbeat.kept(run):
        status, _, err = run_command(capsys, "cleanup", "Watched")
        assert status == 2
        assert "--yes" in err
    status, _, err = run_command(capsys, "cleanup", "Watched")
    assert status == 1
    assert "--abandon" in err
    assert left_running(run) == [f"queue {run.names.queue}"]
    status, out, err = run_command(capsys, "cleanup", "Watched", "--abandon")
    assert (status, left_running(run)) == (0, []), err
    assert "1 lost" in out
    status, out, _ = run_command(capsys, "status")
    assert status == 0
    assert "ended" in out


def test_resources_without_record_are_orphaned_and_deleted_by_their_tag(
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
    status, out, _ = run_command(capsys, "status")
    assert status == 1
    assert "dcp cleanup Lost" in out
    status, out, err = run_command(capsys, "cleanup", "Lost")
    assert (status, left_running(run)) == (0, []), err
    assert run_command(capsys, "status", "Lost")[0] == 0
    assert record.load(run) is None


def test_an_unknown_app_is_reported(capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run_command(capsys, "cleanup", "NeverSeen")
    assert status == 2
    assert "NeverSeen" in err
