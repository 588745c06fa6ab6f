"""Each policy has exactly the permissions that the code needs."""

import json
from pathlib import Path

import pytest
from aws_calls import actions_by_stubs, actions_in
from hypothesis import given
from hypothesis import strategies as st

from tasks.account import role_policies
from tasks.account.admin_permissions import ADMINISTRATOR
from tasks.account.bucket_policies import EXPORTS, for_other_account
from tasks.account.policy_statements import Statement, document, grants, same
from tasks.account.provision import policy_of
from tasks.account.setup_config import Setup, Wanted
from tasks.docs_pages.account_page import PAGE, page
from tasks.permissions.flow_permissions import PERMISSIONS

ROOT = Path(__file__).parents[3]
ACCOUNT = ROOT / "tasks" / "account"
NET = ACCOUNT / "safety_net.py"
# Indirect calls of the worker: watchtower sends the log; ECS's agent protects the task; an upload
# has `acl` and `tagging`, and aborts its parts if it fails; tags of an alarm ("PutMetricAlarm",
# CloudWatch API).
WORKER_BESIDES = {
    "logs:CreateLogStream",
    "logs:PutLogEvents",
    "ecs:UpdateTaskProtection",
    "s3:PutObjectAcl",
    "s3:PutObjectTagging",
    "s3:AbortMultipartUpload",
    "cloudwatch:TagResource",
}
# Lambda's own calls with the function's role; and the listing that lets S3 answer 404 instead of
# 403 for missing objects.
NET_BESIDES = {"s3:ListBucket", "logs:CreateLogStream", "logs:PutLogEvents"}
# Further actions for creating with tags, passing a role, and deleting a schedule group with its
# schedules ("dependent actions", Service Authorization Reference).
ADMINISTRATOR_BESIDES = {
    "iam:PassRole",
    "iam:TagPolicy",
    "lambda:TagResource",
    "logs:TagResource",
    "scheduler:DeleteSchedule",
    "scheduler:TagResource",
}


def setup(**wanted: object) -> Setup:
    return Setup("dcp", "aws", "123456789012", "us-east-1", Wanted(**{"bucket": "lab"} | wanted))


def actions(statements: tuple[Statement, ...]) -> set[str]:
    return {action for statement in statements for action in statement.actions}


def test_the_workers_policy_has_what_the_worker_calls_and_no_more() -> None:
    worker = actions_by_stubs((ROOT / "worker" / "dcp_worker").rglob("*.py"))
    assert worker | WORKER_BESIDES == actions(role_policies.WORKER)


def test_the_safety_nets_policy_has_what_it_calls_and_no_more() -> None:
    assert actions_in([NET]) | NET_BESIDES == actions(role_policies.SAFETY_NET)


def test_the_administrators_policy_has_what_the_set_up_calls_and_no_more() -> None:
    code = actions_in(path for path in ACCOUNT.glob("*.py") if path != NET)
    assert code | ADMINISTRATOR_BESIDES == actions(ADMINISTRATOR)


def test_the_flows_policy_has_every_right_of_the_table_and_no_more() -> None:
    assert actions(role_policies.flows()) == {
        action for permission in PERMISSIONS for action in permission.actions
    }


@pytest.mark.parametrize("whose", ["flows", "worker", "safety-net", "admin"])
def test_nothing_is_ended_that_is_not_tagged(whose: str) -> None:
    ending = {
        "ec2:terminateinstances",
        "ec2:deletefleets",
        "ec2:cancelspotfleetrequests",
        "ec2:modifyfleet",
        "ec2:modifyspotfleetrequest",
    }
    tagged = ("Null", "aws:resourcetag/dcp:app", frozenset({"false"}))
    for *_, action, _, condition in grants(policy_of(setup(), whose)):
        assert action not in ending or tagged in condition


@pytest.mark.parametrize("whose", ["flows", "worker", "safety-net", "admin"])
def test_no_policy_has_a_wildcard_in_an_action_or_writes_anywhere(whose: str) -> None:
    for *_, action, resource, _ in grants(policy_of(setup(), whose)):
        assert "*" not in action
        if action.startswith("s3:put"):
            assert resource.startswith("arn:aws:s3:::lab")


@pytest.mark.parametrize(
    ("whose", "most"),
    [
        # IAM User Guide, "IAM and AWS STS quotas": managed policies, policies in a role.
        ("flows", 6144),
        ("admin", 6144),
        ("worker", 10_240),
        ("safety-net", 10_240),
    ],
)
def test_policies_keep_within_what_iam_takes(whose: str, most: int) -> None:
    large = setup(
        inputs=("a" * 60, "b" * 60, "c" * 60), outputs=("d" * 60, "e" * 60), apps=("Lab", "Other")
    )
    assert len(json.dumps(policy_of(large, whose), separators=(",", ":"))) <= most


def test_buckets_and_names_narrow_the_workers_policy() -> None:
    narrow = policy_of(setup(inputs=("images",), outputs=("results",), apps=("Lab",)), "worker")
    resources = {(action, resource) for *_, action, resource, _ in grants(narrow)}
    assert ("s3:getobject", "arn:aws:s3:::images/*") in resources
    assert ("s3:putobject", "arn:aws:s3:::images/*") not in resources
    assert ("s3:putobject", "arn:aws:s3:::results/*") in resources
    assert {r for a, r in resources if a == "sqs:receivemessage"} == {
        "arn:aws:sqs:us-east-1:123456789012:Lab*"
    }


def test_only_this_accounts_logs_are_exported_into_the_bucket() -> None:
    for _, kind, who, _, _, condition in grants(document(EXPORTS, setup().places)):
        assert (kind, who) == ("Service", "logs.us-east-1.amazonaws.com")
        assert ("StringEquals", "aws:sourceaccount", frozenset({"123456789012"})) in condition


ROLE = "arn:aws:iam::210987654321:role/dcp-task-us-east-1"


def test_another_accounts_bucket_is_read_and_not_written() -> None:
    granted = grants(for_other_account("theirs", (ROLE,)))
    assert {(who, action, resource) for _, _, who, action, resource, _ in granted} == {
        (ROLE, "s3:listbucket", "arn:aws:s3:::theirs"),
        (ROLE, "s3:getobject", "arn:aws:s3:::theirs/*"),
    }


def test_what_is_written_to_another_accounts_bucket_is_its_owners() -> None:
    policy = for_other_account("theirs", (ROLE,), write=True, prefix="ours/")
    owned = ("StringEquals", "s3:x-amz-acl", frozenset({"bucket-owner-full-control"}))
    (put,) = [grant for grant in grants(policy) if grant[3] == "s3:putobject"]
    assert put[4] == "arn:aws:s3:::theirs/ours/*"
    assert owned in put[5]


names = st.sampled_from(["s3:GetObject", "s3:PutObject", "sqs:SendMessage"])
places = st.sampled_from(["arn:aws:s3:::a/*", "arn:aws:s3:::b/*", "*"])
statements = st.lists(
    st.builds(
        lambda actions, resources: {"Effect": "Allow", "Action": actions, "Resource": resources},
        st.lists(names, min_size=1, max_size=3),
        st.lists(places, min_size=1, max_size=3),
    ),
    max_size=4,
)


@given(statements, st.randoms())
def test_policies_are_the_same_however_they_are_written(found: list[dict], random: object) -> None:
    split = [
        {"Sid": "X", "Effect": "Allow", "Action": action.upper(), "Resource": resource}
        for statement in found
        for action in statement["Action"]
        for resource in statement["Resource"]
    ]
    random.shuffle(split)
    assert same({"Statement": found}, {"Statement": split})


@given(statements, statements)
def test_policies_are_not_the_same_when_one_grants_more(less: list[dict], more: list[dict]) -> None:
    def single(policy: list[dict]) -> set[tuple[str, str]]:
        return {(a, r) for s in policy for a in s["Action"] for r in s["Resource"]}

    assert same({"Statement": less}, {"Statement": more}) == (single(less) == single(more))


def test_the_page_has_the_policies() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run python -m tasks.docs_pages.account_page"
