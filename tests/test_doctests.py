"""Every example in a docstring prints what it says."""

import doctest
import importlib
import pkgutil

import pytest

import weightdecay

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE | doctest.IGNORE_EXCEPTION_DETAIL
MODULES = ["weightdecay", *(found.name for found in pkgutil.walk_packages(weightdecay.__path__, "weightdecay."))]


def test_the_walk_reaches_every_room():
    rooms = {"weightdecay.theory", "weightdecay.simulate", "weightdecay.validate", "weightdecay.figures"}
    assert rooms | {"weightdecay.errors", "weightdecay.validate.datasets"} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_examples_print_what_they_say(name):
    failed, _ = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert failed == 0
