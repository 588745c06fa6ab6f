"""The tables of docs/aws.md: `python -m tasks.docs_pages.aws_page` writes them."""

import re
from pathlib import Path

from blocks.rendering.markdown_pages import code, render, with_parts
from tasks.diagnosis.causes import ALL
from tasks.permissions.flow_permissions import PERMISSIONS

PAGE = Path(__file__).parents[2] / "docs" / "aws.md"


def short(resource: str) -> str:
    """A resource's ARN without its common prefix, with its names as `<name>`."""
    shown = re.sub(r"^arn:\{partition\}:[^:]+:[^:]*:[^:]*:", "", resource)
    return re.sub(r"\{(\w+)\}", r"<\1>", shown)


def page(text: str) -> str:
    """docs/aws.md with up-to-date tables."""
    tables = render(__file__, {"code": code, "short": short}, permissions=PERMISSIONS, causes=ALL)
    return with_parts(text, tables)


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
