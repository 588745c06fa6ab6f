"""A Prefect work pool on ECS, so that the flows themselves run in AWS (prefect-aws's ECSWorker)."""

import copy
from dataclasses import dataclass
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate, WorkPoolUpdate
from prefect.exceptions import ObjectNotFound
from prefect_aws.workers.ecs_worker import ECSWorker

from blocks.errors import ConfigError, Problem
from tasks.account.setup_config import Setup

CPU, MEMORY = 1024, 4096  # a million jobs are planned in 205 MB; the rest is Prefect


@dataclass(frozen=True)
class Pool:
    """How flows run in AWS.

    Attributes:
        name: The pool's name.
        image: The image of the flows (deployments/Dockerfile).
        cluster: The ECS cluster; a Fargate task needs no machines in it.
        vpc: The network; None: the account's default one.
    """

    name: str
    image: str
    cluster: str = "default"
    vpc: str | None = None


def job_template(setup: Setup, pool: Pool) -> dict[str, Any]:
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
        # A run is watched by its flow for days; a task definition is of no use after it.
        "auto_deregister_task_definition": True,
    }
    if setup.wanted.api_key_secret:
        # In place of the key itself in the environment of the task.
        values["prefect_api_key_secret_arn"] = setup.wanted.api_key_secret
    if pool.vpc:
        values["vpc_id"] = pool.vpc
    for name, value in values.items():
        template["variables"]["properties"][name]["default"] = value
    return template


def make_pool(setup: Setup, pool: Pool) -> str:
    """Make the work pool, or give it the template anew; returns what was done, in words.

    Raises:
        ConfigError: There is a pool of this name and another type.
    """
    template = job_template(setup, pool)
    with get_client(sync_client=True) as client:
        try:
            found = client.read_work_pool(pool.name)
        except ObjectNotFound:
            client.create_work_pool(
                WorkPoolCreate(name=pool.name, type=ECSWorker.type, base_job_template=template)
            )
            return "made"
        if found.type != ECSWorker.type:
            raise ConfigError(
                Problem(
                    "account",
                    "work_pool",
                    "is the name of a work pool of another type",
                    got=f"{pool.name} ({found.type})",
                    allowed=ECSWorker.type,
                )
            )
        if found.base_job_template == template:
            return "was there"
        client.update_work_pool(pool.name, WorkPoolUpdate(base_job_template=template))
        return "mended: its job template"
