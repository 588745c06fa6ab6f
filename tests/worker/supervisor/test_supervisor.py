"""The container's main process, with slots controlled by the test."""

from __future__ import annotations

import json
import stat
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from dcp_worker.common.settings import Settings
from dcp_worker.jobs import drain_order
from dcp_worker.jobs.drain_order import DrainOrder
from dcp_worker.machine.scale_in_protection import ScaleInProtection
from dcp_worker.slot.slot import EXIT_UNFIT
from dcp_worker.supervisor import slot_process, supervisor
from dcp_worker.supervisor.slot_process import backoff
from dcp_worker.supervisor.supervisor import Supervisor
from hypothesis import given
from hypothesis import strategies as st
from waiting import wait_for

from cloud import RUN, Cloud

SLOT = """\
#!{python}
# A slot: records its start, reports the receipts that it holds, then obeys the file `do`.
import json, os, signal, socket, sys, time
open("started", "a").write("x")
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
supervisor = socket.socket(fileno=0)
finishing = []
signal.signal(signal.SIGUSR1, lambda *_: finishing.append(True))
supervisor.sendall(open("receipts").read().encode() + b"\\n")
while True:
    do = open("do").read()
    if finishing and do == "end":
        supervisor.sendall(b"[]\\n")
        sys.exit(0)
    if do.isdigit():
        sys.exit(int(do))
    time.sleep(0.02)
"""


class Rounds(ScaleInProtection):
    """Counts the supervisor's rounds."""

    number = 0
    wanted = False

    def set(self, wanted: bool) -> None:
        self.number += 1
        self.wanted = wanted


@dataclass
class Stage:
    """A supervisor that runs on a thread of the test."""

    cloud: Cloud
    folder: Path
    supervisor: Supervisor = field(init=False)
    thread: threading.Thread = field(init=False)
    calls: list[str] = field(default_factory=list)
    rounds: Rounds = field(default_factory=lambda: Rounds({}))
    aws_answers: threading.Event = field(default_factory=threading.Event)

    def __post_init__(self) -> None:
        self.aws_answers.set()

    def call(self, what: str) -> None:
        self.calls.append(what)
        self.aws_answers.wait(600)

    def start(self, receipts: list[str], do: str = "wait", **changes: str) -> None:
        (self.folder / "receipts").write_text(json.dumps(receipts))
        self.do(do)
        settings = Settings.from_environment(self.cloud.environment(**changes))
        self.supervisor = Supervisor(
            settings,
            self.cloud.sqs,
            self.rounds,
            DrainOrder(self.cloud.s3, settings),
            None,
            "",
            lambda: self.call("end"),
            lambda: self.call("replace"),
        )
        self.thread = threading.Thread(target=self.supervisor.run, daemon=True)
        self.thread.start()

    @property
    def working(self) -> bool:
        return any(slot.alive for slot in self.supervisor._slots)

    def do(self, what: str) -> None:
        (self.folder / "do").write_text(what)

    @property
    def starts(self) -> int:
        started = self.folder / "started"
        return len(started.read_text()) if started.exists() else 0

    def stop(self) -> None:
        self.supervisor.stop(15, None)
        self.thread.join(600)
        assert not self.thread.is_alive()


@pytest.fixture
def stage(cloud: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stage]:
    program = tmp_path / "slot"
    program.write_text(SLOT.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr("dcp_worker.supervisor.slot_process.sys.executable", str(program))
    monkeypatch.chdir(tmp_path)
    stage = Stage(cloud, tmp_path)
    yield stage
    stage.stop()


@given(st.integers(1, 10_000))
def test_a_slot_that_keeps_dying_is_replaced_ever_more_slowly(failures: int) -> None:
    assert 1 <= backoff(failures) <= backoff(failures + 1) <= 60


def test_all_messages_of_a_slot_that_dies_are_returned(stage: Stage) -> None:
    stage.cloud.send("one")
    stage.cloud.send("two")
    receipts = [
        message["ReceiptHandle"]
        for _ in range(2)
        for message in stage.cloud.sqs.receive_message(QueueUrl=stage.cloud.queue_url)["Messages"]
    ]
    stage.start(receipts)
    wait_for(lambda: stage.starts, "the slot to start")
    stage.do("1")
    wait_for(lambda: stage.cloud.counts()["visible"] == 2, "both to be returned")
    stage.do("wait")
    wait_for(lambda: stage.starts == 2, "the slot to be replaced")


def test_after_a_notice_the_slots_exit_and_the_container_stays(stage: Stage) -> None:
    stage.start([], DOCKER_CORES="2")
    wait_for(lambda: stage.starts == 2, "the slots to start")
    stage.supervisor.retire("The machine is taken away.")
    wait_for(lambda: not stage.working, "the slots to end")
    assert stage.thread.is_alive()
    stage.stop()
    assert stage.starts == 2


@pytest.mark.parametrize("notice", [True, False])
def test_slots_are_signalled_while_aws_does_not_answer(stage: Stage, notice: bool) -> None:
    stage.aws_answers.clear()
    stage.start([], IDLE_SECONDS="1")
    wait_for(lambda: stage.calls, "the machine to be terminated")
    if notice:
        stage.supervisor.retire("The machine is taken away.")
    else:
        stage.supervisor.stop(15, None)
    wait_for(lambda: not stage.working, "the slots to end")
    assert stage.calls == ["end"]
    stage.aws_answers.set()
    stage.stop()
    assert stage.starts == 1


def test_a_slot_that_cannot_be_started_is_started_later(stage: Stage) -> None:
    program = stage.folder / "slot"
    program.rename(stage.folder / "away")
    stage.start([])
    wait_for(lambda: stage.supervisor._slots[0].failures, "the start to fail")
    (stage.folder / "away").rename(program)
    wait_for(lambda: stage.starts == 1, "the slot to start")


def test_a_slot_that_always_dies_is_no_longer_replaced(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_process, "backoff", lambda failures: 0.0)
    stage.start([], "1")
    wait_for(lambda: stage.calls == ["replace"], "the machine to be replaced")
    assert 1 < stage.starts < 20


def test_a_refused_replacement_is_retried(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervisor, "_REPLACE_SECONDS", 0.0)
    stage.start([], str(EXIT_UNFIT))
    wait_for(lambda: stage.calls[:2] == ["replace"] * 2, "two attempts")


def test_a_machine_without_a_fit_slot_is_replaced(stage: Stage) -> None:
    stage.start([], str(EXIT_UNFIT), DOCKER_CORES="2")
    wait_for(lambda: stage.calls, "the machine to be replaced")
    stage.stop()
    assert stage.calls == ["replace"]
    assert stage.starts == 2


def test_a_machine_terminates_itself_when_the_queue_is_done(stage: Stage) -> None:
    stage.start([], IDLE_SECONDS="1")
    wait_for(lambda: stage.calls, "the machine to be terminated")
    assert set(stage.calls) == {"end"}
    assert stage.thread.is_alive()


@pytest.mark.parametrize("held", [True, False])
def test_a_machine_stays_while_a_job_runs(stage: Stage, held: bool) -> None:
    if not held:
        stage.cloud.send("a job that nobody has yet")
    stage.start(["a receipt"] if held else [], IDLE_SECONDS="1")
    # Without a job it ends within half as many rounds: see the test above.
    wait_for(lambda: stage.rounds.number > 10, "the rounds of the supervisor")
    assert stage.calls == []


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """A supervisor that polls for the drain order all the time."""
    monkeypatch.setattr(drain_order, "POLL_SECONDS", 0.0)


def order_drain(stage: Stage) -> None:
    stage.cloud.put({drain_order.key(stage.cloud.name, RUN): b"{}"})


def test_a_draining_run_finishes_its_jobs_and_starts_none(stage: Stage, hasty: None) -> None:
    stage.start(["a receipt"], DOCKER_CORES="2")
    wait_for(lambda: stage.rounds.wanted, "the container to be protected")
    order_drain(stage)
    wait_for(lambda: stage.supervisor._draining, "the order to take effect")
    # Both keep running: a job has all the time that it needs.
    wait_for_rounds(stage)
    assert all(slot.alive for slot in stage.supervisor._slots)
    assert stage.rounds.wanted
    stage.do("end")
    wait_for(lambda: not stage.working, "the slots to end")
    wait_for(lambda: not stage.rounds.wanted, "the protection to be dropped")
    assert stage.thread.is_alive()
    assert stage.starts == 2
    assert stage.calls == []


def wait_for_rounds(stage: Stage, number: int = 3) -> None:
    last = stage.rounds.number + number
    wait_for(lambda: stage.rounds.number > last, "rounds of the supervisor")


def test_a_slot_that_dies_while_the_run_drains_is_not_replaced(
    stage: Stage, hasty: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(slot_process, "backoff", lambda failures: 0.0)
    stage.cloud.send("one")
    received = stage.cloud.sqs.receive_message(QueueUrl=stage.cloud.queue_url)
    order_drain(stage)
    stage.start([message["ReceiptHandle"] for message in received["Messages"]])
    wait_for(lambda: stage.supervisor._draining, "the order to take effect")
    stage.do(str(EXIT_UNFIT))
    wait_for(lambda: stage.cloud.counts()["visible"] == 1, "its message to be returned")
    wait_for_rounds(stage)
    assert stage.starts == 1
    # Nor is the machine replaced.
    assert stage.calls == []


def test_a_drained_machine_terminates_itself_though_messages_wait(
    stage: Stage, hasty: None
) -> None:
    stage.cloud.send("a job that waits for the run to be continued")
    order_drain(stage)
    stage.start(["a receipt"], "end", IDLE_SECONDS="1")
    wait_for(lambda: stage.calls, "the machine to be terminated")
    assert set(stage.calls) == {"end"}
    assert stage.thread.is_alive()


def test_a_drained_machine_leaves_others_their_jobs(stage: Stage, hasty: None) -> None:
    stage.cloud.send("a job that runs on another machine")
    received = stage.cloud.sqs.receive_message(QueueUrl=stage.cloud.queue_url)
    order_drain(stage)
    stage.start(["a receipt"], "end", IDLE_SECONDS="1")
    wait_for(lambda: stage.supervisor._draining and not stage.working, "the slots to end")
    # Alone it ends within half as many rounds: see the test above.
    wait_for_rounds(stage, 10)
    assert stage.calls == []
    (message,) = received["Messages"]
    stage.cloud.sqs.delete_message(
        QueueUrl=stage.cloud.queue_url, ReceiptHandle=message["ReceiptHandle"]
    )
    wait_for(lambda: stage.calls, "the machine to be terminated")


def test_a_continued_run_uses_the_existing_containers(stage: Stage, hasty: None) -> None:
    order_drain(stage)
    stage.start(["a receipt"], "end")
    wait_for(lambda: stage.supervisor._draining and not stage.working, "the slot to end")
    stage.do("wait")
    stage.cloud.s3.delete_object(
        Bucket=stage.cloud.bucket, Key=drain_order.key(stage.cloud.name, RUN)
    )
    wait_for(lambda: stage.starts == 2, "the slot to be restarted")
    wait_for_rounds(stage)
    assert stage.working


def test_without_a_job_no_poll_for_the_drain_order(stage: Stage, hasty: None) -> None:
    order_drain(stage)
    stage.start([])
    wait_for_rounds(stage)
    assert stage.working
    assert not stage.supervisor._draining
