"""What the commands share that start a flow run in Prefect for a run that was begun."""

import argparse
import json
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tasks.run import Run


def add_changes(group: "argparse._ArgumentGroup", example: str) -> None:
    """Add what is changed of the run's settings and fleet."""
    group.add_argument("--memory", type=int, metavar="MB", help="memory of each container")
    group.add_argument(
        "--set",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        dest="settings",
        help=f"keys of the run config, such as {example}",
    )
    group.add_argument("--fleet", metavar="SOURCE", help="fleet template, or a DCP fleet file")


def add_access(parser: argparse.ArgumentParser) -> None:
    """Add how Prefect's worker gets at the run."""
    by = parser.add_argument_group("how Prefect's worker gets at the run")
    by.add_argument(
        "--config",
        metavar="SOURCE",
        help="run config, as the run was started with; left out, its record in S3",
    )
    by.add_argument("--credentials", metavar="BLOCK", help="AwsCredentials block")


def changed_settings(given: argparse.Namespace) -> dict[str, Any]:
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


def start(
    deployment: str,
    given: argparse.Namespace,
    run: "Run",
    settings: dict[str, Any],
    **parameters: Any,
) -> str | None:
    """Start a flow run of a deployment.

    Args:
        deployment: `flow/deployment`.
        given: The command line, with `add_changes` and `add_access`.
        run: The run that it is about.
        settings: Keys of the run config that are changed.
        parameters: What this flow takes besides.

    Returns:
        The address of the flow run; None when it could not be started, which was told.
    """
    import httpx
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound, PrefectException
    from prefect.settings import get_current_settings
    from prefect.utilities.urls import url_for

    if not get_current_settings().api.url:
        print("There is no Prefect server: set PREFECT_API_URL.", file=sys.stderr)
        return None
    shared = {
        "config": given.config or _recorded_config(run),
        "run_id": run.run_id,
        "settings": settings,
        "fleet": given.fleet,
        "credentials": given.credentials,
    }
    try:
        # A coroutine only when it is called in an event loop.
        started: Any = run_deployment(deployment, parameters=shared | parameters, timeout=0)
    except ObjectNotFound:
        print(
            f"Prefect has no deployment {deployment}: `prefect --no-prompt deploy --all "
            "--prefect-file deployments/prefect.yaml` makes it.",
            file=sys.stderr,
        )
        return None
    except (httpx.HTTPError, PrefectException) as error:
        print(f"Prefect could not start it: {error}", file=sys.stderr)
        return None
    return str(url_for(started))


def _recorded_config(run: "Run") -> str:
    """The address of the run's settings as a run config, without credentials."""
    from tasks import record

    kept = record.load(run)
    return record.put(run, "config.json", json.dumps(kept.settings if kept else {}, indent=1))
