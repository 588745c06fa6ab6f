"""What all tests share."""

import functools
import importlib.util

import botocore.loaders
import botocore.session
import pytest
from hypothesis import settings

# The worker's environment has none of what those stand on.
if importlib.util.find_spec("prefect"):
    pytest_plugins = ["shared_fixtures"]

# How long an example takes is the machine's business, and that may have more to do. The examples
# of `make test` are always the same; `make soak` has others each time.
settings.register_profile("dcp", deadline=None, derandomize=True)
settings.register_profile("soak", deadline=None, max_examples=1000)
settings.load_profile("dcp")

# Each new session parses the models of its services, which takes half a second for those of a run.
botocore.session.create_loader = functools.cache(botocore.loaders.create_loader)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: "list[pytest.Item]") -> None:
    """Fast tests first; then those that stay together in one process, which are the longest."""
    items.sort(
        key=lambda item: (
            item.get_closest_marker("e2e") is not None,
            item.get_closest_marker("xdist_group") is None,
        )
    )
