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
from tasks.account.policy_statements import Statement, document, grants, have_same_grants
from tasks.account.provision import policy_of
from tasks.account.setup_config import AccountOptions, Setup
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


def setup(**options: object) -> Setup:
    return Setup(
        "dcp", "aws", "123456789012", "us-east-1", AccountOptions(**{"bucket": "lab"} | options)
    )


def actions(statements: tuple[Statement, ...]) -> set[str]:
    return {action for statement in statements for action in statement.actions}


def test_the_workers_policy_matches_its_calls() -> None:
    worker = actions_by_stubs((ROOT / "worker" / "dcp_worker").rglob("*.py"))
    assert worker | WORKER_BESIDES == actions(role_policies.WORKER)


def test_the_safety_nets_policy_matches_its_calls() -> None:
    assert actions_in([NET]) | NET_BESIDES == actions(role_policies.SAFETY_NET)


def test_the_administrators_policy_matches_the_calls_of_the_set_up() -> None:
    code = actions_in(path for path in ACCOUNT.glob("*.py") if path != NET)
    assert code | ADMINISTRATOR_BESIDES == actions(ADMINISTRATOR)


def test_the_flows_policy_matches_the_table_of_permissions() -> None:
    assert actions(role_policies.flows()) == {
        action for permission in PERMISSIONS for action in permission.actions
    }


@pytest.mark.parametrize("whose", ["flows", "worker", "safety-net", "admin"])
def test_only_tagged_resources_can_be_terminated(whose: str) -> None:
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
def test_no_wildcard_actions_and_no_writes_to_other_buckets(whose: str) -> None:
    for *_, action, resource, _ in grants(policy_of(setup(), whose)):
        assert "*" not in action
        if action.startswith("s3:put"):
            assert resource.startswith("arn:aws:s3:::lab")


@pytest.mark.parametrize(
    ("whose", "limit"),
    [
        # IAM User Guide, "IAM and AWS STS quotas": managed policies, policies in a role.
        ("flows", 6144),
        ("admin", 6144),
        ("worker", 10_240),
        ("safety-net", 10_240),
    ],
)
def test_policies_fit_into_iams_limits(whose: str, limit: int) -> None:
    large = setup(
        inputs=("a" * 60, "b" * 60, "c" * 60), outputs=("d" * 60, "e" * 60), apps=("Lab", "Other")
    )
    assert len(json.dumps(policy_of(large, whose), separators=(",", ":"))) <= limit


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
    for _, kind, who, _, _, condition in grants(document(EXPORTS, setup().placeholders)):
        assert (kind, who) == ("Service", "logs.us-east-1.amazonaws.com")
        assert ("StringEquals", "aws:sourceaccount", frozenset({"123456789012"})) in condition


ROLE = "arn:aws:iam::210987654321:role/dcp-task-us-east-1"


def test_another_accounts_bucket_is_read_only_by_default() -> None:
    granted = grants(for_other_account("theirs", (ROLE,)))
    assert {(who, action, resource) for _, _, who, action, resource, _ in granted} == {
        (ROLE, "s3:listbucket", "arn:aws:s3:::theirs"),
        (ROLE, "s3:getobject", "arn:aws:s3:::theirs/*"),
    }


def test_objects_written_to_another_accounts_bucket_belong_to_its_owner() -> None:
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
def test_the_notation_of_a_policy_does_not_matter(policy: list[dict], random: object) -> None:
    split = [
        {"Sid": "X", "Effect": "Allow", "Action": action.upper(), "Resource": resource}
        for statement in policy
        for action in statement["Action"]
        for resource in statement["Resource"]
    ]
    random.shuffle(split)
    assert have_same_grants({"Statement": policy}, {"Statement": split})


@given(statements, statements)
def test_a_policy_that_grants_more_is_not_the_same(less: list[dict], more: list[dict]) -> None:
    def single(policy: list[dict]) -> set[tuple[str, str]]:
        return {(a, r) for s in policy for a in s["Action"] for r in s["Resource"]}

    assert have_same_grants({"Statement": less}, {"Statement": more}) == (
        single(less) == single(more)
    )


def test_the_page_is_up_to_date() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert text == page(text), "run python -m tasks.docs_pages.account_page"
