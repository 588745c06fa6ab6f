"""A project without mistakes: a Cell Painting plate, its pipeline, job file and config."""

import csv
import io
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from prefect_aws import AwsClientParameters
from pydantic import SecretStr

from blocks import AwsCredentials, FleetTemplate, RunConfig
from blocks.job_file.model import parse_job_file
from blocks.loading.load import load_config
from deployments.local.bucket_folders import make_bucket
from tasks.aws.clients import Aws
from tasks.jobs.load_data_csv import Csvs
from tasks.preflight.finding import Finding
from tasks.preflight.run_checks import preflight
from tasks.runs.run import Run

CHANNELS = ("DNA", "ER", "RNA", "AGP", "Mito")
PLATE = "BR00117035"
WELLS = ("A01", "A02", "B01", "B02")
SITES = (1, 2)
ROOT = "/home/ubuntu/bucket"
BATCH = "projects/cp/workspace"
PIPELINE = f"{BATCH}/pipelines/analysis.cppipe"
CSV = f"{BATCH}/load_data_csv/{PLATE}/load_data_with_illum.csv"
IMAGES = f"projects/cp/images/{PLATE}"
ILLUM = f"projects/cp/illum/{PLATE}"
RULES = f"{BATCH}/rules"
OUTPUT = f"{BATCH}/analysis"
PIPELINE_TEXT = Path(__file__).with_name("analysis.cppipe").read_text(encoding="utf-8")


def connect(endpoint: str) -> Aws:
    """The clients for an emulator."""
    credentials = AwsCredentials(
        aws_access_key_id="local",
        aws_secret_access_key=SecretStr("local"),
        aws_client_parameters=AwsClientParameters(endpoint_url=endpoint),
    )
    return Aws.connect(credentials, "us-east-1")


def folder(well: str, site: int) -> str:
    """The output folder of a site."""
    return f"{OUTPUT}/{PLATE}/analysis/{PLATE}-{well}-{site}"


def rows() -> list[dict[str, str]]:
    """The rows of the LoadData CSV."""
    return [
        {f"FileName_Orig{channel}": f"{well}_s{site}_{channel}.tiff" for channel in CHANNELS}
        | {f"PathName_Orig{channel}": f"{ROOT}/{IMAGES}" for channel in CHANNELS}
        | {f"FileName_Illum{channel}": f"{PLATE}_Illum{channel}.npy" for channel in CHANNELS}
        | {f"PathName_Illum{channel}": f"{ROOT}/{ILLUM}" for channel in CHANNELS}
        | {"Metadata_Plate": PLATE, "Metadata_Well": well, "Metadata_Site": str(site)}
        | {"Metadata_Dose": "" if well == "B02" else "0.5"}
        for well in WELLS
        for site in SITES
    ]


@dataclass
class Project:
    """A project that a test may break.

    Attributes:
        objects: Key and content of every object in the bucket.
        rows: Rows of the LoadData CSV.
        job: The job file.
        config: The run config, without bucket and credentials.
        account: Permissions, quotas and prices of the account
            (`deployments.local.emulator.core.account_limits`).
        csv: Turns the text of the CSV into its content.
        pipeline: Text of the pipeline.
    """

    objects: dict[str, bytes] = field(default_factory=dict)
    rows: list[dict[str, str]] = field(default_factory=rows)
    job: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    account: dict[str, Any] = field(default_factory=dict)
    csv: Callable[[str], str | bytes] = lambda text: text
    pipeline: str = PIPELINE_TEXT

    def __post_init__(self) -> None:
        self.objects |= {
            f"{IMAGES}/{well}_s{site}_{channel}.tiff": b"II*\0"
            for well in WELLS
            for site in SITES
            for channel in CHANNELS
        }
        self.objects |= {
            f"{ILLUM}/{PLATE}_Illum{channel}.npy": b"\x93NUMPY" for channel in CHANNELS
        }
        self.objects[f"{RULES}/rules.txt"] = b"IF (Nuclei_AreaShape_Area > 10, [1, -1], [-1, 1])"
        self.job |= {
            "pipeline": PIPELINE,
            "data_file": CSV,
            "input": RULES,
            "output": OUTPUT,
            "output_structure": "Metadata_Plate/analysis/"
            "Metadata_Plate-Metadata_Well-Metadata_Site",
            "groups": [
                {"Metadata_Plate": PLATE, "Metadata_Well": well, "Metadata_Site": str(site)}
                for well in WELLS
                for site in SITES
            ],
        }
        self.config |= {
            "app_name": "CellPainting",
            "dockerhub_tag": "lab/worker:4.2.8",
            "cluster_machines": 1,
            "tasks_per_machine": 1,
            "docker_cores": 4,
            "memory": 15_000,
            "check_if_done_bool": True,
            "expected_number_files": 7,
        }

    def replace(self, old: str, new: str) -> None:
        """Replace the first occurrence of a text in the pipeline."""
        assert old in self.pipeline, old
        self.pipeline = self.pipeline.replace(old, new, 1)

    def write_outputs(self, files: int, *sites: tuple[str, int]) -> None:
        """Add this number of outputs to sites."""
        for well, site in sites:
            for number in range(files):
                self.objects[f"{folder(well, site)}/{number}.csv"] = b"1,2"

    def csv_text(self) -> str:
        """The LoadData CSV."""
        text = io.StringIO()
        writer = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.rows)
        return text.getvalue()

    def find(self, aws: Aws, bucket: str, at: Path) -> list[Finding]:
        """Upload the project to a new bucket and run preflight."""
        csv_content = self.csv(self.csv_text())
        content = csv_content if isinstance(csv_content, bytes) else csv_content.encode()
        objects = {CSV: content, PIPELINE: self.pipeline.encode(), **self.objects}
        config = self.settings(bucket, at)
        make_bucket(aws.s3, bucket, config.aws_region)
        with ThreadPoolExecutor(8) as pool:
            for key, body in objects.items():
                pool.submit(aws.s3.put_object, Bucket=bucket, Key=key, Body=body)
        run = Run(config, "20260301-000000-abcdef", aws)
        sets = parse_job_file(yaml.safe_dump(self.job, sort_keys=False), "job.yaml").sets()
        with Csvs(run) as csvs:
            return preflight(run, sets, "job.yaml", csvs, FleetTemplate())

    def settings(self, bucket: str, at: Path) -> RunConfig:
        """The run config, read from a file."""
        path = at / "config.yaml"
        path.write_text(yaml.safe_dump({"aws_bucket": bucket, **self.config}))
        return load_config(str(path))
