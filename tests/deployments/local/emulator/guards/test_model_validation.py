"""Requests that violate a service's model are refused without client checks; all are recorded."""

import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from typing import Any

import boto3
import botocore.session
import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials
from botocore.exceptions import ClientError
from botocore.validate import ParamValidator
from hypothesis import given
from hypothesis import strategies as st

from deployments.local.emulator.guards.model_validation import violations
from deployments.local.emulator_client import Emulator

CONTAINER = {"name": "worker", "image": "a/b:1", "memory": 100}
TARGET = {"TotalTargetCapacity": 1}
TEMPLATE = {"LaunchTemplateSpecification": {"LaunchTemplateName": "t", "Version": "$Latest"}}

# Service, operation, parameters, and AWS's error code.
BAD: list[tuple[str, str, dict[str, Any], str]] = [
    ("ec2", "CreateFleet", {"LaunchTemplateConfigs": [TEMPLATE]}, "MissingParameter"),
    (
        "ec2",
        "CreateFleet",
        {
            "LaunchTemplateConfigs": [TEMPLATE],
            "TargetCapacitySpecification": {**TARGET, "DefaultTargetCapacityType": "cheap"},
        },
        "InvalidParameterValue",
    ),
    (
        "ec2",
        "CreateFleet",
        {
            "LaunchTemplateConfigs": [TEMPLATE],
            "TargetCapacitySpecification": {"TotalTargetCapacity": "many"},
        },
        "InvalidParameterValue",
    ),
    ("ec2", "DeleteFleets", {"FleetIds": ["fleet-1"]}, "MissingParameter"),
    ("ec2", "DescribeFleets", {"MaxResults": "all"}, "InvalidParameterValue"),
    ("ecs", "RunTask", {}, "InvalidParameterException"),
    ("ecs", "CreateService", {"serviceName": 5}, "SerializationException"),
    ("ecs", "RegisterTaskDefinition", {"family": "f"}, "ClientException"),
    (
        "ecs",
        "RegisterTaskDefinition",
        {"family": "f", "networkMode": "wired", "containerDefinitions": [CONTAINER]},
        "ClientException",
    ),
    (
        "ecs",
        "RegisterTaskDefinition",
        {"family": "f", "containerDefinitions": [{**CONTAINER, "memory": "100"}]},
        "SerializationException",
    ),
    ("ecs", "UpdateContainerInstancesState", {"status": "GONE"}, "InvalidParameterException"),
    ("sqs", "CreateQueue", {}, "MissingParameter"),
    ("sqs", "SendMessageBatch", {"QueueUrl": "u", "Entries": [{"Id": "1"}]}, "MissingParameter"),
    (
        "sqs",
        "CreateQueue",
        {"QueueName": "q", "Attributes": {"Colour": "red"}},
        "InvalidParameterValue",
    ),
    ("logs", "CreateLogGroup", {"logGroupName": "a b"}, "InvalidParameterException"),
    ("logs", "PutRetentionPolicy", {"logGroupName": "a"}, "InvalidParameterException"),
    ("cloudwatch", "PutMetricAlarm", {"Threshold": 1.0}, "ValidationError"),
    ("cloudwatch", "DescribeAlarms", {"MaxRecords": 1000}, "ValidationError"),
    ("iam", "GetRole", {}, "ValidationError"),
    ("iam", "GetRole", {"RoleName": "a/b"}, "ValidationError"),
    ("ssm", "GetParameter", {}, "ValidationException"),
    ("scheduler", "CreateSchedule", {"Name": "n"}, "ValidationException"),
    ("s3", "PutObject", {"Bucket": "b", "Key": "k", "ACL": "everybody"}, "InvalidArgument"),
]


@pytest.fixture
def send(emulator: Emulator) -> Callable[..., Any]:
    """Calls an operation with a client that does not validate."""

    def call(service: str, operation: str, **parameters: Any) -> Any:
        client = boto3.client(
            service,
            region_name="us-east-1",
            endpoint_url=emulator.endpoint_url,
            aws_access_key_id="key",
            aws_secret_access_key="secret",
            config=Config(parameter_validation=False, retries={"max_attempts": 0}),
        )
        return client._make_api_call(operation, parameters)

    return call


@pytest.mark.parametrize(("service", "operation", "parameters", "code"), BAD)
def test_requests_that_violate_the_model_are_refused(
    send: Callable[..., Any], service: str, operation: str, parameters: dict[str, Any], code: str
) -> None:
    with pytest.raises(ClientError) as raised:
        send(service, operation, **parameters)
    assert raised.value.response["Error"]["Code"] == code


def test_ec2_refuses_unknown_parameters(emulator: Emulator) -> None:
    form = {"Action": "DescribeFleets", "Version": "2016-11-15", "Colour": "red"}
    body = urllib.parse.urlencode(form)
    request = AWSRequest("POST", emulator.endpoint_url, data=body)
    request.headers["Content-Type"] = "application/x-www-form-urlencoded"
    SigV4Auth(Credentials("key", "secret"), "ec2", "us-east-1").add_auth(request)
    headers = dict(request.headers)
    http_request = urllib.request.Request(emulator.endpoint_url, body.encode(), headers)
    with pytest.raises(urllib.error.HTTPError) as raised:
        urllib.request.urlopen(http_request, timeout=10)
    assert b"<Code>UnknownParameter</Code>" in raised.value.read()


def test_the_json_services_ignore_unknown_parameters() -> None:
    assert list(violations({"colour": "red"}, shape("ecs", "ListClusters"))) == []


def test_null_is_not_given(emulator: Emulator) -> None:
    container = '{"name": "a", "image": "null", "memory": 100, "cpu": null}'
    body = f'{{"family": "nulls", "taskRoleArn": null, "containerDefinitions": [{container}]}}'
    request = AWSRequest("POST", emulator.endpoint_url, data=body)
    request.headers["Content-Type"] = "application/x-amz-json-1.1"
    target = "AmazonEC2ContainerServiceV20141113.RegisterTaskDefinition"
    request.headers["X-Amz-Target"] = target
    SigV4Auth(Credentials("key", "secret"), "ecs", "us-east-1").add_auth(request)
    http_request = urllib.request.Request(
        emulator.endpoint_url, body.encode(), dict(request.headers)
    )
    with urllib.request.urlopen(http_request, timeout=10) as answer:
        assert b'"nulls"' in answer.read()


@pytest.fixture
def recording(emulator: Emulator) -> Emulator:
    emulator.record()
    return emulator


def test_requests_are_recorded_as_botocore_was_given_them(
    recording: Emulator, send: Callable[..., Any]
) -> None:
    template = {
        "LaunchTemplateName": "recorded",
        "LaunchTemplateData": {
            "InstanceType": "m5.large",
            "BlockDeviceMappings": [
                {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30, "Encrypted": True}}
            ],
            "TagSpecifications": [
                {"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "b & c"}]}
            ],
        },
    }
    alarm = {
        "AlarmName": "a",
        "ComparisonOperator": "LessThanThreshold",
        "EvaluationPeriods": 3,
        "Threshold": 1.5,
        "Dimensions": [{"Name": "InstanceId", "Value": "i-1"}],
        "MetricName": "CPUUtilization",
        "Namespace": "AWS/EC2",
        "Period": 300,
        "Statistic": "Average",
    }
    sent: list[tuple[str, str, dict[str, Any]]] = [
        ("ec2", "CreateLaunchTemplate", template),
        ("sqs", "CreateQueue", {"QueueName": "recorded", "Attributes": {"DelaySeconds": "3"}}),
        ("cloudwatch", "PutMetricAlarm", alarm),
        ("s3", "CreateBucket", {"Bucket": "recorded"}),
        ("s3", "ListObjectsV2", {"Bucket": "recorded", "Prefix": "a/b", "MaxKeys": 5}),
        ("s3", "DeleteObjects", {"Bucket": "recorded", "Delete": {"Objects": [{"Key": "é"}]}}),
        ("logs", "CreateLogGroup", {"logGroupName": "recorded", "tags": {"a": "b"}}),
        ("sts", "GetCallerIdentity", {}),
    ]
    for service, operation, parameters in sent:
        send(service, operation, **parameters)
    found = recording.requests()
    assert [(request["service"], request["operation"]) for request in found] == [
        request[:2] for request in sent
    ]
    for request, (_, _, parameters) in zip(found, sent, strict=True):
        assert request["parameters"].items() >= parameters.items()
        assert (request["who"], request["status"], request["unknown"]) == ("caller", 200, [])
        model = shape(request["service"], request["operation"])
        assert not ParamValidator().validate(request["parameters"], model).has_errors()
    assert recording.request_counts()["s3:ListObjectsV2"] == 1


def test_a_refused_request_is_recorded_with_its_code(
    recording: Emulator, send: Callable[..., Any]
) -> None:
    for service, name, parameters in [
        ("sqs", "GetQueueUrl", {"QueueName": "there-is-none"}),
        ("ec2", "DescribeFleets", {"FleetIds": ["fleet-00000000-0000-0000-0000-000000000000"]}),
        ("s3", "HeadBucket", {"Bucket": "there-is-none"}),
    ]:
        with pytest.raises(ClientError):
            send(service, name, **parameters)
    codes = [request["code"] for request in recording.requests()]
    assert "QueueDoesNotExist" in codes[0]
    assert codes[1:] == ["InvalidFleetId.NotFound", "404"]


def shape(service: str, operation: str) -> Any:
    model = botocore.session.get_session().get_service_model(service)
    return model.operation_model(operation).input_shape


entries = st.lists(
    st.dictionaries(
        st.sampled_from(["Id", "MessageBody", "DelaySeconds", "Colour"]),
        st.one_of(st.text(max_size=3), st.integers(-1, 3), st.none()),
    )
)


@given(st.fixed_dictionaries({"QueueUrl": st.text()}, optional={"Entries": entries}))
def test_a_request_without_violations_has_all_it_must_have(parameters: dict[str, Any]) -> None:
    found = list(violations(parameters, shape("sqs", "SendMessageBatch")))
    sound = "Entries" in parameters and all(
        isinstance(entry.get("Id"), str)
        and isinstance(entry.get("MessageBody"), str)
        and isinstance(entry.get("DelaySeconds") or 0, int)
        for entry in parameters["Entries"]
    )
    assert (not found) == sound
