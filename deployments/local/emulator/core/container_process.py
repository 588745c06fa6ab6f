"""Containers as processes: starts and stops them, and forwards their output."""

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
    """A container could not be started; the text is ECS's stopped reason."""


def image_environment(python: Path, folder: Path) -> dict[str, str]:
    """Return the environment of the image; nothing is inherited from the emulator.

    Args:
        python: Interpreter that stands in for the image; its folder is first on the PATH.
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


class ContainerProcess:
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
            folder: Its working directory: created here, removed when the container ends.
            log: Receives every line of the container's output.

        Raises:
            ContainerError: The command cannot be started.
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
        """Return the exit code, 128 + signal for a killed container, None while it runs.

        If it returns a code, the last line of output has been forwarded.
        """
        code = self._process.poll()
        if code is None:
            return None
        # All writers are dead, unless the first process was killed from outside: hence the limit.
        self._pump.join(LAST_LINES_SECONDS)
        self._control.close()
        shutil.rmtree(self._folder, ignore_errors=True)
        return 128 - code if code < 0 else code

    def wait(self, seconds: float) -> bool:
        """Wait at most this long until the container has exited; return whether it has."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True

    def terminate(self) -> None:
        """Send SIGTERM to the container's command, as `docker stop` does."""
        self._order(b"T")

    def freeze(self) -> None:
        """Freeze all processes in the container; after that it can only be killed."""
        self._order(b"S")

    def cpu_seconds(self) -> float | None:
        """Return the CPU time of all processes in the container; None without /proc."""
        if not os.path.isdir("/proc/self"):
            return None
        ticks = 0
        for pid in [self._process.pid, *descendants(self._process.pid)]:
            try:
                text = Path(f"/proc/{pid}/stat").read_text(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            # proc(5): the times of the process and of its reaped children.
            ticks += sum(int(time) for time in text.rpartition(")")[2].split()[11:15])
        return ticks / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        """Kill the container and all its processes at once."""
        self._order(b"K")

    def kill_command(self) -> None:
        """Send SIGKILL only to the container's command; the rest dies with it, as on AWS."""
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
