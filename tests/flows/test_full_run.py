"""`dcp`: the whole run, on success and when something goes wrong on the way."""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from pkgutil import resolve_name
from typing import Any

import pytest
from dcp_fleet import DCP_FLEET
from lab import Lab
from prefect.client.schemas.objects import State
from prefect.states import Completed

import flows.full_run
from blocks import AwsCredentials
from blocks.errors import AwsRefused, FleetError, InputError
from deployments.local.emulator_client import Emulator, start_emulator
from flows.full_run import dcp
from flows.setup import setup
from flows.submit import submit
from tasks import steps
from tasks.jobs.queues import find_queue
from tasks.jobs.results import job_ids
from tasks.lifecycle.leftovers import left_running
from tasks.runs import record

pytestmark = pytest.mark.e2e


def result(state: State[Any]) -> Any:
    return state.result(raise_on_failure=False)


def report_of(lab: Lab) -> dict[str, Any]:
    text = record.read(lab.run(), "report.json")
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


def counted(monkeypatch: pytest.MonkeyPatch, place: str) -> list[object]:
    """Notes each call of a function from now on."""
    calls: list[object] = []
    function = resolve_name(place)

    def call(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return function(*args, **kwargs)

    monkeypatch.setattr(place, call)
    return calls


def test_every_job_is_done_and_nothing_is_left(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = [
        counted(monkeypatch, f"tasks.runs.open_run.{name}")
        for name in ("load_config", "Aws.connect")
    ]
    wells = [f"A{number:02}" for number in range(1, 26)]
    state = dcp(lab.config, lab.jobs(*wells), return_state=True)
    assert state.is_completed()
    assert state.message == "25 jobs: 25 succeeded, 0 skipped, 0 failed, 0 lost"
    assert [len(calls) for calls in opened] == [1, 1], "the config is read once, clients made once"
    assert lab.outputs() == {f"out/P1-{well}/Image.csv" for well in wells}
    assert left_running(lab.run()) == []
    kept = record.load(lab.run())
    assert kept is not None
    assert kept.state == "ended"
    assert report_of(lab)["succeeded"] == 25
    assert not lab.aws.cloudwatch.list_dashboards(DashboardNamePrefix=lab.settings.app_name)[
        "DashboardEntries"
    ]


def test_a_dcp_fleet_file_starts_a_spot_fleet(lab: Lab) -> None:
    fleet = lab.folder / "fleet.json"
    fleet.write_text(json.dumps(DCP_FLEET))
    state = dcp(lab.config, lab.jobs("A01", "A02"), fleet=str(fleet), return_state=True)
    assert state.is_completed()
    mine = {"Key": "dcp:app", "Value": lab.settings.app_name}
    (request,) = (
        one
        for one in lab.aws.ec2.describe_spot_fleet_requests()["SpotFleetRequestConfigs"]
        if mine in one["Tags"]
    )
    assert request["SpotFleetRequestState"].startswith("cancelled")
    assert left_running(lab.run()) == []


def test_failed_jobs_fail_the_run_by_name(lab: Lab) -> None:
    state = dcp(lab.config, lab.jobs("A01", "fail", "A03"), return_state=True)
    assert state.is_failed()
    report = report_of(lab)
    assert (report["succeeded"], report["failed"], report["lost"]) == (2, 1, 0)
    (problem,) = report["problems"]
    assert problem["Metadata"] == "Metadata_Plate=P1,Metadata_Well=fail"
    assert problem["reason"] == "fail"
    assert left_running(lab.run()) == []


def test_a_job_that_kills_its_worker_is_found_in_the_dead_letter_queue(
    make_lab: Callable[..., Lab],
) -> None:
    lab = make_lab(job_retries=1)
    state = dcp(lab.config, lab.jobs("A01", "die", "A03"), return_state=True)
    assert state.is_failed()
    report = report_of(lab)
    assert (report["succeeded"], report["failed"], report["lost"]) == (2, 1, 0)
    assert report["problems"][0]["reason"] == "worker_died"
    # The message itself stays where DCP's users look for it.
    dead = find_queue(lab.aws.sqs, lab.settings.names.dead_letter_queue)
    assert dead is not None


def test_the_fleet_shrinks_to_the_work_without_breaking_a_job_off(
    lab: Lab, emulator: Emulator
) -> None:
    state = dcp(lab.config, lab.jobs("slow", "A02", "A03"), return_state=True)
    assert state.is_completed()
    events = emulator.events()
    cluster = lab.settings.ecs_cluster
    mine = {event["instance_id"] for event in events if event.get("cluster") == cluster}
    gone = [
        event["time"]
        for event in events
        if event["kind"] == "deregistered" and event["instance_id"] in mine
    ]
    assert len(gone) == 2
    assert max(gone) - min(gone) > 3, "one machine went early, the other worked on"


def test_a_missing_pipeline_is_told_before_anything_is_made(lab: Lab) -> None:
    job = lab.jobs("A01")
    lab.aws.s3.delete_object(Bucket=lab.settings.aws_bucket, Key="p/a.cppipe")
    error = result(dcp(lab.config, job, return_state=True))
    assert isinstance(error, InputError)
    assert "p/a.cppipe" in str(error)
    assert lab.run().run_id == ""
    assert find_queue(lab.aws.sqs, lab.settings.names.queue) is None
    assert not lab.aws.ecs.describe_clusters(clusters=[lab.settings.ecs_cluster])["clusters"]


def test_a_missing_bucket_is_told_before_anything_is_made(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab(source_bucket="there-is-no-such-bucket")
    error = result(dcp(lab.config, lab.jobs("A01"), return_state=True))
    assert isinstance(error, InputError)
    assert "source_bucket" in str(error)
    assert "there-is-no-such-bucket" in str(error)
    assert find_queue(lab.aws.sqs, lab.settings.names.queue) is None


def test_credentials_that_aws_refuses_are_told(
    make_lab: Callable[..., Lab], tmp_path: Path
) -> None:
    with start_emulator(tmp_path / "aws", Path(sys.executable), access_key="another") as strict:
        lab = make_lab()
        wrong = AwsCredentials(
            aws_access_key_id="AKIAWRONG",
            aws_secret_access_key="wJalrXUtnFEMI",
            aws_client_parameters={"endpoint_url": strict.endpoint_url},
        )
        wrong.save("wrong", overwrite=True)
        error = result(dcp(lab.config, lab.jobs("A01"), credentials="wrong", return_state=True))
    assert isinstance(error, AwsRefused)
    assert "wJalrXUtnFEMI" not in str(error)


def test_a_fleet_that_aws_cannot_start_ends_the_run(make_lab: Callable[..., Lab]) -> None:
    lab = make_lab()
    fleet = lab.folder / "fleet.yaml"
    fleet.write_text("image_id: ami-12\n")  # an id by its form, and none of EC2's
    given: dict[str, Any] = {"fleet": str(fleet), "return_state": True}
    error = result(dcp(lab.config, lab.jobs("A01"), **given))
    assert isinstance(error, InputError)  # before anything is made
    assert "ami-12" in str(error)
    error = result(dcp(lab.config, lab.jobs("A01"), accept=["machine_image_missing"], **given))
    assert isinstance(error, FleetError)
    assert "ami-12" in str(error)
    assert left_running(lab.run()) == []
    assert report_of(lab)["lost"] == 1


def test_an_app_whose_run_goes_on_takes_no_second_one(lab: Lab) -> None:
    first = setup(lab.config)
    error = result(dcp(lab.config, lab.jobs("A01"), return_state=True))
    assert isinstance(error, InputError)
    assert first in str(error)
    assert lab.run().run_id == first
    assert find_queue(lab.aws.sqs, lab.settings.names.queue) is not None


@pytest.mark.parametrize("step", ["submit", "start_fleet", "monitor"])
def test_a_step_that_breaks_off_leaves_nothing_running(
    lab: Lab, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(steps, step, broken)
    with pytest.raises(KeyboardInterrupt):
        dcp(lab.config, lab.jobs("A01", "hang"))
    assert left_running(lab.run()) == []
    kept = record.load(lab.run())
    assert kept is not None
    assert kept.state == "ended"


def test_a_flow_run_that_was_broken_off_goes_on_with_its_run(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flows.full_run, "this_run_id", lambda: "20260301-000000-aaaaaa")
    job = lab.jobs("A01", "A02")
    with monkeypatch.context() as killed:
        # Killed: neither its clean-up nor anything after the submission.
        killed.setattr(flows.full_run, "carry_out", lambda *_: Completed(message="killed"))
        dcp(lab.config, job, return_state=True)
    run = lab.run()
    setup(lab.config, run_id=run.run_id)
    submit(lab.config, run_id=run.run_id)
    # What would keep a new run from beginning.
    lab.put(f"{lab.run().names.record_prefix}done/{next(iter(job_ids(run)))}.json", "{}")
    (lab.folder / "job.yaml").write_text("pipeline: gone")
    state = dcp(lab.config, job, undone=True, return_state=True)
    assert state.message == "2 jobs: 2 succeeded, 0 skipped, 0 failed, 0 lost"
    assert left_running(run) == []
