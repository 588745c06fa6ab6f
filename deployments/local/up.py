"""`dcp local up`: Prefect with its UI, the emulator, the deployments and a worker, until Ctrl-C."""

import os
import subprocess
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from deployments.examples.demo.make_plate import make_plate
from deployments.local.chaos_option import parse_chaos
from deployments.local.emulator_client import start_emulator
from deployments.local.environment import PROJECT, leave_account, worker_python
from deployments.local.prefect_server import (
    PrefectError,
    child,
    prefect,
    start_server,
)
from deployments.local.run import (
    LocalRunRequest,
    emulator_config,
    fill_buckets,
    read_inputs,
    save_blocks,
    say,
)
from tasks import interrupt

POOL = "dcp"
DEPLOYMENTS = Path("deployments") / "prefect.yaml"
DEMO = PROJECT / "deployments" / "examples" / "demo"


def up(
    config: str | None,
    job: str | None,
    data: Path | None,
    fleet: str | None,
    home: Path,
    port: int,
    chaos: Sequence[str] = (),
) -> None:
    """Run Prefect, the emulator and a worker until Ctrl-C.

    Called with signals held, so that none arrives between the start of a process and the code that
    stops it.

    Args:
        config: Run config file; None for the demo's.
        job: Job file; None for the demo's.
        data: Content of the buckets; None for the demo's plate.
        fleet: Fleet template or DCP fleet file.
        home: Folder of the Prefect server.
        port: Port of the Prefect server.
        chaos: Faults to inject, as values of `--chaos`.

    Raises:
        InputError: A file or option is wrong.
    """
    switches = parse_chaos(chaos)
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dcp-up-")))
        job_file = job or str(DEMO / "job.json")
        with interrupt.allowed():
            request = LocalRunRequest(
                config=config or str(DEMO / "config.yaml"),
                job=job_file,
                data=data or _demo_plate(scratch / "data"),
                output=scratch,
                fleet=fleet,
                report=None,
                home=home,
                port=port,
            )
            inputs = read_inputs(request)
        leave_account()
        await_server = stack.enter_context(start_server(home, port))
        emulator = stack.enter_context(
            start_emulator(scratch / "aws", worker_python(), chaos=switches)
        )
        local_inputs = replace(inputs, config=emulator_config(inputs.config, emulator))
        with interrupt.allowed():
            fill_buckets(local_inputs.config, request.data)
            await_server()
            save_blocks(local_inputs)
            _prefect("work-pool", "create", POOL, "--type", "process", "--overwrite")
            _prefect("deploy", "--all", "--prefect-file", str(DEPLOYMENTS))
        # Scheduled flows without credentials (the reaper) must also reach the emulator.
        os.environ |= {
            "AWS_ACCESS_KEY_ID": "local",
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_ENDPOINT_URL": emulator.endpoint_url,
            "AWS_DEFAULT_REGION": local_inputs.config.aws_region,
        }
        worker = prefect("worker", "start", "--pool", POOL, "--type", "process")
        stack.enter_context(child(worker, home / "worker.log", PROJECT))
        _print_addresses(port, Path(job_file).absolute(), emulator.endpoint_url)
        _await_end()


def _demo_plate(folder: Path) -> Path:
    make_plate(folder)
    return folder


def _await_end() -> None:
    """Wait for Ctrl-C."""
    try:
        with interrupt.allowed():
            while True:
                interrupt.sleep(60)
    except KeyboardInterrupt:
        say("Shutting down")


def _prefect(*arguments: str) -> None:
    process = subprocess.run(
        prefect("--no-prompt", *arguments), cwd=PROJECT, capture_output=True, text=True, check=False
    )
    if process.returncode:
        raise PrefectError(f"prefect {' '.join(arguments)}: {process.stdout}{process.stderr}")


def _print_addresses(port: int, job: Path, endpoint_url: str) -> None:
    print(
        f"Prefect's UI: http://127.0.0.1:{port}\n"
        f"AWS: {endpoint_url}\n"
        "In a second terminal:\n\n"
        f"  PREFECT_API_URL={os.environ['PREFECT_API_URL']} {PROJECT / '.venv/bin/prefect'} "
        f"deployment run dcp/full-run --watch -p config=local -p fleet=local -p job={job}\n\n"
        "Ctrl-C shuts down everything.",
        flush=True,
    )
