"""Ctrl-C and SIGTERM: no signal is lost, and none interrupts a clean-up.

Python raises KeyboardInterrupt wherever the main thread happens to be. During a garbage collection
that is often a finalizer: `__del__` of an object or the callback of a weak reference. Python prints
such an exception ("Exception ignored in") and drops it. Prefect's engine drops an interrupt after
the last state of a flow run, and pydantic turns one in a serializer into its own error. Therefore
`listening` resends interrupts that Python dropped, and records all signals; `check` and `sleep`
raise those that were dropped elsewhere.
"""

import os
import signal
import sys
import threading
import time
from _thread import start_new_thread
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sys import UnraisableHookArgs

Handler = Callable[[int, FrameType | None], None]

SIGNALS = (signal.SIGINT, signal.SIGTERM)
OF_SIGNALS = ("KeyboardInterrupt", "TerminationSignal")  # the second is Prefect's, for SIGTERM
AGAIN_SECONDS = 0.05  # until a dropped signal is resent; a finalizer takes less

_came: bool | None = None  # whether a signal was received; None outside of `listening`
_dropped = False  # whether Python dropped one that has not been raised since


@contextmanager
def listening(last: bool = False) -> Iterator[None]:
    """Raise KeyboardInterrupt for every Ctrl-C and SIGTERM during the `with` block.

    This also works in a process that was started with Ctrl-C ignored, such as a background script.

    Args:
        last: Whether the process exits after the block; from then on, a signal ends it at once.
    """
    global _came, _dropped
    hook = sys.unraisablehook

    def send_again(dropped: "UnraisableHookArgs") -> None:
        global _dropped
        # By name, to avoid importing Prefect.
        if not any(kind.__name__ in OF_SIGNALS for kind in dropped.exc_type.__mro__):
            hook(dropped)
        else:
            _record()
            _dropped = True
            # Not a threading.Thread: a finalizer must not wait for a lock.
            start_new_thread(_send_again, ())

    handlers = _handle(_raise)
    sys.unraisablehook, _came, _dropped = send_again, False, False
    try:
        with _undisguised():
            yield
    finally:
        _restore(dict.fromkeys(SIGNALS, signal.SIG_DFL) if last else handlers)
        sys.unraisablehook, _came, _dropped = hook, None, False


def check() -> None:
    """Raise KeyboardInterrupt if a signal was received since `listening` began."""
    global _dropped
    if _came:
        _dropped = False
        raise KeyboardInterrupt


def sleep(seconds: float) -> None:
    """Sleep; raise KeyboardInterrupt if a signal was received before or meanwhile."""
    check()
    time.sleep(seconds)
    check()


@contextmanager
def held(note: str = "") -> Iterator[None]:
    """Hold signals until the end of the `with` block; within it, only `check` and `sleep` raise.

    Args:
        note: Printed to stderr when a signal is received.
    """
    put_off: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        _record()
        put_off.append(number)
        if note:
            os.write(2, f"{note}\n".encode())  # the signal may have interrupted print

    handlers = _handle(hold)
    try:
        yield
    finally:
        _restore(handlers)
        if put_off:
            signal.raise_signal(put_off[0])


@contextmanager
def allowed() -> Iterator[None]:
    """Let signals raise KeyboardInterrupt within a `held` block, at the latest at the end."""
    handlers = _handle(_raise)
    try:
        check()
        with _undisguised():
            yield
        check()
    finally:
        _restore(handlers)


@contextmanager
def _undisguised() -> Iterator[None]:
    """Raise KeyboardInterrupt instead of the error that a library turned it into."""
    try:
        yield
    except Exception:
        check()
        raise


def _record() -> None:
    global _came
    _came = None if _came is None else True


def _raise(_: int, __: FrameType | None) -> None:
    global _dropped
    _record()
    _dropped = False
    raise KeyboardInterrupt


def _send_again() -> None:
    time.sleep(AGAIN_SECONDS)
    if _dropped:
        os.kill(os.getpid(), signal.SIGINT)


def _handle(handler: Handler) -> dict[signal.Signals, Any]:
    """Set the handler of both signals; returns the previous ones. Only the main thread has any."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in SIGNALS}


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
