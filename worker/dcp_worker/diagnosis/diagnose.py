"""Why a job failed: from evidence to a diagnosis, without a call to anything."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ParamValidationError

from dcp_worker.diagnosis.log_patterns import SYMPTOMS
from dcp_worker.diagnosis.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Diagnosis:
    """Why a job failed.

    Attributes:
        code: One of REASONS.
        summary: What happened, in a sentence.
        detail: What was found: the line of the log, the key of the object.
        resolution: What to do about it.
    """

    code: str
    summary: str
    detail: str = ""
    resolution: str = ""

    @property
    def permanent(self) -> bool:
        """Whether it is the same on every machine: trying again is of no use."""
        return REASONS[self.code].permanent

    @property
    def of_machine(self) -> bool:
        """Whether the next job would fail here in the same way."""
        return REASONS[self.code].of_machine

    @property
    def text(self) -> str:
        """All of it, for a record or a log."""
        return " ".join(part for part in (self.summary, self.detail, self.resolution) if part)


class JobFailedError(Exception):
    """A job cannot succeed in this attempt; carries the diagnosis."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.text)
        self.diagnosis = diagnosis


@dataclass(frozen=True)
class Evidence:
    """What one run of CellProfiler left behind.

    Attributes:
        exit_status: Of the process; None when a signal ended it.
        signal: That ended the process; None when it ended by itself.
        timed_out: The worker ended it because it ran longer than the job timeout.
        done: First line of this attempt's done file; None when there is none.
        log: The lines that CellProfiler printed.
        files: How many files it wrote.
        seconds: How long it ran.
    """

    exit_status: int | None
    signal: int | None
    timed_out: bool
    done: str | None
    log: Sequence[str]
    files: int
    seconds: float


# CellProfiler skips the modules that it cannot load, runs the others and says Complete.
_NEVER_COMPLETE = ("unknown_module", "pipeline_broken")
# What it says of an image set that it goes on without.
_LEFT_OUT = "Error detected during run of module"


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """What a run of CellProfiler amounts to: None for a success.

    CellProfiler's exit status 0 and the word Complete prove nothing by themselves: it says so of a
    pipeline that it could not load.
    """
    if evidence.timed_out:
        return Diagnosis(
            "timeout",
            f"CellProfiler was ended after {evidence.seconds:.0f} s, the job timeout.",
            "",
            "Make smaller groups, or raise the timeout (at most 12 hours).",
        )
    symptom = _first_symptom(evidence.log)
    if evidence.signal is not None:
        # Nothing that the log says of the pipeline explains a signal; a full disk may.
        if symptom is not None and not symptom.permanent:
            return symptom
        return Diagnosis(
            "killed",
            f"CellProfiler was ended by signal {evidence.signal}.",
            "",
            "Signal 9 mostly means that the container ran out of memory: raise memory or lower "
            "docker_cores.",
        )
    complete = evidence.exit_status == 0 and evidence.done == "Complete"
    if symptom is not None and (not complete or _spoils_all(symptom, evidence.log)):
        return symptom
    if not complete:
        done = "no done file" if evidence.done is None else f"{evidence.done!r} in its done file"
        return Diagnosis(
            "not_complete",
            f"CellProfiler ended with exit status {evidence.exit_status} and {done}.",
            _last_line(evidence.log),
            "Read the job's log.",
        )
    if not evidence.files:
        return Diagnosis(
            "no_outputs",
            "CellProfiler says Complete, but has written no file.",
            "",
            "Give the pipeline an export module that writes to the Default Output Folder.",
        )
    return None


def _spoils_all(symptom: Diagnosis, log: Sequence[str]) -> bool:
    """Whether a run that ended well is a failure all the same.

    A module that failed is none where CellProfiler was to go on (always_continue). A pipeline that
    did not load whole is one, and so is an image set that was left out by the machine's fault: it
    would be missing for ever.
    """
    if symptom.permanent:
        return symptom.code in _NEVER_COMPLETE
    return any(_LEFT_OUT in line for line in log)


def _first_symptom(log: Sequence[str]) -> Diagnosis | None:
    for symptom in SYMPTOMS:
        for line in log:
            if symptom.pattern.search(line):
                return Diagnosis(
                    symptom.code,
                    symptom.summary,
                    _cause(log, line),
                    symptom.resolution,
                )
    return None


# The last line of a Python traceback.
_ERROR = re.compile(r"^[\w.]*(Error|Exception)(:|$)")


def _cause(log: Sequence[str], line: str) -> str:
    """The line itself when it is an error's text, else the error that follows it."""
    if _ERROR.match(line):
        return line.strip()
    following = log[log.index(line) + 1 :]
    errors = (later for later in following if _ERROR.match(later))
    return " ".join([line.strip(), *[error.strip() for error in list(errors)[:1]]])


def _last_line(log: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(log) if line.strip()), "")


_MISSING = ("404", "NoSuchKey", "NotFound")
_REFUSED = ("403", "AccessDenied", "AllAccessDisabled", "AccessControlListNotSupported")
# What may pass although S3 gives it a status of 4xx ("List of error codes", Amazon S3 API
# Reference): credentials, transfers that broke off, and uploads that others touched. The answer to
# a HEAD has no text: its 400 is of expired credentials as a rule.
_PASSING = (
    *("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "400"),
    *("RequestTimeTooSkewed", "RequestTimeout", "IncompleteBody", "BadDigest"),
    *("XAmzContentSHA256Mismatch", "OperationAborted", "NoSuchUpload", "InvalidPart"),
    *("Throttling", "ThrottlingException", "RequestLimitExceeded"),
)


def diagnose_s3(error: Exception, what: str, bucket: str, key: str) -> Diagnosis:
    """Why S3 did not give or take an object.

    Args:
        error: What boto3 raised.
        what: What the object is to the job: pipeline, data_file, image, input, output, record.
        bucket: Where it lies or should lie.
        key: Its key.
    """
    where = f"s3://{bucket}/{key}"
    if isinstance(error, ClientError):
        code = str(error.response.get("Error", {}).get("Code", ""))
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        if code == "NoSuchBucket":
            return Diagnosis(
                "bucket_missing",
                f"The bucket of the {what} {where} does not exist.",
                str(error),
                "Correct the bucket in the run config.",
            )
        if code in _MISSING:
            return Diagnosis(
                f"{what}_missing",
                f"The {what} does not exist: {where}.",
                "",
                "Correct the key in the job file or CSV, or copy the object there.",
            )
        if code in _REFUSED:
            return Diagnosis(
                "access_denied",
                f"S3 refuses the {what} {where}.",
                str(error),
                "Give the task role the right to it; S3 also says so of an object that is missing "
                "when the role may not list the bucket.",
            )
        if 400 <= status < 500 and status not in (408, 429) and code not in _PASSING:
            return Diagnosis("s3_refused", f"S3 refuses the {what} {where}.", str(error))
    if isinstance(error, ParamValidationError):
        return Diagnosis(
            "s3_refused",
            f"S3 cannot be asked for the {what} {where}.",
            str(error),
            "Correct the bucket or key in the job file or CSV, or the upload options.",
        )
    return Diagnosis(
        "s3_unreachable",
        f"S3 does not answer for the {what} {where}.",
        str(error),
        "It is tried again.",
    )


def diagnose_os(error: OSError, doing: str) -> Diagnosis:
    """Why the machine could not do something with its own disk."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Diagnosis(
        "disk_full" if full else "machine_error",
        f"The disk of the machine is full while {doing}." if full else f"Failed while {doing}.",
        str(error),
        "Raise ebs_vol_size or lower the number of slots a machine." if full else "",
    )
