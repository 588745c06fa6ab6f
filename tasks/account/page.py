"""The policies as docs/account.md shows them: `python -m tasks.account.page` writes them there."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from tasks.account import policies
from tasks.account.buckets import EXPORTS, for_other_account
from tasks.account.rights import ADMINISTRATOR
from tasks.account.statements import Statement, document

PAGE = Path(__file__).parents[2] / "docs" / "account.md"
EXAMPLE_ROLES = (
    "arn:aws:iam::111122223333:role/dcp-task-us-east-1",
    "arn:aws:iam::111122223333:user/image_analyst",
)
EXAMPLE = {
    "partition": ("aws",),
    "region": ("us-east-1",),
    "account": ("111122223333",),
}


def table(statements: Iterable[Statement]) -> str:
    """Statements as a Markdown table."""
    lines = ["| right | on | only | for |", "|---|---|---|---|"]
    for one in statements:
        actions = ", ".join(f"`{action}`" for action in one.actions)
        resources = ", ".join(f"`{_short(resource)}`" for resource in one.resources)
        lines.append(f"| {actions} | {resources} | {'; '.join(_conditions(one))} | {one.why} |")
    return "\n".join(lines)


def _short(resource: str) -> str:
    """A resource without what is the same for all, its names as `<name>`."""
    shown = re.sub(r"^arn:\{partition\}:[^:]+:[^:]*:[^:]*:", "", resource)
    return re.sub(r"\{(\w+)\}", r"<\1>", shown)


def _conditions(statement: Statement) -> Iterator[str]:
    for operator, keys in statement.condition.items():
        for key, values in keys.items():
            if operator == "Null":
                yield f"with the tag `{key.partition('/')[2]}`"
            else:
                yield f"`{key}` {', '.join(f'`{_short(value)}`' for value in values)}"


def _json(policy: object) -> str:
    return f"```json\n{json.dumps(policy, indent=2)}\n```"


def parts() -> dict[str, str]:
    """What stands between the marks of the page."""
    trust = document(
        (
            *policies.TRUST_CONTAINERS,
            Statement(("sts:AssumeRole",), (), "", {}, {"AWS": EXAMPLE_ROLES[1:]}),
        ),
        EXAMPLE,
    )
    return {
        "worker": table(policies.WORKER),
        "safety net": table(policies.SAFETY_NET),
        "exports": table(EXPORTS),
        "administrator": table(ADMINISTRATOR),
        "bucket policy": _json(for_other_account("their-bucket", EXAMPLE_ROLES, True, "ours/")),
        "trust policy": _json(trust),
    }


def page(text: str) -> str:
    """docs/account.md with the policies as they are now."""
    for name, content in parts().items():
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, rest = text.split(begin)
        after = rest.split(end)[1]
        text = f"{before}{begin}\n{content}\n\n{end}{after}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
