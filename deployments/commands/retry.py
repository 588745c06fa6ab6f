"""`dcp retry APP`: the jobs that did not succeed once more, as a run of their own."""

import argparse
import sys
from typing import TYPE_CHECKING, Any

from deployments.commands.failures import add_run_options, find_run
from deployments.commands.starting import add_access, add_changes, changed_settings, start

if TYPE_CHECKING:
    from tasks.run import Run

STARTED, FAILED, BAD_INPUT = 0, 1, 2
DEPLOYMENT = "dcp-retry-failed/retry-failed"


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `dcp retry`."""
    retry = commands.add_parser(
        "retry",
        help="run the failed and lost jobs of a run again",
        description="Start a run of exactly the jobs that failed or were lost in an app's newest "
        f"run, with its settings, as a flow run of {DEPLOYMENT}. Exit status: 0 it was started, "
        "1 Prefect could not start it, 2 there is nothing to retry or something given is wrong.",
    )
    retry.set_defaults(call=_retry)
    add_run_options(retry)
    chosen = retry.add_argument_group("which jobs; left out, all that failed or were lost")
    chosen.add_argument("--reason", nargs="+", default=[], metavar="CODE", dest="reasons")
    chosen.add_argument("--plate", nargs="+", default=[], metavar="PLATE", dest="plates")
    changed = retry.add_argument_group("what is changed; left out, it is as it was")
    changed.add_argument("--pipeline", metavar="KEY", help="S3 key of another pipeline")
    add_changes(changed, "job_timeout=7200")
    add_access(retry)
    retry.add_argument(
        "--accept-cost", action="store_true", help="start also above the config's cost_limit"
    )
    retry.add_argument(
        "--accept",
        nargs="+",
        default=[],
        metavar="CODE",
        help="start in spite of these errors of preflight, such as image_missing",
    )


def _retry(given: argparse.Namespace) -> int:
    from blocks.errors import InputError
    from tasks.aws import AwsError
    from tasks.opening import with_settings
    from tasks.retry import Choice, choose

    try:
        settings = changed_settings(given)
        run = find_run(given)
        jobs = choose(run, Choice(given.reasons, given.plates))
        with_settings(run.config, settings)
    except InputError as error:
        print(error, file=sys.stderr)
        return BAD_INPUT
    except AwsError as error:
        print(f"app {given.app}: its record cannot be read: {error}", file=sys.stderr)
        return BAD_INPUT
    return _start(given, run, settings, len(jobs))


def _start(given: argparse.Namespace, run: "Run", settings: dict[str, Any], jobs: int) -> int:
    started = start(
        DEPLOYMENT,
        given,
        run,
        settings,
        reasons=given.reasons,
        plates=given.plates,
        pipeline=given.pipeline,
        accept_cost=given.accept_cost,
        accept=given.accept,
    )
    if started is None:
        return FAILED
    print(f"{jobs} jobs of run {run.run_id} are run again: {started}")
    return STARTED
