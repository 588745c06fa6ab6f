"""Starts a flow run in Prefect for an existing run."""

import json
from typing import TYPE_CHECKING, Any

from blocks.errors import DcpError
from deployments.cli.commands.options import AccessOptions

if TYPE_CHECKING:
    from tasks.runs.run import Run


def start(
    deployment: str,
    run: "Run",
    access: AccessOptions,
    settings: dict[str, Any],
    fleet: str | None,
    **parameters: Any,
) -> str:
    """Start a flow run of a deployment.

    Args:
        deployment: `flow/deployment`.
        run: The run to retry or continue.
        access: How Prefect's worker reaches it.
        settings: Changed keys of the run config.
        fleet: Source of another fleet template.
        parameters: Further parameters of the flow.

    Returns:
        The address of the flow run.

    Raises:
        DcpError: Prefect could not start it.
    """
    import httpx
    from prefect.deployments import run_deployment
    from prefect.exceptions import ObjectNotFound, PrefectException
    from prefect.utilities.urls import url_for

    from blocks.loading.sources import prefect_server

    if not prefect_server():
        raise DcpError("No Prefect server is configured: set PREFECT_API_URL.")
    shared = {
        "config": access.config or _recorded_config(run),
        "run_id": run.run_id,
        "settings": settings,
        "fleet": fleet,
        "credentials": access.credentials,
    }
    name = f"{run.names.app} · {deployment.rpartition('/')[2]}"
    try:
        # A coroutine only if called in an event loop.
        started: Any = run_deployment(
            deployment, parameters=shared | parameters, flow_run_name=name, timeout=0
        )
    except ObjectNotFound as error:
        raise DcpError(
            f"Prefect has no deployment {deployment}: `prefect --no-prompt deploy --all "
            "--prefect-file deployments/prefect.yaml` creates it."
        ) from error
    except (httpx.HTTPError, PrefectException) as error:
        raise DcpError(f"Prefect could not start {deployment}: {error}") from error
    return str(url_for(started))


def _recorded_config(run: "Run") -> str:
    """The address of the run's settings as a run config, without credentials."""
    from tasks.runs import record

    loaded = record.load(run)
    return record.put(run, "config.json", json.dumps(loaded.settings if loaded else {}, indent=1))
