"""Pages rendered from templates."""

from pathlib import Path

import pytest
from jinja2 import UndefinedError

from blocks.rendering.markdown_pages import render, with_parts


def test_a_template_lies_beside_its_module_and_misses_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.md.jinja").write_text("{% for row in rows %}\n- {{ row | up }}\n{% endfor %}\n")
    module = str(tmp_path / "a.py")
    assert render(module, {"up": str.upper}, rows=["x", "<y>"]) == "- X\n- <Y>\n"
    with pytest.raises(UndefinedError):
        render(module, {"up": str.upper})


def part(name: str, text: str) -> str:
    return f"<!-- {name} -->\n{text}\n<!-- end of {name} -->\n"


def test_only_the_text_between_the_marks_changes() -> None:
    old, new = part("two words", r"old \1"), part("two words", r"new \1 {{ x }}")
    page = "# A\n" + part("one", "old") + "between\n" + old + "end\n"
    now = with_parts(page, new + "not shown" + part("one", "new"))
    assert now == "# A\n" + part("one", "new") + "between\n" + new + "end\n"


@pytest.mark.parametrize("page", ["# A\n", part("one", "") + part("two", "")])
def test_a_page_has_the_parts_that_are_given(page: str) -> None:
    with pytest.raises(ValueError, match="one"):
        with_parts(page, part("one", "new"))
