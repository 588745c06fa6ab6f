"""A slot's three threads with an emulated queue and bucket, and a CellProfiler that waits."""

from __future__ import annotations

import json
import math
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from dcp_worker.cellprofiler.command_line import CellProfilerCall, CellProfilerEnd
from dcp_worker.common.aws_clients import Clients
from dcp_worker.common.settings import Settings
from dcp_worker.diagnosis.reasons import REASONS
from dcp_worker.inputs import job_inputs
from dcp_worker.inputs.sources import Sources
from dcp_worker.jobs.queue import Queue
from dcp_worker.outputs import upload
from dcp_worker.slot import held_message, prefetch
from dcp_worker.slot.context import SlotContext
from dcp_worker.slot.slot import EXIT_UNFIT, HeldReceipts, Slot
from waiting import wait_for

from cloud import REGION, Cloud, job_message
from contract import SHARED

WELLS = ["A01", "A02", "A03", "A04", "A05", "A06"]
CSV = "Metadata_Plate,Metadata_Well\n" + "".join(f"P1,{well}\n" for well in WELLS)
PLATE = {"wells.csv": CSV.encode(), "any.cppipe": b"CellProfiler Pipeline\n"}


@dataclass
class StandIn:
    """Starts jobs, and finishes each once its well is in `may_end`; writes one file."""

    begun: list[str] = field(default_factory=list)
    may_end: set[str] = field(default_factory=set)
    log: Sequence[str] = ()
    interruptible: bool = True
    fault: str = ""

    def run(
        self, call: CellProfilerCall, temporary: Path, timeout: float, check: Any, line: Any
    ) -> CellProfilerEnd:
        well = call.group[-3:]
        self.begun.append(well)
        started = time.monotonic()
        while well not in self.may_end:
            if self.interruptible:
                check()
            time.sleep(0.01)
        if well == self.fault:
            raise RuntimeError("a fault of the worker")
        if not self.log:
            (call.output_folder / "Image.csv").write_text(well)
            call.done_file.write_text("Complete\n")
        return CellProfilerEnd(
            exit_status=1 if self.log else 0,
            signal=None,
            timed_out=False,
            seconds=time.monotonic() - started,
            peak_memory_mb=1.0,
            log=self.log,
        )


@dataclass
class Stage:
    """A slot that runs on a thread of the test."""

    cloud: Cloud
    context: SlotContext
    engine: StandIn
    supervisor: socket.socket
    thread: threading.Thread = field(init=False)
    status: list[int | None] = field(default_factory=list)

    def start(self) -> None:
        ours, theirs = socket.socketpair()
        self.supervisor = ours
        slot = Slot(self.context, HeldReceipts(theirs))
        self.thread = threading.Thread(target=self._run, args=(slot,), daemon=True)
        self.thread.start()

    def _run(self, slot: Slot) -> None:
        try:
            self.status.append(slot.run())
        except RuntimeError:
            self.status.append(None)

    def send(self, *wells: str) -> None:
        for well in wells:
            self.cloud.send(
                job_message(
                    Metadata=f"Metadata_Plate=P1,Metadata_Well={well}",
                    data_file="wells.csv",
                    pipeline="any.cppipe",
                    output="out",
                )
            )

    def begun(self, *wells: str) -> None:
        wait_for(lambda: self.engine.begun == list(wells), f"{wells} to start")

    def held(self, number: int) -> None:
        wait_for(lambda: self.cloud.counts()["in flight"] == number, f"{number} to be held")

    def receipts(self) -> list[str]:
        """The receipts that the slot next reports to its supervisor."""
        self.supervisor.settimeout(600)
        reported: list[str] = json.loads(self.supervisor.recv(1 << 16).splitlines()[-1])
        return reported

    def lose_the_lease(self) -> None:
        """Start the slot on a job, and delete its message once it computes."""
        self.send(WELLS[0])
        self.start()
        self.begun(WELLS[0])
        (receipt,) = self.receipts()
        self.cloud.sqs.delete_message(QueueUrl=self.cloud.queue_url, ReceiptHandle=receipt)

    def ended(self) -> int | None:
        """The exit status; None if the slot failed."""
        self.thread.join(600)
        assert not self.thread.is_alive()
        return self.status[0]

    def succeeded(self) -> list[str]:
        return sorted(record["Metadata"][-3:] for record in self.cloud.records("succeeded"))


@pytest.fixture
def stage(cloud: Cloud, tmp_path: Path) -> Iterator[Stage]:
    cloud.put(PLATE)
    yield from _stage(cloud, tmp_path)


def _stage(cloud: Cloud, folder: Path, **changes: str) -> Iterator[Stage]:
    settings = Settings.from_environment(cloud.environment(**changes))
    clients = Clients.of(REGION)
    engine = StandIn()
    context = SlotContext(
        settings=settings,
        clients=clients,
        queue=Queue(clients.sqs, cloud.queue_url, cloud.dead_letter_url),
        sources=Sources.of(settings, clients, folder / "cache", False),
        engine=engine,  # type: ignore[arg-type]  # the part of an Engine that a slot uses
        folder=folder / "slot0",
        plugins=None,
        instance_id="",
    )
    stage = Stage(cloud, context, engine, socket.socket())
    yield stage
    engine.may_end.update(WELLS)
    context.stop.order(0)
    stage.thread.join(600)


def test_a_dead_letter_names_its_run_and_reason(stage: Stage) -> None:
    stage.cloud.send(json.dumps({"job_id": "0" * 32}))
    stage.start()
    (letter,) = wait_for(stage.cloud.dead_letters, "the message to be rejected")
    attributes = letter["MessageAttributes"]
    assert sorted(attributes) == SHARED["dead_letter_attributes"]
    assert attributes["dcp_app"]["StringValue"] == stage.cloud.name
    assert attributes["reason"]["StringValue"] == "bad_message"


def test_a_record_has_what_happened_and_the_log_also_the_remedy(stage: Stage) -> None:
    stage.engine.log = ["The DNA image is missing from the pipeline."]
    stage.engine.may_end.update(WELLS)
    stage.send(WELLS[0])
    stage.start()
    (record,) = wait_for(lambda: stage.cloud.records("failed"), "the job to fail")
    remedy = REASONS[record["reason"]].remedy
    assert record["reason"] == "channel_missing"
    assert remedy not in record["reason_text"]

    def log() -> list[str]:
        return stage.cloud.log_lines(record["log_stream"])

    wait_for(lambda: any(remedy in line for line in log()), "the remedy in the job's log")


def test_the_next_job_is_prefetched_while_one_computes(stage: Stage) -> None:
    stage.send(*WELLS[:4])
    stage.start()
    stage.held(2)
    assert len(stage.engine.begun) == 1
    stage.engine.may_end.update(WELLS)
    wait_for(stage.cloud.empty, "all to be done")
    assert stage.succeeded() == WELLS[:4]


def test_near_the_end_of_the_queue_no_job_is_prefetched(stage: Stage) -> None:
    stage.send(*WELLS[:2])
    stage.start()
    wait_for(lambda: stage.engine.begun, "the first job to start")
    # The other job stays for an idle slot, here on another machine.
    idle = stage.context.queue.receive(60)
    assert idle is not None
    assert stage.cloud.counts() == {"visible": 0, "in flight": 2}


def test_a_prefetched_job_is_returned_when_the_queue_runs_out(stage: Stage) -> None:
    stage.send(*WELLS[:4])
    stage.start()
    stage.held(2)
    others = [stage.context.queue.receive(60) for _ in range(2)]
    assert all(others)
    returned = wait_for(lambda: stage.context.queue.receive(60), "the held message to be returned")
    assert (returned.attempt, returned.fresh) == (1, True)
    assert len(stage.engine.begun) == 1


def test_outputs_are_published_while_the_next_job_computes(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = threading.Event()
    publish = held_message.HeldMessage.publish

    def wait_for_gate(held: held_message.HeldMessage) -> None:
        gate.wait(600)
        publish(held)

    monkeypatch.setattr(held_message.HeldMessage, "publish", wait_for_gate)
    stage.send(*WELLS[:3])
    stage.start()
    stage.engine.may_end.update(WELLS)
    wait_for(lambda: len(stage.engine.begun) >= 2, "the second job to start")
    assert stage.succeeded() == []
    gate.set()
    wait_for(stage.cloud.empty, "all to be done")
    assert stage.succeeded() == WELLS[:3]


def test_a_stopping_slot_finishes_jobs_in_time_and_returns_the_rest(stage: Stage) -> None:
    stage.send(*WELLS[:4])
    stage.start()
    stage.held(2)
    stage.context.stop.order(60)
    wait_for(lambda: stage.cloud.counts()["in flight"] == 1, "the held message to be returned")
    stage.engine.may_end.update(WELLS)
    assert stage.ended() == 0
    assert len(stage.succeeded()) == 1
    # Only after the polls of the container's other slots have ended.
    wait_for(lambda: stage.cloud.counts()["visible"] == 3, "the held message to be visible")
    messages = [stage.context.queue.receive(60) for _ in range(3)]
    assert [message.attempt for message in messages if message is not None] == [1, 1, 1]


def test_a_draining_slot_finishes_its_job_however_long_and_returns_the_rest(
    stage: Stage,
) -> None:
    stage.context.job_times.computing.append(36_000.0)
    stage.context.job_times.computing.append(1.0)
    stage.send(*WELLS[:4])
    stage.start()
    stage.held(2)
    (begun,) = stage.engine.begun
    stage.context.stop.drain()
    wait_for(
        lambda: stage.cloud.counts() == {"visible": 3, "in flight": 1}, "the held one to return"
    )
    # An order to stop would have interrupted the job by now, or would at its next check.
    assert stage.context.stop.left(0.1) == math.inf
    assert stage.thread.is_alive()
    stage.engine.may_end.update(WELLS)
    assert stage.ended() == 0
    assert stage.succeeded() == [begun]
    assert stage.cloud.text(f"out/P1-{begun}/Image.csv") == begun
    messages = [stage.context.queue.receive(60) for _ in range(3)]
    assert [message.attempt for message in messages if message is not None] == [1, 1, 1]


def test_a_draining_slot_that_is_stopped_returns_its_job(stage: Stage) -> None:
    stage.send(WELLS[0])
    stage.start()
    stage.begun(WELLS[0])
    stage.context.stop.drain()
    stage.context.stop.order(1)
    assert stage.ended() == 0
    assert stage.succeeded() == []
    assert wait_for(lambda: stage.context.queue.receive(60), "the message to come back")


def test_a_job_that_is_being_fetched_when_the_slot_stops_was_no_attempt(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = job_inputs.fetch
    fetching = threading.Event()

    def slow(*arguments: Any) -> Any:
        fetching.set()
        wait_for(lambda: stage.context.stop.ordered, "the order to stop")
        return fetch(*arguments)

    monkeypatch.setattr(job_inputs, "fetch", slow)
    stage.send(WELLS[0])
    stage.start()
    assert fetching.wait(600)
    stage.context.stop.order(60)
    assert stage.ended() == 0
    message = wait_for(lambda: stage.context.queue.receive(60), "the message to come back")
    assert message.attempt == 1


def test_a_stopping_slot_returns_a_long_job_at_once(stage: Stage) -> None:
    stage.context.job_times.computing.append(1000.0)
    stage.send(WELLS[0])
    stage.start()
    stage.begun(WELLS[0])
    stage.context.stop.order(60)
    assert stage.ended() == 0
    assert stage.context.stop.left(1) > 30
    assert wait_for(lambda: stage.context.queue.receive(60), "the message to come back")


def test_a_stopping_slot_returns_an_unfinished_job(stage: Stage) -> None:
    stage.send(WELLS[0])
    stage.start()
    stage.begun(WELLS[0])
    stage.context.stop.order(1)
    assert stage.ended() == 0
    assert stage.succeeded() == []
    assert wait_for(lambda: stage.context.queue.receive(60), "the message to come back")


def test_a_lost_lease_neither_uploads_nor_deletes(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put(PLATE)
    running = _stage(cloud, tmp_path, SQS_MESSAGE_VISIBILITY="3")
    stage = next(running)
    stage.lose_the_lease()
    assert stage.receipts() == []
    assert cloud.keys("out") == []
    assert cloud.records() == []
    next(running, None)


def test_a_job_is_not_held_for_long(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prefetch, "_HELD_SECONDS", 0.0)
    opened = []
    rounds = []
    may_receive, opens = prefetch.Prefetcher._may_receive, held_message.HeldMessage.open

    def counted(self: prefetch.Prefetcher) -> bool:
        rounds.append(opened[:])
        return may_receive(self)

    def noted(held: held_message.HeldMessage) -> bool:
        opened.append(held.received.attempt)
        return opens(held)

    monkeypatch.setattr(prefetch.Prefetcher, "_may_receive", counted)
    monkeypatch.setattr(held_message.HeldMessage, "open", noted)
    stage.send(*WELLS[:4])
    stage.start()
    # The slot holds the second job, returns it, and takes no other while the first one computes.
    wait_for(lambda: rounds.count([1, 1]) > 5, "some rounds without another message")
    assert stage.cloud.counts() == {"visible": 3, "in flight": 1}
    stage.engine.may_end.update(WELLS)
    wait_for(stage.cloud.empty, "all to be done")
    assert stage.succeeded() == WELLS[:4]
    assert set(opened) == {1}


def test_a_job_that_failed_without_its_lease_is_another_workers(
    cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.put(PLATE)
    running = _stage(cloud, tmp_path, SQS_MESSAGE_VISIBILITY="3", JOB_RETRIES="1")
    stage = next(running)
    stage.engine.interruptible = False
    stage.engine.log = ["Killed"]
    stage.lose_the_lease()
    wait_for(lambda: "Lost the lease" in caplog.text, "the loss to be noticed")
    stage.engine.may_end.update(WELLS)
    assert stage.receipts() == []
    assert cloud.records() == []
    assert cloud.dead_letters() == []
    next(running, None)


def test_what_has_waited_without_its_lease_is_not_uploaded(
    cloud: Cloud, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.put(PLATE)
    running = _stage(cloud, tmp_path, SQS_MESSAGE_VISIBILITY="3")
    stage = next(running)
    publish = held_message.HeldMessage.publish
    uploads = []

    def late(held: held_message.HeldMessage) -> None:
        wait_for(lambda: "Lost the lease" in caplog.text, "the loss to be noticed")
        publish(held)

    monkeypatch.setattr(held_message.HeldMessage, "publish", late)
    monkeypatch.setattr(upload, "publish", lambda *_: uploads.append("begun"))
    stage.engine.may_end.update(WELLS)
    stage.lose_the_lease()
    assert stage.receipts() == []
    assert uploads == []
    next(running, None)


def test_a_fault_of_the_worker_costs_no_other_job_an_attempt(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish = held_message.HeldMessage.publish

    def late(held: held_message.HeldMessage) -> None:
        wait_for(lambda: stage.context.stop.ordered, "the slot to fail")
        publish(held)

    monkeypatch.setattr(held_message.HeldMessage, "publish", late)
    stage.send(*WELLS[:5])
    stage.start()
    stage.held(2)
    (first,) = stage.engine.begun
    stage.engine.may_end.add(first)
    wait_for(lambda: len(stage.engine.begun) == 2, "the second job to start")
    stage.held(3)
    stage.engine.fault = stage.engine.begun[1]
    stage.engine.may_end.add(stage.engine.fault)
    assert stage.ended() is None
    # The first job is published, the second failed, the third is returned.
    assert stage.succeeded() == [first]
    assert stage.receipts() == []
    wait_for(lambda: stage.cloud.counts() == {"visible": 4, "in flight": 0}, "the rest to return")
    messages = [stage.context.queue.receive(60) for _ in range(4)]
    again = [message for message in messages if message is not None and message.attempt == 2]
    assert [json.loads(message.body)["Metadata"][-3:] for message in again] == [stage.engine.fault]


def test_a_fault_of_publishing_costs_the_next_job_nothing(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = upload.publish

    def once(*arguments: Any) -> Any:
        monkeypatch.setattr(upload, "publish", original)
        raise RuntimeError("a fault of the worker")

    monkeypatch.setattr(upload, "publish", once)
    stage.send(*WELLS[:3])
    stage.start()
    wait_for(lambda: stage.engine.begun, "the first job to start")
    stage.engine.may_end.update(WELLS)
    assert stage.ended() is None
    assert stage.succeeded() == stage.engine.begun[1:2]


def test_a_full_disk_takes_the_slot_out_of_service(stage: Stage) -> None:
    stage.engine.log = ["OSError: [Errno 28] No space left on device"]
    stage.engine.may_end.update(WELLS)
    stage.send(*WELLS[:5])
    stage.start()
    assert stage.ended() == EXIT_UNFIT
    assert stage.cloud.records() == []
    assert len(stage.engine.begun) == 1
    assert not any(stage.context.folder.iterdir())


def test_a_job_with_a_success_record_is_not_computed(stage: Stage) -> None:
    stage.engine.may_end.update(WELLS)
    stage.send(WELLS[0])
    stage.start()
    wait_for(stage.cloud.empty, "it to be done")
    stage.send(WELLS[0])
    wait_for(stage.cloud.empty, "its second delivery to be deleted")
    assert stage.engine.begun == [WELLS[0]]


def test_an_earlier_run_with_the_same_inputs_is_skipped(cloud: Cloud, tmp_path: Path) -> None:
    cloud.put(PLATE)
    runs = {}
    for run, exact in (("first", "False"), ("again", "True"), ("anew", "False")):
        changes = {"RUN_ID": run, "CHECK_IF_DONE_EXACT": exact}
        running = _stage(cloud, tmp_path / run, **changes)
        stage = next(running)
        stage.engine.may_end.update(WELLS)
        stage.send(WELLS[0])
        stage.start()
        wait_for(cloud.empty, "the run to be done")
        runs[run] = stage.engine.begun
        next(running, None)
    assert runs == {"first": [WELLS[0]], "again": [], "anew": [WELLS[0]]}


def test_the_local_files_are_gone(stage: Stage) -> None:
    stage.engine.may_end.update(WELLS)
    stage.send(*WELLS)
    stage.send("Z99")  # the CSV has no such row
    stage.start()
    wait_for(stage.cloud.empty, "all to be done")
    assert not any(os.scandir(stage.context.folder))
