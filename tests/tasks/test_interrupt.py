"""Ctrl-C and SIGTERM: whatever drops the exception, the signal counts."""

import asyncio
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import pytest
from prefect.utilities.engine import capture_sigterm
from pydantic import BaseModel, model_serializer

from tasks import interrupt

SIGNALS = [signal.SIGINT, signal.SIGTERM]
LONG = 60  # seconds; a signal ends the sleep


class Client:
    """What runs something when it is deleted."""


class Transport:
    def __del__(self) -> None:
        signal.raise_signal(signal.SIGINT)


def dropped_by_a_callback(number: int) -> None:
    """As urllib3's, when a boto3 client is deleted."""
    client = Client()
    weakref.finalize(client, signal.raise_signal, number)
    del client


def dropped_by_a_finalizer(_: int) -> None:
    """As asyncio's transports, when they are collected."""
    Transport()


def dropped_by_code(number: int) -> None:
    """As Prefect's engine does after the last state of a flow run."""
    try:
        signal.raise_signal(number)
    except BaseException:  # noqa: BLE001 (this is what is tested)
        return


@pytest.mark.parametrize("number", SIGNALS)
@pytest.mark.parametrize("drop", [dropped_by_a_callback, dropped_by_a_finalizer, dropped_by_code])
def test_what_is_dropped_is_raised_by_the_next_wait(
    drop: Callable[[int], None], number: int
) -> None:
    with interrupt.listening(), pytest.raises(KeyboardInterrupt):  # noqa: PT012 (sent again any time)
        drop(number)
        interrupt.sleep(LONG)


def test_what_a_finalizer_drops_is_raised_where_nothing_waits() -> None:
    with interrupt.listening(), pytest.raises(KeyboardInterrupt):  # noqa: PT012 (sent again any time)
        dropped_by_a_callback(signal.SIGINT)
        time.sleep(LONG)


def test_sigterm_that_is_dropped_in_a_flow_run_counts() -> None:
    with interrupt.listening(), pytest.raises(KeyboardInterrupt), capture_sigterm():  # noqa: PT012
        dropped_by_a_callback(signal.SIGTERM)
        time.sleep(LONG)


@pytest.mark.parametrize("error", [asyncio.CancelledError, GeneratorExit, SystemExit, KeyError])
def test_what_else_a_finalizer_drops_is_no_signal(
    error: type[BaseException], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a coroutine that is closed by the garbage collector may."""

    def fail() -> None:
        raise error

    shown: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", shown.append)
    with interrupt.listening():
        client = Client()
        weakref.finalize(client, fail)
        del client
        interrupt.sleep(3 * interrupt.AGAIN_SECONDS)
    assert len(shown) == 1


class Block(BaseModel):
    @model_serializer
    def serialize(self) -> dict[str, Any]:
        signal.raise_signal(signal.SIGINT)
        return {}


def test_what_pydantic_makes_of_it_is_an_interruption() -> None:
    with pytest.raises(KeyboardInterrupt), interrupt.listening():
        Block().model_dump()
    with interrupt.listening(), pytest.raises(KeyboardInterrupt), interrupt.allowed():
        Block().model_dump()


def test_an_error_that_no_signal_has_caused_stays_what_it_is() -> None:
    with pytest.raises(ZeroDivisionError), interrupt.listening(), interrupt.allowed():
        _ = 1 / 0


def test_other_errors_of_finalizers_are_reported_as_ever(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reported: list[Any] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda error: reported.append(error.exc_type))
    with interrupt.listening():
        client = Client()
        weakref.finalize(client, lambda: 1 / 0)
        del client
        interrupt.check()
    assert reported == [ZeroDivisionError]


@pytest.mark.parametrize("number", SIGNALS)
def test_nothing_that_is_held_is_broken_off(number: int) -> None:
    done = []
    with interrupt.listening(), pytest.raises(KeyboardInterrupt), interrupt.held():  # noqa: PT012 (raised at its end)
        signal.raise_signal(number)
        done.append("after a signal")
        with pytest.raises(KeyboardInterrupt):
            interrupt.check()
        signal.raise_signal(number)
        done.append("after another")
    assert done == ["after a signal", "after another"]


def test_a_part_of_what_is_held_can_be_broken_off() -> None:
    with interrupt.listening(), interrupt.held():
        with pytest.raises(KeyboardInterrupt), interrupt.allowed():
            signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt), interrupt.allowed():
            pytest.fail("it is broken off already")


def test_what_is_dropped_in_a_part_is_raised_at_its_end() -> None:
    with (
        interrupt.listening(),
        interrupt.held(),
        pytest.raises(KeyboardInterrupt),
        interrupt.allowed(),
    ):
        dropped_by_code(signal.SIGINT)


def test_held_puts_off_what_others_do_on_a_signal() -> None:
    """As in a flow run that Prefect's worker has started, where nobody listens."""
    called: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: called.append(number))
    try:
        with interrupt.held():
            signal.raise_signal(signal.SIGTERM)
            assert not called
        assert called == [signal.SIGTERM]
        interrupt.check()
    finally:
        signal.signal(signal.SIGTERM, before)


def test_all_is_as_before_after_listening() -> None:
    before = [signal.getsignal(number) for number in SIGNALS], sys.unraisablehook
    with interrupt.listening():
        dropped_by_code(signal.SIGINT)
    interrupt.check()
    assert ([signal.getsignal(number) for number in SIGNALS], sys.unraisablehook) == before


@pytest.mark.parametrize("number", SIGNALS)
def test_a_signal_ends_a_process_that_exits(number: int) -> None:
    """Where Python would drop it: while it waits for threads, and in functions of `atexit`."""
    code = f"""
import signal
from tasks import interrupt
with interrupt.listening(last=True):
    pass
signal.raise_signal({number})
"""
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -number
