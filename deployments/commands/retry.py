"""`dcp retry APP`: the jobs that did not succeed once more, as a run of their own."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

from deployments.commands.failures import add_run_options, find_run

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
    changed.add_argument("--memory", type=int, metavar="MB", help="memory of each container")
    changed.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help="any keys of the run config, such as job_timeout=7200",
    )
    changed.add_argument("--fleet", metavar="SOURCE", help="fleet template, or a DCP fleet file")
    by = retry.add_argument_group("how Prefect's worker gets at the run")
    by.add_argument(
        "--config",
        metavar="SOURCE",
        help="run config, as the run was started with; left out, its record in S3",
    )
    by.add_argument("--credentials", metavar="BLOCK", help="AwsCredentials block")
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
        settings = _settings(given)
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


def _settings(given: argparse.Namespace) -> dict[str, Any]:
    """The keys of the run config that are changed.

    Raises:
        InputError: One is not of the form KEY=VALUE.
    """
    import yaml

    from blocks.errors import InputError, Problem

    settings: dict[str, Any] = {} if given.memory is None else {"memory": given.memory}
    for text in given.settings:
        key, equals, value = text.partition("=")
        if not (key and equals):
            raise InputError(
                Problem("--set", "", "is no setting", got=repr(text), allowed="KEY=VALUE")
            )
        settings[key] = yaml.safe_load(value)
    return settings


def _start(given: argparse.Namespace, run: "Run", settings: dict[str, Any], jobs: int) -> int:
    import httpx
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound, PrefectException
    from prefect.settings import get_current_settings
    from prefect.utilities.urls import url_for

    if not get_current_settings().api.url:
        print("There is no Prefect server: set PREFECT_API_URL.", file=sys.stderr)
        return FAILED
    parameters = {
        "config": given.config or _recorded_config(run),
        "run_id": run.run_id,
        "reasons": given.reasons,
        "plates": given.plates,
        "pipeline": given.pipeline,
        "settings": settings,
        "fleet": given.fleet,
        "credentials": given.credentials,
        "accept_cost": given.accept_cost,
        "accept": given.accept,
    }
    try:
        # A coroutine only when it is called in an event loop.
        started: Any = run_deployment(DEPLOYMENT, parameters=parameters, timeout=0)
    except ObjectNotFound:
        print(
            f"Prefect has no deployment {DEPLOYMENT}: `prefect --no-prompt deploy --all "
            "--prefect-file deployments/prefect.yaml` makes it.",
            file=sys.stderr,
        )
        return FAILED
    except (httpx.HTTPError, PrefectException) as error:
        print(f"Prefect could not start it: {error}", file=sys.stderr)
        return FAILED
    print(f"{jobs} jobs of run {run.run_id} are run again: {url_for(started)}")
    return STARTED


def _recorded_config(run: "Run") -> str:
    """The address of the run's settings as a run config, without credentials."""
    from tasks import record

    kept = record.load(run)
    return record.put(run, "config.json", json.dumps(kept.config if kept else {}, indent=1))
