"""Actions with the permissions from `dcp account create` alone: which succeed, which are denied."""

import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError
from prefect_aws import AwsCredentials
from recorded_run import config_at, new_run
from started_run import start_run

from deployments.local.emulator_client import Emulator, start_emulator
from tasks.account.provision import check, create, destroy
from tasks.account.safety_net import SafetyNetClients, check_runs
from tasks.account.setup_config import AccountAws, Setup, open_setup
from tasks.aws.clients import Aws
from tasks.fleet.find import find_fleets
from tasks.fleet.instances import live_machines
from tasks.lifecycle.cleanup import clean_up
from tasks.runs.run import Run

APP = "Enforced"
REGION = "us-east-1"

# One process, because its tests share fixtures.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("enforced")]


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Emulator]:
    """An account that enforces the policies of roles."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOTO_IAM_LOAD_MANAGED_POLICIES", "true")
        root = tmp_path_factory.mktemp("aws")
        with start_emulator(root, Path(sys.executable), boot_seconds=0.2) as running:
            running.set_account(enforce=True)
            yield running


@pytest.fixture(scope="module")
def run(emulator: Emulator) -> Run:
    return new_run(config_at(emulator.endpoint_url, APP))


@pytest.fixture(scope="module")
def account_setup(run: Run) -> Iterator[tuple[AccountAws, Setup]]:
    """The account's set-up, for the run's bucket."""
    aws = AccountAws.connect(run.config.credentials, REGION)
    setup = open_setup(aws, REGION, overrides={"bucket": run.config.aws_bucket, "flow_role": True})
    assert [str(line) for line in create(aws, setup) if line.needs_attention] == []
    assert [str(line) for line in check(aws, setup) if line.needs_attention] == []
    yield aws, setup
    assert [str(line) for line in destroy(aws, setup, force=True) if line.needs_attention] == []


def as_role(run: Run, aws: AccountAws, arn: str) -> Aws:
    """The clients with a role's credentials."""
    keys = aws.sts.assume_role(RoleArn=arn, RoleSessionName="tests")["Credentials"]
    credentials = AwsCredentials(
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
        aws_session_token=keys["SessionToken"],
        aws_client_parameters={"endpoint_url": run.aws.s3.meta.endpoint_url},
    )
    return Aws.connect(credentials, REGION)


@pytest.fixture(scope="module")
def with_flows_role(run: Run, account_setup: tuple[AccountAws, Setup]) -> Run:
    aws, setup = account_setup
    return replace(run, aws=as_role(run, aws, setup.role_arn(setup.flow_role)))


@pytest.fixture(scope="module")
def net(run: Run, account_setup: tuple[AccountAws, Setup]) -> SafetyNetClients:
    aws, setup = account_setup
    own = as_role(run, aws, setup.role_arn(setup.safety_net_name))
    return SafetyNetClients(own.ec2, own.ecs, own.sqs, own.s3, own.cloudwatch)


def test_the_flows_role_starts_and_ends_a_run(with_flows_role: Run) -> None:
    start_run(with_flows_role)
    outcome = clean_up(with_flows_role, abandon=True)
    assert outcome.failures == ()


def test_the_safety_net_ends_a_run(with_flows_role: Run, net: SafetyNetClients) -> None:
    start_run(with_flows_role)
    for number in range(3):
        at = datetime.now(UTC) + timedelta(minutes=15 * number)
        assert check_runs(net, with_flows_role.config.aws_bucket, at)[1] == []
    assert find_fleets(with_flows_role) == []
    clean_up(with_flows_role, abandon=True)


def test_neither_terminates_a_machine_without_the_tag(
    run: Run, with_flows_role: Run, net: SafetyNetClients
) -> None:
    response: Any = run.aws.ec2.run_instances(
        ImageId="ami-0123456789abcdef0", MinCount=1, MaxCount=1, InstanceType="m5.large"
    )
    machine = response["Instances"][0]["InstanceId"]
    for ec2 in (with_flows_role.aws.ec2, net.ec2):
        with pytest.raises(ClientError, match="UnauthorizedOperation"):
            ec2.terminate_instances(InstanceIds=[machine])
    assert live_machines(run.aws.ec2, APP) == []
    run.aws.ec2.terminate_instances(InstanceIds=[machine])


def test_the_worker_accesses_only_its_buckets(
    run: Run, account_setup: tuple[AccountAws, Setup]
) -> None:
    aws, setup = account_setup
    worker = as_role(run, aws, setup.role_arn(setup.task_role))
    bucket = run.config.aws_bucket
    worker.s3.put_object(Bucket=bucket, Key="out/a.csv", Body=b"a", ACL="bucket-owner-full-control")
    assert worker.s3.get_object(Bucket=bucket, Key="out/a.csv")["Body"].read() == b"a"
    run.aws.s3.create_bucket(Bucket="somebody-elses")
    run.aws.s3.put_object(Bucket="somebody-elses", Key="a", Body=b"a")
    with pytest.raises(ClientError, match="AccessDenied"):
        worker.s3.get_object(Bucket="somebody-elses", Key="a")
    with pytest.raises(ClientError, match="AccessDenied"):
        worker.iam.list_roles()
