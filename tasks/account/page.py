"""The policies in docs/account.md: `python -m tasks.account.page` writes them."""

from collections.abc import Iterator
from functools import partial
from json import dumps
from pathlib import Path

from blocks.pages import code, render, with_parts
from tasks.account import policies
from tasks.account.buckets import EXPORTS, for_other_account
from tasks.account.rights import ADMINISTRATOR
from tasks.account.statements import Statement, document
from tasks.rights_page import short

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


def _conditions(statement: Statement) -> Iterator[str]:
    for operator, keys in statement.condition.items():
        for key, values in keys.items():
            if operator == "Null":
                yield f"with the tag `{key.partition('/')[2]}`"
            else:
                yield f"`{key}` {', '.join(f'`{short(value)}`' for value in values)}"


def page(text: str) -> str:
    """docs/account.md with up-to-date policies."""
    trust = document(
        (
            *policies.TRUST_CONTAINERS,
            Statement(("sts:AssumeRole",), (), "", {}, {"AWS": EXAMPLE_ROLES[1:]}),
        ),
        EXAMPLE,
    )
    parts = render(
        __file__,
        {"code": code, "short": short, "conditions": _conditions, "json": partial(dumps, indent=2)},
        worker=policies.WORKER,
        safety_net=policies.SAFETY_NET,
        exports=EXPORTS,
        administrator=ADMINISTRATOR,
        bucket_policy=for_other_account("their-bucket", EXAMPLE_ROLES, True, "ours/"),
        trust_policy=trust,
    )
    return with_parts(text, parts)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
