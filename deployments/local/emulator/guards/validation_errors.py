"""Refuses requests that violate the service's model, whatever the client has checked.

botocore's service models have the parameters of an operation, and which are required and allowed.
The error codes are in "Common errors" of each service's API reference, and for EC2 in "Error codes
for the Amazon EC2 API".
"""

from itertools import islice

from werkzeug.wrappers import Response

from deployments.local.emulator.guards.model_validation import Violation, violations
from deployments.local.emulator.protocol.request import Asked
from deployments.local.emulator.protocol.responses import error

REPORTED = 10

# The error code for a request that violates the model, by service (default:
# `ValidationException`).
CODES = {
    "ecs": "InvalidParameterException",
    "logs": "InvalidParameterException",
    "pricing": "InvalidParameterException",
    "servicequotas": "IllegalArgumentException",
    "sqs": "InvalidParameterValue",
    "s3": "InvalidArgument",
    "iam": "ValidationError",
    "sts": "ValidationError",
    "sns": "ValidationError",
    "monitoring": "ValidationError",
}
# ECS: "ClientException: These errors are usually caused by a client action".
CLIENT_EXCEPTION = {"RegisterTaskDefinition", "DeregisterTaskDefinition", "CreateCluster"}
# Members whose values AWS checks only later, so they are not refused here: a launch template may
# name any instance type (CreateLaunchTemplate: "we do not validate").
CHECKED_LATER = {"InstanceType"}
LATER_OPERATIONS = {"CreateLaunchTemplate", "CreateLaunchTemplateVersion", "RequestSpotFleet"}


def invalid(asked: Asked) -> Response | None:
    """The response to a request that violates its service's model; None for any other."""
    model = asked.model
    if model is None:
        return None
    if asked.unreadable:
        code = "MalformedXML" if asked.service == "s3" else "SerializationException"
        return error(asked, code, asked.unreadable)
    if asked.service == "ec2" and asked.unknown:
        text = f"The parameter {asked.unknown[0].partition('.')[0]} is not recognized"
        return error(asked, "UnknownParameter", text)
    found = [
        one
        for one in islice(violations(asked.parameters, model.input_shape), REPORTED)
        if not _checked_later(asked, one)
    ]
    return _answer(asked, found) if found else None


def _checked_later(asked: Asked, found: Violation) -> bool:
    return (
        found.kind == "enum" and found.name in CHECKED_LATER and asked.operation in LATER_OPERATIONS
    )


def _answer(asked: Asked, found: list[Violation]) -> Response:
    first = found[0]
    if asked.service == "ec2":
        return _ec2(asked, first)
    if asked.protocol == "json" and first.kind == "type":
        return error(asked, "SerializationException", first.text)
    if asked.service == "sqs" and first.kind == "missing":
        text = f"The request must contain the parameter {first.name}."
        return error(asked, "MissingParameter", text)
    code = CODES.get(asked.service, "ValidationException")
    if asked.service == "ecs" and asked.operation in CLIENT_EXCEPTION:
        code = "ClientException"
    errors = "error" if len(found) == 1 else "errors"
    text = f"{len(found)} validation {errors} detected: {'; '.join(one.text for one in found)}"
    return error(asked, code, text)


def _ec2(asked: Asked, first: Violation) -> Response:
    if first.kind == "missing":
        text = f"The request must contain the parameter {first.name}"
        return error(asked, "MissingParameter", text)
    text = f"Value ({first.value}) for parameter {first.path} is invalid. {first.constraint}"
    return error(asked, "InvalidParameterValue", text)
