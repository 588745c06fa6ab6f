"""Statements of policies as data, as documents of IAM, and compared by what they mean."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = "2012-10-17"  # of the policy language (IAM User Guide, "IAM JSON policy elements")
NAMED = re.compile(r"\{(\w+)\}")

Places = Mapping[str, tuple[str, ...]]
"""What the names in braces stand for; a name with several values stands for each of them."""

Document = dict[str, Any]
Condition = Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Statement:
    """One statement of a policy. Names in braces stand for what `Places` says.

    Attributes:
        actions: Names of IAM actions.
        resources: ARNs; none in a role's trust policy.
        why: What it is for, for docs/account.md.
        condition: Operator -> key -> values.
        principal: Who it is for, where the policy is a resource's or a role's own.
        sid: Its id, where it is found again among others by it: letters and digits.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str
    condition: Condition = field(default_factory=dict)
    principal: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sid: str = ""


def filled(text: str, places: Places) -> Iterator[str]:
    """A text for each combination of what its names stand for.

    Raises:
        KeyError: A name stands for nothing that is known.
    """
    names = list(dict.fromkeys(NAMED.findall(text)))
    for values in itertools.product(*(places[name] for name in names)):
        yield re.sub(r"\*\*+", "*", text.format(**dict(zip(names, values, strict=True))))


def _all(texts: Iterable[str], places: Places) -> list[str]:
    return list(dict.fromkeys(one for text in texts for one in filled(text, places)))


def _maybe_one(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def rendered(statement: Statement, places: Places) -> dict[str, Any]:
    """A statement as IAM takes it."""
    made: dict[str, Any] = {"Effect": "Allow"}
    if statement.sid:
        made["Sid"] = next(filled(statement.sid, places))
    if statement.principal:
        made["Principal"] = {
            kind: _maybe_one(_all(who, places)) for kind, who in statement.principal.items()
        }
    made["Action"] = _maybe_one(list(statement.actions))
    if statement.resources:
        made["Resource"] = _maybe_one(_all(statement.resources, places))
    if statement.condition:
        made["Condition"] = {
            operator: {key: _maybe_one(_all(values, places)) for key, values in keys.items()}
            for operator, keys in statement.condition.items()
        }
    return made


def document(statements: Iterable[Statement], places: Places) -> Document:
    """A policy document. A statement all of whose resources stand for nothing is left out."""
    made = [rendered(one, places) for one in statements]
    return {"Version": VERSION, "Statement": [one for one in made if one.get("Resource") != []]}


def same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two policy documents mean the same, however they are written.

    Order, ids, single values instead of lists, the case of actions, and how actions and resources
    are spread over statements make no difference (IAM User Guide, "IAM JSON policy elements").
    """
    return grants(one) == grants(other)


def grants(policy: Mapping[str, Any]) -> frozenset[tuple[Any, ...]]:
    """A policy as the set of its single grants: effect, who, action, resource, condition."""
    return frozenset(
        (statement.get("Effect", ""), kind, who, action.lower(), resource, condition)
        for statement in _listed(policy.get("Statement", []))
        for kind, who in _principals(statement)
        for action in _listed(statement.get("Action", statement.get("NotAction", [])))
        for resource in _listed(statement.get("Resource", statement.get("NotResource", "")))
        for condition in [_condition(statement)]
    )


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _principals(statement: Mapping[str, Any]) -> list[tuple[str, str]]:
    principal = statement.get("Principal", "")
    if isinstance(principal, str):
        return [("", principal)]
    return [(kind, who) for kind, several in principal.items() for who in _listed(several)]


def _condition(statement: Mapping[str, Any]) -> frozenset[tuple[str, str, frozenset[str]]]:
    negated = [(key, "", frozenset[str]()) for key in statement if key.startswith("Not")]
    return frozenset(negated) | frozenset(
        (
            operator,
            key.lower(),
            frozenset(
                str(value).lower() if operator in CASELESS else str(value)
                for value in _listed(values)
            ),
        )
        for operator, keys in statement.get("Condition", {}).items()
        for key, values in keys.items()
    )


CASELESS = frozenset({"Null", "Bool", "StringEqualsIgnoreCase"})
