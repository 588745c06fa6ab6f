"""Refuses requests that violate the service's model, like AWS itself.

botocore's service models have the parameters of an operation, and which are required and allowed.
The error codes are in "Common errors" of each service's API reference, and for EC2 in "Error codes
for the Amazon EC2 API".
"""

from itertools import islice

from werkzeug.wrappers import Response

from deployments.local.emulator.guards.model_validation import ModelViolation, violations
from deployments.local.emulator.protocol.request import ApiRequest
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


def invalid(api_request: ApiRequest) -> Response | None:
    """The response to a request that violates its service's model; None for any other."""
    model = api_request.model
    if model is None:
        return None
    if api_request.unreadable:
        code = "MalformedXML" if api_request.service == "s3" else "SerializationException"
        return error(api_request, code, api_request.unreadable)
    if api_request.service == "ec2" and api_request.unknown:
        text = f"The parameter {api_request.unknown[0].partition('.')[0]} is not recognized"
        return error(api_request, "UnknownParameter", text)
    violations_found = [
        violation
        for violation in islice(violations(api_request.parameters, model.input_shape), REPORTED)
        if not _checked_later(api_request, violation)
    ]
    return _answer(api_request, violations_found) if violations_found else None


def _checked_later(api_request: ApiRequest, violation: ModelViolation) -> bool:
    return (
        violation.kind == "enum"
        and violation.name in CHECKED_LATER
        and api_request.operation in LATER_OPERATIONS
    )


def _answer(api_request: ApiRequest, model_violations: list[ModelViolation]) -> Response:
    first = model_violations[0]
    if api_request.service == "ec2":
        return _ec2(api_request, first)
    if api_request.protocol == "json" and first.kind == "type":
        return error(api_request, "SerializationException", first.text)
    if api_request.service == "sqs" and first.kind == "missing":
        text = f"The request must contain the parameter {first.name}."
        return error(api_request, "MissingParameter", text)
    code = CODES.get(api_request.service, "ValidationException")
    if api_request.service == "ecs" and api_request.operation in CLIENT_EXCEPTION:
        code = "ClientException"
    texts = "; ".join(violation.text for violation in model_violations)
    errors = "error" if len(model_violations) == 1 else "errors"
    text = f"{len(model_violations)} validation {errors} detected: {texts}"
    return error(api_request, code, text)


def _ec2(api_request: ApiRequest, first: ModelViolation) -> Response:
    if first.kind == "missing":
        text = f"The request must contain the parameter {first.name}"
        return error(api_request, "MissingParameter", text)
    text = f"Value ({first.value}) for parameter {first.path} is invalid. {first.constraint}"
    return error(api_request, "InvalidParameterValue", text)
