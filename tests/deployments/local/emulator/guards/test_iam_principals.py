"""Created roles may do what their policies allow, and nothing else."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from emulated_app import App, client_of

from deployments.local.emulator_client import Emulator

TRUST = json.dumps({"Version": "2012-10-17", "Statement": []})
TAGGED = {"Null": {"aws:ResourceTag/dcp:app": "false"}}


@pytest.fixture
def as_role(emulator: Emulator) -> Iterator[Callable[..., Callable[[str], Any]]]:
    """Creates a role with a policy; returns a factory of clients with its credentials."""
    iam, sts = client_of(emulator, "iam"), client_of(emulator, "sts")
    names: list[str] = []

    def make(name: str, *statements: dict[str, Any]) -> Callable[[str], Any]:
        document = {
            "Version": "2012-10-17",
            "Statement": [
                {"Effect": "Allow", "Resource": "*", **statement} for statement in statements
            ],
        }
        arn = iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]
        names.append(name)
        iam.put_role_policy(RoleName=name, PolicyName="p", PolicyDocument=json.dumps(document))
        credentials = sts.assume_role(RoleArn=arn, RoleSessionName="test")["Credentials"]
        session = boto3.Session(
            credentials["AccessKeyId"],
            credentials["SecretAccessKey"],
            credentials["SessionToken"],
            "us-east-1",
        )
        return lambda service: session.client(service, endpoint_url=emulator.endpoint_url)

    yield make
    for name in names:
        iam.delete_role_policy(RoleName=name, PolicyName="p")
        iam.delete_role(RoleName=name)


def code_of(call: Callable[..., Any], **parameters: Any) -> str:
    try:
        call(**parameters)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return ""


def test_a_queue_by_its_name(as_role: Callable[..., Callable[[str], Any]]) -> None:
    client = as_role("queues", {"Action": "sqs:*", "Resource": "arn:aws:sqs:*:*:Mine*"})
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="MineQueue")["QueueUrl"]
    sqs.send_message_batch(QueueUrl=url, Entries=[{"Id": "1", "MessageBody": "x"}])
    assert code_of(sqs.create_queue, QueueName="OtherQueue") == "AccessDenied"
    assert code_of(client("s3").list_buckets) == "AccessDenied"
    client("sts").get_caller_identity()  # requires no permission


def test_a_deny_overrides_an_allow(as_role: Callable[..., Callable[[str], Any]]) -> None:
    denied = {"Effect": "Deny", "Action": "s3:*", "Resource": "arn:aws:s3:::denied/*"}
    s3 = as_role("buckets", {"Action": "s3:*"}, denied)("s3")
    s3.create_bucket(Bucket="denied")
    assert code_of(s3.put_object, Bucket="denied", Key="a/b", Body=b"x") == "AccessDenied"
    deletion = {"Objects": [{"Key": "a"}]}
    assert code_of(s3.delete_objects, Bucket="denied", Delete=deletion) == "AccessDenied"


def test_only_resources_with_the_tag(
    app: App, as_role: Callable[..., Callable[[str], Any]]
) -> None:
    tagging = [{"ResourceType": "fleet", "Tags": [{"Key": "dcp:app", "Value": app.name}]}]
    tagged = app.fleet(1, TagSpecifications=tagging)
    ec2 = as_role("fleets", {"Action": "ec2:DeleteFleets", "Condition": TAGGED})("ec2")
    other = "fleet-00000000-0000-0000-0000-000000000000"
    both = {"FleetIds": [tagged, other], "TerminateInstances": True}
    assert code_of(ec2.delete_fleets, **both) == "UnauthorizedOperation"
    assert code_of(ec2.describe_fleets) == "UnauthorizedOperation"
    ec2.delete_fleets(FleetIds=[tagged], TerminateInstances=True)


def test_a_role_is_passed_only_to_allowed_services(
    as_role: Callable[..., Callable[[str], Any]],
) -> None:
    role = "arn:aws:iam::123456789012:role/worker"
    passing = {"StringEquals": {"iam:PassedToService": "ecs-tasks.amazonaws.com"}}
    ecs = as_role(
        "passes",
        {"Action": ["ecs:*", "ec2:*"]},
        {"Action": "iam:PassRole", "Resource": role, "Condition": passing},
    )("ecs")
    definition: dict[str, Any] = {
        "family": "passes",
        "containerDefinitions": [{"name": "a", "image": "b", "memory": 100}],
    }
    ecs.register_task_definition(**definition, taskRoleArn=role)
    other = role.replace("worker", "admin")
    refused = code_of(ecs.register_task_definition, **definition, taskRoleArn=other)
    assert refused == "AccessDeniedException"


def test_a_container_has_the_rights_of_its_role(app: App, emulator: Emulator) -> None:
    iam = client_of(emulator, "iam")
    app.cluster()
    app.fleet(1)
    app.service(1)
    app.running(1)
    [container] = app.containers()
    emulator.record()
    credentials = container_credentials(emulator, container["task_id"])
    session = boto3.Session(
        credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["Token"]
    )
    s3 = session.client("s3", "us-east-1", endpoint_url=emulator.endpoint_url)
    s3.list_buckets()
    iam.create_role(RoleName="worker", AssumeRolePolicyDocument=TRUST)
    try:
        assert code_of(s3.list_buckets) == "AccessDenied"
    finally:
        iam.delete_role(RoleName="worker")
    first, _, last, _ = emulator.requests()
    assert (first["who"], first["owner"]) == ("container", container["task_id"])
    assert (last["code"], last["role"].rpartition("/")[2]) == ("AccessDenied", "worker")
    emulator.set_account(enforce=True)
    try:
        assert code_of(s3.list_buckets) == "AccessDenied"
        assert code_of(iam.get_role, RoleName="worker") == "NoSuchEntity"
    finally:
        emulator.set_account(enforce=False)


def container_credentials(emulator: Emulator, task_id: str) -> dict[str, str]:
    found: dict[str, str] = emulator._call(f"task/{task_id}/credentials")
    return found


def test_simulation_is_by_the_policies_of_a_role(
    emulator: Emulator, as_role: Callable[..., Callable[[str], Any]]
) -> None:
    as_role("simulated", {"Action": "sqs:SendMessage", "Resource": "arn:aws:sqs:*:*:Mine"})
    answer = client_of(emulator, "iam").simulate_principal_policy(
        PolicySourceArn="arn:aws:iam::123456789012:role/simulated",
        ActionNames=["sqs:SendMessage", "sqs:CreateQueue"],
        ResourceArns=["arn:aws:sqs:us-east-1:123456789012:Mine"],
    )
    decisions = [
        evaluation_result["EvalDecision"] for evaluation_result in answer["EvaluationResults"]
    ]
    assert decisions == ["allowed", "implicitDeny"]


def test_managed_policies_count_in_their_default_version(
    emulator: Emulator, as_role: Callable[..., Callable[[str], Any]]
) -> None:
    iam = client_of(emulator, "iam")
    client = as_role("managed", {"Action": "sqs:ListQueues"})

    def document(action: str) -> str:
        statement = {"Effect": "Allow", "Action": action, "Resource": "*"}
        return json.dumps({"Version": "2012-10-17", "Statement": [statement]})

    arn = iam.create_policy(PolicyName="m", PolicyDocument=document("s3:ListAllMyBuckets"))
    arn = arn["Policy"]["Arn"]
    iam.attach_role_policy(RoleName="managed", PolicyArn=arn)
    client("s3").list_buckets()
    client("sqs").list_queues()
    newer = document("ec2:DescribeFleets")
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=newer, SetAsDefault=True)
    assert code_of(client("s3").list_buckets) == "AccessDenied"
    client("ec2").describe_fleets()
    iam.detach_role_policy(RoleName="managed", PolicyArn=arn)
