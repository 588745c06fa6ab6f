"""The set-up of an account is created, checked, repaired and removed; nothing else is touched."""

import json
from typing import Any

import pytest
from botocore.exceptions import ClientError
from prefect_aws import AwsCredentials

from blocks.errors import ConfigError, DcpError
from tasks.account.provision import check, config_values, create, destroy
from tasks.account.resource import TAG
from tasks.account.setup_config import INSTANCE_ROLE, AccountAws, Setup, open_setup

pytestmark = pytest.mark.e2e

REGION = "us-east-1"
THEIRS = {
    "Effect": "Allow",
    "Principal": "*",
    "Action": "s3:GetObject",
    "Resource": "arn:aws:s3:::BUCKET/x",
    "Sid": "Theirs",
}


def wrong(lines: list[Any]) -> list[str]:
    return [str(line) for line in lines if line.needs_attention]


def changed(lines: list[Any]) -> list[str]:
    return [
        str(line) for line in lines if line.state.startswith(("created", "repaired", "removed"))
    ]


def everything(aws: AccountAws) -> dict[str, list[str]]:
    """All resources of the account, by kind."""
    roles = aws.iam.list_roles()["Roles"]
    return {
        "roles": sorted(r["RoleName"] for r in roles if "service-role/" not in r["Path"]),
        "profiles": [
            p["InstanceProfileName"] for p in aws.iam.list_instance_profiles()["InstanceProfiles"]
        ],
        "policies": [p["PolicyName"] for p in aws.iam.list_policies(Scope="Local")["Policies"]],
        "functions": [f["FunctionName"] for f in aws.lambda_.list_functions()["Functions"]],
        "schedules": [s["Name"] for s in aws.scheduler.list_schedules()["Schedules"]],
        "log groups": [g["logGroupName"] for g in aws.logs.describe_log_groups()["logGroups"]],
    }


def test_create_creates_everything_once(aws: AccountAws, setup: Setup) -> None:
    assert len(wrong(check(aws, setup))) > 10
    assert wrong(create(aws, setup)) == []
    assert wrong(check(aws, setup)) == []
    created = everything(aws)
    assert changed(create(aws, setup)) == []
    assert everything(aws) == created


def test_destroy_removes_everything_that_create_created(aws: AccountAws, setup: Setup) -> None:
    before = everything(aws)
    create(aws, setup)
    assert everything(aws) != before
    assert wrong(destroy(aws, setup)) == []
    assert everything(aws) == before
    with pytest.raises(ClientError, match="NoSuchBucketPolicy"):
        aws.s3.get_bucket_policy(Bucket=setup.options.bucket)
    assert changed(destroy(aws, setup)) == []


def test_existing_resources_are_used_and_stay(aws: AccountAws, setup: Setup) -> None:
    trust = json.dumps(
        {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Effect": "Allow",
                    "Principal": {"Service": "ec2.amazonaws.com"},
                    "Action": "sts:AssumeRole",
                }
            ],
        }
    )
    aws.iam.create_role(RoleName=INSTANCE_ROLE, AssumeRolePolicyDocument=trust)
    aws.iam.create_instance_profile(InstanceProfileName=INSTANCE_ROLE)
    aws.iam.add_role_to_instance_profile(InstanceProfileName=INSTANCE_ROLE, RoleName=INSTANCE_ROLE)
    aws.s3.put_bucket_policy(
        Bucket=setup.options.bucket,
        Policy=json.dumps({"Version": "2012-10-17", "Statement": [THEIRS]}),
    )
    before = everything(aws)
    assert wrong(create(aws, setup)) == []
    assert wrong(check(aws, setup)) == []
    assert aws.iam.list_attached_role_policies(RoleName=INSTANCE_ROLE)["AttachedPolicies"] == []
    assert wrong(destroy(aws, setup)) == []
    assert everything(aws) == before
    policy = json.loads(aws.s3.get_bucket_policy(Bucket=setup.options.bucket)["Policy"])
    assert policy["Statement"] == [THEIRS]


def test_a_foreign_role_with_our_name_is_reported_and_not_touched(
    aws: AccountAws, setup: Setup
) -> None:
    trust = '{"Version": "2012-10-17", "Statement": []}'
    aws.iam.create_role(RoleName=setup.safety_net_name, AssumeRolePolicyDocument=trust)
    (line,) = wrong(create(aws, setup))
    assert setup.safety_net_name in line
    destroy(aws, setup)
    assert setup.safety_net_name in everything(aws)["roles"]


def _widen_policy(aws: AccountAws, setup: Setup) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}],
    }
    aws.iam.put_role_policy(
        RoleName=setup.task_role, PolicyName="dcp", PolicyDocument=json.dumps(policy)
    )


def _open_trust(aws: AccountAws, setup: Setup) -> None:
    trust = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}],
    }
    aws.iam.update_assume_role_policy(RoleName=setup.task_role, PolicyDocument=json.dumps(trust))


def _drop_policy(aws: AccountAws, setup: Setup) -> None:
    aws.iam.delete_role_policy(RoleName=setup.safety_net_name, PolicyName="dcp")


def _detach(aws: AccountAws, setup: Setup) -> None:
    (policy,) = aws.iam.list_attached_role_policies(RoleName=INSTANCE_ROLE)["AttachedPolicies"]
    aws.iam.detach_role_policy(RoleName=INSTANCE_ROLE, PolicyArn=policy["PolicyArn"])


def _other_version(aws: AccountAws, setup: Setup) -> None:
    policy = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*"}],
    }
    for _ in range(4):
        aws.iam.create_policy_version(
            PolicyArn=setup.flows_policy, PolicyDocument=json.dumps(policy), SetAsDefault=True
        )


def _other_code(aws: AccountAws, setup: Setup) -> None:
    aws.lambda_.update_function_configuration(FunctionName=setup.safety_net_name, Timeout=3)


def _switch_off(aws: AccountAws, setup: Setup) -> None:
    schedule = aws.scheduler.get_schedule(
        Name=setup.safety_net_name, GroupName=setup.safety_net_name
    )
    aws.scheduler.update_schedule(
        Name=setup.safety_net_name,
        GroupName=setup.safety_net_name,
        ScheduleExpression="rate(1 day)",
        State="DISABLED",
        FlexibleTimeWindow={"Mode": "OFF"},
        Target=schedule["Target"],
    )


def _drop_retention(aws: AccountAws, setup: Setup) -> None:
    aws.logs.delete_retention_policy(logGroupName=f"/aws/lambda/{setup.safety_net_name}")


def _drop_export_statement(aws: AccountAws, setup: Setup) -> None:
    policy = json.loads(aws.s3.get_bucket_policy(Bucket=setup.options.bucket)["Policy"])
    policy["Statement"] = policy["Statement"][:1]
    aws.s3.put_bucket_policy(Bucket=setup.options.bucket, Policy=json.dumps(policy))


@pytest.mark.parametrize(
    "drift",
    [
        _widen_policy,
        _open_trust,
        _drop_policy,
        _detach,
        _other_version,
        _other_code,
        _switch_off,
        _drop_retention,
        _drop_export_statement,
    ],
)
def test_changes_are_reported_and_repaired(drift: Any, aws: AccountAws, setup: Setup) -> None:
    create(aws, setup)
    drift(aws, setup)
    assert len(wrong(check(aws, setup))) == 1
    assert len(changed(create(aws, setup))) == 1
    assert wrong(check(aws, setup)) == []


def test_options_are_stored(aws: AccountAws, bucket: str) -> None:
    options = {"bucket": bucket, "inputs": ("images",), "apps": ("Lab",), "safety_net": False}
    create(aws, open_setup(aws, REGION, overrides=options))
    again = open_setup(aws, REGION)
    assert again.options.model_dump() == options | {
        "outputs": (),
        "execution_role": False,
        "flow_role": False,
        "api_key_secret": "",
    }
    assert wrong(check(aws, again)) == []
    assert "dcp-safety-net-us-east-1" not in everything(aws)["functions"]


def test_only_ecs_gets_the_api_key(aws: AccountAws, bucket: str) -> None:
    secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:prefect-AbCdEf"
    options = {"bucket": bucket, "flow_role": True, "api_key_secret": secret}
    setup = open_setup(aws, REGION, overrides=options)
    assert wrong(create(aws, setup)) == []
    response = aws.iam.get_role_policy(RoleName=setup.execution_role, PolicyName="dcp")
    document: Any = response["PolicyDocument"]
    (statement,) = document["Statement"]
    assert statement["Action"] == "secretsmanager:GetSecretValue"
    assert statement["Resource"] == secret
    assert open_setup(aws, REGION).options == setup.options


def test_resources_no_longer_requested_are_removed(aws: AccountAws, setup: Setup) -> None:
    create(aws, setup)
    without = open_setup(aws, REGION, overrides={"safety_net": False})
    assert wrong(check(aws, without)) != []
    create(aws, without)
    assert wrong(check(aws, without)) == []
    assert everything(aws)["functions"] == []


def test_two_set_ups_of_an_account_are_independent(
    aws: AccountAws, credentials: AwsCredentials, setup: Setup, bucket: str
) -> None:
    other_aws = AccountAws.connect(credentials, "eu-west-1")
    other = open_setup(other_aws, "eu-west-1", "second", {"bucket": bucket})
    create(aws, setup)
    create(other_aws, other)
    assert wrong(check(aws, setup)) == []
    # The first created the shared parts; now the second owns them.
    assert wrong(destroy(aws, setup)) == []
    assert wrong(check(other_aws, other)) == []
    assert INSTANCE_ROLE in everything(aws)["roles"]
    assert wrong(destroy(other_aws, other)) == []
    assert everything(aws)["roles"] == []


def test_nothing_is_removed_while_machines_run(aws: AccountAws, setup: Setup) -> None:
    create(aws, setup)
    image = aws.ec2.describe_images()["Images"][0]["ImageId"]
    tags = [{"Key": "dcp:app", "Value": "Lab"}]
    aws.ec2.run_instances(
        ImageId=image,
        MinCount=1,
        MaxCount=1,
        TagSpecifications=[{"ResourceType": "instance", "Tags": tags}],
    )
    with pytest.raises(DcpError, match="machines or fleets in"):
        destroy(aws, setup)
    assert wrong(check(aws, setup)) == []
    assert wrong(destroy(aws, setup, force=True)) == []


def test_a_failure_does_not_stop_other_resources(aws: AccountAws) -> None:
    setup = open_setup(aws, REGION, overrides={"bucket": "missing-bucket"})
    (line,) = wrong(create(aws, setup))
    assert "missing-bucket" in line
    assert setup.task_role in everything(aws)["roles"]


def test_all_roles_are_tagged(aws: AccountAws, setup: Setup) -> None:
    create(aws, setup)
    tag = {"Key": TAG, "Value": setup.owner}
    for name in everything(aws)["roles"]:
        assert tag in aws.iam.get_role(RoleName=name)["Role"]["Tags"]


def test_config_values_name_the_created_role(aws: AccountAws, setup: Setup) -> None:
    create(aws, setup)
    role = config_values(setup)["task_role"]
    assert aws.iam.get_role(RoleName=role.rsplit("/", 1)[-1])["Role"]["Arn"] == role


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({}, "bucket"),
        ({"bucket": "s3://lab"}, "bucket"),
        ({"bucket": "lab-bucket", "inputs": ("A_B",)}, "inputs"),
        ({"bucket": "lab-bucket", "apps": ("Lab*",)}, "apps"),
        ({"bucket": "lab-bucket", "inputs": tuple(f"{'x' * 60}{n}" for n in range(5))}, "inputs"),
    ],
)
def test_bad_input_is_reported(options: dict[str, Any], key: str, aws: AccountAws) -> None:
    with pytest.raises(ConfigError) as error:
        open_setup(aws, REGION, overrides=options)
    assert key in error.value.problems[0].key
