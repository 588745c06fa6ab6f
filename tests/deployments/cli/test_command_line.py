"""`dcp`'s command line: options in any order, help, exit statuses, imports."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml
from botocore.exceptions import EndpointConnectionError, ProfileNotFound
from cyclopts import App
from recorded_run import config_at, fails, new_run, plan
from recorded_run import job as recorded_job

from blocks.errors import DcpError, InputError, Problem
from deployments.cli.app import app
from deployments.cli.commands.options import ChangeOptions
from deployments.cli.error_reporting import reporting_errors
from deployments.cli.main import main
from deployments.exit_status import ExitStatus
from deployments.local.emulator_client import Emulator, EmulatorError, start_emulator
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
DCP = Path(__file__).parents[2] / "support" / "dcp_files"


def parsed(*tokens: str) -> dict[str, Any]:
    """The arguments of the command's function."""
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
def test_the_app_may_be_anywhere_on_the_command_line(command: str, options: list[str]) -> None:
    first, last = parsed(command, "App", *options), parsed(command, *options, "App")
    between = parsed(command, "--region", "eu-west-1", "App", *options)
    assert first == last
    assert first["app"] == between["app"] == "App"


def test_an_option_of_several_values_is_repeated() -> None:
    retried = parsed(
        "retry", "--reason", "a", "App", "--reason", "b", "--set", "x=1", "--set", "y=2"
    )
    assert retried["reason"] == ("a", "b")
    assert retried["changes"] == ChangeOptions(settings=("x=1", "y=2"))
    created = parsed("account", "create", "--inputs", "one", "--inputs", "two", "--no-safety-net")
    assert (created["inputs"], created["safety_net"]) == (("one", "two"), False)
    checked = ("check", "--job", "j", "--config", "c")
    assert parsed(*checked, "--plates", "A", "--plates", "B")["plates"] == ("A", "B")
    # Earlier versions allowed this form; only an option can follow here.
    assert parsed(*checked, "--plates", "A", "B")["plates"] == ("A", "B")


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_explains_its_exit_statuses(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, "--help"]) == 0
    text = capsys.readouterr().out
    assert "Exit status: 0 " in text
    assert f"{ExitStatus.BAD_INPUT} " in text


def test_every_command_is_among_those_tested() -> None:
    def below(app: App, *name: str) -> Iterator[tuple[str, ...]]:
        inner = [word for word in app if not word.startswith("-")]
        for word in inner:
            yield from below(app[word], *name, word)
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
def test_an_invalid_command_line_is_bad_input(
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
        (ProfileNotFound(profile="nobody"), ExitStatus.BAD_INPUT),
        (EndpointConnectionError(endpoint_url="http://nowhere"), ExitStatus.PROBLEM),
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


def test_a_defect_keeps_its_traceback_and_has_its_own_status(
    capsys: pytest.CaptureFixture[str],
) -> None:
    @reporting_errors
    def command() -> int:
        raise KeyError("defect")

    assert command() == ExitStatus.DEFECT
    said = capsys.readouterr().err
    assert "Traceback" in said
    assert "KeyError: 'defect'" in said


def dcp(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a separate process, without credentials and Prefect server."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("AWS_", "PREFECT_"))}
    nobody = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    }
    return subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        env=inherited | nobody | environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error message for bad input, on one line."""
    try:
        status = main(arguments)
    except SystemExit as ended:
        status = int(str(ended.code))
    assert status == ExitStatus.BAD_INPUT
    return " ".join(capsys.readouterr().err.split())


@pytest.fixture
def no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """Credentials for an endpoint that does not answer: AWS calls do not fail as bad input."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "local")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.delenv("AWS_PROFILE", raising=False)


@pytest.mark.usefixtures("no_account")
@pytest.mark.parametrize("command", ["retry", "continue"])
@pytest.mark.parametrize(
    ("options", "names"),
    [
        *(
            (["--set", f"a={value}"], ["--set a", "YAML"])
            for value in ("[", "{b", "2026-13-45", "!!timestamp x", '!!int ""', "[" * 5000)
        ),
        (["--set", "memory"], ["--set", "KEY=VALUE"]),
        (["--set", "nokey=1"], ["--set", "nokey"]),
        (["--set", "max_hours=soon"], ["--set", "max_hours", "soon"]),
        (["--set", "memory=-5"], ["--set", "memory", "-5"]),
        (["--memory", "-5"], ["--memory", "-5"]),
    ],
    ids=lambda value: value[-1][:15] if isinstance(value, list) else "",
)
def test_a_changed_setting_is_checked_before_calling_aws(
    command: str, options: list[str], names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, command, "App", *options)
    assert all(name in said for name in names)


@pytest.mark.usefixtures("no_account")
@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["status", "--region", "nowhere-9"], "--region"),
        (["status", "--bucket", "no_bucket"], "--bucket"),
        (["status", "a b"], "APP"),
        (["failures", "a b"], "APP"),
        (["failures", "App", "--bucket", "no_bucket"], "--bucket"),
        (["cleanup", "a b"], "APP"),
        (["account", "check", "--region", "nowhere-9"], "--region"),
        (["account", "check", "--name", "No Name"], "--name"),
        (["failures", ""], "APP"),
        (["check", "--config", "", "--job", "j"], "--config"),
        (["retry", "App", "--plate", ""], "--plate"),
    ],
    ids=" ".join,
)
def test_invalid_values_are_reported_as_typed(
    arguments: list[str], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert refused(capsys, *arguments).startswith(f"{named}: ")


def test_a_folder_is_not_a_config(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = refused(capsys, "check", "--config", str(tmp_path), "--job", "j")
    assert str(tmp_path) in said
    assert "is a folder" in said


@pytest.mark.parametrize(
    ("arguments", "names"),
    [
        (["retry", "--plate", "A", "B", "APP"], ['"APP"', "--plate A --plate B.", "retry --help"]),
        (["retry", "APP", "--plate", "A", "B"], ['"B"', "--plate A --plate B."]),
        (["retry", "APP", "B"], ['"B"', 'APP is already "APP"']),
        (["check", "--config", "c", "--job", "j", "extra"], ['"extra"', "dcp check --help"]),
        (["check"], ["--config, --job", "dcp check --help"]),
        (["check", "--config", "c"], ["Missing option: --job"]),
        (["check", "--config=c"], ["Missing option: --job"]),
        (["account", "bucket-policy"], ["--bucket, --role", "dcp account bucket-policy --help"]),
        (["retry", "--memory", "3"], ["Missing argument: APP"]),
        (["check", "--config"], ["--config needs a value"]),
        (["account", "create", "--inputs"], ["--inputs needs a value"]),
        *(
            ([word], [word, *(command[0] for command in COMMANDS), "See dcp --help."])
            for word in ("help", "version", "-V")
        ),
        (["account", "creat"], ['Did you mean "create"?', "dcp account --help"]),
    ],
    ids=lambda value: " ".join(value),
)
def test_an_invalid_command_line_is_explained(
    arguments: list[str], names: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    said = refused(capsys, *arguments)
    assert all(name in said for name in names)
    assert "[" not in said  # no list of Python's


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        (["import"], "dcp import [OPTIONS] CONFIG.PY [FLEET.JSON] [JOB.JSON]"),
        (["status"], "dcp status [OPTIONS] [APP]"),
        (["account", "policy"], "dcp account policy [OPTIONS] [WHOSE]"),
    ],
)
def test_usage_names_the_arguments(
    command: list[str], usage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    main([*command, "--help"])
    assert f"Usage: {usage}\n" in capsys.readouterr().out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_no_help_offers_several_values_after_one_option(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    main([*command, "--help"])
    assert "one or more" not in capsys.readouterr().out


@pytest.mark.skipif(not shutil.which("bash"), reason="no bash")
@pytest.mark.parametrize(
    "typed",
    [
        "import con",
        "import x.json con",
        "check --config con",
        "check --job con",
        "check --fleet con",
        "retry App --config con",
        "retry App --fleet con",
        "continue App --config con",
        "failures App --csv con",
        *(
            f"local {action} --{option} con"
            for action in ("run", "up")
            for option in ("config", "job", "fleet", "data")
        ),
    ],
)
def test_bash_completes_file_names(typed: str, script: Path, tmp_path: Path) -> None:
    (tmp_path / "config.py").touch()
    line = f'source "{script}"; COMP_WORDS=(dcp {typed}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))'
    done = subprocess.run(
        [
            "bash",
            "--norc",
            "-c",
            line + '; _dcp; printf "%s\\n" "${COMPREPLY[@]}"; complete -p dcp',
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    proposed, *_, declared = done.stdout.splitlines()
    assert proposed == "config.py"
    assert "-o filenames" in declared  # a folder is completed with a slash


@pytest.fixture(scope="module")
def script(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The installed completion for bash."""
    home = tmp_path_factory.mktemp("home")
    done = dcp("--install-completion", "--shell", "bash", HOME=str(home))
    assert done.returncode == 0, done.stderr
    return next(home.rglob("completions/dcp"))


def test_a_home_that_cannot_be_written_is_named() -> None:
    done = dcp("--install-completion", "--shell", "bash", HOME="/proc/nohome")
    assert done.returncode == ExitStatus.BAD_INPUT
    assert done.stderr.startswith("Could not write /proc/nohome")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [("status",), ("failures", "App"), ("cleanup", "App"), ("retry", "App"), ("account", "check")],
    ids=" ".join,
)
def test_without_credentials_every_command_says_the_same(arguments: tuple[str, ...]) -> None:
    done = dcp(*arguments)
    assert done.returncode == ExitStatus.BAD_INPUT
    assert done.stderr == (
        'No AWS credentials found. Run "aws configure", set AWS_PROFILE, or pass --profile NAME.\n'
    )


def test_check_without_credentials_names_no_missing_option(tmp_path: Path) -> None:
    config, job = tmp_path / "c.yaml", tmp_path / "j.yaml"
    config.write_text("{app_name: A, dockerhub_tag: a/b:1, aws_bucket: a-bucket}")
    job.write_text(
        "{pipeline: a.cppipe, data_file: a.csv, output: o, groups: [{Metadata: 'Metadata_P=1'}]}"
    )
    files = ("--config", str(config), "--job", str(job))
    in_s3 = ("--config", "s3://bucket/c.yaml", "--job", str(job))
    for done in (dcp("check", *files), dcp("check", *in_s3)):
        assert done.returncode == ExitStatus.BAD_INPUT
        assert done.stderr.startswith("No AWS credentials found.")
        assert "--profile" not in done.stderr


def test_no_block_is_loaded_without_a_server(tmp_path: Path) -> None:
    started = time.monotonic()
    done = dcp("check", "--config", "noblock", "--job", "x", HOME=str(tmp_path))
    assert time.monotonic() - started < 15  # starting Prefect's own server takes longer
    assert done.returncode == ExitStatus.BAD_INPUT
    assert done.stderr.startswith("noblock: no such file, and no Prefect server is configured")
    assert not list(tmp_path.rglob("*.db"))


# Ctrl-C, output errors, defects.


def test_ctrl_c_while_it_is_imported_is_no_traceback() -> None:
    code = (
        "import os, signal, sys\n"
        "class Interrupt:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'cyclopts':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Interrupt())\n"
        "from deployments.cli.main import main\n"
        "sys.exit(main())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--help"], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (ExitStatus.PROBLEM, "Interrupted.\n")


POLICY = (
    "account",
    "bucket-policy",
    "--bucket",
    "theirs",
    "--role",
    "arn:aws:iam::123456789012:role/r",
)
HELP = ("account", "create", "--help")


@pytest.mark.parametrize("arguments", [POLICY, HELP], ids=["print", "rich"])
def test_output_without_a_reader_ends_the_command_quietly(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        [sys.executable, "-m", "deployments.cli", *arguments],
        stdout=writer,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    os.close(writer)
    assert (done.returncode, done.stderr) == (ExitStatus.NO_OUTPUT, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full")
@pytest.mark.parametrize("arguments", [POLICY, HELP], ids=["print", "rich"])
def test_unwritable_output_is_reported_on_one_line(arguments: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "deployments.cli", *arguments],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == ExitStatus.NO_OUTPUT
    assert done.stderr.startswith("Could not write the output: ")
    assert done.stderr.count("\n") == 1


# Imports of a command, counted in a separate process.


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    with start_emulator(tmp_path_factory.mktemp("aws"), Path(sys.executable)) as emulator:
        yield emulator


def imported(*arguments: str, **environment: str) -> tuple[int, set[str]]:
    """A command's exit status, and the packages it imported."""
    code = (
        "import sys\n"
        "from deployments.cli.main import main\n"
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
        "import", *(str(DCP / file) for file in files), "--output", str(tmp_path)
    )
    assert status == 0
    assert not packages & {"prefect", "prefect_aws", "boto3", "botocore"}


@pytest.mark.e2e
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
