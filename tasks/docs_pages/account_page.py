"""The policies in docs/account.md: `python -m tasks.docs_pages.account_page` writes them."""

from collections.abc import Iterator
from functools import partial
from json import dumps
from pathlib import Path

from blocks.rendering.markdown_pages import code, render, with_parts
from tasks.account import role_policies
from tasks.account.admin_permissions import ADMINISTRATOR
from tasks.account.bucket_policies import EXPORTS, for_other_account
from tasks.account.policy_statements import Statement, document
from tasks.docs_pages.aws_page import short

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
            *role_policies.TRUST_CONTAINERS,
            Statement(("sts:AssumeRole",), (), "", {}, {"AWS": EXAMPLE_ROLES[1:]}),
        ),
        EXAMPLE,
    )
    parts = render(
        __file__,
        {"code": code, "short": short, "conditions": _conditions, "json": partial(dumps, indent=2)},
        worker=role_policies.WORKER,
        safety_net=role_policies.SAFETY_NET,
        exports=EXPORTS,
        administrator=ADMINISTRATOR,
        bucket_policy=for_other_account("their-bucket", EXAMPLE_ROLES, True, "ours/"),
        trust_policy=trust,
    )
    return with_parts(text, parts)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
