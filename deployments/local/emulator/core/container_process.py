"""Containers as processes: started, stopped, their output handed on."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from deployments.local.emulator.core.container_init import descendants

INIT = Path(__file__).with_name("container_init.py")

LAST_LINES_SECONDS = 2.0


class ContainerError(Exception):
    """A container could not be started; the text is what ECS gives as the stopped reason."""


def image_environment(python: Path, folder: Path) -> dict[str, str]:
    """Return what the image itself sets: nothing is inherited from whoever runs the emulator.

    Args:
        python: Interpreter that stands for the image; its folder comes first on the PATH.
        folder: The container's folder, its home and working directory.
    """
    environment = {
        "PATH": f"{python.parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder / "tmp"),
        "LANG": "C.UTF-8",
    }
    java_home = os.environ.get("JAVA_HOME")
    if java_home:
        environment["JAVA_HOME"] = java_home
    return environment


class Container:
    """One running container."""

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        folder: Path,
        log: Callable[[bytes], None],
    ) -> None:
        """Start a container.

        Args:
            command: Program and arguments.
            environment: The whole environment.
            folder: Its working directory: made here, removed when the container ends.
            log: Takes every line that the container writes.

        Raises:
            ContainerError: When the command cannot be started.
        """
        (folder / "tmp").mkdir(parents=True)
        self._folder = folder
        self._control, theirs = socket.socketpair()
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(INIT), str(theirs.fileno()), *command],
            env=dict(environment),
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
        theirs.close()
        self.pid, reason = self._main_pid()
        if self.pid < 0:
            self._process.communicate()
            shutil.rmtree(folder, ignore_errors=True)
            raise ContainerError(f"CannotStartContainerError: {reason}")
        self._pump = threading.Thread(target=self._read, args=(log,), daemon=True)
        self._pump.start()

    def _main_pid(self) -> tuple[int, str]:
        line = b""
        while not line.endswith(b"\n"):
            part = self._control.recv(1024)
            if not part:
                return -1, "the container's first process ended at once"
            line += part
        pid, _, reason = line.decode().strip().partition(" ")
        return int(pid), reason

    def _read(self, log: Callable[[bytes], None]) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            log(line.rstrip(b"\r\n"))

    def exit_code(self) -> int | None:
        """Return the exit code, 128 + signal for a killed one, None while it runs.

        The last line of output has been handed on when this returns a code.
        """
        code = self._process.poll()
        if code is None:
            return None
        # Everything that could write is dead; the limit is for a first process killed from outside.
        self._pump.join(LAST_LINES_SECONDS)
        self._control.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return 128 - code if code < 0 else code

    def wait(self, seconds: float) -> bool:
        """Wait until the container has ended, at most this long; return whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def terminate(self) -> None:
        """Send SIGTERM to the container's command, as `docker stop` does."""
        self._order(b"T")

    def freeze(self) -> None:
        """Let everything in the container stand still; it can only be ended then."""
        self._order(b"S")

    def cpu_seconds(self) -> float | None:
        """Return the CPU time that everything in the container has used; None where none tells."""
        if not os.path.isdir("/proc/self"):
            return None
        ticks = 0
        for pid in [self._process.pid, *descendants(self._process.pid)]:
            try:
                text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            # proc(5): the times of the process and of its children that were waited for.
            ticks += sum(int(one) for one in text.rpartition(")")[2].split()[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """End the container with everything in it, at once."""
        self._order(b"K")

    def kill_command(self) -> None:
        """Send SIGKILL to the container's command alone; the rest follows, as on AWS."""
        if self._process.poll() is None:
            try:
                os.kill(self.pid, signal.SIGKILL)
            except ProcessLookupError:
                return

    def _order(self, letter: bytes) -> None:
        if self._process.poll() is None:
            try:
                self._control.sendall(letter)
            except BrokenPipeError:
                return
