"""`dcp failures` and `dcp retry` on a computer that has only credentials."""

import csv
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from recorded_run import config_at, end, fails, job, new_run, plan

from deployments.local.emulator_client import Emulator
from tasks.runs.run import Run

PROJECT = Path(__file__).parents[4]


# One process: the run is created once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("failures")]


@pytest.fixture(scope="module")
def run(process_emulator: Emulator) -> Run:
    """An ended run of twelve jobs, eleven without an image and one lost."""
    run = new_run(config_at(process_emulator.endpoint_url, "BareLab"))
    wells = (f"A{number:02}" for number in range(1, 13))
    jobs = plan(run, (job(run, f"Metadata_Plate=P1,Metadata_Well={well}") for well in wells))
    for message in jobs[:11]:
        fails(run, message, "image_missing", f"no [{message.metadata_id}].tif", attempt=2)
    end(run)
    return run


@pytest.fixture
def refuse(switched: Emulator) -> Callable[[str], None]:
    return lambda action: switched.set_account(refused=[action])


def dcp(run: Run, *arguments: str, home: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command with only an endpoint and keys configured."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(home),
        "AWS_ENDPOINT_URL": run.aws.s3.meta.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "COLUMNS": "120",
    }
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        cwd=PROJECT,
        env=environment | more,
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_name_of_the_app_is_enough(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "failed.csv"
    done = dcp(run, "failures", "BareLab", "--csv", str(file), home=tmp_path)
    assert done.returncode == 1, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0].endswith("11 failed and 1 lost of 12 jobs")
    assert "11 image_missing" in lines
    assert lines.index("11 image_missing") < lines.index("1 no_result")
    assert "no [P1-A01].tif" in done.stdout
    assert "A11" not in done.stdout, "ten of a reason"
    assert "and 1 more" in done.stdout
    assert "#logsV2:log-groups/log-group/BareLab/log-events/P1-A01" in done.stdout
    with file.open(newline="") as rows:
        table = list(csv.DictReader(rows))
    assert [row["reason"] for row in table] == ["image_missing"] * 11 + ["no_result"]
    assert table[0]["attempt"] == "2"
    assert table[0]["log"].endswith("/log-events/P1-A01")


def test_an_app_that_is_nowhere_is_bad_input(run: Run, tmp_path: Path) -> None:
    done = dcp(run, "failures", "NeverSeen", home=tmp_path)
    assert done.returncode == 2
    assert "NeverSeen" in done.stderr
    assert "Traceback" not in done.stderr
    done = dcp(run, "failures", "BareLab", "--profile", "none-such", home=tmp_path)
    assert done.returncode == 2
    assert "none-such" in done.stderr


@pytest.mark.parametrize("command", ["failures", "retry"])
def test_a_forbidden_record_is_reported(
    run: Run, refuse: Callable[[str], None], tmp_path: Path, command: str
) -> None:
    given = ("BareLab", "--bucket", run.config.aws_bucket)
    for action in ("s3:ListBucket", "s3:GetObject", "s3:*"):
        refuse(action)
        done = dcp(run, command, *given, home=tmp_path)
        assert (done.returncode, done.stdout) == (2, "")
        assert action.replace("*", "GetObject") in done.stderr
        assert "Traceback" not in done.stderr


def test_without_access_to_queues_the_record_is_shown(
    run: Run, refuse: Callable[[str], None], tmp_path: Path
) -> None:
    refuse("sqs:*")
    done = dcp(run, "failures", "BareLab", home=tmp_path)
    assert done.returncode == 1
    assert "11 failed and 1 lost of 12 jobs" in done.stdout
    assert "dead-letter queue could not be looked into" in done.stderr


def test_without_credentials_it_says_so(run: Run, tmp_path: Path) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""}
    done = dcp(
        run, "failures", "BareLab", home=tmp_path, AWS_EC2_METADATA_DISABLED="true", **nobody
    )
    assert done.returncode == 2
    assert "credentials" in done.stderr
    assert "Traceback" not in done.stderr


def test_jobs_that_cannot_be_retried_are_reported_before_calling_prefect(
    run: Run, tmp_path: Path
) -> None:
    done = dcp(run, "retry", "BareLab", "--reason", "timeout", "--memory", "1000", home=tmp_path)
    assert done.returncode == 2
    assert "image_missing, no_result" in done.stderr
    done = dcp(run, "retry", "BareLab", "--set", "memori=9000", home=tmp_path)
    assert done.returncode == 2
    assert "memory" in done.stderr
    done = dcp(run, "retry", "BareLab", home=tmp_path)
    assert done.returncode == 1
    assert "PREFECT_API_URL" in done.stderr
