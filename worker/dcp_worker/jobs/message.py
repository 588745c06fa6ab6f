"""Parses the body of an SQS message into a job; `docs/contract.schema.json` is its schema."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

DATA_FILES = (".csv", ".h5", ".txt")
_JOB_ID = re.compile(r"[0-9a-f]{32}")
_RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


@dataclass(frozen=True)
class Job:
    """One group of image sets to analyse.

    Attributes:
        job_id: The same for the same job in every run.
        run_id: The run whose record receives the result.
        metadata: The group in the form of CellProfiler's `-g`: `K=V,K=V`.
        group: The same as pairs.
        metadata_id: The group as a path below the output folder.
        pipeline: S3 key of the pipeline or batch file.
        data_file: S3 key of the LoadData CSV, batch file or file list.
        input: S3 key prefix of the default input folder; may be empty.
        output: S3 key prefix of this job's outputs, with a trailing /.
    """

    job_id: str
    run_id: str
    metadata: str
    group: tuple[tuple[str, str], ...]
    metadata_id: str
    pipeline: str
    data_file: str
    input: str
    output: str


class BadMessageError(Exception):
    """The message is not a job and would fail on every machine.

    Attributes:
        job_id: Job id of the message, if valid.
        run_id: Run id of the message, if valid.
    """

    def __init__(self, text: str, job_id: str = "", run_id: str = "") -> None:
        # A lone surrogate in the message must not break code that prints or sends the text.
        super().__init__(text.encode("utf-8", "backslashreplace").decode("utf-8"))
        self.job_id = job_id
        self.run_id = run_id


def parse(body: str, run_id: str) -> Job:
    """Parse the body of a message.

    Args:
        body: JSON with DCP's keys, plus job_id and run_id if dcp submitted it.
        run_id: The worker's own run, for a message without run_id.

    Raises:
        BadMessageError: The body is not JSON, lacks keys, or has invalid values.
    """
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadMessageError(f"The message is not JSON: {error}.") from error
    if not isinstance(message, dict):
        raise BadMessageError("The message is JSON, but not an object with DCP's keys.")
    own_job, own_run = message.get("job_id", ""), message.get("run_id", "")
    valid_job = own_job if _matches(_JOB_ID, own_job) else ""
    valid_run = own_run if _matches(_RUN_ID, own_run) else ""
    try:
        if own_job and not valid_job:
            raise ValueError(f"job_id is {own_job!r}; it must be 32 hexadecimal digits.")
        if own_run and not valid_run:
            raise ValueError(
                f"run_id is {own_run!r}; it must be letters, digits, dots, dashes, underscores."
            )
        return _job(message, valid_job, valid_run or run_id)
    except ValueError as error:
        raise BadMessageError(str(error), valid_job, valid_run) from error


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _job(message: Mapping[str, Any], job_id: str, run_id: str) -> Job:
    pipeline = _text(message, "pipeline")
    data_file = _text(message, "data_file")
    if not data_file.endswith(DATA_FILES):
        raise ValueError(f"data_file is {data_file!r}; it must end in {', '.join(DATA_FILES)}.")
    output = _text(message, "output", may_be_empty=True)
    input_prefix = _text(message, "input", "", may_be_empty=True)
    structure = _text(message, "output_structure", "", may_be_empty=True)
    if "Metadata" not in message:
        raise ValueError("The message has no Metadata.")
    group = _group(message["Metadata"])
    if isinstance(message["Metadata"], dict) and not structure:
        raise ValueError("Metadata is a mapping, so output_structure is required.")
    metadata = ",".join(f"{key}={value}" for key, value in group)
    metadata_id = "/".join(_path_parts("output_structure", _metadata_id(group, structure)))
    folders = [*_path_parts("output", output), *_path_parts("output_structure", metadata_id)]
    return Job(
        job_id=job_id
        or job_id_of([pipeline, data_file, input_prefix, metadata, output, structure]),
        run_id=run_id,
        metadata=metadata,
        group=group,
        metadata_id=metadata_id,
        pipeline=pipeline,
        data_file=data_file,
        input=input_prefix,
        output="".join(f"{folder}/" for folder in folders),
    )


def job_id_of(parts: list[str]) -> str:
    """The id of a job: a hash of its definition, so the same in every run."""
    text = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()[:32]


def _text(
    message: Mapping[str, Any], key: str, default: object = None, may_be_empty: bool = False
) -> str:
    value = message.get(key, default)
    if value is None and key not in message:
        raise ValueError(f"The message has no {key}.")
    if not isinstance(value, str):
        raise ValueError(f"{key} is {value!r}; it must be text.")
    if not value and not may_be_empty:
        raise ValueError(f"{key} is empty.")
    value.encode("utf-8")  # JSON allows a lone surrogate, S3 does not
    return value


def _group(metadata: object) -> tuple[tuple[str, str], ...]:
    if isinstance(metadata, dict):
        pairs = list(metadata.items())
    elif isinstance(metadata, str):
        pairs = [_pair(metadata, part) for part in metadata.split(",")]
    else:
        raise ValueError(f"Metadata is {metadata!r}; it must be 'K=V,K=V' or a mapping.")
    if not pairs:
        raise ValueError("Metadata is empty: it must name a group.")
    for key, value in pairs:
        _check_pair(key, value)
    keys = [key for key, _ in pairs]
    repeated = sorted({key for key in keys if keys.count(key) > 1})
    if repeated:
        raise ValueError(f"Metadata repeats {', '.join(repeated)}.")
    return tuple(pairs)


def _pair(metadata: str, part: str) -> tuple[str, str]:
    if part.count("=") != 1:
        raise ValueError(f"Metadata is {metadata!r}: {part!r} does not have the form K=V.")
    key, _, value = part.partition("=")
    return key, value


def _check_pair(key: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"The value of {key} in Metadata is {value!r}; it must be text.")
    for text in (key, value):
        if not text or text != text.strip():
            raise ValueError(
                f"{key!r}={value!r} in Metadata is empty or has spaces around it; "
                "write K=V,K=V without spaces around = and comma."
            )
        if any(sign in text for sign in ",=/") or _CONTROL.search(text) or text in (".", ".."):
            raise ValueError(
                f"{key!r}={value!r} in Metadata is not a valid group: a key or value must not be "
                ". or .. or contain a comma, =, / or control character."
            )
        text.encode("utf-8")


def _metadata_id(group: tuple[tuple[str, str], ...], structure: str) -> str:
    if not structure:
        return "-".join(value for _, value in group)
    values = dict(group)
    keys = "|".join(re.escape(key) for key in sorted(values, key=len, reverse=True))
    # One pass, and whole keys only: Metadata_Site does not match within Metadata_SiteName, and a
    # value that resembles a key is not replaced again.
    whole_key = re.compile(f"(?<![A-Za-z0-9])({keys})(?![A-Za-z0-9])")
    return whole_key.sub(lambda match: values[match.group(1)], structure)


def _path_parts(name: str, path: str) -> list[str]:
    parts = [part for part in path.split("/") if part]
    if any(part in (".", "..") for part in parts) or _CONTROL.search(path):
        raise ValueError(
            f"{name} gives {path!r}: a path must not contain ., .. or control characters."
        )
    return parts
