"""The example automations: Prefect accepts them, and an event of a run triggers them."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.events.schemas.automations import AutomationCore

from deployments.local.prefect_server import HOST, free_port, prefect, start_server
from tasks.prefect_output import events

FOLDER = Path(__file__).parents[2] / "deployments" / "automations"
FILES = sorted(FOLDER.glob("*.yaml"))
EVENTS = {value for value in vars(events).values() if str(value).startswith("dcp.")}


def filled_in(path: Path, block: str) -> str:
    return path.read_text(encoding="utf-8").replace("BLOCK_ID", block)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_prefect_takes_them_and_they_wait_for_events_that_there_are(path: Path) -> None:
    specifications = yaml.safe_load(filled_in(path, str(uuid4())))["automations"]
    automations = [AutomationCore.model_validate(values) for values in specifications]
    assert len({automation.name for automation in automations}) == len(automations)
    expected = set()
    for automation in automations:
        assert automation.actions
        expected |= automation.trigger.expect | automation.trigger.after  # type: ignore[union-attr]
    assert expected <= EVENTS
    assert EVENTS - {events.STARTED} <= expected, "every event has an automation"


MAKE_BLOCK = """
import sys
from prefect.blocks.webhook import Webhook
block = Webhook(url=sys.argv[1], headers={"Content-Type": "application/json"})
print(block.save("dcp"))
"""
EMIT = """
from blocks import RunConfig
from tasks.aws.clients import Aws
from tasks.prefect_output.events import FAILED, emit
from tasks.runs.run import Run
config = RunConfig(app_name="Lab", dockerhub_tag="lab/worker:1", aws_bucket="lab-bucket")
run = Run(config, "20260301-120000-abcdef", Aws.connect(config.credentials, config.aws_region))
emit(run, FAILED, 'it said "no"', jobs={"failed": 2})
"""


@pytest.fixture
def received() -> Iterator[tuple[str, "Queue[Any]"]]:
    """The address of an HTTP server, and the requests it receives."""
    queue: Queue[Any] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            queue.put((self.headers["Content-Type"], json.loads(body)))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://{HOST}:{server.server_port}/dcp", queue
        server.shutdown()


@pytest.mark.e2e
def test_a_failed_run_calls_the_webhook(
    tmp_path: Path, received: tuple[str, "Queue[Any]"], monkeypatch: pytest.MonkeyPatch
) -> None:
    address, queue = received
    port = free_port()
    monkeypatch.setenv("PREFECT_HOME", str(tmp_path))
    monkeypatch.setenv("PREFECT_API_URL", f"http://{HOST}:{port}/api")
    monkeypatch.setenv("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")

    def done(*command: str) -> str:
        result = subprocess.run(
            command, env=dict(os.environ), capture_output=True, text=True, timeout=600, check=False
        )
        assert result.returncode == 0, result.stdout + result.stderr
        return result.stdout.strip()

    with start_server(tmp_path, port) as await_server:
        await_server()
        block = done(sys.executable, "-c", MAKE_BLOCK, address).splitlines()[-1]

        def create(name: str) -> str:
            path = tmp_path / name
            path.write_text(filled_in(FOLDER / name, block))
            return done(*prefect("automation", "create", "--from-file", str(path)))

        create("webhook.yaml")
        done(sys.executable, "-c", EMIT)
        kind, event = queue.get(timeout=600)
        # The server checks more than the model: templates, and expected events.
        assert "Created 5" in create("slack.yaml")
        assert "Created 5" in create("email.yaml")
    assert kind == "application/json"
    assert event["event"] == events.FAILED
    assert event["payload"]["text"] == 'it said "no"'
    assert event["payload"]["run_id"] == "20260301-120000-abcdef"
    assert event["payload"]["jobs"] == {"failed": 2}
