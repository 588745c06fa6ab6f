"""Converts files of Distributed-CellProfiler: the input, output and remarks of `dcp import`."""

import json
import os
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from blocks import FleetTemplate
from blocks.dcp_compat.config_py import is_dcp_config, read_dcp_config
from blocks.dcp_compat.config_values import DcpSettings
from blocks.dcp_compat.fleet_file import DcpFleet, read_dcp_fleet
from blocks.dcp_compat.remarks import Kind, Remark
from blocks.errors import ConfigError, InputError, Problem
from blocks.fleet_template.spot_fleet_request import is_spot_fleet
from blocks.job_file.model import JobFile
from blocks.loading.load import load_job, parse_config, parse_fleet
from blocks.loading.sources import read_text
from blocks.rendering.commented_yaml import SCHEMAS, YamlFields, config_text, model_text
from blocks.yaml_json import parse_mapping

CONFIG, FLEET, JOB = "config.yaml", "fleet.yaml", "job.yaml"
IMAGE = "my-account/dcp-worker:1.0"


@dataclass(frozen=True)
class DcpFiles:
    """The parsed files of a user of DCP.

    Attributes:
        config: The config.py.
        fleet: The fleet file, if there is one.
        job: The job file, if there is one.
    """

    config: DcpSettings
    fleet: DcpFleet | None
    job: JobFile | None

    @property
    def remarks(self) -> list[Remark]:
        """All remarks about them; those that the user must act on come first."""
        remarks = [*self.config.remarks, *(self.fleet.remarks if self.fleet else ())]
        return sorted(remarks, key=lambda remark: list(Kind).index(remark.kind))


def read_files(config: str, others: Sequence[str]) -> DcpFiles:
    """Read a config.py, and a fleet file and job file in any order.

    Args:
        config: Path or `s3://` address of the config.py.
        others: Paths or `s3://` addresses of a fleet file, a job file, or both.

    Raises:
        InputError: The files have mistakes; lists all of them.
    """
    problems: list[Problem] = []
    settings, fleet, job = DcpSettings(config), None, None
    try:
        settings = _config(config)
    except InputError as error:
        problems += error.problems
    for other in others:
        try:
            if is_dcp_config(other):
                _only_one(settings, other, "config.py")
            values = parse_mapping(read_text(other), other, InputError)
            if is_spot_fleet(values) or "IamFleetRole" in values:
                _only_one(fleet, other, "fleet file")
                fleet = _fleet(values, other)
            else:
                _only_one(job, other, "job file")
                job = load_job(other)
        except InputError as error:
            problems += error.problems
    if problems:
        raise InputError(*problems)
    if fleet:
        _settle_address(settings, fleet)
    return DcpFiles(settings, fleet, job)


def _config(source: str) -> DcpSettings:
    if not is_dcp_config(source):
        mistake = "is not a config.py of DCP"
        raise ConfigError(Problem(source, "", mistake, remedy="Its name must end in .py."))
    text = read_text(source)
    parse_config(text, source, without={"aws_credentials"}, defaults={"dockerhub_tag": IMAGE})
    return read_dcp_config(text, source)


def _fleet(values: Mapping[str, Any], source: str) -> DcpFleet:
    fleet = read_dcp_fleet(values, source)
    if "spot_fleet_request" not in fleet.values:
        parse_fleet(json.dumps(fleet.values), source)
    return fleet


def _only_one(before: object, source: str, kind: str) -> None:
    if before is not None:
        raise InputError(Problem(source, "", f"is a second {kind}", remedy="Import it separately."))


def _settle_address(config: DcpSettings, fleet: DcpFleet) -> None:
    """DCP assigns a public address only if both config.py and fleet file allow it."""
    if fleet.assign_ip is False and config.values.get("assign_ip", True):
        config.values["assign_ip"] = False
        text = f"is false, as AssociatePublicIpAddress is in {fleet.where}."
        config.add_remark(Kind.DIFFERS, "assign_ip", text)


def texts_of(dcp_files: DcpFiles, folder: Path) -> dict[str, str]:
    """The converted files by name.

    Args:
        dcp_files: The files of DCP.
        folder: The output folder; the first line of each file has its schema's path from there.
    """
    texts = {CONFIG: _config_text(dcp_files.config, _schema("config", folder))}
    if dcp_files.fleet:
        texts[FLEET] = _fleet_text(dcp_files.fleet, _schema("fleet", folder))
    if dcp_files.job:
        texts[JOB] = _job_text(dcp_files.job, _schema("job", folder))
    return texts


def _schema(kind: str, folder: Path) -> str:
    schema = SCHEMAS / f"{kind}.schema.json"
    return Path(os.path.relpath(schema, folder)).as_posix() if schema.is_file() else ""


def _config_text(config: DcpSettings, schema: str) -> str:
    notes: dict[str, list[str]] = defaultdict(list)
    for remark in config.remarks:
        if remark.kind is Kind.FILL_IN:
            notes[remark.key.lower()].append(f"TO FILL IN: {remark.text}")
    examples = {} if "dockerhub_tag" in config.values else {"dockerhub_tag": IMAGE}
    return config_text(
        YamlFields(config.values, examples, notes),
        f"The run config of {config.values.get('app_name', 'DistributedCP')}, converted from "
        f"{Path(config.where).name}. Other settings have their defaults: docs/configuration.md.",
        schema,
    )


def _fleet_text(fleet: DcpFleet, schema: str) -> str:
    return model_text(
        FleetTemplate,
        YamlFields(fleet.values, fleet.examples),
        f"The fleet template, converted from {Path(fleet.where).name}. All fields are optional.",
        schema,
    )


def _job_text(job: JobFile, schema: str) -> str:
    values = parse_mapping(job.text, "", InputError)
    return model_text(JobFile, YamlFields(values), "The job file. Each group is a job.", schema)


def write_files(texts: Mapping[str, str], folder: Path, force: bool) -> list[Path]:
    """Write the converted files; returns their paths.

    Raises:
        InputError: A file exists and may not be overwritten, or cannot be written.
    """
    paths = {folder / name: text for name, text in texts.items()}
    existing = [path for path in paths if path.exists()]
    if existing and not force:
        remedy = "Write elsewhere with --output DIR, or overwrite it with --force."
        raise InputError(
            *(Problem(str(path), "", "already exists", remedy=remedy) for path in existing)
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        place, mistake = str(error.filename or folder), f"cannot be written ({error.strerror})"
        raise InputError(Problem(place, "", mistake)) from error
    return list(paths)


def summary_lines(dcp_files: DcpFiles, written: Sequence[Path]) -> Iterator[str]:
    """The lines of the final message: the files, the remarks and the next steps."""
    yield f"Wrote {', '.join(str(path) for path in written)}"
    for kind in Kind:
        remarks = [remark for remark in dcp_files.remarks if remark.kind is kind]
        if remarks:
            yield f"\n{kind.value}:"
            yield from (f"  {remark}" for remark in remarks)
    yield "\nNext:"
    yield from (
        f"  {step}" for step in _next_steps(dcp_files, {path.name: path for path in written})
    )


def _next_steps(dcp_files: DcpFiles, written: Mapping[str, Path]) -> Iterable[str]:
    if any(remark.kind is Kind.FILL_IN for remark in dcp_files.remarks):
        yield "fill in the values listed above"
    job = written.get(JOB, "JOB.yaml")
    options = ["--config", str(written[CONFIG]), "--job", str(job)]
    if FLEET in written:
        options += ["--fleet", str(written[FLEET])]
    files = shlex.join(options)
    yield f"dcp local run {files} --data DIR --output DIR   # one plate, on this computer"
    yield f"dcp check {files}   # before it costs anything"
