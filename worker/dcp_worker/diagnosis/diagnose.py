"""Why a job failed: turns evidence into a diagnosis. Makes no calls."""

from __future__ import annotations

import errno
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError, ParamValidationError

from dcp_worker.diagnosis.log_patterns import LOG_PATTERNS
from dcp_worker.diagnosis.reasons import REASONS

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class Diagnosis:
    """Why a job failed.

    Attributes:
        code: One of REASONS.
        summary: What happened, in one sentence.
        detail: The evidence: a line of the log, an error text.
    """

    code: str
    summary: str
    detail: str = ""

    @property
    def permanent(self) -> bool:
        """Whether the job fails on every machine, so that a retry is useless."""
        return REASONS[self.code].permanent

    @property
    def of_machine(self) -> bool:
        """Whether the machine is at fault, so that the next job would fail on it too."""
        return REASONS[self.code].of_machine

    @property
    def remedy(self) -> str:
        """What to do about it."""
        return REASONS[self.code].remedy

    @property
    def text(self) -> str:
        """Summary and detail, for a record or a log."""
        return " ".join(part for part in (self.summary, self.detail) if part)


class JobFailedError(Exception):
    """This attempt at a job cannot succeed; carries the diagnosis."""

    def __init__(self, diagnosis: Diagnosis) -> None:
        super().__init__(diagnosis.text)
        self.diagnosis = diagnosis


@dataclass(frozen=True)
class Evidence:
    """What one run of CellProfiler left behind.

    Attributes:
        exit_status: Exit status of the process; None if a signal killed it.
        signal: Signal that killed the process; None if it exited.
        timed_out: The worker killed the process because it ran longer than the job timeout.
        done: First line of this attempt's done file; None without one.
        log: The lines that CellProfiler printed.
        files: Number of files written.
        seconds: Run time.
    """

    exit_status: int | None
    signal: int | None
    timed_out: bool
    done: str | None
    log: Sequence[str]
    files: int
    seconds: float


# CellProfiler skips the modules that it cannot load, runs the others and reports Complete.
_NEVER_COMPLETE = ("unknown_module", "pipeline_broken")
# CellProfiler prints this about an image set that it skips.
_SKIPPED_IMAGE_SET = "Error detected during run of module"


def diagnose(evidence: Evidence) -> Diagnosis | None:
    """Diagnose one run of CellProfiler; None means success.

    Exit status 0 and the word Complete prove nothing: CellProfiler also reports both for a pipeline
    that it could not load.
    """
    if evidence.timed_out:
        return Diagnosis(
            "timeout",
            f"CellProfiler exceeded the job timeout and was killed after {evidence.seconds:.0f} s.",
        )
    symptom = _first_symptom(evidence.log)
    if evidence.signal is not None:
        # A fault of the pipeline does not explain a signal; a fault of the machine may.
        if symptom is not None and not symptom.permanent:
            return symptom
        return Diagnosis(
            "killed",
            f"Signal {evidence.signal} killed CellProfiler.",
        )
    complete = evidence.exit_status == 0 and evidence.done == "Complete"
    if symptom is not None and (not complete or _spoils_all(symptom, evidence.log)):
        return symptom
    if not complete:
        done = "no done file" if evidence.done is None else f"{evidence.done!r} in its done file"
        return Diagnosis(
            "not_complete",
            f"CellProfiler exited with status {evidence.exit_status} and {done}.",
            _last_line(evidence.log),
        )
    if not evidence.files:
        return Diagnosis(
            "no_outputs",
            "CellProfiler reported Complete but wrote no files.",
        )
    return None


def _spoils_all(symptom: Diagnosis, log: Sequence[str]) -> bool:
    """Whether a run that reported Complete still counts as a failure.

    With always_continue a failed module is no failure. A pipeline that loaded only in part is one.
    So is an image set that was skipped through the machine's fault: no later run would add it.
    """
    if symptom.permanent:
        return symptom.code in _NEVER_COMPLETE
    return any(_SKIPPED_IMAGE_SET in line for line in log)


def _first_symptom(log: Sequence[str]) -> Diagnosis | None:
    for symptom in LOG_PATTERNS:
        for line in log:
            if symptom.pattern.search(line):
                return Diagnosis(symptom.code, symptom.summary, _cause(log, line))
    return None


# The last line of a Python traceback.
_ERROR = re.compile(r"^[\w.]*(Error|Exception)(:|$)")


def _cause(log: Sequence[str], line: str) -> str:
    """The line itself if it is an error, else with the next error after it."""
    if _ERROR.match(line):
        return line.strip()
    following = log[log.index(line) + 1 :]
    errors = (later for later in following if _ERROR.match(later))
    return " ".join([line.strip(), *[error.strip() for error in list(errors)[:1]]])


def _last_line(log: Sequence[str]) -> str:
    return next((line.strip() for line in reversed(log) if line.strip()), "")


_MISSING = ("404", "NoSuchKey", "NotFound")
_REFUSED = ("403", "AccessDenied", "AllAccessDisabled", "AccessControlListNotSupported")
# Errors that may pass although their status is 4xx ("List of error codes", Amazon S3 API
# Reference): expired credentials, interrupted transfers, and conflicting uploads. The response to
# a HEAD has no body: its 400 usually means expired credentials.
_PASSING = (
    *("ExpiredToken", "InvalidToken", "TokenRefreshRequired", "InvalidAccessKeyId", "400"),
    *("RequestTimeTooSkewed", "RequestTimeout", "IncompleteBody", "BadDigest"),
    *("XAmzContentSHA256Mismatch", "OperationAborted", "NoSuchUpload", "InvalidPart"),
    *("Throttling", "ThrottlingException", "RequestLimitExceeded"),
)


def diagnose_s3(error: Exception, what: str, bucket: str, key: str) -> Diagnosis:
    """Why an S3 request for an object failed.

    Args:
        error: The exception from boto3.
        what: Role of the object in the job: pipeline, data_file, image, input, output, record.
        bucket: Bucket of the object.
        key: Key of the object.
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
            )
        if code in _MISSING:
            return Diagnosis(
                f"{what}_missing",
                f"The {what} does not exist: {where}.",
            )
        if code in _REFUSED:
            return Diagnosis(
                "access_denied",
                f"S3 denied access to the {what} {where}.",
                str(error),
            )
        if 400 <= status < 500 and status not in (408, 429) and code not in _PASSING:
            return Diagnosis("s3_refused", f"S3 rejected the {what} {where}.", str(error))
    if isinstance(error, ParamValidationError):
        return Diagnosis(
            "s3_refused",
            f"The S3 request for the {what} {where} is invalid.",
            str(error),
        )
    return Diagnosis(
        "s3_unreachable",
        f"S3 is unreachable or overloaded: could not transfer the {what} {where}.",
        str(error),
    )


def diagnose_os(error: OSError, doing: str) -> Diagnosis:
    """Why the machine failed to read or write its own disk."""
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return Diagnosis(
        "disk_full" if full else "machine_error",
        f"The machine's disk is full ({doing})." if full else f"Disk error while {doing}.",
        str(error),
    )
