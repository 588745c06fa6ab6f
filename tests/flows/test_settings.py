"""Settings that are given once take the place of the config's in every step."""

import json
from typing import Any

import pytest
from lab import Lab
from prefect import get_client
from prefect.client.schemas.objects import State
from prefect.states import Cancelled

from blocks.errors import ConfigError
from flows.full_run import dcp
from flows.lifecycle import end_cancelled
from flows.setup import setup
from tasks.jobs.queues import find_queue
from tasks.lifecycle.leftovers import left_running
from tasks.runs import record
from tasks.runs.run import new_run_id

pytestmark = pytest.mark.e2e


def test_an_app_of_another_name_is_found_by_every_step(lab: Lab) -> None:
    other = f"{lab.settings.app_name}2"
    settings = {"app_name": other, "cluster_machines": 1, "job_retries": 2}
    state: State[Any] = dcp(lab.config, lab.jobs("A01"), settings=settings, return_state=True)
    assert state.message == "1 job: 1 succeeded, 0 skipped, 0 failed, 0 lost"
    kept = record.load(lab.app(other))
    assert kept is not None
    assert (kept.state, kept.config["job_retries"]) == ("ended", 2)
    assert left_running(lab.app(other)) == []
    assert lab.run().run_id == "", "the config's own app had no run"


def test_a_run_that_is_broken_off_is_found_by_its_settings(lab: Lab) -> None:
    other = f"{lab.settings.app_name}2"
    given = {"config": lab.config, "settings": {"app_name": other}}
    state: State[Any] = setup(**given, return_state=True)
    run = lab.app(other)
    assert find_queue(lab.aws.sqs, run.names.queue)
    with get_client(sync_client=True) as client:
        assert state.state_details.flow_run_id is not None
        flow_run = client.read_flow_run(state.state_details.flow_run_id)
    assert new_run_id(flow_run.created, flow_run.id) == run.run_id
    broken = flow_run.model_copy(update={"parameters": given})
    end_cancelled(dcp, broken, Cancelled())
    assert left_running(run) == []
    kept = record.load(run)
    assert kept is not None
    assert kept.state == "ended"


def test_wrong_settings_are_told_by_key_and_credentials_are_no_setting(lab: Lab) -> None:
    job = lab.jobs("A01")
    for settings, named in (
        ({"cluster_machine": 2}, "cluster_machines"),
        ({"memory": 1}, "memory"),
        ({"aws_credentials": {"aws_secret_access_key": "wJalrXUtnFEMI"}}, "aws_credentials"),
    ):
        state: State[Any] = dcp(lab.config, job, settings=settings, return_state=True)
        error = state.result(raise_on_failure=False)
        assert isinstance(error, ConfigError)
        assert named in str(error)
        assert "wJalrXUtnFEMI" not in str(error)
    assert lab.run().run_id == ""


def test_completed_jobs_are_skipped_with_undone(lab: Lab) -> None:
    job = lab.jobs("A01", "A02")
    assert dcp(lab.config, job, return_state=True).is_completed()
    first = lab.run()
    for line in record.job_lines(first):
        lab.put(f"dcp/{first.names.app}/done/{json.loads(line)['job_id']}.json", "{}")
    state: State[Any] = dcp(lab.config, job, undone=True, return_state=True)
    assert state.message == "Nothing to run: an earlier run completed all jobs (2)"
    assert lab.run().run_id == first.run_id
    more = lab.jobs("A01", "A02", "A03")
    state = dcp(lab.config, more, undone=True, return_state=True)
    assert state.message == "1 job: 1 succeeded, 0 skipped, 0 failed, 0 lost"
