"""Account: creates, checks or removes the resources that an AWS account needs for dcp."""

from typing import Any, Literal

from prefect.artifacts import create_table_artifact

from blocks.credentials.sessions import region_of
from blocks.errors import ConfigError, DcpError, Problem
from blocks.loading.load import load_credentials
from flows.support.dcp_flow import dcp_flow
from flows.support.parameters import Credentials
from tasks.account import provision
from tasks.account.ecs_work_pool import WorkPoolSettings, ensure_work_pool
from tasks.account.setup_config import AccountAws, open_setup
from tasks.prefect_output.artifacts import prefect_may_be_away
from tasks.prefect_output.run_log import log


@dcp_flow("dcp-account")
def account(
    action: Literal["create", "check", "destroy"] = "check",
    bucket: str | None = None,
    inputs: list[str] | None = None,
    outputs: list[str] | None = None,
    apps: list[str] | None = None,
    safety_net: bool | None = None,
    execution_role: bool | None = None,
    work_pool: str | None = None,
    image: str | None = None,
    vpc: str | None = None,
    api_key_secret: str | None = None,
    force: bool = False,
    name: str = "dcp",
    region: str | None = None,
    credentials: Credentials = None,
) -> dict[str, str]:
    """Create, check or remove the resources that an account needs for dcp, once a region.

    Safe to repeat: omitted options keep their previous values.

    Args:
        action: `create` creates missing resources and repairs changed ones, `check` changes
            nothing, `destroy` removes what `create` created and nothing else.
        bucket: Bucket for records and logs (aws_bucket).
        inputs: Source and workspace buckets, if different.
        outputs: Destination buckets, if different.
        apps: Allowed name prefixes of apps, queues and log groups (default: any).
        safety_net: Create a Lambda function that terminates idle machines which no flow monitors
            (default: yes).
        execution_role: Create a role with which ECS pulls the image from ECR or a private registry.
        work_pool: Name of a Prefect work pool on ECS to create, with the roles that it needs.
        image: Image of the flows for the work pool (deployments/Dockerfile).
        vpc: Network of the flows in AWS (default: the account's default VPC).
        api_key_secret: ARN of the secret with Prefect's API key, for flows in AWS.
        force: Remove even if dcp has machines or fleets.
        name: Name of the set-up.
        region: AWS region (default: the region of the credentials, else us-east-1).

    Returns:
        The values for the run config; empty after `destroy`.

    Raises:
        InputError: An option is wrong, or AWS refuses the credentials.
        DcpError: Resources are missing, differ or failed; all are named.
    """
    if work_pool and not image:
        remedy = "Build it with deployments/Dockerfile."
        raise ConfigError(Problem("account", "image", "is missing for work_pool", remedy=remedy))
    block = load_credentials(credentials)
    place = region or region_of(block)
    aws = AccountAws.connect(block, place)
    asked: dict[str, Any] = {
        "bucket": bucket,
        "inputs": inputs,
        "outputs": outputs,
        "apps": apps,
        "safety_net": safety_net,
        "execution_role": execution_role,
        "flow_role": True if work_pool else None,
        "api_key_secret": api_key_secret,
    }
    given = {key: value for key, value in asked.items() if value is not None}
    setup = open_setup(aws, place, name, given)
    lines = {
        "create": lambda: provision.create(aws, setup),
        "check": lambda: provision.check(aws, setup),
        "destroy": lambda: provision.destroy(aws, setup, force),
    }[action]()
    if action == "create" and work_pool and image:
        state = ensure_work_pool(setup, WorkPoolSettings(work_pool, image, vpc=vpc))
        lines.append(provision.ResourceResult(f"work pool {work_pool}", state))
    for line in lines:
        log(str(line))
    with prefect_may_be_away():
        rows = [{"resource": line.resource, "state": line.state} for line in lines]
        create_table_artifact(rows, key="dcp-account", description=f"{setup.account} {place}")
    if wrong := [str(line) for line in lines if line.needs_attention]:
        raise DcpError("the account needs attention:\n" + "\n".join(wrong))
    return {} if action == "destroy" else provision.config_values(setup)
