"""No false finding: the demo's plate, and the plate of the worker's tests."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml
from good_project import connect

from blocks import FleetTemplate
from blocks.job_file.model import parse_job_file
from blocks.loading.load import load_config
from deployments.examples.demo import make_plate
from deployments.local.bucket_folders import fill_bucket, make_bucket
from deployments.local.emulator_client import Emulator
from tasks.aws.clients import Aws
from tasks.jobs.load_data_csv import Csvs
from tasks.preflight.run_checks import preflight
from tasks.runs.run import Run

ROOT = Path(__file__).parents[3]
DEMO = ROOT / "deployments" / "examples" / "demo"


@pytest.fixture
def aws(emulator: Emulator) -> Aws:
    return connect(emulator.endpoint_url)


def check(aws: Aws, data: Path, config: Path, job: str) -> list[str]:
    settings = load_config(str(config))
    make_bucket(aws.s3, settings.aws_bucket, settings.aws_region)
    fill_bucket(aws.s3, settings.aws_bucket, data)
    run = Run(settings, "20260301-000000-abcdef", aws)
    sets = parse_job_file(job, "job file").sets()
    with Csvs(run) as csvs:
        findings = preflight(run, sets, "job file", csvs, FleetTemplate())
    return [str(finding) for finding in findings if finding.code != "cost"]


def test_the_demo_has_no_findings(aws: Aws, tmp_path: Path) -> None:
    make_plate.make_plate(tmp_path)
    assert check(aws, tmp_path, DEMO / "config.yaml", (DEMO / "job.json").read_text()) == []


def test_the_plate_of_the_workers_tests_has_no_findings(aws: Aws, tmp_path: Path) -> None:
    plate = module("plate", ROOT / "tests" / "worker" / "plate.py")
    plate.write_below(tmp_path / "data")
    config = {
        "app_name": "Plate",
        "dockerhub_tag": "lab/worker:1",
        "aws_bucket": "plate-bucket",
        "cluster_machines": 1,
        "docker_cores": 2,
        "memory": 8000,
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    job = {
        "pipeline": plate.PIPELINE_KEY,
        "data_file": plate.CSV_KEY,
        "output": plate.OUTPUT_KEY,
        "groups": {"by": ["Metadata_Plate", "Metadata_Well"]},
    }
    findings = check(aws, tmp_path / "data", tmp_path / "config.yaml", yaml.safe_dump(job))
    assert findings == []


def module(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec
    assert spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded
