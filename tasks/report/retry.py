"""Which jobs of an earlier run are run again, and as what."""

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, replace

from blocks.errors import InputError, Problem
from blocks.job_file.job_set import JobSet
from blocks.job_file.metadata import Pairs, parse_metadata
from tasks.jobs.messages import JobMessage
from tasks.report.failures import Failures, find_failures
from tasks.report.job_table import JobRow, planned
from tasks.runs import record
from tasks.runs.run import Run


@dataclass(frozen=True)
class Choice:
    """Which of the jobs that did not succeed; nothing named is all of them.

    Attributes:
        reasons: Only jobs with one of these reason codes.
        plates: Only jobs of these plates.
    """

    reasons: Sequence[str] = ()
    plates: Sequence[str] = ()

    def takes(self, row: JobRow) -> bool:
        """Whether a job is one of them."""
        return (not self.reasons or row.reason in self.reasons) and (
            not self.plates or row.plate in self.plates
        )


def choose(earlier: Run, choice: Choice) -> list[JobRow]:
    """The jobs of an ended run to be run again.

    Raises:
        InputError: The run has not ended, there is nothing to retry, or a reason or plate that is
            named does not occur.
    """
    kept = record.load(earlier)
    if kept is not None and kept.state != "ended":
        raise InputError(
            Problem(
                _where(earlier.names.app, earlier.run_id),
                "",
                "has not ended: its failed jobs may still be tried again by itself",
                remedy=f"Wait for its end, or end it with `dcp cleanup {earlier.names.app}` "
                "(--abandon gives its unfinished jobs up).",
            )
        )
    return chosen(find_failures(earlier), choice)


def chosen(failures: Failures, choice: Choice) -> list[JobRow]:
    """The jobs to be run again, of those that did not succeed (pure).

    A message that was no job cannot be one in another run either.

    Raises:
        InputError: There is none, or a reason or plate that is named does not occur.
    """
    where = _where(failures.app_name, failures.run_id)
    jobs = [row for row in failures.jobs if row.job_id]
    if not jobs:
        raise InputError(
            Problem(
                where,
                "",
                "has nothing to retry: no job of it failed or was lost",
                got=f"{failures.submitted} jobs",
            )
        )
    if problems := [
        *_absent(where, "reasons", choice.reasons, (row.reason for row in jobs)),
        *_absent(where, "plates", choice.plates, (row.plate for row in jobs)),
    ]:
        raise InputError(*problems)
    taken = [row for row in jobs if choice.takes(row)]
    if not taken:
        named = f"{', '.join(choice.reasons)} on {', '.join(choice.plates)}"
        raise InputError(Problem(where, "", "has no failed job of both", got=named))
    return taken


def _absent(where: str, key: str, named: Iterable[str], there: Iterable[str]) -> Iterator[Problem]:
    occur = sorted({value for value in there if value})
    for value in named:
        if value not in occur:
            yield Problem(
                where,
                key,
                "does not occur among the jobs that did not succeed",
                got=repr(value),
                allowed=", ".join(occur) or "none: no job names one",
            )


def _where(app: str, run_id: str) -> str:
    return f"run {run_id} of app {app}"


def again(
    earlier: Run, jobs: Set[str], run_id: str, pipeline: str | None = None
) -> list[JobMessage]:
    """The messages of jobs as jobs of a new run, in the order of the earlier one.

    Args:
        earlier: The run that has them.
        jobs: Their ids.
        run_id: The new run.
        pipeline: S3 key of the pipeline to run in place of their own.
    """
    return [
        replace(message, run_id=run_id, pipeline=pipeline or message.pipeline)
        for message in planned(earlier)
        if message.job_id in jobs
    ]


def sets_of(messages: Iterable[JobMessage]) -> tuple[JobSet, ...]:
    """The jobs as sets, for the look before a run: those that share everything but their group."""
    groups: dict[JobMessage, list[Pairs]] = {}
    for message in messages:
        shared = replace(message, metadata="", run_id="")
        groups.setdefault(shared, []).append(parse_metadata(message.metadata))
    return tuple(
        JobSet(
            pipeline=shared.pipeline,
            data_file=shared.data_file,
            input=shared.input,
            output=shared.output,
            output_structure=shared.output_structure,
            groups=own,
        )
        for shared, own in groups.items()
    )
