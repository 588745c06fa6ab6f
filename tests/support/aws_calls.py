"""The AWS calls in source files, as IAM actions, from their syntax trees."""

import ast
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import botocore.session
from botocore import xform_name

from deployments.local.emulator.protocol.iam_actions import action_of

# Names of clients in the code, with the service's name in botocore and IAM.
CLIENTS = {
    "cloudwatch": ("cloudwatch", "cloudwatch"),
    "ec2": ("ec2", "ec2"),
    "ecs": ("ecs", "ecs"),
    "iam": ("iam", "iam"),
    "lambda_": ("lambda", "lambda"),
    "logs": ("logs", "logs"),
    "pricing": ("pricing", "pricing"),
    "resourcegroupstaggingapi": ("resourcegroupstaggingapi", "tag"),
    "s3": ("s3", "s3"),
    "scheduler": ("scheduler", "scheduler"),
    "service_quotas": ("service-quotas", "servicequotas"),
    "sqs": ("sqs", "sqs"),
    "ssm": ("ssm", "ssm"),
    "sts": ("sts", "sts"),
}
TRANSFERS = {
    "download_file": "GetObject",
    "download_fileobj": "GetObject",
    "upload_file": "PutObject",
    "upload_fileobj": "PutObject",
}
WAITERS = {
    "function_updated_v2": "GetFunction",
    "instance_terminated": "DescribeInstances",
    "services_inactive": "DescribeServices",
}
STUBS = re.compile(r"mypy_boto3_(\w+)")


def client_name(node: ast.expr) -> str:
    """The last name in the expression of a client: `run.aws.s3`, `s3`, `_s3(run, bucket)`."""
    if isinstance(node, ast.Call):
        return client_name(node.func).lstrip("_")
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Client and method of every call; paginators and waiters by their operation."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield client_name(node.value), node.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            operation = (
                node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
            )
            if node.func.attr in ("get_paginator", "get_waiter"):
                yield client_name(node.func.value), WAITERS.get(str(operation), str(operation))


def _operations() -> dict[str, dict[str, str]]:
    """Client -> method -> operation."""
    session = botocore.session.get_session()
    operations: dict[str, dict[str, str]] = {}
    for name, (service, _) in CLIENTS.items():
        names = session.get_service_model(service).operation_names
        operations[name] = {xform_name(operation): operation for operation in names} | {
            operation: operation for operation in names
        }
    operations["s3"] |= TRANSFERS
    return operations


def actions_in(files: Iterable[Path]) -> set[str]:
    """The actions called on clients with the names in `CLIENTS`."""
    operations = _operations()
    actions = set()
    for path in files:
        for client, method in calls(ast.parse(path.read_text(encoding="utf-8"))):
            if method in operations.get(client, {}):
                actions.add(action_of(CLIENTS[client][1], operations[client][method]))
    return actions


def actions_by_stubs(files: Iterable[Path]) -> set[str]:
    """The actions called in modules whose clients have other names.

    The client types that such a module imports determine its services.
    """
    operations = _operations()
    actions = set()
    for path in files:
        text = path.read_text(encoding="utf-8")
        services = set(STUBS.findall(text)) & CLIENTS.keys()
        for _, method in calls(ast.parse(text)):
            for service in services:
                if method in operations[service]:
                    actions.add(action_of(CLIENTS[service][1], operations[service][method]))
    return actions
