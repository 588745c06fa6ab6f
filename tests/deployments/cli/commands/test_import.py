"""Files of Distributed-CellProfiler, imported and unchanged, in `dcp check` and a local run."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.cli.main import main
from deployments.examples.demo.make_plate import LOAD_DATA, PIPELINE, make_plate
from deployments.local.bucket_folders import fill_bucket, make_bucket
from deployments.local.emulator_client import Emulator, start_emulator
from deployments.local.environment import credentials_of, worker_python

# One process: the fixtures are created once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("import")]

DCP = Path(__file__).parents[3] / "support" / "dcp_files"
EXAMPLE = DCP / "example_project"
EAST, WEST = (DCP / "files" / f"exampleFleet_us-{side}.json" for side in ("east-1", "west-2"))
WORKSPACE = "project_folder/workspace"
REGIONS = {"colon-screen": "us-east-1", "colon-screen-images": "us-east-1"}
REGIONS["your-bucket-name"] = "us-west-2"


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The demo's plate; for the example project also by well, at the path in its job file."""
    folder = tmp_path_factory.mktemp("data")
    make_plate(folder)
    pipeline = (folder / PIPELINE).read_text()
    by_well = pipeline.replace("for grouping:Plate,Well,Site", "for grouping:Well")
    assert by_well != pipeline
    (folder / WORKSPACE).mkdir(parents=True)
    (folder / WORKSPACE / "Wells.cppipe").write_text(by_well)
    (folder / WORKSPACE / "load_data.csv").write_bytes((folder / LOAD_DATA).read_bytes())
    return folder


@pytest.fixture(scope="module")
def account(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account with the buckets of both configs."""
    with start_emulator(tmp_path_factory.mktemp("aws"), worker_python()) as emulator:
        for bucket, region in REGIONS.items():
            s3 = credentials_of(emulator, region).get_s3_client()
            make_bucket(s3, bucket, region)
            fill_bucket(s3, bucket, data)
        yield emulator


@pytest.fixture
def environment(account: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings that direct AWS tools to the account."""
    for name in [variable for variable in os.environ if variable.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_ENDPOINT_URL", account.endpoint_url)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "local")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "local")


def errors(capsys: pytest.CaptureFixture[str], **files: Path) -> list[dict[str, str]]:
    """The errors that `dcp check` finds."""
    capsys.readouterr()
    status = main(["check", "--json", *options(**files)])
    said = capsys.readouterr()
    assert status in (0, 1), said.err
    return [finding for finding in json.loads(said.out) if finding["level"] == "error"]


def options(**files: Path) -> list[str]:
    return [word for name, path in files.items() for word in (f"--{name}", str(path))]


def run(data: Path, output: Path, **files: Path) -> set[str]:
    """Run on this computer; returns the output folders."""
    places = options(data=data, output=output, **files)
    command = [sys.executable, "-m", "deployments.cli", "local", "run", *places]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert "2 jobs: 2 succeeded" in done.stdout.splitlines()[-1]
    return {path.parent.relative_to(output).as_posix() for path in output.rglob("Image.csv")}


@pytest.mark.usefixtures("environment")
def test_imported_files(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """config.py and files/: imported with a fleet file that is not filled in."""
    sources = [DCP / "config.py", EAST, DCP / "files" / "exampleJob.json"]
    assert main(["import", *map(str, sources), "--output", str(tmp_path)]) == 0
    files = {name: tmp_path / f"{name}.yaml" for name in ("config", "fleet", "job")}
    text = files["config"].read_text()
    files["config"].write_text(re.sub(r"# (dockerhub_tag: .*)", r"\1", text))
    assert errors(capsys, **files) == []
    folder = "projects/demo/workspace/analysis"
    assert run(data, tmp_path / "out", **files) == {
        f"{folder}/DemoPlate-A01-1",
        f"{folder}/DemoPlate-B04-2",
    }


@pytest.mark.usefixtures("environment")
def test_files_as_they_are(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """example_project/ and a filled-in fleet file, without an import."""
    files = {"job": EXAMPLE / "files" / "exampleJob.json", "fleet": WEST}
    text = (EXAMPLE / "config.py").read_text()
    config = tmp_path / "config.py"
    config.write_text(re.sub("DOCKERHUB_TAG = .*", "DOCKERHUB_TAG = 'lab/worker:1'", text))
    assert errors(capsys, config=config, **files) == []
    assert run(data, tmp_path / "out", config=EXAMPLE / "config.py", **files) == {
        "project_folder/output/A02",
        "project_folder/output/B01",
    }
