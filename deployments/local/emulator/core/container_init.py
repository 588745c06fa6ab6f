"""First process of a container, in the role of `docker-init` and the PID namespace on AWS.

Uses only the standard library (`python -I -S container_init.py FD COMMAND...`), and runs in the
container's folder with the container's environment. The command is its child, in a separate
session. However the container ends, nothing remains: no process, even in a session of its own, and
no file of the container's folder.

The socket FD connects it with the emulator. It writes the process id of the command (or `-1` and
the reason if the command could not be started), then reads one letter at a time: `T` sends SIGTERM
to the command, `S` freezes the container (SIGSTOP), `K` kills it. The end of the stream, which
means that the emulator has ended, is the same as `K`.
"""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
SIGNALS = {b"T": signal.SIGTERM, b"S": signal.SIGSTOP}


def prctl(option: int, value: int) -> None:
    """Call prctl(2) on Linux; does nothing on other systems."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def parents() -> dict[int, int]:
    """Return the parent of every process on this computer."""
    if not os.path.isdir("/proc/self"):
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout
        return {int(pid): int(parent) for pid, parent in map(str.split, listing.splitlines())}
    parent_of = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                # The command name, in parentheses, may itself contain spaces and parentheses.
                parent_of[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return parent_of


def descendants(ancestor: int) -> list[int]:
    """Return the descendants of a process."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    pids: list[int] = []
    pending = [ancestor]
    while pending:
        below = children.get(pending.pop(), [])
        pids += below
        pending += below
    return pids


def kill_all() -> None:
    """Kill all descendants; like any init, this process inherits orphans."""
    while True:
        for pid in descendants(os.getpid()):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def obey(control: socket.socket, main_pid: int) -> None:
    """Carry out the emulator's orders until the stream ends."""
    while True:
        order = control.recv(1)
        number = SIGNALS.get(order, signal.SIGKILL)
        for pid in [main_pid] if order == b"T" else descendants(os.getpid()):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        if order not in SIGNALS:
            return


def wait_for(main_pid: int) -> int:
    """Reap children until the command exits; return its exit code as Docker reports it."""
    while True:
        pid, status = os.waitpid(-1, 0)
        if pid == main_pid:
            code = os.waitstatus_to_exitcode(status)
            return 128 - code if code < 0 else code


def main() -> int:
    """Run the container."""
    control = socket.socket(fileno=int(sys.argv[1]))
    folder = os.getcwd()
    prctl(PR_SET_CHILD_SUBREAPER, 1)
    try:
        command = subprocess.Popen(
            sys.argv[2:],
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=lambda: prctl(PR_SET_PDEATHSIG, signal.SIGKILL),
        )
    except OSError as error:
        control.sendall(f"-1 {error}\n".encode())
        return 127
    control.sendall(f"{command.pid}\n".encode())
    threading.Thread(target=obey, args=(control, command.pid), daemon=True).start()
    try:
        return wait_for(command.pid)
    finally:
        kill_all()
        os.chdir("/")
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    code = main()
    # Skip the interpreter's clean-up: it has nothing to do, and the thread is still reading.
    os._exit(code)
