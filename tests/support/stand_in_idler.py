"""Replaces the worker if there are no jobs: behaves as the environment variable MODE says."""

import json
import os
import signal
import subprocess
import sys
import time

DAEMON = """
import subprocess, sys
sleep = [sys.executable, "-c", "import time; time.sleep(600)"]
print("daemon", subprocess.Popen(sleep, start_new_session=True).pid)
"""


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def main() -> int:
    mode = os.environ["MODE"]
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if mode == "environment":
        say(json.dumps({"environment": dict(os.environ), "cwd": os.getcwd()}))
    if mode == "children":
        # An orphaned grandchild in its own session, like a daemon.
        subprocess.run([sys.executable, "-c", DAEMON], check=True)
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        say(f"child {child.pid}")
    say(f"started {mode}")
    if mode == "fail":
        return 3
    while True:
        if mode != "busy":
            time.sleep(600)
