"""Permissions, quotas and prices of the emulated account, in each protocol's format."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_app import client_of

from deployments.local.emulator_client import Emulator

NOW = datetime.now(UTC)


@pytest.fixture
def client(emulator: Emulator) -> Callable[[str], Any]:
    return lambda service: client_of(emulator, service)


def code_of(call: Callable[..., Any], **parameters: Any) -> str:
    with pytest.raises(ClientError) as raised:
        call(**parameters)
    return str(raised.value.response["Error"]["Code"])


def test_each_service_refuses_in_its_own_words(
    emulator: Emulator, client: Callable[[str], Any]
) -> None:
    calls: list[tuple[str, str, str, dict[str, Any]]] = [
        ("sqs:CreateQueue", "AccessDenied", "create_queue", {"QueueName": "q"}),
        ("s3:PutObject", "AccessDenied", "put_object", {"Bucket": "b", "Key": "k", "Body": b"x"}),
        ("s3:GetObject", "AccessDenied", "get_object", {"Bucket": "b", "Key": "k"}),
        ("s3:GetObject", "403", "head_object", {"Bucket": "b", "Key": "k"}),
        ("s3:ListBucket", "403", "head_bucket", {"Bucket": "b"}),
        ("s3:ListAllMyBuckets", "AccessDenied", "list_buckets", {}),
        (
            "s3:DeleteObject",
            "AccessDenied",
            "delete_objects",
            {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}]}},
        ),
        ("s3:GetBucketLocation", "AccessDenied", "get_bucket_location", {"Bucket": "b"}),
        ("ec2:DescribeFleets", "UnauthorizedOperation", "describe_fleets", {}),
        ("ecs:ListClusters", "AccessDeniedException", "list_clusters", {}),
        ("logs:DescribeLogGroups", "AccessDeniedException", "describe_log_groups", {}),
        ("ssm:GetParameter", "AccessDeniedException", "get_parameter", {"Name": "/a"}),
        ("cloudwatch:DescribeAlarms", "AccessDenied", "describe_alarms", {}),
        ("iam:GetRole", "AccessDenied", "get_role", {"RoleName": "r"}),
        ("sts:GetCallerIdentity", "AccessDenied", "get_caller_identity", {}),
    ]
    for action, code, method, parameters in calls:
        emulator.set_account(refused=[action])
        service = client(action.partition(":")[0])
        assert code_of(getattr(service, method), **parameters) == code, action


def test_other_actions_are_allowed(emulator: Emulator, client: Callable[[str], Any]) -> None:
    emulator.set_account(refused=["sqs:Delete*", "s3:*"])
    url = client("sqs").create_queue(QueueName="goes-on")["QueueUrl"]
    assert code_of(client("sqs").delete_queue, QueueUrl=url) == "AccessDenied"
    client("ec2").describe_instances()
    emulator.set_account(refused=[])
    client("sqs").delete_queue(QueueUrl=url)


def test_a_batch_needs_the_right_of_a_single_one(
    emulator: Emulator, client: Callable[[str], Any]
) -> None:
    url = client("sqs").create_queue(QueueName="batch")["QueueUrl"]
    emulator.set_account(refused=["sqs:SendMessage"])
    entries = [{"Id": "1", "MessageBody": "x"}]
    send = client("sqs").send_message_batch
    assert code_of(send, QueueUrl=url, Entries=entries) == "AccessDenied"


def test_a_dry_run_makes_nothing(emulator: Emulator, client: Callable[[str], Any]) -> None:
    ec2 = client("ec2")
    request: dict[str, Any] = {
        "DryRun": True,
        "LaunchTemplateName": "dry",
        "LaunchTemplateData": {"InstanceType": "m5.large"},
    }
    assert code_of(ec2.create_launch_template, **request) == "DryRunOperation"
    named = [{"Name": "launch-template-name", "Values": ["dry"]}]
    assert ec2.describe_launch_templates(Filters=named)["LaunchTemplates"] == []
    emulator.set_account(refused=["ec2:CreateLaunchTemplate"])
    assert code_of(ec2.create_launch_template, **request) == "UnauthorizedOperation"


def test_simulated_policies_deny_the_refused_actions(
    emulator: Emulator, client: Callable[[str], Any]
) -> None:
    emulator.set_account(refused=["iam:PassRole arn:aws:iam::*:role/other", "sqs:CreateQueue"])
    answer = client("iam").simulate_principal_policy(
        PolicySourceArn="arn:aws:iam::123456789012:user/local",
        ActionNames=["iam:PassRole", "sqs:CreateQueue", "sqs:SendMessage"],
        ResourceArns=["arn:aws:iam::123456789012:role/own", "arn:aws:iam::123456789012:role/other"],
    )
    denied = {
        (
            evaluation_result["EvalActionName"],
            evaluation_result["EvalResourceName"].rpartition("/")[2],
        )
        for evaluation_result in answer["EvaluationResults"]
        if evaluation_result["EvalDecision"] != "allowed"
    }
    both = {("sqs:CreateQueue", "own"), ("sqs:CreateQueue", "other")}
    assert denied == both | {("iam:PassRole", "other")}


def test_roles_are_there_unless_missing(emulator: Emulator, client: Callable[[str], Any]) -> None:
    iam = client("iam")
    profile = iam.get_instance_profile(InstanceProfileName="machines")["InstanceProfile"]
    assert [role["RoleName"] for role in profile["Roles"]] == ["machines"]
    emulator.set_account(missing=["worker"])
    assert code_of(iam.get_role, RoleName="worker") == "NoSuchEntity"
    assert iam.get_role(RoleName="other")["Role"]["Arn"].endswith(":role/other")


def test_there_are_no_prices_unless_set(emulator: Emulator, client: Callable[[str], Any]) -> None:
    def spot() -> list[tuple[str, float]]:
        answer = client("ec2").describe_spot_price_history(
            InstanceTypes=["m5.large"], StartTime=NOW - timedelta(hours=2), EndTime=NOW
        )
        return [(price["SpotPrice"], price["Timestamp"]) for price in answer["SpotPriceHistory"]]

    def products() -> list[Any]:
        filters = [
            {"Type": "ANY_OF", "Field": "instanceType", "Value": "m5.large,m5.xlarge"},
            {"Type": "TERM_MATCH", "Field": "regionCode", "Value": "us-east-1"},
        ]
        answer = client("pricing").get_products(ServiceCode="AmazonEC2", Filters=filters)
        return [json.loads(product) for product in answer["PriceList"]]

    assert (spot(), products()) == ([], [])
    changes = [(5, 0.01), (3, 0.02), (1, 0.03), (-1, 0.04)]
    table = [
        {
            "machine_type": "m5.large",
            "zone": "us-east-1a",
            "at": (NOW - timedelta(hours=hours)).isoformat(),
            "usd": usd,
        }
        for hours, usd in changes
    ]
    emulator.set_account(spot=table, on_demand={"m5.large": 0.096, "c5.large": 0.085})
    # The last change before the window is the price at its start; later changes are not returned.
    assert [float(usd) for usd, _ in spot()] == [0.03, 0.02]
    assert [product["product"]["attributes"]["instanceType"] for product in products()] == [
        "m5.large"
    ]


def test_quotas_are_as_set(emulator: Emulator, client: Callable[[str], Any]) -> None:
    emulator.set_account(quotas={"L-34B43A08": 5})
    quotas = client("service-quotas")
    quota = quotas.get_service_quota(ServiceCode="ec2", QuotaCode="L-34B43A08")["Quota"]
    assert quota["Value"] == 5
