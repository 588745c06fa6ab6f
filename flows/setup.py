"""Set-up: the queues, cluster, log groups, task definition and service of a run."""

from typing import Any

from prefect import flow
from tenacity import retry, retry_if_exception, stop_after_attempt

from flows.logger import log
from flows.running import this_run_id
from tasks import record
from tasks.aws import error_code
from tasks.containers import (
    ensure_cluster,
    ensure_service,
    ensure_task_definition,
    worker_environment,
)
from tasks.leftovers import MISSING_CLUSTER
from tasks.logs import ensure_log_groups
from tasks.opening import open_existing, open_new
from tasks.preflight import check_credentials
from tasks.queues import ensure_queues
from tasks.run import Run


@flow(name="dcp-setup")
def setup(
    config: str,
    run_id: str | None = None,
    credentials: str | None = None,
    settings: dict[str, Any] | None = None,
) -> str:
    """Make what a run needs in AWS, but for the machines. Can be repeated.

    Args:
        config: Run config: block name, local path or s3:// path.
        run_id: Run to set up; left out, a new one.
        credentials: AwsCredentials block to use in place of the config's own.
        settings: Keys of the run config that take the place of the config's own.

    Returns:
        The id of the run, which the later steps take.
    """
    run = open_new(config, run_id or this_run_id(), credentials, settings)
    check_credentials(run)
    record.begin(run)
    # A run that is continued has the settings it was begun with, whatever the config says now.
    run = open_existing(config, run.run_id, credentials, settings)
    queues = ensure_queues(run)
    ensure_log_groups(run)
    environment = worker_environment(run, queues.jobs, queues.dead_letters)
    _start_service(run, ensure_task_definition(run, environment))
    log(f"run {run.run_id} is set up: queue {run.names.queue}, service {run.names.service}")
    return run.run_id


def _cluster_is_gone(error: BaseException) -> bool:
    return error_code(error) == MISSING_CLUSTER


@retry(retry=retry_if_exception(_cluster_is_gone), stop=stop_after_attempt(5), reraise=True)
def _start_service(run: Run, task_definition: str) -> None:
    """Make the cluster and the service.

    The clean-up of another run deletes a cluster that has no service, also between the two.
    """
    ensure_cluster(run)
    ensure_service(run, task_definition)
