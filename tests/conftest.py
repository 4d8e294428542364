"""What all tests share: a profile for property tests, and the condition of those that need rivals as oracles."""

import os
import signal
from importlib.util import find_spec

import matplotlib
import pytest
from hypothesis import settings

settings.register_profile("weightdecay", deadline=None)  # a busy machine is no error
settings.load_profile("weightdecay")

# shells make what they start in the background ignore interrupts, and the programs that tests start would inherit that
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

NEEDED = {"peers": ("torch", "sklearn"), "cluster": ("dask", "distributed")}  # by the marker and extra of that name


@pytest.fixture(scope="session", autouse=True)
def _no_runs_in_the_users_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        if "MPLCONFIGDIR" not in os.environ:
            patch.setenv("MPLCONFIGDIR", matplotlib.get_cachedir())  # its list of fonts takes long to make
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for extra, modules in NEEDED.items():
        missing = [name for name in modules if find_spec(name) is None]
        skip = pytest.mark.skip(reason=f"needs {' and '.join(missing)}: pip install 'weightdecay[{extra}]'")
        for item in items:
            if missing and item.get_closest_marker(extra):
                item.add_marker(skip)
