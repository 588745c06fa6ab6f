"""`dcp local run` interrupted while its servers start: one line of output, nothing left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from deployments.examples.demo.make_plate import make_plate

pytestmark = pytest.mark.e2e

DEMO = Path(__file__).parents[3] / "deployments" / "examples" / "demo"
# Settings that a user's shell may have, which have no effect here.
ELSEWHERE = {
    "AWS_PROFILE": "not-there",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
    "HTTP_PROXY": "http://127.0.0.1:9",
    "http_proxy": "http://127.0.0.1:9",
}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_nothing(number: signal.Signals, tmp_path: Path) -> None:
    make_plate(tmp_path / "data")
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "deployments.cli", "local", "run"]
    command += ["--config", str(DEMO / "config.yaml"), "--job", str(DEMO / "job.json")]
    command += ["--data", str(tmp_path / "data"), "--output", str(tmp_path / "output")]
    process = subprocess.Popen(
        command,
        env=os.environ | ELSEWHERE | {"TMPDIR": str(scratch)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Like a background process of a script; this must make no difference.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert process.stderr is not None
    # By then the emulator has answered, and the Prefect server is starting.
    assert "bucket dcp-demo" in process.stderr.readline()
    process.send_signal(number)
    out, stderr = process.communicate(timeout=600)
    assert process.returncode == 1
    assert "Interrupted" in stderr
    assert "Traceback" not in stderr
    assert not out
    assert not list(scratch.iterdir())
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            assert str(scratch).encode() not in path.read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue  # ended in the meantime
