"""The tables of docs/aws.md, rights and findings: `python -m tasks.rights_page` writes them."""

import re
from pathlib import Path

from tasks.causes import ALL
from tasks.rights import RIGHTS

PAGE = Path(__file__).parents[1] / "docs" / "aws.md"


def table() -> str:
    """The rights as a Markdown table."""
    lines = ["| step | right | on | when |", "|---|---|---|---|"]
    for right in RIGHTS:
        resource = re.sub(r"^arn:\{partition\}:[^:]+:[^:]*:[^:]*:", "", right.resource)
        resource = re.sub(r"\{(\w+)\}", r"<\1>", resource)
        when = ", ".join(filter(None, (right.only, "" if right.needed else "may be missing")))
        actions = ", ".join(f"`{action}`" for action in right.actions)
        lines.append(f"| {right.step} | {actions} | `{resource}` | {when} |")
    return "\n".join(lines) + "\n"


def findings() -> str:
    """What is told of machines and containers, as a Markdown table."""
    lines = ["| finding | level | what is wrong | what to do |", "|---|---|---|---|"]
    lines += [f"| `{one.code}` | {one.level} | {one.summary} | {one.remedy} |" for one in ALL]
    return "\n".join(lines) + "\n"


def page(text: str) -> str:
    """docs/aws.md with the tables as they are now."""
    for name, now in (("rights", table()), ("findings", findings())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->\n"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{now}\n{end}{rest.split(end)[1]}"
    return text


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
