"""Policies are evaluated like in IAM."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.local.emulator.guards.iam_policies import allows

QUEUE = "arn:aws:sqs:us-east-1:123456789012:LabQueue"


def policy(*statements: dict[str, Any]) -> list[dict[str, Any]]:
    whole = [
        {"Effect": "Allow", "Action": "*", "Resource": "*", **statement} for statement in statements
    ]
    return [{"Version": "2012-10-17", "Statement": whole}]


@pytest.mark.parametrize(
    ("statements", "allowed"),
    [
        ([], False),
        ([{}], True),
        ([{"Action": "sqs:SendMessage"}], True),
        ([{"Action": "SQS:sendmessage"}], True),
        ([{"Action": ["s3:*", "sqs:Send*"]}], True),
        ([{"Action": "sqs:Receive*"}], False),
        ([{"Resource": "arn:aws:sqs:*:*:Lab*"}], True),
        ([{"Resource": "arn:aws:sqs:*:*:lab*"}], False),
        ([{"Resource": "arn:aws:sqs:*:*:LabQueu?"}], True),
        ([{}, {"Effect": "Deny", "Action": "sqs:*"}], False),
        ([{}, {"Effect": "Deny", "Action": "s3:*"}], True),
        ([{"Action": None, "NotAction": "sqs:*"}], False),
        ([{"Resource": None, "NotResource": "arn:aws:s3:::*"}], True),
    ],
)
def test_statements(statements: list[dict[str, Any]], allowed: bool) -> None:
    assert allows(policy(*statements), "sqs:SendMessage", QUEUE, {}) == allowed


CONTEXT = {
    "aws:ResourceTag/dcp:app": "Lab",
    "aws:TagKeys": ["Name", "dcp:app"],
    "aws:SecureTransport": "true",
    "ecs:cluster": "arn:aws:ecs:us-east-1:1:cluster/lab",
    "s3:max-keys": "10",
}


@pytest.mark.parametrize(
    ("condition", "holds"),
    [
        ({"Null": {"aws:ResourceTag/dcp:app": "false"}}, True),
        ({"Null": {"aws:ResourceTag/dcp:app": "true"}}, False),
        ({"Null": {"aws:ResourceTag/other": "true"}}, True),
        ({"StringEquals": {"aws:ResourceTag/dcp:app": "Lab"}}, True),
        ({"StringEquals": {"aws:resourcetag/dcp:app": ["Other", "Lab"]}}, True),
        ({"StringEquals": {"aws:ResourceTag/dcp:app": "lab"}}, False),
        ({"StringEqualsIgnoreCase": {"aws:ResourceTag/dcp:app": "lab"}}, True),
        ({"StringEquals": {"aws:ResourceTag/other": "Lab"}}, False),
        ({"StringEqualsIfExists": {"aws:ResourceTag/other": "Lab"}}, True),
        ({"StringNotEquals": {"aws:ResourceTag/dcp:app": "Lab"}}, False),
        ({"StringNotEquals": {"aws:ResourceTag/other": "Lab"}}, True),
        ({"StringLike": {"aws:ResourceTag/dcp:app": "L*"}}, True),
        ({"ArnLike": {"ecs:cluster": "arn:aws:ecs:*:*:cluster/l?b"}}, True),
        ({"ArnNotLike": {"ecs:cluster": "arn:aws:ecs:*:*:cluster/*"}}, False),
        ({"Bool": {"aws:SecureTransport": True}}, True),
        ({"Bool": {"aws:SecureTransport": "false"}}, False),
        ({"NumericLessThanEquals": {"s3:max-keys": "10"}}, True),
        ({"NumericGreaterThan": {"s3:max-keys": 10}}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["Name"]}}, False),
        ({"ForAllValues:StringEquals": {"aws:TagKeys": ["Name", "dcp:app", "a"]}}, True),
        ({"ForAllValues:StringEquals": {"aws:other": ["Name"]}}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["Name"]}}, True),
        ({"ForAnyValue:StringEquals": {"aws:TagKeys": ["a"]}}, False),
        (
            {
                "StringEquals": {"aws:ResourceTag/dcp:app": "Lab"},
                "Bool": {"aws:SecureTransport": "false"},
            },
            False,
        ),
    ],
)
def test_conditions(condition: dict[str, Any], holds: bool) -> None:
    assert allows(policy({"Condition": condition}), "a:B", "*", CONTEXT) == holds


def test_an_unknown_operator_is_an_error() -> None:
    with pytest.raises(ValueError, match="IpAddress"):
        allows(policy({"Condition": {"IpAddress": {"aws:SourceIp": "::1"}}}), "a:B", "*", {})


names = st.sampled_from(["sqs:SendMessage", "sqs:*", "s3:GetObject", "*", "sqs:Receive*"])
statements = st.lists(
    st.fixed_dictionaries({"Effect": st.sampled_from(["Allow", "Deny"]), "Action": names})
)


@given(statements, statements)
def test_more_denials_never_allow_and_more_allowances_never_deny(
    first: list[dict[str, Any]], second: list[dict[str, Any]]
) -> None:
    before = allows(policy(*first), "sqs:SendMessage", QUEUE, {})
    denials = [{**each, "Effect": "Deny"} for each in second]
    assert allows(policy(*first, *denials), "sqs:SendMessage", QUEUE, {}) <= before
    grants = [{**each, "Effect": "Allow"} for each in second]
    assert allows(policy(*first, *grants), "sqs:SendMessage", QUEUE, {}) >= before
    assert allows([*policy(*first), *policy(*second)], "sqs:SendMessage", QUEUE, {}) == allows(
        policy(*first, *second), "sqs:SendMessage", QUEUE, {}
    )
