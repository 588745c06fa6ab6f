"""Policy statements as data and as IAM documents, and comparison of their meaning."""

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

VERSION = (
    "2012-10-17"  # version of the policy language (IAM User Guide, "IAM JSON policy elements")
)
PLACEHOLDER = re.compile(r"\{(\w+)\}")

Placeholders = Mapping[str, tuple[str, ...]]
"""Values of the placeholders, which are names in braces; a name may have several values."""

Document = dict[str, Any]
Condition = Mapping[str, Mapping[str, tuple[str, ...]]]


@dataclass(frozen=True)
class Statement:
    """One statement of a policy. `Placeholders` has the values of names in braces.

    Attributes:
        actions: IAM actions.
        resources: ARNs; none in a role's trust policy.
        why: Its purpose, for docs/account.md.
        condition: Operator -> key -> values.
        principal: The principal, in the policy of a resource or role.
        sid: Its id (letters and digits), if it must be found among other statements.
    """

    actions: tuple[str, ...]
    resources: tuple[str, ...]
    why: str
    condition: Condition = field(default_factory=dict)
    principal: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sid: str = ""


def fill(text: str, placeholders: Placeholders) -> Iterator[str]:
    """The text with each combination of its placeholders' values.

    Raises:
        KeyError: A placeholder has no value.
    """
    names = list(dict.fromkeys(PLACEHOLDER.findall(text)))
    for values in itertools.product(*(placeholders[name] for name in names)):
        yield re.sub(r"\*\*+", "*", text.format(**dict(zip(names, values, strict=True))))


def _fill_all(texts: Iterable[str], placeholders: Placeholders) -> list[str]:
    return list(dict.fromkeys(value for text in texts for value in fill(text, placeholders)))


def _unwrap_single(values: list[str]) -> str | list[str]:
    return values[0] if len(values) == 1 else values


def render_statement(statement: Statement, placeholders: Placeholders) -> dict[str, Any]:
    """A statement in IAM's format."""
    result: dict[str, Any] = {"Effect": "Allow"}
    if statement.sid:
        result["Sid"] = next(fill(statement.sid, placeholders))
    if statement.principal:
        result["Principal"] = {
            kind: _unwrap_single(_fill_all(who, placeholders))
            for kind, who in statement.principal.items()
        }
    result["Action"] = _unwrap_single(list(statement.actions))
    if statement.resources:
        result["Resource"] = _unwrap_single(_fill_all(statement.resources, placeholders))
    if statement.condition:
        result["Condition"] = {
            operator: {
                key: _unwrap_single(_fill_all(values, placeholders)) for key, values in keys.items()
            }
            for operator, keys in statement.condition.items()
        }
    return result


def document(statements: Iterable[Statement], placeholders: Placeholders) -> Document:
    """A policy document; skips statements whose resources have no values."""
    items = [render_statement(statement, placeholders) for statement in statements]
    return {"Version": VERSION, "Statement": [item for item in items if item.get("Resource") != []]}


def have_same_grants(policy: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two policy documents mean the same.

    Ignores order, ids, single values instead of lists, the case of actions, and the grouping of
    actions and resources into statements (IAM User Guide, "IAM JSON policy elements").
    """
    return grants(policy) == grants(other)


def grants(policy: Mapping[str, Any]) -> frozenset[tuple[Any, ...]]:
    """A policy as the set of its single grants: effect, principal, action, resource, condition."""
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
    return [(kind, who) for kind, values in principal.items() for who in _listed(values)]


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
