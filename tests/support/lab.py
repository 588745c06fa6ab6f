"""An app of one test, in an AWS of its own or shared."""

from dataclasses import dataclass
from pathlib import Path

import yaml

from blocks import RunConfig
from tasks import record
from tasks.aws import Aws
from tasks.run import Run


@dataclass(frozen=True)
class Lab:
    """An app of one test: its files, and the AWS that it runs in."""

    folder: Path
    config: str
    settings: RunConfig
    aws: Aws

    def run(self) -> Run:
        """The app's newest run."""
        return Run(self.settings, record.latest_id(self.aws, self.settings) or "", self.aws)

    def jobs(self, *values: str) -> str:
        """Write a job file with a group for each of these wells; returns its path."""
        path = self.folder / "job.yaml"
        groups = [{"Metadata": f"Metadata_Plate=P1,Metadata_Well={value}"} for value in values]
        job = {"pipeline": "p/a.cppipe", "data_file": "p/a.csv", "input": "", "output": "out"}
        path.write_text(yaml.safe_dump(job | {"groups": groups}))
        return str(path)

    def outputs(self) -> set[str]:
        """The keys of all outputs."""
        found = self.aws.s3.list_objects_v2(Bucket=self.settings.outputs_bucket, Prefix="out/")
        return {item["Key"] for item in found.get("Contents", [])}
