"""An app of one test, in its own or a shared AWS."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from blocks import RunConfig
from blocks.job_file.s3_keys import MOUNT
from tasks.aws.clients import Aws
from tasks.runs import record
from tasks.runs.run import Run

PIPELINE, CSV = "p/a.cppipe", "p/a.csv"
LAB_PIPELINE = Path(__file__).with_name("lab.cppipe")


@dataclass(frozen=True)
class Lab:
    """An app of one test: its files, and its AWS."""

    folder: Path
    config: str
    settings: RunConfig
    aws: Aws

    def run(self) -> Run:
        """The app's newest run."""
        return self.run_of(self.settings)

    def run_of(self, settings: RunConfig) -> Run:
        """The newest run of the app with these settings."""
        return Run(settings, record.latest_id(self.aws, settings) or "", self.aws)

    def app(self, name: str) -> Run:
        """The newest run of another app in the same bucket."""
        return self.run_of(self.settings.model_copy(update={"app_name": name}))

    def put(self, key: str, body: bytes | str) -> None:
        """Write an object."""
        text = body if isinstance(body, bytes) else body.encode()
        self.aws.s3.put_object(Bucket=self.settings.aws_bucket, Key=key, Body=text)

    def plate(self, plate: str, *wells: str, csv: str = CSV) -> None:
        """Write pipeline, images and LoadData CSV of a plate, one row per well."""
        self.put(PIPELINE, LAB_PIPELINE.read_bytes())
        rows = ["FileName_OrigDNA,PathName_OrigDNA,Metadata_Plate,Metadata_Well"]
        for well in dict.fromkeys(wells):
            self.put(f"images/{plate}/{well}.tif", b"II*\0")
            rows.append(f"{well}.tif,{MOUNT}/images/{plate},{plate},{well}")
        self.put(csv, "\n".join(rows) + "\n")

    def jobs(self, *wells: str) -> str:
        """Write a plate and a job file with one group per well; returns its path."""
        self.plate("P1", *wells)
        groups = [{"Metadata": f"Metadata_Plate=P1,Metadata_Well={well}"} for well in wells]
        return self.job_file(data_file=CSV, groups=groups)

    def job_file(self, **keys: Any) -> str:
        """Write a job file; returns its path."""
        path = self.folder / "job.yaml"
        path.write_text(yaml.safe_dump({"pipeline": PIPELINE, "output": "out", **keys}))
        return str(path)

    def outputs(self) -> set[str]:
        """The keys of all outputs."""
        found = self.aws.s3.list_objects_v2(Bucket=self.settings.outputs_bucket, Prefix="out/")
        return {item["Key"] for item in found.get("Contents", [])}
