"""First process of a container: what `docker-init` and the PID namespace are on AWS.

Runs with the standard library alone (`python -I -S container_init.py FD COMMAND...`), in the
container's folder and with the container's environment. The command is its child, in a session
of its own. Whatever way the container ends, nothing of it remains: no process, not even one that
made itself a session of its own, and no file of the container's folder.

The socket FD connects it with the emulator. It writes the process id of the command (or `-1` and
the reason when it could not be started), then reads one letter at a time: `T` sends SIGTERM to the
command, `S` stands the container still (SIGSTOP), `K` ends it. The end of the stream, that is the
end of the emulator however it came, is the same as `K`.
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
    """Call prctl(2) on Linux; other systems have no such call and go without."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(option, value, 0, 0, 0)


def parents() -> dict[int, int]:
    """Return the parent of every process of this machine."""
    if not os.path.isdir("/proc/self"):
        listing = subprocess.run(
            ["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True
        ).stdout
        return {int(pid): int(parent) for pid, parent in map(str.split, listing.splitlines())}
    found = {}
    for name in os.listdir("/proc"):
        if not name.isdigit():
            continue
        try:
            with open(f"/proc/{name}/stat", "rb") as stat:
                # The command name, in parentheses, may itself hold spaces and parentheses.
                found[int(name)] = int(stat.read().rpartition(b")")[2].split()[1])
        except (FileNotFoundError, ProcessLookupError):
            continue
    return found


def descendants(ancestor: int) -> list[int]:
    """Return the processes that descend from a process."""
    children: dict[int, list[int]] = {}
    for pid, parent in parents().items():
        children.setdefault(parent, []).append(pid)
    found: list[int] = []
    left = [ancestor]
    while left:
        below = children.get(left.pop(), [])
        found += below
        left += below
    return found


def kill_all() -> None:
    """Kill every descendant until there is none; orphans come to this process, as to any init."""
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
    """Carry out what the emulator sends, until it sends no more."""
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
    """Reap children until the command ends; return its exit code as Docker reports it."""
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
    # No interpreter clean-up: nothing of this process is worth it, and the thread still reads.
    os._exit(code)
