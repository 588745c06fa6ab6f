"""Takes pictures of a run's pages in Prefect's UI: run.png and others beside this file.

`.venv/bin/python docs/images/run_pages.py`, with Debian's chromium and chromium-driver. `dcp local
up` stands for the account. One run of the demo's plate lacks an image, the next has all of them.
"""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
PROJECT = HERE.parents[1]
sys.path[:0] = [str(PROJECT), str(PROJECT / "tests" / "support")]

import boto3  # noqa: E402
from browser import Browser, browser  # noqa: E402

BUCKET = "dcp-demo"
MISSING = "projects/demo/images/DemoPlate/"
RENDERED_SECONDS = 6.0  # the UI draws its pages in steps, and says nowhere when it is done


@dataclass(frozen=True)
class Up:
    """What `dcp local up` prints.

    Attributes:
        ui: Address of Prefect's UI.
        endpoint_url: Address of the emulated AWS.
        command: The command that starts a run.
    """

    ui: str
    endpoint_url: str
    command: list[str]

    def ask(self, path: str, body: dict[str, Any]) -> Any:
        """Ask Prefect's API."""
        headers = {"Content-Type": "application/json"}
        url = f"{self.ui}/api/{path}"
        request = urllib.request.Request(url, json.dumps(body).encode(), headers)
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)

    def run(self, **parameters: Any) -> str:
        """Do a run; returns the id of its flow run."""
        words = [
            word
            for name, value in parameters.items()
            for word in ("-p", f"{name}={json.dumps(value)}")
        ]
        api = {"PREFECT_API_URL": f"{self.ui}/api"}
        subprocess.run([*self.command, *words], env=os.environ | api, check=False)
        newest = {"sort": "EXPECTED_START_TIME_DESC", "flows": {"name": {"any_": ["dcp"]}}}
        flow_run: str = self.ask("flow_runs/filter", newest)[0]["id"]
        return flow_run


@contextmanager
def local_up() -> Iterator[Up]:
    """Run `dcp local up`."""
    command = [sys.executable, "-m", "deployments.cli", "local", "up"]
    process = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        lines: list[str] = []
        while "Ctrl-C" not in (line := process.stdout.readline()):
            assert line, "dcp local up ended by itself"
            lines.append(line.strip())
        after = {line.partition(": ")[0]: line.partition(": ")[2] for line in lines}
        typed = next(line for line in lines if "deployment run" in line)
        yield Up(after["Prefect's UI"], after["AWS"], shlex.split(typed)[1:])
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(600)


def picture(opened: Browser, url: str, name: str, tab: str = "") -> None:
    """Take a picture of a page, or of one of its tabs."""
    opened.open(url)
    time.sleep(RENDERED_SECONDS)
    if tab:
        opened.click(f"//*[not(*) and normalize-space(.)='{tab}']")
        time.sleep(RENDERED_SECONDS)
    opened.picture(HERE / f"{name}.png")


def main() -> None:
    """Do the runs and take the pictures."""
    with local_up() as up:
        s3 = boto3.client(
            "s3",
            endpoint_url=up.endpoint_url,
            aws_access_key_id="local",
            aws_secret_access_key="local",
            region_name="us-east-1",
        )
        key = s3.list_objects_v2(Bucket=BUCKET, Prefix=MISSING)["Contents"][5]["Key"]
        image = s3.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        s3.delete_object(Bucket=BUCKET, Key=key)
        failed = up.run(accept=["image_missing"])
        s3.put_object(Bucket=BUCKET, Key=key, Body=image)
        completed = up.run(settings={"check_if_done_bool": False})
        with browser() as opened:
            opened.resize(1400, 1000)
            picture(opened, f"{up.ui}/runs/flow-run/{completed}", "run")
            picture(opened, f"{up.ui}/runs/flow-run/{completed}", "run_artifacts", "Artifacts")
            opened.resize(1400, 1150)
            picture(opened, f"{up.ui}/runs/flow-run/{failed}", "run_failed", "Details")
            picture(opened, f"{up.ui}/runs", "runs")


if __name__ == "__main__":
    main()
