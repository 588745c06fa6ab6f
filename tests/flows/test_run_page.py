"""What a person finds on the page of a run in Prefect: all of the run hangs on the one flow run."""

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from lab import Lab
from prefect import flow
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.filters import (
    ArtifactFilter,
    ArtifactFilterFlowRunId,
    ArtifactFilterKey,
    FlowRunFilter,
    FlowRunFilterId,
    FlowRunFilterParentFlowRunId,
    LogFilter,
    LogFilterFlowRunId,
)
from prefect.client.schemas.objects import FlowRun
from prefect.deployments import run_deployment
from prefect.settings import get_current_settings
from prefect_site import flow_processes
from waiting import wait_for

from flows.setup import setup
from tasks.jobs.results import balance
from tasks.monitor.observation import Observation
from tasks.monitor.progress import told
from tasks.prefect_output.artifacts import artifact_key
from tasks.runs import record
from tasks.steps import step

pytestmark = pytest.mark.e2e

STEPS = ["check", "set-up", "submission", "fleet", "monitoring", "clean-up"]


def test_all_of_a_run_hangs_on_the_flow_run_that_a_person_opens(pool: None, lab: Lab) -> None:
    """A run with a failed job, carried out by a Prefect worker as in an account."""
    start: Any = run_deployment
    parameters = {"config": lab.config, "job": lab.jobs("A01", "fail", "A03")}
    flow_run: FlowRun = start("dcp/full-run", parameters=parameters, timeout=600, poll_interval=1)
    app = lab.settings.app_name
    with get_client(sync_client=True) as client:
        assert flow_run.name == f"{app} · P1"
        assert {f"app:{app}", "plate:P1"} <= set(flow_run.tags)
        assert flow_run.state is not None
        assert flow_run.state.is_failed()
        assert flow_run.state.message == "1 of 3 jobs failed: fail (fail)"

        only = FlowRunFilter(id=FlowRunFilterId(any_=[flow_run.id]))
        tasks = client.read_task_runs(flow_run_filter=only)
        begun = sorted(tasks, key=lambda task: str(task.start_time))
        assert [task.name for task in begun] == STEPS
        assert not children_of(client, flow_run)

        shown = artifacts_of(client, flow_run)
        for what in ("progress", "counts", "links", "report", "findings", "preflight"):
            assert sum(key.endswith(f"-{what}") for key, _ in shown) == 1, (what, shown)
        counts = next(json.loads(data) for key, data in shown if key.endswith("-counts"))
        assert {"what": "jobs succeeded", "number": 2} in counts
        assert {"what": "jobs failed", "number": 1} in counts

        api = str(get_current_settings().api.url)
        wait_for(lambda: not flow_processes(api, str(flow_run.id)), "its last lines to be sent")
        of_run = LogFilter(flow_run_id=LogFilterFlowRunId(any_=[flow_run.id]))
        lines = [entry.message for entry in client.read_logs(of_run)]
        assert [line for line in lines if "1 of 3 jobs failed" in line]
        assert not [line for line in lines if "Traceback" in line]
    kept = record.load(lab.run())
    assert kept is not None
    assert kept.state == "ended"


def test_what_is_deleted_in_prefect_is_shown_anew(lab: Lab) -> None:
    """The bar and the counts go on for hours, whatever a person does to them."""

    @flow
    def showing() -> None:
        setup(lab.config)
        with told(lab.run()) as tell, get_client(sync_client=True) as client:
            for ended in range(3):
                results = {"succeeded": [str(number) for number in range(ended)]}
                tell(Observation(datetime.now(UTC), None, balance(["0", "1", "2"], results)))
                shown = client.read_artifacts(artifact_filter=of_app(lab))
                assert {artifact.key for artifact in shown} == keys(lab)
                for artifact in shown:
                    client.delete_artifact(artifact.id)

    showing()


def keys(lab: Lab) -> set[str | None]:
    return {artifact_key(lab.run(), what) for what in ("progress", "counts")}


def of_app(lab: Lab) -> ArtifactFilter:
    return ArtifactFilter(key=ArtifactFilterKey(any_=[str(key) for key in keys(lab)]))


def test_a_list_of_jobs_is_no_business_of_prefects(prefect: None) -> None:
    class Jobs(list[int]):
        def __iter__(self) -> Iterator[int]:
            raise AssertionError("Prefect goes through the jobs")

    @step("count")
    def number(jobs: Sequence[int], twice: Sequence[int]) -> int:
        return len(jobs) + len(twice)

    @flow
    def counting() -> int:
        return number(Jobs([1, 2]), twice=Jobs([3]))

    assert counting() == 3


def children_of(client: SyncPrefectClient, flow_run: FlowRun) -> list[FlowRun]:
    of_parent = FlowRunFilterParentFlowRunId(any_=[flow_run.id])
    return client.read_flow_runs(flow_run_filter=FlowRunFilter(parent_flow_run_id=of_parent))


def artifacts_of(client: SyncPrefectClient, flow_run: FlowRun) -> list[tuple[str, Any]]:
    found = client.read_artifacts(
        artifact_filter=ArtifactFilter(flow_run_id=ArtifactFilterFlowRunId(any_=[flow_run.id]))
    )
    return [(str(artifact.key), artifact.data) for artifact in found]
