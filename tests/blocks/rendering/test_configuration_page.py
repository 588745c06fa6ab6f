from blocks.rendering.reference_docs import PAGE, configuration_page
from blocks.run_config.model import RunConfig


def test_page_is_current() -> None:
    assert PAGE.read_text(encoding="utf-8") == configuration_page(), (
        "run python -m blocks.rendering.reference_docs"
    )


def test_page_names_every_key_once() -> None:
    page = configuration_page()
    assert all(page.count(f"\n| `{key}` |") == 1 for key in RunConfig.model_fields)
