"""The table of rights holds every call that the modules of tasks/ make, and no other."""

import ast
from collections.abc import Iterator
from pathlib import Path

import botocore.session
from botocore import xform_name

from tasks import rights_page
from tasks.iam_actions import action_of
from tasks.rights import RIGHTS
from tasks.rights_page import PAGE, page

ROOT = Path(__file__).parents[2]
# Names that clients have in the code, to the service in botocore and in IAM.
CLIENTS = {
    "cloudwatch": ("cloudwatch", "cloudwatch"),
    "ec2": ("ec2", "ec2"),
    "ecs": ("ecs", "ecs"),
    "iam": ("iam", "iam"),
    "logs": ("logs", "logs"),
    "pricing": ("pricing", "pricing"),
    "s3": ("s3", "s3"),
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
WAITERS = {"instance_terminated": "DescribeInstances", "services_inactive": "DescribeServices"}
# What a call needs besides its own action (Service Authorization Reference, "dependent actions"),
# and what boto3 does when a transfer in parts breaks off.
BESIDES = {
    "s3:AbortMultipartUpload",
    "ec2:CreateTags",
    "ec2:RunInstances",
    "ecs:TagResource",
    "iam:PassRole",
    "logs:TagResource",
    "sqs:TagQueue",
}


def client_name(node: ast.expr) -> str:
    """The last name of what a method is called on: `run.aws.s3`, `s3`, `_s3(run, bucket)`."""
    if isinstance(node, ast.Call):
        return client_name(node.func).lstrip("_")
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) else ""


def calls(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Client and method of every call, paginators and waiters by what they are made for."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield client_name(node.value), node.attr
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            made_for = (
                node.args[0].value if node.args and isinstance(node.args[0], ast.Constant) else ""
            )
            if node.func.attr in ("get_paginator", "get_waiter"):
                yield client_name(node.func.value), WAITERS.get(str(made_for), str(made_for))


def actions_in_code() -> set[str]:
    session = botocore.session.get_session()
    operations: dict[str, dict[str, str]] = {}
    for name, (service, _) in CLIENTS.items():
        known = session.get_service_model(service).operation_names
        operations[name] = {xform_name(one): one for one in known} | {one: one for one in known}
    operations["s3"] |= TRANSFERS
    found = set()
    for path in (ROOT / "tasks").rglob("*.py"):
        for client, method in calls(ast.parse(path.read_text(encoding="utf-8"))):
            if method in operations.get(client, {}):
                found.add(action_of(CLIENTS[client][1], operations[client][method]))
    return found


def test_the_table_has_every_call_of_the_code() -> None:
    assert actions_in_code() - {action for right in RIGHTS for action in right.actions} == set()


def test_the_table_has_no_call_that_nobody_makes() -> None:
    table = {action for right in RIGHTS for action in right.actions}
    assert table - actions_in_code() - BESIDES == set()


def test_the_page_has_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), f"run python -m {rights_page.__name__}"
