"""The form of `dcp`'s command line: options in any order, help, exit statuses, what is imported."""

import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import NoCredentialsError, ProfileNotFound
from cyclopts import App
from recorded_run import config_at, fails, new_run, plan
from recorded_run import job as recorded_job

from blocks.errors import DcpError, InputError, Problem
from deployments.cli import app, main
from deployments.commands.options import ChangeOptions
from deployments.exit_status import ExitStatus, reporting_errors
from deployments.local.aws import Emulator, EmulatorError, start_emulator
from deployments.local.prefect_server import PrefectError

COMMANDS = [
    ("check",),
    ("cleanup",),
    ("continue",),
    ("failures",),
    ("import",),
    ("retry",),
    ("status",),
    *(("account", step) for step in ("create", "check", "destroy", "policy", "bucket-policy")),
    *(("local", action) for action in ("run", "up")),
]
DCP = Path(__file__).parents[1] / "support" / "dcp_files"


def given(*tokens: str) -> dict[str, Any]:
    """The arguments that a command would be called with."""
    _, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
    arguments: dict[str, Any] = bound.arguments
    return arguments


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("retry", ["--reason", "timeout"]),
        ("retry", ["--plate", "P1"]),
        ("retry", ["--accept", "image_missing"]),
        ("retry", ["--set", "memory=9000"]),
        ("continue", ["--set", "max_hours=24"]),
        ("failures", ["--all"]),
        ("cleanup", ["--abandon"]),
        ("status", ["--bucket", "lab"]),
    ],
)
def test_the_app_may_stand_anywhere(command: str, options: list[str]) -> None:
    first, last = given(command, "App", *options), given(command, *options, "App")
    between = given(command, "--region", "eu-west-1", "App", *options)
    assert first == last
    assert first["app"] == between["app"] == "App"


def test_options_that_are_repeated_and_options_of_several_values() -> None:
    retried = given(
        "retry", "--reason", "a", "App", "--reason", "b", "--set", "x=1", "--set", "y=2"
    )
    assert retried["reason"] == ("a", "b")
    assert retried["changes"] == ChangeOptions(settings=("x=1", "y=2"))
    assert given("check", "--plates", "A", "B", "--job", "j", "--config", "c")["plates"] == (
        "A",
        "B",
    )
    made = given("account", "create", "--inputs", "one", "two", "--no-safety-net")
    assert (made["inputs"], made["safety_net"]) == (("one", "two"), False)


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_says_what_its_exit_statuses_mean(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Exit status: 0 " in text
    assert f"{ExitStatus.BAD_INPUT} " in text


def test_every_command_is_among_those_tested() -> None:
    def below(one: App, *name: str) -> Iterator[tuple[str, ...]]:
        inner = [word for word in one if not word.startswith("-")]
        for word in inner:
            yield from below(one[word], *name, word)
        if not inner:
            yield name

    assert sorted(below(app)) == sorted(COMMANDS)


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["retry"],
        ["retry", "App", "Other"],
        ["retry", "App", "--reason"],
        ["check", "--config", "c"],
        ["status", "--regoin", "x"],
        ["account", "policy", "nobody"],
        ["local", "run", "--memory", "many"],
    ],
)
def test_what_cannot_be_parsed_is_bad_input(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == ExitStatus.BAD_INPUT
    assert capsys.readouterr().err


def test_the_version_is_that_of_the_distribution(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("dcp")


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shells_complete_commands_and_options(shell: Any) -> None:
    script = app.generate_completion(shell=shell)
    assert all(word in script for word in ("continue", "bucket-policy", "accept-cost"))


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (InputError(Problem("c.yaml", "memory", "is wrong")), ExitStatus.BAD_INPUT),
        (DcpError("AWS could not"), ExitStatus.PROBLEM),
        (EmulatorError("no emulator"), ExitStatus.PROBLEM),
        (PrefectError("no server"), ExitStatus.PROBLEM),
        (NoCredentialsError(), ExitStatus.BAD_INPUT),
        (ProfileNotFound(profile="nobody"), ExitStatus.BAD_INPUT),
        (KeyboardInterrupt(), ExitStatus.PROBLEM),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
def test_errors_are_a_message_and_an_exit_status(
    error: BaseException, status: ExitStatus, capsys: pytest.CaptureFixture[str]
) -> None:
    @reporting_errors
    def command() -> int:
        raise error

    assert command() == status
    said = capsys.readouterr()
    assert str(error) in said.err
    assert said.err.strip()
    assert not said.out


def test_a_defect_keeps_its_traceback() -> None:
    @reporting_errors
    def command() -> int:
        raise KeyError("defect")

    with pytest.raises(KeyError):
        command()


# What a command imports, counted in a process of its own.


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with start_emulator(tmp_path_factory.mktemp("aws"), Path(sys.executable)) as emulator:
        yield emulator


def imported(*arguments: str, **environment: str) -> tuple[int, set[str]]:
    """A command's exit status, and the packages that it imported."""
    code = (
        "import sys\n"
        "from deployments.cli import main\n"
        "status = main(sys.argv[1:])\n"
        "print('imported', *{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)\n"
        "sys.exit(status)\n"
    )
    bare = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=bare | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    line = done.stderr.splitlines()[-1]
    assert line.startswith("imported"), done.stderr
    return done.returncode, set(line.split()[1:])


@pytest.mark.parametrize(
    "arguments",
    [("--help",), ("--version",), *((*command, "--help") for command in COMMANDS)],
    ids=" ".join,
)
def test_help_imports_nothing_that_a_run_needs(arguments: tuple[str, ...]) -> None:
    status, packages = imported(*arguments)
    assert status == 0
    assert not packages & {"prefect", "prefect_aws", "boto3", "botocore", "pydantic", "yaml"}


def test_import_needs_neither_prefect_nor_boto3(tmp_path: Path) -> None:
    files = ("config.py", "files/exampleFleet_us-west-2.json", "files/exampleJob.json")
    status, packages = imported(
        "import", *(str(DCP / one) for one in files), "--output", str(tmp_path)
    )
    assert status == 0
    assert not packages & {"prefect", "prefect_aws", "boto3", "botocore"}


def test_commands_that_ask_aws_alone_need_no_prefect(emulator: Emulator, tmp_path: Path) -> None:
    config, job = tmp_path / "config.yaml", tmp_path / "job.yaml"
    names = {"app_name": "Bare", "dockerhub_tag": "lab/worker:1", "aws_bucket": "bare-bucket"}
    config.write_text(yaml.safe_dump(names))
    keys = {"pipeline": "p/a.cppipe", "data_file": "p/a.csv", "output": "out"}
    group = {"Metadata": "Metadata_Plate=P1,Metadata_Well=A01"}
    job.write_text(yaml.safe_dump(keys | {"groups": [group]}))
    run = new_run(config_at(emulator.endpoint_url, "Begun"))
    (message,) = plan(run, [recorded_job(run, "Metadata_Plate=P1,Metadata_Well=A01")])
    fails(run, message, "image_missing")
    environment = {
        "AWS_ENDPOINT_URL": emulator.endpoint_url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }
    for arguments, expected in (
        (("check", "--config", str(config), "--job", str(job)), ExitStatus.PROBLEM),
        (("status",), ExitStatus.OK),
        (("failures", "Nobody"), ExitStatus.BAD_INPUT),
        (("failures", "Begun"), ExitStatus.PROBLEM),
        (("cleanup", "Begun"), ExitStatus.OK),
        (("account", "check"), ExitStatus.BAD_INPUT),
    ):
        status, packages = imported(*arguments, **environment)
        assert status == expected, arguments
        assert not packages & {"prefect", "prefect_aws"}, arguments
