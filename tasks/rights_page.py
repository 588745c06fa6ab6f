"""The rights as docs/aws.md shows them: `python -m tasks.rights_page` writes them there."""

import re
from pathlib import Path

from tasks.rights import RIGHTS

PAGE = Path(__file__).parents[1] / "docs" / "aws.md"
BEGIN, END = "<!-- rights -->\n", "<!-- end of rights -->\n"


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


def page(text: str) -> str:
    """docs/aws.md with the table as it is now."""
    before, rest = text.split(BEGIN)
    after = rest.split(END)[1]
    return f"{before}{BEGIN}\n{table()}\n{END}{after}"


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
