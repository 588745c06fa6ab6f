"""`dcp local run`: a full run on this computer, from one folder to another."""

import json
import os
import sys
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from prefect.client.schemas.objects import State
from prefect.exceptions import TerminationSignal

from blocks import FleetTemplate, FleetTemplateBlock, RunConfig, RunConfigBlock
from blocks.errors import ConfigError, DcpError, InputError, NotFound, Problem
from blocks.job_file.expand import PLATE_MARK, shared_keys
from blocks.job_file.job_set import JobSet
from blocks.job_file.metadata import joined
from blocks.job_file.model import JobFile
from blocks.loading.load import load_job, parse_config, parse_fleet
from blocks.loading.sources import read_text
from blocks.plurals import plural
from blocks.prefect_blocks import block_of
from deployments.exit_status import ExitStatus
from deployments.local.bucket_folders import empty_into, files_of, fill_bucket, make_bucket
from deployments.local.chaos_option import parse_chaos
from deployments.local.emulator_client import Emulator, start_emulator
from deployments.local.environment import CREDENTIALS, credentials_of, leave_account, worker_python
from deployments.local.prefect_server import start_server
from flows.full_run import dcp
from tasks import interrupt
from tasks.aws.clients import Aws
from tasks.jobs.plates import plates_in, plates_named
from tasks.jobs.results import account
from tasks.lifecycle.leftovers import left_running
from tasks.report.build import make_report, read_report
from tasks.report.model import Report
from tasks.report.remedies import remedy
from tasks.runs import record
from tasks.runs.run import Run

BLOCK = "local"  # name of the blocks of config and fleet
# Settings without meaning here: credentials of a real account, the image's name.
ACCOUNT_KEYS = {"aws_credentials", "aws_profile"}
HERE = {"dockerhub_tag": "this-computer"}
ACCEPTED = ("image_missing", "image_empty")  # costs nothing here; only the job fails, by name
LISTED = 20  # maximum number of unsuccessful jobs listed one by one
MONITOR_SECONDS = 2  # a minute would be long for jobs of seconds


@dataclass(frozen=True)
class LocalRunRequest:
    """The options of `dcp local run`.

    Attributes:
        config: Run config file.
        job: Job file.
        plates: Plates that replace the job file's own (default: all plates in `data`).
        data: Folder with the content of every bucket.
        output: Folder for the outputs.
        fleet: Fleet template or DCP fleet file.
        report: File for the report.
        home: Folder of the Prefect server.
        port: Port of the Prefect server.
        chaos: Faults to inject, as values of `--chaos`.
    """

    config: str
    job: str
    data: Path
    output: Path
    fleet: str | None
    report: Path | None
    home: Path
    port: int
    plates: tuple[str, ...] = ()
    chaos: tuple[str, ...] = ()


@dataclass(frozen=True)
class LocalInputs:
    """The parsed and valid files of a request.

    Attributes:
        config: The run config.
        sets: The jobs.
        plates: Plates that replace the job file's own.
        fleet: The fleet template.
    """

    config: RunConfig
    sets: tuple[JobSet, ...]
    plates: tuple[str, ...]
    fleet: FleetTemplate


def say(text: str) -> None:
    """Print a message to stderr; stdout is reserved for the result."""
    print(text, file=sys.stderr, flush=True)


def read_inputs(request: LocalRunRequest) -> LocalInputs:
    """Read and check all input files.

    Raises:
        InputError: A file or option is wrong.
    """
    config = parse_config(
        read_text(request.config), request.config, without=ACCOUNT_KEYS, defaults=HERE
    )
    jobs = load_job(request.job)
    fleet = parse_fleet(read_text(request.fleet), request.fleet) if request.fleet else None
    if not request.data.is_dir():
        raise NotFound(Problem(str(request.data), "--data", "is not a folder"))
    _check_writable(request.output, "--output")
    if request.report:
        if request.report.is_dir():
            raise ConfigError(Problem(str(request.report), "--report", "is a folder"))
        _check_writable(request.report.parent, "--report")
    plates = request.plates or _plates_in(request.data, jobs)
    return LocalInputs(config, jobs.sets(plates, request.job), plates, fleet or FleetTemplate())


def _plates_in(data: Path, jobs: JobFile) -> tuple[str, ...]:
    """The plates whose data file is in the folder, if the job file names none."""
    data_file = shared_keys(jobs)["data_file"]
    if plates_named(jobs) or PLATE_MARK not in data_file:
        return ()
    return tuple(plates_in((key for key, _ in files_of(data)), data_file))


def _check_writable(folder: Path, option: str) -> None:
    """Check, before hours of computation, that a folder is writable; creates nothing yet."""
    ancestor = folder.absolute()
    while not ancestor.exists():
        ancestor = ancestor.parent
    if not ancestor.is_dir():
        raise ConfigError(Problem(str(ancestor), option, "is not a folder"))
    if not os.access(ancestor, os.W_OK | os.X_OK):
        raise ConfigError(Problem(str(ancestor), option, "is not writable"))


def emulator_config(config: RunConfig, emulator: Emulator) -> RunConfig:
    """The settings of a run on this computer, with the emulator's endpoint and limits."""
    if not config.download_files:
        say("Buckets cannot be mounted on this computer: the images are downloaded instead.")
    return config.model_copy(
        update={
            "aws_credentials": credentials_of(emulator, config.aws_region),
            "download_files": True,
            "monitor_seconds": min(config.monitor_seconds, MONITOR_SECONDS),
        }
    )


def run(request: LocalRunRequest) -> int:
    """Run `dcp local run`; returns the exit status.

    Called with signals held, so that none arrives between the start of a server and the code that
    stops it.

    Raises:
        InputError: A file or option is wrong.
    """
    with interrupt.allowed():
        chaos = parse_chaos(request.chaos)
        inputs = read_inputs(request)
        leave_account()
        python = worker_python()
    with ExitStack() as stack:
        await_server = stack.enter_context(start_server(request.home, request.port))
        emulator = stack.enter_context(start_emulator(request.home / "aws", python, chaos=chaos))
        with interrupt.allowed():
            config = emulator_config(inputs.config, emulator)
            fill_buckets(config, request.data)
            await_server()
            say(f"Prefect: http://127.0.0.1:{request.port}")
            return _run(request, replace(inputs, config=config))


def fill_buckets(config: RunConfig, data: Path) -> None:
    """Create every bucket of the config, each with the content of the folder."""
    s3 = Aws.connect(config.credentials, config.aws_region).s3
    for bucket in config.buckets():
        make_bucket(s3, bucket, config.aws_region)
        say(f"bucket {bucket}: {plural(fill_bucket(s3, bucket, data), 'file')} from {data}")


def save_blocks(inputs: LocalInputs) -> None:
    """Save credentials, run config and fleet template as blocks in the Prefect server."""
    config = block_of(RunConfigBlock, inputs.config)
    config.aws_credentials.save(CREDENTIALS, overwrite=True)
    config.save(BLOCK, overwrite=True)
    block_of(FleetTemplateBlock, inputs.fleet).save(BLOCK, overwrite=True)


def _run(request: LocalRunRequest, inputs: LocalInputs) -> int:
    save_blocks(inputs)
    failure = _flow(request.job, inputs.plates)
    aws = Aws.connect(inputs.config.credentials, inputs.config.aws_region)
    run = Run(inputs.config, record.latest_id(aws, inputs.config) or "", aws)
    report = _report(run)
    if report is None and isinstance(failure, InputError):
        raise failure
    if failure is not None:
        say(str(failure))
    report = report or _late_report(run)
    for problem in report.problems[:LISTED]:
        todo = remedy(problem["reason"])
        say(f"{problem['status']}: {problem['Metadata']}: {problem['reason_text']} {todo}")
    if len(report.problems) > LISTED:
        say(f"... and {len(report.problems) - LISTED} more (--report FILE.json has them all)")
    remaining = left_running(run)
    try:
        _hand_over(request, inputs, run, report, remaining)
    except OSError as error:
        failure = error
        say(f"Could not write the outputs: {error}")
    ending = f"left: {', '.join(remaining)}" if remaining else "nothing left running"
    print(f"{report.summary}; {ending}")
    ok = failure is None and report.complete and not remaining
    return ExitStatus.OK if ok else ExitStatus.PROBLEM


def _hand_over(
    request: LocalRunRequest, inputs: LocalInputs, run: Run, report: Report, remaining: list[str]
) -> None:
    """Write the report and the outputs to the requested paths."""
    if request.report:
        content = report.as_json() | {"left_running": remaining}
        request.report.parent.mkdir(parents=True, exist_ok=True)
        request.report.write_text(json.dumps(content, indent=1) + "\n")
    prefixes = {joined(jobs.output) + "/" for jobs in inputs.sets}
    files = empty_into(run.aws.s3, run.config.outputs_bucket, prefixes, request.output)
    say(f"{plural(files, 'output file')} in {request.output}")


def _flow(job: str, plates: tuple[str, ...]) -> BaseException | None:
    """Run the flow of `dcp/full-run`; returns its error, if any."""
    try:
        # The estimated cost of a real account is reported, but needs no confirmation here.
        state: State[Any] = dcp(
            BLOCK,
            job,
            fleet=BLOCK,
            plates=list(plates),
            accept_cost=True,
            accept=list(ACCEPTED),
            return_state=True,
        )
    except (KeyboardInterrupt, TerminationSignal):
        return DcpError("the run was interrupted")
    if state.is_completed():
        return None
    error = state.result(raise_on_failure=False)
    return error if isinstance(error, BaseException) else DcpError(state.message or state.name)


def _report(run: Run) -> Report | None:
    return read_report(run) if run.run_id else None


def _late_report(run: Run) -> Report:
    """The report of a run that ended before its report was written."""
    loaded = record.load(run) if run.run_id else None
    if loaded is None or loaded.jobs is None:
        return Report(run.names.app, run.run_id, 0, 0, 0, 0, 0)
    return make_report(run, account(run))
