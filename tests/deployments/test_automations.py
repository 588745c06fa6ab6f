"""The example automations: Prefect accepts them, and an event of a run triggers them."""

import json
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Queue
from typing import Any
from uuid import uuid4

import pytest
import yaml
from prefect.blocks.webhook import Webhook
from prefect.client.orchestration import get_client
from prefect.events.schemas.automations import AutomationCore
from pydantic import SecretStr
from recorded_run import config_at, new_run

from deployments.local.emulator_client import Emulator
from deployments.local.prefect_server import HOST, prefect
from tasks.prefect_output import events

FOLDER = Path(__file__).parents[2] / "deployments" / "automations"
FILES = sorted(FOLDER.glob("*.yaml"))
JSON = {"Content-Type": "application/json"}
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


def create(path: Path) -> str:
    """Create the automations of a file, as a user does; returns what the command wrote."""
    done = subprocess.run(
        prefect("automation", "create", "--from-file", str(path)),
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def no_automations(prefect: None) -> Iterator[None]:
    """Delete the automations of a test after it: other tests use the same server."""
    yield
    with get_client(sync_client=True) as client:
        for automation in client.read_automations():
            client.delete_automation(automation.id)


@pytest.mark.e2e
@pytest.mark.usefixtures("no_automations")
def test_a_failed_run_calls_the_webhook(
    tmp_path: Path, received: tuple[str, "Queue[Any]"], emulator: Emulator, app_name: str
) -> None:
    address, queue = received
    webhook = Webhook(url=SecretStr(address), headers=JSON)
    block = str(webhook.save("webhook", overwrite=True))

    def file(name: str) -> Path:
        (tmp_path / name).write_text(filled_in(FOLDER / name, block))
        return tmp_path / name

    create(file("webhook.yaml"))
    run = new_run(config_at(emulator.endpoint_url, app_name), f"20260301-120000-{app_name[-6:]}")
    events.emit(run, events.FAILED, 'it said "no"', jobs={"failed": 2})
    while True:
        kind, event = queue.get(timeout=600)
        if event["payload"]["run_id"] == run.run_id:
            break
    # The server checks more than the model: templates, and expected events.
    assert "Created 5" in create(file("slack.yaml"))
    assert "Created 5" in create(file("email.yaml"))
    assert kind == "application/json"
    assert event["event"] == events.FAILED
    assert event["payload"]["text"] == 'it said "no"'
    assert event["payload"]["jobs"] == {"failed": 2}
