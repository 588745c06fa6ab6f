"""Files of Distributed-CellProfiler, imported and unchanged, in `dcp check` and a local run."""

import json
import os
import re
from pathlib import Path

import forked_run
import pytest

from deployments.cli.main import main
from deployments.examples.demo.make_plate import LOAD_DATA, PIPELINE, make_plate
from deployments.local.bucket_folders import fill_bucket, make_bucket
from deployments.local.emulator_client import Emulator
from deployments.local.environment import credentials_of

# One process with test_local_run.py: the fixtures are created once.
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
def account(prefect: None, data: Path, worker_emulator: Emulator) -> Emulator:
    """An account with the buckets of both configs, beside a Prefect server."""
    for bucket, region in REGIONS.items():
        s3 = credentials_of(worker_emulator, region).get_s3_client()
        make_bucket(s3, bucket, region)
        fill_bucket(s3, bucket, data)
    return worker_emulator


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


def run(emulator: Emulator, data: Path, folder: Path, **files: Path) -> set[str]:
    """Run on this computer; returns the output folders."""
    output = folder / "out"
    places = options(data=data, output=output, **files)
    status, text = forked_run.finish(places, folder, emulator)
    assert status == 0, text
    assert "2 jobs: 2 succeeded" in text
    return {path.parent.relative_to(output).as_posix() for path in output.rglob("Image.csv")}


@pytest.mark.usefixtures("environment")
def test_imported_files(
    account: Emulator, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """config.py and files/: imported with a fleet file that is not filled in."""
    sources = [DCP / "config.py", EAST, DCP / "files" / "exampleJob.json"]
    assert main(["import", *map(str, sources), "--output", str(tmp_path)]) == 0
    files = {name: tmp_path / f"{name}.yaml" for name in ("config", "fleet", "job")}
    text = files["config"].read_text()
    files["config"].write_text(re.sub(r"# (dockerhub_tag: .*)", r"\1", text))
    assert errors(capsys, **files) == []
    folder = "projects/demo/workspace/analysis"
    assert run(account, data, tmp_path, **files) == {
        f"{folder}/DemoPlate-A01-1",
        f"{folder}/DemoPlate-B04-2",
    }


@pytest.mark.usefixtures("environment")
def test_files_as_they_are(
    account: Emulator, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """example_project/ and a filled-in fleet file, without an import."""
    files = {"job": EXAMPLE / "files" / "exampleJob.json", "fleet": WEST}
    text = (EXAMPLE / "config.py").read_text()
    config = tmp_path / "config.py"
    config.write_text(re.sub("DOCKERHUB_TAG = .*", "DOCKERHUB_TAG = 'lab/worker:1'", text))
    assert errors(capsys, config=config, **files) == []
    assert run(account, data, tmp_path, config=EXAMPLE / "config.py", **files) == {
        "project_folder/output/A02",
        "project_folder/output/B01",
    }
