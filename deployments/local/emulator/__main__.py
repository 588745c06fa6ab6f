"""The process of the emulator.

`python -m deployments.local.emulator --root DIR --worker-python PATH` listens on 127.0.0.1. When it
is ready, it prints one line of JSON with its endpoint. It runs until SIGTERM or SIGINT, or with
`--end-with-stdin` until its standard input ends, because the process that started it has ended.
"""

import argparse
import json
import logging
import os
import shlex
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from moto.moto_server.werkzeug_app import MotoRequestHandler
from werkzeug.serving import BaseWSGIServer, make_server

from deployments.local.emulator.app import Application
from deployments.local.emulator.core.chaos_switches import Chaos
from deployments.local.emulator.core.settings import DEFAULT_CONTAINER_COMMAND, EmulatorSettings
from deployments.local.emulator.core.state import EmulatorState
from deployments.local.emulator.reconcile_loop import reconcile, stop_containers

HOST = "127.0.0.1"


class QuietHandler(MotoRequestHandler):
    """Logs only errors, not requests."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Log nothing."""


def parse(arguments: Sequence[str] | None = None) -> tuple[EmulatorSettings, int, bool]:
    """Parse the command line: the settings, the port, whether to stop with standard input."""
    parser = argparse.ArgumentParser(prog="deployments.local.emulator", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="0: any free port")
    parser.add_argument("--root", type=Path, required=True, help="folder for the containers")
    parser.add_argument("--worker-python", type=Path, required=True, help="the image's python")
    parser.add_argument(
        "--container-command",
        default=shlex.join(DEFAULT_CONTAINER_COMMAND),
        help="arguments of the image's python (default: %(default)s)",
    )
    parser.add_argument("--boot-seconds", type=float, default=EmulatorSettings.boot_seconds)
    parser.add_argument("--tick-seconds", type=float, default=EmulatorSettings.tick_seconds)
    parser.add_argument("--notice-seconds", type=float, default=EmulatorSettings.notice_seconds)
    parser.add_argument("--metric-seconds", type=float, default=EmulatorSettings.metric_seconds)
    parser.add_argument("--shutdown-seconds", type=float, default=EmulatorSettings.shutdown_seconds)
    parser.add_argument("--retry-seconds", type=float, default=EmulatorSettings.retry_seconds)
    parser.add_argument(
        "--terminated-seconds", type=float, default=EmulatorSettings.terminated_seconds
    )
    parser.add_argument("--export-seconds", type=float, default=EmulatorSettings.export_seconds)
    parser.add_argument("--deleted-seconds", type=float, default=EmulatorSettings.deleted_seconds)
    parser.add_argument("--speed", type=float, default=EmulatorSettings.speed)
    parser.add_argument(
        "--chaos", type=Chaos.model_validate_json, default=Chaos(), help="switches, as JSON"
    )
    parser.add_argument("--access-key", default="", help="refuse every other access key id")
    parser.add_argument("--end-with-stdin", action="store_true")
    options = vars(parser.parse_args(arguments))
    port, end_with_stdin = options.pop("port"), options.pop("end_with_stdin")
    options["container_command"] = tuple(shlex.split(options["container_command"]))
    # Not resolved: the python of a virtual environment works only through its link.
    options["worker_python"] = options["worker_python"].absolute()
    options["root"] = options["root"].resolve()
    return EmulatorSettings(**options), port, end_with_stdin


def serve(emulator: EmulatorState, server: BaseWSGIServer, end: threading.Event) -> None:
    """Answer requests and reconcile until the end is set, then stop every container."""
    reconciler = threading.Thread(target=reconcile, args=(emulator, end), daemon=True)
    answering = threading.Thread(target=server.serve_forever, daemon=True)
    reconciler.start()
    answering.start()
    print(json.dumps({"endpoint_url": emulator.endpoint_url, "pid": os.getpid()}), flush=True)
    end.wait()
    emulator.wake.set()
    reconciler.join()
    stop_containers(emulator)
    server.shutdown()


def await_stdin(end: threading.Event) -> None:
    """Set the end when standard input ends: the process that started the emulator has ended."""
    sys.stdin.read()
    end.set()


def isolate() -> None:
    """Remove the AWS settings from the environment, as moto creates clients for some actions."""
    for name in [variable for variable in os.environ if variable.startswith("AWS_")]:
        del os.environ[name]
    os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local")
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"
    os.environ["MOTO_IAM_LOAD_MANAGED_POLICIES"] = "true"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the emulator."""
    settings, port, end_with_stdin = parse(arguments)
    logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    isolate()
    settings.root.mkdir(parents=True, exist_ok=True)
    end = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: end.set())
    if end_with_stdin:
        threading.Thread(target=await_stdin, args=(end,), daemon=True).start()
    server = make_server(HOST, port, lambda *_: [], threaded=True, request_handler=QuietHandler)
    emulator = EmulatorState(settings, f"http://{HOST}:{server.server_port}")
    server.app = Application(emulator)
    serve(emulator, server, end)
    return 0


if __name__ == "__main__":
    sys.exit(main())
