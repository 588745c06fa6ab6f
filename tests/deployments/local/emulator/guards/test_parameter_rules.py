"""The rules between parameters: combinations that AWS refuses although each value is valid."""

import base64
import json
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError
from emulated_app import client_of
from hypothesis import given
from hypothesis import strategies as st

from deployments.local.emulator.guards.parameter_rules.all_rules import RULES
from deployments.local.emulator.guards.parameter_rules.fleets import capacity
from deployments.local.emulator.guards.parameter_rules.queues import MOST_BYTES
from deployments.local.emulator_client import Emulator

NOW = datetime(2030, 1, 1)
TEMPLATE = {"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1", "Version": "1"}}
REBALANCE = "launch-before-terminate"


def overrides(**changes: Any) -> dict[str, Any]:
    return {"LaunchTemplateConfigs": [{**TEMPLATE, "Overrides": [changes]}]}


def target(total: int, **parts: int) -> dict[str, Any]:
    return {"TargetCapacitySpecification": {"TotalTargetCapacity": total, **parts}}


def rebalance(**strategy: Any) -> dict[str, Any]:
    return {"SpotOptions": {"MaintenanceStrategies": {"CapacityRebalance": strategy}}}


def container(**changes: Any) -> dict[str, Any]:
    definition = {"name": "worker", "image": "lab/worker:1", "memory": 1000, "stopTimeout": 120}
    return {"containerDefinitions": [{**definition, **changes}]}


def logs(**options: str) -> dict[str, Any]:
    region = {"awslogs-group": "g", "awslogs-region": "us-east-1"}
    given_options = {key.replace("_", "-"): value for key, value in options.items()}
    return container(
        logConfiguration={"logDriver": "awslogs", "options": {**region, **given_options}}
    )


def volume(**ebs: Any) -> dict[str, Any]:
    return {"LaunchTemplateData": {"BlockDeviceMappings": [{"DeviceName": "a", "Ebs": ebs}]}}


def alarm(**changes: Any) -> dict[str, Any]:
    return {"MetricName": "m", "Statistic": "Average", "Period": 60, **changes}


def spot(**changes: Any) -> dict[str, Any]:
    config = {"IamFleetRole": "r", "TargetCapacity": 3, "LaunchSpecifications": [{}]}
    return {"SpotFleetRequestConfig": {**config, **changes}}


def entries(*bodies: str, **changes: Any) -> dict[str, Any]:
    return {
        "QueueUrl": "u",
        "Entries": [
            {"Id": str(number), "MessageBody": body, **changes}
            for number, body in enumerate(bodies)
        ],
    }


# A valid request of each operation; the invalid ones are changes of it.
GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("ec2", "CreateFleet"): {
        "Type": "maintain",
        "LaunchTemplateConfigs": [TEMPLATE],
        "ValidUntil": NOW + timedelta(days=1),
        **target(5, OnDemandTargetCapacity=2, SpotTargetCapacity=3),
        **rebalance(ReplacementStrategy=REBALANCE, TerminationDelay=120),
        **overrides(InstanceType="m5.large", MaxPrice="0.2000"),
    },
    ("ec2", "ModifyFleet"): {"FleetId": "fleet-1", **target(0)},
    ("ec2", "RequestSpotFleet"): spot(SpotPrice="0.20"),
    ("ec2", "ModifySpotFleetRequest"): {"SpotFleetRequestId": "sfr-1", "TargetCapacity": 0},
    ("ec2", "CreateLaunchTemplate"): {
        "LaunchTemplateName": "t",
        "LaunchTemplateData": {
            "NetworkInterfaces": [{"DeviceIndex": 0, "Groups": ["sg-1"]}],
            "MetadataOptions": {"HttpTokens": "required", "HttpPutResponseHopLimit": 2},
            "BlockDeviceMappings": [{"DeviceName": "a", "Ebs": {"VolumeType": "gp3"}}],
            "UserData": base64.b64encode(b"x" * 16_384).decode(),
        },
    },
    ("ecs", "RegisterTaskDefinition"): {
        "family": "LabTask",
        "networkMode": "bridge",
        **container(),
    },
    ("ecs", "CreateService"): {
        "serviceName": "LabService",
        "taskDefinition": "LabTask:1",
        "desiredCount": 3,
        "deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 0},
        "placementConstraints": [{"type": "memberOf", "expression": "attribute:a == b"}],
        "placementStrategy": [{"type": "binpack", "field": "memory"}],
    },
    ("ecs", "UpdateService"): {"service": "LabService", "desiredCount": 0},
    ("sqs", "CreateQueue"): {
        "QueueName": "LabQueue",
        "Attributes": {"VisibilityTimeout": "43200", "MessageRetentionPeriod": "1209600"},
    },
    ("sqs", "SetQueueAttributes"): {"QueueUrl": "u", "Attributes": {"VisibilityTimeout": "0"}},
    ("sqs", "SendMessage"): {"QueueUrl": "u", "MessageBody": "x" * MOST_BYTES},
    ("sqs", "SendMessageBatch"): entries(*"abcdefghij", DelaySeconds=900),
    ("sqs", "ReceiveMessage"): {"QueueUrl": "u", "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20},
    ("sqs", "ChangeMessageVisibility"): {"QueueUrl": "u", "VisibilityTimeout": 43_200},
    ("monitoring", "PutMetricAlarm"): alarm(EvaluationPeriods=15),
    ("monitoring", "PutMetricData"): {"Namespace": "dcp", "MetricData": [{"Value": 1}]},
    ("monitoring", "PutDashboard"): {
        "DashboardBody": json.dumps({"widgets": [{"type": "metric", "properties": {}, "x": 0}]})
    },
    ("logs", "PutRetentionPolicy"): {"retentionInDays": 60},
    ("logs", "PutLogEvents"): {"logEvents": [{"timestamp": 1, "message": "a"}]},
    ("logs", "CreateExportTask"): {"from": 0, "to": 1},
}

BAD: list[tuple[str, str, dict[str, Any], str]] = [
    (
        "ec2",
        "CreateFleet",
        target(5, OnDemandTargetCapacity=2, SpotTargetCapacity=2),
        "Combination",
    ),
    ("ec2", "CreateFleet", target(1, OnDemandTargetCapacity=2), "Value"),
    ("ec2", "CreateFleet", target(10_001), "Value"),
    ("ec2", "CreateFleet", target(-1), "Value"),
    ("ec2", "CreateFleet", {"ValidUntil": datetime(2020, 1, 1)}, "Value"),
    ("ec2", "CreateFleet", {"ValidFrom": NOW + timedelta(days=2)}, "Combination"),
    ("ec2", "CreateFleet", rebalance(ReplacementStrategy=REBALANCE), "MissingParameter"),
    (
        "ec2",
        "CreateFleet",
        rebalance(ReplacementStrategy=REBALANCE, TerminationDelay=60),
        "Value",
    ),
    (
        "ec2",
        "CreateFleet",
        rebalance(ReplacementStrategy="launch", TerminationDelay=120),
        "Combination",
    ),
    ("ec2", "CreateFleet", {"Type": "request"}, "Combination"),
    ("ec2", "CreateFleet", {"SpotOptions": {"SingleInstanceType": True}}, "Combination"),
    (
        "ec2",
        "CreateFleet",
        {"SpotOptions": {"AllocationStrategy": "diversified", "InstancePoolsToUseCount": 2}},
        "Combination",
    ),
    ("ec2", "CreateFleet", overrides(MaxPrice="0"), "Value"),
    ("ec2", "CreateFleet", overrides(MaxPrice="cheap"), "Value"),
    ("ec2", "CreateFleet", overrides(InstanceType="a", InstanceRequirements={}), "Combination"),
    ("ec2", "CreateFleet", {"LaunchTemplateConfigs": []}, "Value"),
    (
        "ec2",
        "CreateFleet",
        {"LaunchTemplateConfigs": [{"LaunchTemplateSpecification": {"LaunchTemplateId": "lt-1"}}]},
        "MissingParameter",
    ),
    (
        "ec2",
        "CreateFleet",
        {"LaunchTemplateConfigs": [{**TEMPLATE, "Overrides": [{}] * 301}]},
        "Value",
    ),
    ("ec2", "ModifyFleet", target(1, SpotTargetCapacity=2), "Value"),
    ("ec2", "RequestSpotFleet", spot(OnDemandTargetCapacity=4), "InvalidSpotFleet"),
    ("ec2", "RequestSpotFleet", spot(LaunchSpecifications=[]), "InvalidSpotFleet"),
    ("ec2", "RequestSpotFleet", spot(LaunchSpecifications=[{}] * 51), "InvalidSpotFleet"),
    ("ec2", "RequestSpotFleet", spot(SpotPrice="-1"), "Value"),
    ("ec2", "RequestSpotFleet", spot(ValidUntil=datetime(2015, 11, 5)), "Value"),
    (
        "ec2",
        "RequestSpotFleet",
        spot(LaunchSpecifications=[{"SubnetId": "s", "NetworkInterfaces": [{"DeviceIndex": 0}]}]),
        "Combination",
    ),
    (
        "ec2",
        "RequestSpotFleet",
        spot(LaunchSpecifications=[{"NetworkInterfaces": [{}]}]),
        "Missing",
    ),
    ("ec2", "ModifySpotFleetRequest", {"TargetCapacity": 20_000}, "InvalidSpotFleet"),
    (
        "ec2",
        "CreateLaunchTemplate",
        {
            "LaunchTemplateData": {
                "NetworkInterfaces": [{"DeviceIndex": 0}],
                "SecurityGroupIds": ["sg-1"],
            }
        },
        "Combination",
    ),
    (
        "ec2",
        "CreateLaunchTemplate",
        {"LaunchTemplateData": {"MetadataOptions": {"HttpPutResponseHopLimit": 65}}},
        "Value",
    ),
    ("ec2", "CreateLaunchTemplate", volume(VolumeType="gp3", VolumeSize=65_537), "Value"),
    ("ec2", "CreateLaunchTemplate", volume(VolumeType="gp3", Iops=100), "Value"),
    ("ec2", "CreateLaunchTemplate", volume(VolumeType="gp2", Iops=3000), "Combination"),
    ("ec2", "CreateLaunchTemplate", volume(VolumeType="io2"), "MissingParameter"),
    ("ec2", "CreateLaunchTemplate", volume(VolumeType="gp2", Throughput=125), "Combination"),
    ("ec2", "CreateLaunchTemplate", {"LaunchTemplateData": {"UserData": "no base64"}}, "UserData"),
    (
        "ec2",
        "CreateLaunchTemplate",
        {"LaunchTemplateData": {"UserData": base64.b64encode(b"x" * 16_385).decode()}},
        "Value",
    ),
    (
        "ec2",
        "CreateLaunchTemplate",
        {"TagSpecifications": [{"Tags": [{"Key": "aws:a", "Value": "b"}]}]},
        "Value",
    ),
    ("ecs", "RegisterTaskDefinition", {"family": "a b"}, "ClientException"),
    ("ecs", "RegisterTaskDefinition", {"containerDefinitions": []}, "ClientException"),
    ("ecs", "RegisterTaskDefinition", container(memory=None), "ClientException"),
    ("ecs", "RegisterTaskDefinition", container(memory=4), "ClientException"),
    ("ecs", "RegisterTaskDefinition", container(memoryReservation=2000), "ClientException"),
    ("ecs", "RegisterTaskDefinition", container(essential=False), "ClientException"),
    ("ecs", "RegisterTaskDefinition", container(image=""), "ClientException"),
    ("ecs", "RegisterTaskDefinition", container(name="a/b"), "ClientException"),
    (
        "ecs",
        "RegisterTaskDefinition",
        {"networkMode": "host", **container(portMappings=[{"hostPort": 1, "containerPort": 2}])},
        "ClientException",
    ),
    (
        "ecs",
        "RegisterTaskDefinition",
        {"networkMode": "none", **container(portMappings=[{"containerPort": 2}])},
        "ClientException",
    ),
    (
        "ecs",
        "RegisterTaskDefinition",
        container(secrets=[{"name": "A", "valueFrom": "arn"}]),
        "ClientException",
    ),
    ("ecs", "RegisterTaskDefinition", logs(mode="fast"), "ClientException"),
    ("ecs", "RegisterTaskDefinition", logs(max_buffer_size="1m"), "ClientException"),
    ("ecs", "RegisterTaskDefinition", logs(awslogs_colour="red"), "ClientException"),
    ("ecs", "RegisterTaskDefinition", logs(awslogs_region=""), "ClientException"),
    ("ecs", "RegisterTaskDefinition", {"requiresCompatibilities": ["FARGATE"]}, "ClientException"),
    ("ecs", "CreateService", {"serviceName": "a.b"}, "InvalidParameter"),
    ("ecs", "CreateService", {"taskDefinition": ""}, "InvalidParameter"),
    ("ecs", "CreateService", {"schedulingStrategy": "DAEMON"}, "InvalidParameter"),
    ("ecs", "CreateService", {"desiredCount": -1}, "InvalidParameter"),
    (
        "ecs",
        "CreateService",
        {"launchType": "EC2", "capacityProviderStrategy": [{}]},
        "InvalidParameter",
    ),
    (
        "ecs",
        "CreateService",
        {"placementConstraints": [{"type": "distinctInstance"}] * 11},
        "InvalidParameter",
    ),
    ("ecs", "CreateService", {"placementConstraints": [{"type": "memberOf"}]}, "InvalidParameter"),
    ("ecs", "CreateService", {"placementStrategy": [{"type": "random"}] * 6}, "InvalidParameter"),
    (
        "ecs",
        "UpdateService",
        {"deploymentConfiguration": {"maximumPercent": 100, "minimumHealthyPercent": 100}},
        "InvalidParameter",
    ),
    (
        "ecs",
        "UpdateService",
        {"deploymentConfiguration": {"maximumPercent": 50, "minimumHealthyPercent": 80}},
        "InvalidParameter",
    ),
    ("sqs", "CreateQueue", {"QueueName": "a b"}, "Value"),
    ("sqs", "CreateQueue", {"Attributes": {"VisibilityTimeout": "43201"}}, "InvalidAttributeValue"),
    ("sqs", "CreateQueue", {"Attributes": {"VisibilityTimeout": "long"}}, "InvalidAttributeValue"),
    ("sqs", "SetQueueAttributes", {"Attributes": {"RedrivePolicy": "no JSON"}}, "Value"),
    (
        "sqs",
        "SetQueueAttributes",
        {
            "Attributes": {
                "RedrivePolicy": json.dumps(
                    {"deadLetterTargetArn": "arn:aws:sqs:r:1:q", "maxReceiveCount": 1001}
                )
            }
        },
        "Value",
    ),
    ("sqs", "SendMessage", {"MessageBody": ""}, "MissingParameter"),
    ("sqs", "SendMessage", {"MessageBody": "\x00"}, "InvalidMessageContents"),
    ("sqs", "SendMessage", {"MessageBody": "é" * (MOST_BYTES // 2 + 1)}, "Value"),
    ("sqs", "SendMessage", {"DelaySeconds": 901}, "Value"),
    ("sqs", "SendMessageBatch", entries(), "EmptyBatchRequest"),
    ("sqs", "SendMessageBatch", entries(*"abcdefghijk"), "TooManyEntries"),
    ("sqs", "SendMessageBatch", entries("a", "b", Id="same"), "NotDistinct"),
    ("sqs", "SendMessageBatch", entries("a", Id="a b"), "InvalidBatchEntryId"),
    ("sqs", "SendMessageBatch", entries(*["x" * 150_000] * 10), "BatchRequestTooLong"),
    (
        "sqs",
        "SendMessageBatch",
        entries("a", MessageAttributes={"k": {"DataType": "Text", "StringValue": "v"}}),
        "Value",
    ),
    ("sqs", "ReceiveMessage", {"MaxNumberOfMessages": 11}, "Value"),
    ("sqs", "ReceiveMessage", {"WaitTimeSeconds": 21}, "Value"),
    ("sqs", "ChangeMessageVisibility", {"VisibilityTimeout": 43_201}, "Value"),
    ("monitoring", "PutMetricAlarm", {"Period": 45}, "ValidationError"),
    ("monitoring", "PutMetricAlarm", {"EvaluationPeriods": 1441}, "ValidationError"),
    ("monitoring", "PutMetricAlarm", {"ExtendedStatistic": "p90"}, "Combination"),
    ("monitoring", "PutMetricData", {"MetricData": [{"Value": 1}] * 1001}, "Value"),
    ("monitoring", "PutMetricData", {"Namespace": "AWS/EC2"}, "Value"),
    ("monitoring", "PutMetricData", {"MetricData": [{}]}, "Combination"),
    ("monitoring", "PutDashboard", {"DashboardBody": "{"}, "InvalidParameterInput"),
    ("monitoring", "PutDashboard", {"DashboardBody": '{"widgets": [{}]}'}, "InvalidParameterInput"),
    ("logs", "PutRetentionPolicy", {"retentionInDays": 61}, "InvalidParameter"),
    (
        "logs",
        "PutLogEvents",
        {"logEvents": [{"timestamp": 2, "message": "a"}, {"timestamp": 1, "message": "a"}]},
        "InvalidParameter",
    ),
    (
        "logs",
        "PutLogEvents",
        {"logEvents": [{"timestamp": at, "message": "a"} for at in (0, 86_400_001)]},
        "InvalidParameter",
    ),
    ("logs", "CreateExportTask", {"from": 2}, "InvalidParameter"),
]


def codes(service: str, operation: str, params: dict[str, Any]) -> list[str]:
    return [found.code for found in RULES[(service, operation)](params)]


@pytest.mark.parametrize(("service", "operation"), GOOD)
def test_a_good_request_breaks_no_rule(service: str, operation: str) -> None:
    assert codes(service, operation, GOOD[(service, operation)]) == []


@pytest.mark.parametrize(("service", "operation", "change", "code"), BAD)
def test_a_bad_request_is_refused_by_its_code(
    service: str, operation: str, change: dict[str, Any], code: str
) -> None:
    found = codes(service, operation, {**GOOD[(service, operation)], **change})
    assert any(code in found_code for found_code in found), found


def test_every_rule_has_a_bad_request() -> None:
    batches = {("sqs", f"{name}MessageBatch") for name in ("Delete",)}
    batches.add(("sqs", "ChangeMessageVisibilityBatch"))
    same = {("ec2", "CreateLaunchTemplateVersion")}
    assert RULES.keys() - batches - same == {bad[:2] for bad in BAD}


parts = st.one_of(st.none(), st.integers(-2, 12))


@given(st.integers(0, 10), parts, parts)
def test_a_capacity_is_valid_if_its_parts_add_up_to_the_total(
    total: int, spot: int | None, on_demand: int | None
) -> None:
    specification = {"TotalTargetCapacity": total}
    specification |= {} if spot is None else {"SpotTargetCapacity": spot}
    specification |= {} if on_demand is None else {"OnDemandTargetCapacity": on_demand}
    parts_given = [part for part in (spot, on_demand) if part is not None]
    sound = all(0 <= part <= total for part in parts_given) and (
        len(parts_given) < 2 or sum(parts_given) == total
    )
    assert (not list(capacity(specification))) == sound


def test_rules_hold_over_http(emulator: Emulator) -> None:
    def code_of(call: Callable[..., Any], **parameters: Any) -> str:
        with pytest.raises(ClientError) as raised:
            call(**parameters)
        return str(raised.value.response["Error"]["Code"])

    ec2, sqs = client_of(emulator, "ec2"), client_of(emulator, "sqs")
    template_ref = {"LaunchTemplateSpecification": {"LaunchTemplateName": "none", "Version": "1"}}
    code = code_of(ec2.create_fleet, LaunchTemplateConfigs=[template_ref], **target(10_001))
    assert code == "InvalidParameterValue"
    assert code_of(sqs.create_queue, QueueName="a b") == "InvalidParameterValue"
