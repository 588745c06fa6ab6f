"""Evaluation of IAM policies. Pure.

Sources, in the IAM User Guide: "Policy evaluation logic" (an explicit deny overrides any allow, and
the default is deny), "IAM JSON policy elements: Condition operators", "Condition keys with multiple
values" (`ForAllValues`, `ForAnyValue`).
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

Document = Mapping[str, Any]
Context = Mapping[str, str | Sequence[str]]


def allows(policies: Iterable[Document], action: str, resource: str, context: Context) -> bool:
    """Whether identity-based policies allow an action on a resource.

    Args:
        policies: Policy documents.
        action: The action, such as `sqs:SendMessage`.
        resource: The resource's ARN, or `*`.
        context: Condition keys of the request, with one value or several.

    Raises:
        ValueError: The operator of a condition is not emulated.
    """
    allowed = False
    for policy in policies:
        for statement in listed(policy.get("Statement", [])):
            if _applies(statement, action, resource, context):
                if statement.get("Effect") == "Deny":
                    return False
                allowed = True
    return allowed


def listed(value: Any) -> list[Any]:
    """The value as a list; a single value becomes a list."""
    return list(value) if isinstance(value, list | tuple) else [value]


def _applies(statement: Document, action: str, resource: str, context: Context) -> bool:
    return (
        _named(statement, "Action", action.lower(), str.lower)
        and _named(statement, "Resource", resource, str)
        and all(
            _holds(operator, key, values, context)
            for operator, keys in statement.get("Condition", {}).items()
            for key, values in keys.items()
        )
    )


def _named(statement: Document, element: str, name: str, form: Callable[[str], str]) -> bool:
    if f"Not{element}" in statement:
        return not _any_like(name, map(form, listed(statement[f"Not{element}"])))
    return _any_like(name, map(form, listed(statement.get(element, []))))


def _any_like(name: str, patterns: Iterable[str]) -> bool:
    return any(like(name, pattern) for pattern in patterns)


def like(name: str, pattern: str) -> bool:
    """Whether a name matches a pattern with `*` and `?`; brackets are literal."""
    return fnmatchcase(name, pattern.replace("[", "[[]"))


def _number(compare: Callable[[float, float], bool]) -> Callable[[str, str], bool]:
    return lambda value, expected: compare(float(value), float(expected))


OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "StringEquals": lambda value, expected: value == expected,
    "StringEqualsIgnoreCase": lambda value, expected: value.lower() == expected.lower(),
    "StringLike": like,
    "ArnEquals": like,
    "ArnLike": like,
    "Bool": lambda value, expected: value.lower() == expected.lower(),
    "NumericEquals": _number(lambda value, expected: value == expected),
    "NumericLessThan": _number(lambda value, expected: value < expected),
    "NumericLessThanEquals": _number(lambda value, expected: value <= expected),
    "NumericGreaterThan": _number(lambda value, expected: value > expected),
    "NumericGreaterThanEquals": _number(lambda value, expected: value >= expected),
}
NEGATED = {
    "StringNotEquals": "StringEquals",
    "StringNotEqualsIgnoreCase": "StringEqualsIgnoreCase",
    "StringNotLike": "StringLike",
    "ArnNotEquals": "ArnEquals",
    "ArnNotLike": "ArnLike",
    "NumericNotEquals": "NumericEquals",
}


def _holds(operator: str, key: str, expected: Any, context: Context) -> bool:
    values = _values(key, context)
    texts = [
        str(item).lower() if isinstance(item, bool) else str(item) for item in listed(expected)
    ]
    if operator == "Null":
        return (values is None) == (texts[0].lower() == "true")
    quantifier, _, name = operator.rpartition(":")
    if_exists, name = name.endswith("IfExists"), name.removesuffix("IfExists")
    negated, name = name in NEGATED, NEGATED.get(name, name)
    if name not in OPERATORS:
        raise ValueError(f"the condition operator {operator} is not emulated")
    if values is None:
        return if_exists or negated or quantifier == "ForAllValues"
    matches = [any(OPERATORS[name](value, text) for text in texts) for value in values]
    if quantifier == "ForAllValues":
        return all(match != negated for match in matches)
    if quantifier == "ForAnyValue":
        return any(match != negated for match in matches)
    return any(matches) != negated


def _values(key: str, context: Context) -> list[str] | None:
    for name, value in context.items():
        # Only tag keys are case-sensitive, and no two tags differ only in case.
        if name.lower() == key.lower():
            return [value] if isinstance(value, str) else list(value)
    return None
