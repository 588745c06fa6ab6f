"""The table of rights holds every call that the modules of tasks/ make, and no other."""

from pathlib import Path

from aws_calls import actions_in

from tasks.docs_pages import aws_page
from tasks.docs_pages.aws_page import PAGE, page
from tasks.permissions.flow_permissions import RIGHTS

TASKS = Path(__file__).parents[3] / "tasks"
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


def actions_in_code() -> set[str]:
    # What sets an account up has a table of its own: tasks/account/admin_permissions.py.
    return actions_in(path for path in TASKS.rglob("*.py") if TASKS / "account" not in path.parents)


def test_the_table_has_every_call_of_the_code() -> None:
    assert actions_in_code() - {action for right in RIGHTS for action in right.actions} == set()


def test_the_table_has_no_call_that_nobody_makes() -> None:
    table = {action for right in RIGHTS for action in right.actions}
    assert table - actions_in_code() - BESIDES == set()


def test_the_page_has_the_table() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), f"run python -m {aws_page.__name__}"
