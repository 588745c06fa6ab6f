"""Interruptions of a job, on the real CellProfiler: no job is lost, no process or file remains."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from dcp_worker.slot.slot import DRAIN
from waiting import wait_for

from cloud import Cloud, Container, job_message
from results import PREFIX, attempts, counted, local_files, run_all, send_long, shorten, truth

pytestmark = pytest.mark.e2e

# Too short for the job, but long enough for a busy machine to return its message in the remaining
# time: a slot killed between the copy and the deletion would leave two messages.
SHORT = "12"

both = pytest.mark.parametrize("warm", ["True", "False"])


def start_a_job(cloud: Cloud, container: Container, times: int = 30, **changes: str) -> None:
    """Start a container on one job and wait until CellProfiler is in the middle of it."""
    send_long(cloud, times)
    container.start(**changes)
    wait_for(container.computing, "CellProfiler to run")


def visible(cloud: Cloud) -> bool:
    return cloud.counts() == {"visible": 1, "in flight": 0}


def succeeded(cloud: Cloud, attempt: int) -> list[dict[str, Any]]:
    """The records: exactly one success, at this attempt."""
    records = cloud.records()
    assert [(record["status"], record["attempt"]) for record in records] == [("succeeded", attempt)]
    return records


@both
def test_a_job_may_finish_after_sigterm(cloud: Cloud, container: Container, warm: str) -> None:
    start_a_job(cloud, container, WARM=warm, DOCKER_CORES="2")
    assert container.stop(120) == 0
    assert container.processes() == {}
    assert local_files(container) == []
    succeeded(cloud, 1)
    assert cloud.empty()


@both
def test_sigterm_returns_jobs_that_cannot_finish_in_time(
    cloud: Cloud, container: Container, warm: str
) -> None:
    start_a_job(cloud, container, 600, WARM=warm, DOCKER_CORES="2", STOP_SECONDS=SHORT)
    assert container.stop() == 0
    assert container.processes() == {}
    assert local_files(container) == []
    wait_for(lambda: visible(cloud), "the message to be returned")
    assert (cloud.records(), cloud.keys(PREFIX)) == ([], [])
    shorten(cloud)
    run_all(cloud, container, WARM=warm)
    succeeded(cloud, 1)  # an interruption is no attempt
    assert counted(cloud) == truth("A01")


def test_a_draining_slot_finishes_its_job_and_exits(cloud: Cloud, container: Container) -> None:
    start_a_job(cloud, container, STOP_SECONDS="1")
    (slot,) = container.slots()
    os.kill(slot, DRAIN)
    wait_for(lambda: slot not in container.processes(), "the slot to end")
    succeeded(cloud, 1)
    assert counted(cloud).keys() == truth("A01").keys()
    assert cloud.empty()


def test_sigterm_at_the_last_attempt_costs_no_job(cloud: Cloud, container: Container) -> None:
    start_a_job(cloud, container, 600, JOB_RETRIES="1", STOP_SECONDS=SHORT)
    assert container.stop() == 0
    wait_for(lambda: visible(cloud), "the message to be returned")
    shorten(cloud)
    run_all(cloud, container, JOB_RETRIES="1")
    succeeded(cloud, 1)
    assert cloud.dead_letters() == []


def test_sigkill_of_the_main_process_leaves_no_process(cloud: Cloud, container: Container) -> None:
    start_a_job(cloud, container, 600, DOCKER_CORES="2")
    container.kill(signal.SIGKILL)
    wait_for(lambda: not container.processes(), "slots and CellProfiler to end")
    wait_for(lambda: visible(cloud), "the message to be returned")
    shorten(cloud)
    run_all(cloud, container)
    succeeded(cloud, 1)


def test_a_killed_slot_is_replaced_and_its_job_done(cloud: Cloud, container: Container) -> None:
    start_a_job(cloud, container)
    (slot,) = container.slots()
    cellprofilers = container.cellprofilers()
    shorten(cloud)
    os.kill(slot, signal.SIGKILL)
    wait_for(lambda: not set(cellprofilers) & set(container.processes()), "CellProfiler to end")
    wait_for(lambda: cloud.records("succeeded"), "the job to be done by the next slot")
    assert container.slots() != [slot]
    succeeded(cloud, 2)


@both
def test_a_killed_cellprofiler_costs_one_attempt_and_no_slot(
    cloud: Cloud, container: Container, warm: str
) -> None:
    start_a_job(cloud, container, WARM=warm)
    slots = container.slots()
    shorten(cloud)
    for pid in container.cellprofilers():
        os.kill(pid, signal.SIGKILL)
    wait_for(cloud.empty, "the job to be done")
    assert attempts(container) == ["returned killed", "succeeded"]
    assert container.slots() == slots


@both
def test_a_worker_that_lost_its_lease_neither_uploads_nor_deletes(
    cloud: Cloud, container: Container, warm: str
) -> None:
    start_a_job(cloud, container, 600, SQS_MESSAGE_VISIBILITY="12", WARM=warm)
    cloud.sqs.purge_queue(QueueUrl=cloud.queue_url)
    wait_for(container.lines, "the attempt to end")
    assert attempts(container) == ["returned lease_lost"]
    wait_for(lambda: not container.computing(), "CellProfiler to end")
    assert (cloud.records(), cloud.keys(PREFIX)) == ([], [])


def test_jobs_after_a_killed_cellprofiler_are_right(cloud: Cloud, container: Container) -> None:
    start_a_job(cloud, container)
    shorten(cloud)
    for pid in container.cellprofilers():
        os.kill(pid, signal.SIGKILL)
    cloud.send(job_message(output="next"))
    wait_for(cloud.empty, "both jobs to be done")
    assert counted(cloud, "next/P1-A01/") == truth("A01")
