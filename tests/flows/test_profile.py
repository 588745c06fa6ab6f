"""`dcp-profile`: steps one after the other, each a run of its own."""

import json
from typing import Any

import pytest
import yaml
from lab import LAB_PIPELINE, Lab
from prefect import flow, get_client
from prefect.client.schemas.objects import State
from prefect.states import Crashed

from flows.profile import end_left_steps, run_profile
from flows.setup import setup
from tasks.lifecycle.leftovers import left_running
from tasks.runs import record

pytestmark = pytest.mark.e2e

BY_WELL = {"by": ["Metadata_Plate", "Metadata_Well"]}


def profile(lab: Lab, **keys: Any) -> str:
    """Write a profile of two steps whose pipelines and CSVs are there."""
    steps = [
        {"step": "qc", "settings": {"cluster_machines": 1}},
        {"step": "assaydev", "settings": {"sqs_message_visibility": 20}},
    ]
    job = {"identifier": lab.settings.app_name, "batch": "b1", "plates": ["P1"], "groups": BY_WELL}
    path = lab.folder / "profile.yaml"
    path.write_text(yaml.safe_dump({"job": job, "steps": steps} | keys))
    return str(path)


def step(lab: Lab, name: str, csv: str, *wells: str) -> None:
    """Write what a step needs of plate P1."""
    workspace = f"projects/{lab.settings.app_name}/workspace"
    lab.plate("P1", *wells, csv=f"{workspace}/load_data_csv/b1/P1/{csv}")
    lab.put(f"{workspace}/pipelines/b1/{name}.cppipe", LAB_PIPELINE.read_bytes())


def run(lab: Lab, path: str, **parameters: Any) -> State[Any]:
    state: State[Any] = run_profile(lab.config, path, return_state=True, **parameters)
    return state


def report_of(lab: Lab, suffix: str) -> dict[str, Any]:
    text = record.read(lab.app(f"{lab.settings.app_name}_{suffix}"), "report.json")
    assert text is not None
    found: dict[str, Any] = json.loads(text)
    return found


def test_each_step_is_a_run_with_its_own_app_and_settings(lab: Lab) -> None:
    step(lab, "qc", "load_data.csv", "A01", "A02")
    step(lab, "assaydev", "load_data_with_illum.csv", "A01", "fail", "A03")
    state = run(lab, profile(lab, failed_share=0.4))
    assert state.is_completed(), state.message
    assert state.message is not None
    first, second = state.message.splitlines()
    assert first.startswith("qc: 2 jobs: 2 succeeded")
    assert second == "assaydev: 1 of 3 jobs failed: fail (fail)"
    kept = record.load(lab.app(f"{lab.settings.app_name}_QC"))
    assert kept is not None
    assert kept.config["cluster_machines"] == 1
    assert kept.plates == ("P1",)
    assert kept.ended_at is not None
    after = record.load(lab.app(f"{lab.settings.app_name}_AssayDev"))
    assert after is not None
    assert after.config["cluster_machines"] == lab.settings.cluster_machines
    assert after.started_at > kept.ended_at, "the second step waits for the first"
    assert left_running(lab.app(f"{lab.settings.app_name}_AssayDev")) == []


def test_a_step_with_too_many_failed_jobs_is_the_last(lab: Lab) -> None:
    step(lab, "qc", "load_data.csv", "A01", "fail")
    step(lab, "assaydev", "load_data_with_illum.csv", "A01")
    state = run(lab, profile(lab, failed_share=0.4))
    assert state.is_failed()
    for part in ("stopped after qc", "1 of 2 jobs failed (50.0%)", "40.0%", "not run: assaydev"):
        assert part in str(state.message)
    assert report_of(lab, "QC")["failed"] == 1
    assert lab.app(f"{lab.settings.app_name}_AssayDev").run_id == ""


def test_a_step_that_cannot_begin_is_the_last(lab: Lab) -> None:
    state = run(lab, profile(lab))
    assert state.is_failed()
    assert "stopped after qc: its run did not start; not run: assaydev" in str(state.message)
    assert "qc.cppipe" in str(state.message)
    assert lab.app(f"{lab.settings.app_name}_QC").run_id == ""


def test_a_profile_that_is_retried_does_not_repeat_its_completed_steps(lab: Lab) -> None:
    step(lab, "qc", "load_data.csv", "A01")
    retried = run_profile.with_options(retries=1, retry_delay_seconds=0)
    state: State[Any] = retried(lab.config, profile(lab), return_state=True)
    assert state.is_failed(), "the second step has no pipeline"
    assert "assaydev: its run did not start" in str(state.message)
    runs = lab.aws.s3.list_objects_v2(
        Bucket=lab.settings.aws_bucket,
        Prefix=f"dcp/{lab.settings.app_name}_QC/2",
        Delimiter="/",
    )
    assert runs["KeyCount"] == 1
    assert state.state_details.flow_run_id is not None
    with get_client(sync_client=True) as client:
        assert client.read_flow_run(state.state_details.flow_run_id).run_count == 2


def test_a_mistake_in_a_later_step_is_told_before_the_first(lab: Lab) -> None:
    step(lab, "qc", "load_data.csv", "A01")
    steps = [{"step": "qc"}, {"step": "assaydev", "settings": {"cluster_machine": 3}}]
    state = run(lab, profile(lab, steps=steps))
    assert state.is_failed()
    assert "assaydev" in str(state.message)
    assert "cluster_machine" in str(state.message)
    assert lab.app(f"{lab.settings.app_name}_QC").run_id == ""


def test_a_profile_whose_process_is_gone_has_its_step_ended(lab: Lab) -> None:
    """As the hook is called, in a process of its own, when nothing else of the profile is left."""
    other = f"{lab.settings.app_name}_QC"

    @flow
    def broken() -> None:
        setup(lab.config, settings={"app_name": other})

    state: State[Any] = broken(return_state=True)
    assert state.state_details.flow_run_id is not None
    with get_client(sync_client=True) as client:
        parent = client.read_flow_run(state.state_details.flow_run_id)
    assert left_running(lab.app(other))
    end_left_steps(run_profile, parent, Crashed())
    assert left_running(lab.app(other)) == []
    kept = record.load(lab.app(other))
    assert kept is not None
    assert kept.state == "ended"
