"""What a flow writes may have no reader any more: its Prefect worker was killed."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import logging, sys
from pathlib import Path
import prefect.main  # it sets up the log
from flows.support.dcp_flow import outlive_readers
from tasks.monitor.progress import terminal_bar
told = logging.getLogger("flow")
told.setLevel(logging.INFO)
outlive_readers()
with terminal_bar():
    told.info("heard")
    sys.stdin.read()
    told.info("unheard")
    told.info("unheard again")
    print("unheard, too", flush=True)
Path(sys.argv[1]).write_text("done")
"""


def test_a_flow_goes_on_when_nobody_reads_what_it_writes(tmp_path: Path) -> None:
    done = tmp_path / "done"
    flow = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(done)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=Path(__file__).parents[3],
    )
    assert flow.stdin is not None
    assert flow.stdout is not None
    while b"heard" not in (line := flow.stdout.readline()):
        assert line, "it ended by itself"
    flow.stdout.close()
    flow.stdin.close()
    assert flow.wait(600) == 0
    assert done.read_text() == "done"
