"""The table of permissions has exactly the calls that the modules of tasks/ make."""

from pathlib import Path

from aws_calls import actions_in

from tasks.docs_pages import aws_page
from tasks.docs_pages.aws_page import PAGE, page
from tasks.permissions.flow_permissions import PERMISSIONS

TASKS = Path(__file__).parents[3] / "tasks"
# Further actions that a call needs (Service Authorization Reference, "dependent actions"), and
# boto3's call after a failed multipart transfer.
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
    # The set-up of an account has a table of its own: tasks/account/admin_permissions.py.
    return actions_in(path for path in TASKS.rglob("*.py") if TASKS / "account" not in path.parents)


def test_the_table_has_all_calls_of_the_code() -> None:
    table = {action for permission in PERMISSIONS for action in permission.actions}
    assert actions_in_code() - table == set()


def test_the_table_has_no_other_calls() -> None:
    table = {action for permission in PERMISSIONS for action in permission.actions}
    assert table - actions_in_code() - BESIDES == set()


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), f"run python -m {aws_page.__name__}"
