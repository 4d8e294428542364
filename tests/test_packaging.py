"""What a wheel contains, what an import costs, and that public names are in order."""

import importlib
import json
import pkgutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import weightdecay

MODULES = ["weightdecay", *(found.name for found in pkgutil.walk_packages(weightdecay.__path__, "weightdecay."))]
PUBLIC = [name for name in MODULES if not any(part.startswith("_") for part in name.split("."))]
HEAVY = {"numpy", "scipy", "sympy", "matplotlib"}


@pytest.fixture(scope="module")
def installed():
    """Return the distribution, if it was installed from a wheel and not as links to a working tree."""
    found = metadata.distributions(name="weightdecay")  # a build leaves an egg-info beside pyproject.toml
    distribution = next(candidate for candidate in found if candidate.read_text("RECORD"))
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    if origin.get("dir_info", {}).get("editable"):
        pytest.skip("an editable install has no wheel to look at")
    return distribution


@pytest.fixture(scope="module")
def contents(installed):
    paths = {str(path) for path in installed.files if "__pycache__" not in path.parts}
    return {path for path in paths if not path.startswith("..")}  # the command lies outside


def test_a_wheel_brings_one_top_level_name(contents):
    tops = {Path(path).parts[0] for path in contents}
    assert {"weightdecay"} == {top for top in tops if not top.endswith(".dist-info")}


def test_a_wheel_brings_types_data_notice_and_citations(contents):
    wanted = {
        "weightdecay/py.typed",
        "weightdecay/citation.bib",
        "weightdecay/validate/mnist.npz",
        "weightdecay/validate/MNIST-NOTICE.md",
    }
    assert wanted <= contents
    assert any(path.startswith("weightdecay/figures/") and path.endswith(".mplstyle") for path in contents)
    assert any(path.endswith(".dist-info/licenses/LICENSE") for path in contents)


def test_a_wheel_brings_no_tests_and_no_gallery(contents):
    assert not [path for path in contents if "test" in Path(path).name or "gallery/" in path]


def test_every_module_of_the_tree_is_in_the_wheel_and_no_other(contents):
    tree = Path(__file__).parents[1]
    rooms = {"weightdecay": tree / "src" / "weightdecay"} | {
        f"weightdecay/{room}": tree / room for room in ("theory", "simulate", "validate", "figures")
    }
    expected = {f"{prefix}/{path.name}" for prefix, folder in rooms.items() for path in folder.glob("*.py")}
    assert expected == {path for path in contents if path.endswith(".py")}


def test_tests_run_against_the_installed_package(installed):
    assert Path(installed.locate_file("weightdecay/__init__.py")).samefile(weightdecay.__file__)


def test_the_version_is_that_of_the_installed_distribution():
    assert metadata.version("weightdecay") == weightdecay.__version__


def rank(name):
    """Order constants before classes before functions, each alphabetically: ruff's order of __all__."""
    is_constant = name.isupper() and len(name) > 1  # one capital letter counts as a class
    return (not is_constant, not name[:1].isupper(), name)


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_exist_and_are_sorted(name):
    module = importlib.import_module(name)
    assert sorted(module.__all__, key=rank) == list(module.__all__)
    assert [] == [public for public in module.__all__ if not hasattr(module, public)]


def run_python(*arguments):
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, check=False)


def test_help_answers_without_the_heavy_libraries():
    program = (
        "import sys\n"
        "from weightdecay.cli import main\n"
        "try:\n"
        "    main(['--help'])\n"
        "except SystemExit as end:\n"
        "    assert not end.code\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)))\n"
    )
    done = run_python("-c", program)
    assert (0, "heavy: []") == (done.returncode, done.stdout.splitlines()[-1]), done.stderr


def test_the_package_runs_as_a_module():
    done = run_python("-m", "weightdecay", "--help")
    assert 0 == done.returncode, done.stderr
    assert done.stdout.startswith("Usage:")
