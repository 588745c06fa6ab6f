"""Files of Distributed-CellProfiler as ours: what `dcp import` reads, writes and tells."""

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
from blocks.rendering.commented_yaml import SCHEMAS, Written, config_text, model_text
from blocks.yaml_json import parse_mapping

CONFIG, FLEET, JOB = "config.yaml", "fleet.yaml", "job.yaml"
IMAGE = "my-account/dcp-worker:1.0"


@dataclass(frozen=True)
class Brought:
    """The files of a user of DCP, read.

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
        """All that is to be said of them, what is to be filled in first."""
        told = [*self.config.remarks, *(self.fleet.remarks if self.fleet else ())]
        return sorted(told, key=lambda remark: list(Kind).index(remark.kind))


def read_files(config: str, others: Sequence[str]) -> Brought:
    """Read a config.py and what comes with it, in any order.

    Args:
        config: Path or `s3://` address of the config.py.
        others: The same of a fleet file, a job file, or both.

    Raises:
        InputError: Something in them is wrong; all is named.
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
    return Brought(settings, fleet, job)


def _config(source: str) -> DcpSettings:
    if not is_dcp_config(source):
        what = "is not a config.py of DCP"
        raise ConfigError(Problem(source, "", what, remedy="Its name must end in .py."))
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
        raise InputError(Problem(source, "", f"is a second {kind}", remedy="Import it by itself."))


def _settle_address(config: DcpSettings, fleet: DcpFleet) -> None:
    """DCP gives a public address where config.py and fleet file agree to."""
    if fleet.assign_ip is False and config.values.get("assign_ip", True):
        config.values["assign_ip"] = False
        text = f"is false, as AssociatePublicIpAddress is in {fleet.where}."
        config.tell(Kind.DIFFERS, "assign_ip", text)


def texts_of(brought: Brought, folder: Path) -> dict[str, str]:
    """Our files, by their names.

    Args:
        brought: What they are made from.
        folder: Where they will lie; their first line says where editors find their schema.
    """
    texts = {CONFIG: _config_text(brought.config, _schema("config", folder))}
    if brought.fleet:
        texts[FLEET] = _fleet_text(brought.fleet, _schema("fleet", folder))
    if brought.job:
        texts[JOB] = _job_text(brought.job, _schema("job", folder))
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
        Written(config.values, examples, notes),
        f"The run config of {config.values.get('app_name', 'DistributedCP')}, made from "
        f"{Path(config.where).name}. Settings that are not here have their defaults: "
        "docs/configuration.md.",
        schema,
    )


def _fleet_text(fleet: DcpFleet, schema: str) -> str:
    return model_text(
        FleetTemplate,
        Written(fleet.values, fleet.examples),
        f"The fleet template made from {Path(fleet.where).name}. All of it may be left out.",
        schema,
    )


def _job_text(job: JobFile, schema: str) -> str:
    values = parse_mapping(job.text, "", InputError)
    return model_text(JobFile, Written(values), "The job file. Its groups are the jobs.", schema)


def write_files(texts: Mapping[str, str], folder: Path, force: bool) -> list[Path]:
    """Write our files; returns their paths.

    Raises:
        InputError: A file is there already and may not be overwritten, or cannot be written.
    """
    paths = {folder / name: text for name, text in texts.items()}
    there = [path for path in paths if path.exists()]
    if there and not force:
        remedy = "Write elsewhere with --output DIR, or over it with --force."
        raise InputError(
            *(Problem(str(path), "", "is there already", remedy=remedy) for path in there)
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path, text in paths.items():
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        place, what = str(error.filename or folder), f"cannot be written ({error.strerror})"
        raise InputError(Problem(place, "", what)) from error
    return list(paths)


def told(brought: Brought, written: Sequence[Path]) -> Iterator[str]:
    """What is said at the end, line by line: what was written, what to know, what to do next."""
    yield f"written: {', '.join(str(path) for path in written)}"
    for kind in Kind:
        remarks = [remark for remark in brought.remarks if remark.kind is kind]
        if remarks:
            yield f"\n{kind.value}:"
            yield from (f"  {remark}" for remark in remarks)
    yield "\nNext:"
    yield from (f"  {step}" for step in _next_steps(brought, {path.name: path for path in written}))


def _next_steps(brought: Brought, written: Mapping[str, Path]) -> Iterable[str]:
    if any(remark.kind is Kind.FILL_IN for remark in brought.remarks):
        yield "fill in what is listed above"
    job = written.get(JOB, "JOB.yaml")
    options = ["--config", str(written[CONFIG]), "--job", str(job)]
    if FLEET in written:
        options += ["--fleet", str(written[FLEET])]
    files = shlex.join(options)
    yield f"dcp local run {files} --data DIR --output DIR   # a plate of it, on this computer"
    yield f"dcp check {files}   # before it costs anything"
