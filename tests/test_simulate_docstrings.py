"""Every public name of simulate says what goes in and comes out, what it refuses, from which source, with a number."""

import doctest
import inspect
import re

import pytest

from weightdecay import simulate

PUBLIC = {name: getattr(simulate, name) for name in simulate.__all__}
FUNCTIONS = {name: member for name, member in PUBLIC.items() if inspect.isfunction(member)}
CLASSES = {name: member for name, member in PUBLIC.items() if inspect.isclass(member)}
ANSWERS = {
    word
    for member in FUNCTIONS.values()
    for word in re.findall(r"\w+", str(inspect.signature(member).return_annotation))
}
"""Classes that functions return: where they hold nothing but an answer, its example is that of the function."""
MADE_INSIDE = {"DecayingRun", "LayerClaims", "LayerPrediction"}
"""Parts of an answer or of the way to it, which nobody makes by hand."""
IMPERATIVES = "Answer|Draw|Find|Give|Integrate|Let|Look|Make|Pose|Return|Run"  # what functions do


def _has(member, section):
    return re.search(rf"^{section}\n-+$", inspect.getdoc(member) or "", flags=re.MULTILINE)


def _printed(member):
    return "".join(example.want for example in doctest.DocTestParser().get_examples(inspect.getdoc(member)))


def test_functions_and_classes_are_found():
    assert len(FUNCTIONS) > 30
    assert len(CLASSES) > 30


@pytest.mark.parametrize("name", FUNCTIONS | CLASSES)
def test_the_docstring_begins_with_one_sentence(name):
    first, *rest = inspect.getdoc(PUBLIC[name]).split("\n")
    assert first.endswith(".")
    assert rest[:1] in ([], [""])
    if name in FUNCTIONS:
        assert re.match(rf"({IMPERATIVES})[ ,]", first)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_tells_what_goes_in_and_comes_out_and_what_it_refuses(name):
    function = inspect.unwrap(FUNCTIONS[name])
    if inspect.signature(function).parameters:
        assert _has(function, "Parameters")
    assert _has(function, "Returns")
    if re.search(r"^\s+raise ", inspect.getsource(function), flags=re.MULTILINE):
        assert _has(function, "Raises")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_with_an_equation_names_its_source(name):
    if _has(FUNCTIONS[name], "Notes"):
        assert _has(FUNCTIONS[name], "References")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_example_of_a_function_prints_a_result(name):
    assert re.search(r"\d|True|False", _printed(FUNCTIONS[name]))


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_tells_what_it_holds_and_refuses(name):
    member = CLASSES[name]
    if name not in ("Schedule", "Status"):  # nothing of their own: a base, and names
        assert _has(member, "Attributes") or _has(member, "Parameters")
    if "__post_init__" in vars(member):
        assert _has(member, "Raises")


@pytest.mark.parametrize("name", sorted(CLASSES.keys() - ANSWERS - MADE_INSIDE))
def test_an_example_of_a_class_prints_a_number(name):
    assert re.search(r"\d", _printed(CLASSES[name]))
