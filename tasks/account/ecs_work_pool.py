"""A Prefect work pool on ECS, for flows that run in AWS (prefect-aws's ECSWorker)."""

import copy
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect_aws.workers.ecs_worker import ECSWorker

from blocks.errors import ConfigError, Problem
from tasks.account.setup_config import Setup

CPU, MEMORY = 1024, 4096  # planning a million jobs takes 205 MB; Prefect needs the rest


@dataclass(frozen=True)
class WorkPoolSettings:
    """Settings of flows that run in AWS.

    Attributes:
        name: The pool's name.
        image: The flows' image (deployments/Dockerfile).
        cluster: The ECS cluster; Fargate tasks need no machines in it.
        vpc: The VPC; None: the account's default VPC.
    """

    name: str
    image: str
    cluster: str = "default"
    vpc: str | None = None


def job_template(setup: Setup, pool: WorkPoolSettings) -> dict[str, Any]:
    """The base job template of prefect-aws, with this account's values as its defaults (pure)."""
    template: dict[str, Any] = copy.deepcopy(ECSWorker.get_default_base_job_template())
    values: dict[str, Any] = {
        "image": pool.image,
        "cluster": pool.cluster,
        "launch_type": "FARGATE",
        "cpu": CPU,
        "memory": MEMORY,
        "family": f"{setup.name}-flows",
        "execution_role_arn": setup.role_arn(setup.execution_role),
        "task_role_arn": setup.role_arn(setup.flow_role),
        "configure_cloudwatch_logs": True,
        # Each flow run has its own task definition, which is useless afterwards.
        "auto_deregister_task_definition": True,
    }
    if setup.options.api_key_secret:
        # Keeps the key itself out of the task's environment.
        values["prefect_api_key_secret_arn"] = setup.options.api_key_secret
    if pool.vpc:
        values["vpc_id"] = pool.vpc
    for name, value in values.items():
        template["variables"]["properties"][name]["default"] = value
    return template


def ensure_work_pool(setup: Setup, pool: WorkPoolSettings) -> str:
    """Create the work pool, or update its template; returns the result in words.

    Raises:
        ConfigError: A pool with this name has another type.
    """
    template = job_template(setup, pool)
    with get_client(sync_client=True) as client:
        try:
            existing = client.read_work_pool(pool.name)
        except ObjectNotFound:
            client.create_work_pool(
                WorkPoolCreate(name=pool.name, type=ECSWorker.type, base_job_template=template)
            )
            return "created"
        if existing.type != ECSWorker.type:
            raise ConfigError(
                Problem(
                    "account",
                    "work_pool",
                    "is the name of a work pool with another type",
                    got=f"{pool.name} ({existing.type})",
                    allowed=ECSWorker.type,
                )
            )
        if existing.base_job_template == template:
            return "unchanged"
        client.update_work_pool(pool.name, WorkPoolUpdate(base_job_template=template))
        return "updated: its job template"
