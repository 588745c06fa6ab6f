"""Stands for the worker: does what the environment variable MODE says."""

import json
import os
import signal
import subprocess
import sys
import time


def main() -> int:
    mode = os.environ["MODE"]
    print(f"started {mode}", flush=True)
    if mode == "fail":
        return 3
    if mode == "environment":
        print(json.dumps({"environment": dict(os.environ), "cwd": os.getcwd()}), flush=True)
    if mode == "children":
        # A grandchild in a session of its own, its parent gone: what a daemon would be.
        script = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True)"
        subprocess.run([sys.executable, "-c", script], check=True)
        child = subprocess.Popen(["sleep", "600"], start_new_session=True)
        print(f"child {child.pid}", flush=True)
    if mode == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    else:
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    while True:
        time.sleep(600)


if __name__ == "__main__":
    sys.exit(main())
