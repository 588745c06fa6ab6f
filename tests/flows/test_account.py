"""The flow that sets an account up, and the work pool that it makes, on a real Prefect server."""

import asyncio
from collections.abc import Iterator

import boto3
import moto_account
import pytest
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect_aws.workers.ecs_worker import ECSJobConfiguration, ECSVariables

from blocks.errors import ConfigError, DcpError
from flows.account import account
from tasks.account.ecs_work_pool import WorkPoolSettings, ensure_work_pool, job_template
from tasks.account.setup_config import Setup, account_options

SECRET = "arn:aws:secretsmanager:us-east-1:123456789012:secret:prefect-AbCdEf"
IMAGE = "lab/dcp-flows:1"

# One process: what its tests stand on is made once.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("account-flow")]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with moto_account.server() as url:
        yield url


@pytest.fixture
def bucket(url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The bucket of an account that has nothing else."""
    name = f"flow-{moto_account.empty(monkeypatch)}"
    for key, value in {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
    }.items():
        monkeypatch.setenv(key, value)
    boto3.client("s3", region_name="us-east-1").create_bucket(Bucket=name)
    return name


@pytest.fixture
def setup() -> Setup:
    options = account_options(bucket="lab-bucket", flow_role=True, api_key_secret=SECRET)
    return Setup("dcp", "aws", "123456789012", "us-east-1", options)


def test_the_account_is_made_looked_at_and_cleared_by_the_flow(prefect: None, bucket: str) -> None:
    with pytest.raises(ConfigError):
        account("check")
    made = account("create", bucket=bucket)
    assert made["aws_bucket"] == bucket
    assert made == account("check")
    iam = boto3.client("iam", region_name="us-east-1")
    name = made["task_role"].rsplit("/", 1)[-1]
    iam.delete_role_policy(RoleName=name, PolicyName="dcp")
    with pytest.raises(DcpError, match=name):
        account("check")
    assert account("destroy") == {}
    assert [r for r in iam.list_roles()["Roles"] if "service-role/" not in r["Path"]] == []


def test_flows_in_aws_get_a_pool_and_a_role(prefect: None, bucket: str) -> None:
    account("create", bucket=bucket, work_pool="in-aws", image=IMAGE)
    with get_client(sync_client=True) as client:
        pool = client.read_work_pool("in-aws")
    assert pool.type == "ecs"
    properties = pool.base_job_template["variables"]["properties"]
    assert properties["image"]["default"] == IMAGE
    role = properties["task_role_arn"]["default"].rsplit("/", 1)[-1]
    iam = boto3.client("iam", region_name="us-east-1")
    (policy,) = iam.list_attached_role_policies(RoleName=role)["AttachedPolicies"]
    assert policy["PolicyName"] == "dcp-flows-us-east-1"
    account("destroy")


def test_a_pool_is_made_once_and_mended(prefect: None, setup: Setup) -> None:
    assert ensure_work_pool(setup, WorkPoolSettings("flows", IMAGE)) == "created"
    assert ensure_work_pool(setup, WorkPoolSettings("flows", IMAGE)) == "unchanged"
    assert ensure_work_pool(setup, WorkPoolSettings("flows", "lab/dcp-flows:2")).startswith(
        "updated"
    )


def test_a_pool_of_another_type_is_not_touched(prefect: None, setup: Setup) -> None:
    with get_client(sync_client=True) as client:
        client.create_work_pool(WorkPoolCreate(name="processes", type="process"))
    with pytest.raises(ConfigError, match="processes"):
        ensure_work_pool(setup, WorkPoolSettings("processes", IMAGE))


def test_prefect_aws_takes_the_template(prefect: None, setup: Setup) -> None:
    """Its own classes say what a task of a flow run would be started with."""
    template = job_template(setup, WorkPoolSettings("flows", IMAGE, "lab", "vpc-0123456789abcdef0"))
    defaults = {
        name: one["default"]
        for name, one in template["variables"]["properties"].items()
        if one.get("default") is not None
    }
    ECSVariables(**defaults)
    job: ECSJobConfiguration = asyncio.run(
        ECSJobConfiguration.from_template_and_values(template, {})
    )
    (container,) = job.task_definition["containerDefinitions"]
    assert container["image"] == IMAGE
    assert job.task_definition["executionRoleArn"] == setup.role_arn(setup.execution_role)
    overrides = job.task_run_request["overrides"]
    assert overrides["taskRoleArn"] == setup.role_arn(setup.flow_role)
    assert job.task_run_request["cluster"] == "lab"
    assert job.prefect_api_key_secret_arn == SECRET
