"""What all tests share: a profile for property tests, and the condition of those that need rivals as oracles."""

from importlib.util import find_spec

import pytest
from hypothesis import settings

settings.register_profile("weightdecay", deadline=None)  # a busy machine is no error
settings.load_profile("weightdecay")

PEERS = ("torch", "sklearn")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    missing = [name for name in PEERS if find_spec(name) is None]
    if missing:
        skip = pytest.mark.skip(reason=f"needs {' and '.join(missing)}: pip install 'weightdecay[peers]'")
        for item in items:
            if item.get_closest_marker("peers"):
                item.add_marker(skip)
