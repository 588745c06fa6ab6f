"""A browser that clicks: chromium through chromedriver (Debian: chromium, chromium-driver)."""

import base64
import json
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployments.local.prefect_server import HOST, free_port

ELEMENT = "element-6066-11e4-a52e-4f735466cecf"  # the key of an element (W3C WebDriver, "Elements")
ARGUMENTS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1400,900"]
PATIENCE = 60.0


class Browser:
    """One page of one browser."""

    def __init__(self, session: str) -> None:
        self._session = session

    def open(self, url: str) -> None:
        """Go to an address."""
        ask(f"{self._session}/url", {"url": url})

    def click(self, xpath: str) -> None:
        """Click on the element at an XPath as soon as it can be clicked."""
        end = time.monotonic() + PATIENCE
        while True:
            try:
                found = ask(f"{self._session}/element", {"using": "xpath", "value": xpath})
                ask(f"{self._session}/element/{found[ELEMENT]}/click", {})
                return
            except urllib.error.HTTPError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)

    def resize(self, width: int, height: int) -> None:
        """Set the size of the window, in pixels."""
        ask(f"{self._session}/window/rect", {"width": width, "height": height})

    def picture(self, path: Path) -> None:
        """Write a screenshot to a PNG."""
        path.write_bytes(base64.b64decode(ask(f"{self._session}/screenshot")))


def ask(url: str, body: dict[str, Any] | None = None, method: str | None = None) -> Any:
    """Send a command of the WebDriver protocol."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"}, method=method)
    with urllib.request.urlopen(request, timeout=600) as answer:
        return json.load(answer)["value"]


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser for the duration of the `with` block."""
    port = free_port()
    driver = subprocess.Popen(["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL)
    base = f"http://{HOST}:{port}/session"
    options = {"goog:chromeOptions": {"args": ARGUMENTS}}
    session = ""
    try:
        end = time.monotonic() + PATIENCE
        while not session:
            try:
                made = ask(base, {"capabilities": {"alwaysMatch": options}})
                session = f"{base}/{made['sessionId']}"
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.3)
        yield Browser(session)
    finally:
        if session:
            ask(session, method="DELETE")
        driver.terminate()
        driver.wait()


def click_cancel(page: str, pictures: Path) -> float:
    """Cancel a flow run like a person: open its page, click on Cancel, and confirm.

    Args:
        page: The flow run's page in Prefect's UI.
        pictures: Folder for screenshots of the confirmation and of the result.

    Returns:
        The moment of the second click (time.monotonic).
    """
    button = "//button[contains(@class, 'destructive') and contains(., '{}')]"
    with browser() as opened:
        opened.open(page)
        opened.click(button.format("Cancel"))
        opened.picture(pictures / "asked.png")
        opened.click(button.format("Confirm"))
        clicked = time.monotonic()
        opened.picture(pictures / "cancelling.png")
    return clicked
