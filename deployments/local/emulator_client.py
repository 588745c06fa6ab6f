"""Starts and stops the emulator and calls its control address: the only module others need."""

import json
import shlex
import subprocess
import sys
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blocks.errors import DcpError
from deployments.local.emulator.core.chaos_switches import Chaos
from deployments.local.emulator.core.settings import (
    DEFAULT_CONTAINER_COMMAND,
    REQUESTS_NAME,
    EmulatorSettings,
)
from tasks import interrupt

LOG_NAME = "emulator.log"


class EmulatorError(DcpError):
    """The emulator did not start; the text ends with its output."""


@dataclass(frozen=True)
class Emulator:
    """A running emulator.

    Attributes:
        endpoint_url: The endpoint of every AWS service.
        pid: Its process id.
        root: Folder of its containers and its log.
    """

    endpoint_url: str
    pid: int
    root: Path

    def _call(self, path: str, method: str = "GET", body: Any = None) -> Any:
        url = f"{self.endpoint_url}/_dcp/{path}"
        # Without the environment's proxy, because the address is local.
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(url, data, headers, method=method)
        with opener.open(request, timeout=30) as response:
            return json.load(response)

    def containers(self) -> list[dict[str, Any]]:
        """Return the running containers.

        Each has `task_arn`, `task_id`, `instance_id`, `pid`, `last_status`, `desired_status` and
        `protected`.
        """
        containers: list[dict[str, Any]] = self._call("containers")
        return containers

    def events(self) -> list[dict[str, Any]]:
        """Return the events of machines and tasks, each with `time` and `kind`, oldest first."""
        events: list[dict[str, Any]] = self._call("events")
        return events

    def record(self, on: bool = True) -> None:
        """Start recording requests, with an empty record and counts of 0; or stop."""
        self._call(f"recording?on={str(on).lower()}", "POST")

    def requests(self) -> list[dict[str, Any]]:
        """Return the recorded requests, oldest first.

        Each has `time`, `service` (name in botocore), `operation`, `action` (name in IAM),
        `region`, `parameters`, `unknown` (parameters that the operation does not have), `key`,
        `who` (`caller`, `machine`, `container` or `function`), `owner`, `role`, `status`, `code`
        (of the error; empty without an error), `carried_out`.
        """
        lines = (self.root / REQUESTS_NAME).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]

    def request_counts(self) -> dict[str, int]:
        """Return the number of requests by operation, such as `sqs:SendMessageBatch`.

        They are counted from the start of the emulator, or of the record.
        """
        counts: dict[str, int] = self._call("recording")
        return counts

    def set_account(self, **values: Any) -> None:
        """Set permissions, quotas and prices of the account.

        Args:
            values: Attributes of `deployments.local.emulator.core.account_limits.AccountLimits`,
                such as `refused=["sqs:CreateQueue"]`, `quotas={"L-34B43A08": 5}` or
                `on_demand={"m5.xlarge": 0.192}`; others stay unchanged.

        Raises:
            urllib.error.HTTPError: An attribute is unknown.
        """
        self._call("account", "POST", values)

    def set_chaos(self, **values: Any) -> None:
        """Set the faults to inject from now on.

        Args:
            values: Switches of `deployments.local.emulator.core.chaos_switches.Chaos`, such as
                `late=5`, `no_capacity=["m5.large"]` or `at_most={"m5.large": 2}`; others stay
                unchanged.

        Raises:
            urllib.error.HTTPError: A switch is unknown, or its value is not allowed.
        """
        self._call("chaos", "POST", values)

    def chaos(self) -> Chaos:
        """Return the current switches."""
        return Chaos.model_validate(self._call("chaos"))

    def kill_container(self, task_id: str) -> None:
        """Send SIGKILL to a container's command; everything in the container dies with it.

        Raises:
            urllib.error.HTTPError: No such container is running.
        """
        self._call(f"containers/{task_id}/kill", "POST")

    def interrupt(self, instance_id: str, notice_seconds: float | None = None) -> None:
        """Give a Spot instance an interruption notice; it is terminated when the notice expires.

        Args:
            instance_id: The instance.
            notice_seconds: Length of the notice in seconds; None for the emulator's setting.

        Raises:
            urllib.error.HTTPError: It is not a running Spot instance.
        """
        query = "" if notice_seconds is None else f"?seconds={notice_seconds}"
        self._call(f"instances/{instance_id}/interrupt{query}", "POST")

    def recommend_rebalance(self, instance_id: str) -> None:
        """Send a rebalance recommendation to a running instance.

        Raises:
            urllib.error.HTTPError: It is not a running instance.
        """
        self._call(f"instances/{instance_id}/rebalance", "POST")

    def hang(self, instance_id: str) -> None:
        """Freeze all containers of a running instance permanently, including new ones.

        Raises:
            urllib.error.HTTPError: It is not a running instance.
        """
        self._call(f"instances/{instance_id}/hang", "POST")

    def disconnect(self, instance_id: str) -> None:
        """Disconnect the ECS agent of a running instance; its containers keep running.

        Raises:
            urllib.error.HTTPError: It is not a running instance.
        """
        self._call(f"instances/{instance_id}/disconnect", "POST")

    def connect(self, instance_id: str) -> None:
        """Reconnect the ECS agent of a running instance.

        Raises:
            urllib.error.HTTPError: It is not a running instance.
        """
        self._call(f"instances/{instance_id}/connect", "POST")


@contextmanager
def start_emulator(
    root: Path,
    worker_python: Path,
    *,
    port: int = 0,
    container_command: Sequence[str] = DEFAULT_CONTAINER_COMMAND,
    boot_seconds: float = EmulatorSettings.boot_seconds,
    tick_seconds: float = EmulatorSettings.tick_seconds,
    notice_seconds: float = EmulatorSettings.notice_seconds,
    metric_seconds: float = EmulatorSettings.metric_seconds,
    shutdown_seconds: float = EmulatorSettings.shutdown_seconds,
    retry_seconds: float = EmulatorSettings.retry_seconds,
    terminated_seconds: float = EmulatorSettings.terminated_seconds,
    export_seconds: float = EmulatorSettings.export_seconds,
    deleted_seconds: float = EmulatorSettings.deleted_seconds,
    speed: float = EmulatorSettings.speed,
    access_key: str = EmulatorSettings.access_key,
    chaos: Chaos | None = None,
) -> Iterator[Emulator]:
    """Run an emulator for the duration of the `with` block.

    It stops with all its containers at the end of the block, and if this process is killed. Its
    state is lost.

    Args:
        root: Folder for its containers and its log `emulator.log`; created if missing.
        worker_python: Interpreter that stands in for the container image.
        port: Port on 127.0.0.1, 0 for any free one.
        container_command: Arguments of that interpreter.
        boot_seconds: Time from launch to ECS registration of an instance, in seconds.
        tick_seconds: Maximum interval of the reconcile loop, in seconds.
        notice_seconds: Time from interruption notice to termination, in seconds.
        metric_seconds: Interval between measurements of the queues, in seconds.
        shutdown_seconds: Time for containers to stop at the end, in seconds.
        retry_seconds: Time before a fleet retries an empty pool, in seconds.
        terminated_seconds: Time for which a terminated instance is described, in seconds.
        export_seconds: Duration of a log export, in seconds.
        deleted_seconds: Time before the name of a deleted queue can be reused, in seconds.
        speed: Factor by which AWS's long waits are shortened: periods of alarms, termination
            delays of replaced machines, rates of schedules, sessions of assumed roles.
        access_key: Refuse every other access key id; empty: accept any.
        chaos: Faults to inject; None for none.

    Yields:
        The emulator, ready for requests.

    Raises:
        EmulatorError: It does not start.
    """
    root.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "deployments.local.emulator", "--end-with-stdin"]
    command += ["--root", str(root), "--worker-python", str(worker_python), "--port", str(port)]
    command += [f"--container-command={shlex.join(container_command)}"]
    command += ["--boot-seconds", str(boot_seconds), "--tick-seconds", str(tick_seconds)]
    command += ["--notice-seconds", str(notice_seconds), "--metric-seconds", str(metric_seconds)]
    command += [f"--retry-seconds={retry_seconds}"]
    command += [f"--terminated-seconds={terminated_seconds}", f"--speed={speed}"]
    command += [f"--export-seconds={export_seconds}", f"--deleted-seconds={deleted_seconds}"]
    command += [f"--chaos={(chaos or Chaos()).model_dump_json()}"]
    command += ["--shutdown-seconds", str(shutdown_seconds), f"--access-key={access_key}"]
    log_file = root / LOG_NAME
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=Path(__file__).resolve().parents[2],
            # Ctrl-C goes to the whole foreground group, but the emulator must outlive the clean-up
            # of the process that started it.
            start_new_session=True,
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with interrupt.allowed():
            line = process.stdout.readline()
        if not line:
            process.wait()
            text = log_file.read_text(errors="replace").strip()[-2000:]
            raise EmulatorError(f"The AWS emulator did not start: {text}")
        yield Emulator(**json.loads(line), root=root)
    finally:
        process.stdin.close()
        try:
            process.wait(shutdown_seconds + 30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        process.stdout.close()
