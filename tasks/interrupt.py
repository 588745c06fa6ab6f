"""Ctrl-C and SIGTERM: none is lost, and none leaves something half done.

Python raises KeyboardInterrupt wherever the main thread happens to be, often in a finalizer: when a
signal comes during a garbage collection, `__del__` of an object or the callback of a weak reference
is the first Python code that runs then. What is raised there, Python prints ("Exception ignored
in") and drops. Prefect's engine drops what comes after the last state of a flow run, and pydantic
turns what comes in a serializer into an error of its own. Therefore `listening` sends again what
Python has dropped, and records all signals: `check` and `sleep` raise what was dropped elsewhere.
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
AGAIN_SECONDS = 0.05  # until a dropped signal is sent again; a finalizer takes less

_came: bool | None = None  # whether a signal has come; None while nobody listens
_dropped = False  # whether Python has dropped one that nothing has raised since


@contextmanager
def listening(last: bool = False) -> Iterator[None]:
    """Raise KeyboardInterrupt for Ctrl-C and SIGTERM during the `with` block, and lose none.

    Also in a process that was started with Ctrl-C ignored, as scripts do in the background.

    Args:
        last: Whether the process exits after the block: from then on, a signal ends it at once.
    """
    global _came, _dropped
    hook = sys.unraisablehook

    def send_again(dropped: "UnraisableHookArgs") -> None:
        global _dropped
        # By its name, since Prefect is not imported for it.
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
    """Raise KeyboardInterrupt if a signal has come since `listening` began."""
    global _dropped
    if _came:
        _dropped = False
        raise KeyboardInterrupt


def sleep(seconds: float) -> None:
    """Sleep, unless a signal has come or comes meanwhile."""
    check()
    time.sleep(seconds)
    check()


@contextmanager
def held(note: str = "") -> Iterator[None]:
    """Put signals off to the end of the `with` block; only `check` and `sleep` raise within it.

    Args:
        note: Written to stderr when a signal comes.
    """
    put_off: list[int] = []

    def hold(number: int, _: FrameType | None) -> None:
        _record()
        put_off.append(number)
        if note:
            os.write(2, f"{note}\n".encode())  # print may be what is interrupted

    handlers = _handle(hold)
    try:
        yield
    finally:
        _restore(handlers)
        if put_off:
            signal.raise_signal(put_off[0])


@contextmanager
def allowed() -> Iterator[None]:
    """Raise KeyboardInterrupt at once in a part of a `held` block, or at its end at the latest."""
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
    """Raise KeyboardInterrupt instead of the error that a library has made of it."""
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
    """Set the handler of both signals, and return those before; only the main thread has any."""
    if threading.current_thread() is not threading.main_thread():
        return {}
    return {number: signal.signal(number, handler) for number in SIGNALS}


def _restore(handlers: dict[signal.Signals, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)
