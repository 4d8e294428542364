"""Every public function of the theory says what it computes, on what assumptions, from which source, with a number."""

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

from weightdecay import theory


def _members(holder, names):
    for name in names:
        member = getattr(holder, name)
        if inspect.isfunction(member) or inspect.isclass(member):
            yield name, member
        if inspect.isclass(member):
            for inner, method in vars(member).items():
                method = method.fget if isinstance(method, property) else method
                if not inner.startswith("_") and inspect.isfunction(method):
                    yield f"{name}.{inner}", method


PUBLIC = dict(_members(theory, theory.__all__))
MODULES = {
    found.name: importlib.import_module(f"{theory.__name__}.{found.name}")
    for found in pkgutil.iter_modules(theory.__path__)
}
INSIDE = {
    f"{place}.{name}": member
    for place, module in MODULES.items()
    for name, member in _members(module, module.__all__)
    if member not in PUBLIC.values()
}


def _has(member, section):
    return re.search(rf"^{section}\n-+$", inspect.getdoc(member) or "", flags=re.MULTILINE)


def test_the_public_surface_has_no_modules():
    assert [] == [name for name in theory.__all__ if inspect.ismodule(getattr(theory, name))]


def test_the_modules_export_what_they_define_under_public_names():
    hidden = [
        f"{place}.{name}"
        for place, module in MODULES.items()
        for name, member in vars(module).items()
        if not name.startswith("_") and getattr(member, "__module__", "") == module.__name__
        if name not in module.__all__
    ]
    assert [] == hidden


@pytest.mark.parametrize("name", PUBLIC | INSIDE)
def test_the_docstring_begins_with_one_sentence(name):
    member = (PUBLIC | INSIDE)[name]
    first, *rest = inspect.getdoc(member).split("\n")
    assert first.endswith(".")
    assert rest[:1] in ([], [""])
    if inspect.isfunction(member):
        assert re.match(r"(Return|Prove|Register|Tell|Yield) ", first)


@pytest.mark.parametrize("name", PUBLIC | INSIDE)
def test_the_docstring_has_equation_or_assumption_and_source(name):
    assert _has((PUBLIC | INSIDE)[name], "Notes")
    assert _has((PUBLIC | INSIDE)[name], "References")


@pytest.mark.parametrize("name", PUBLIC | INSIDE)
def test_the_docstring_tells_what_goes_in_and_comes_out(name):
    member = (PUBLIC | INSIDE)[name]
    if inspect.isclass(member):
        assert _has(member, "Attributes") or _has(member, "Parameters")
        return
    signature = inspect.signature(member)
    if set(signature.parameters) - {"self"}:
        assert _has(member, "Parameters")
    if signature.return_annotation not in ("None", None):
        assert _has(member, "Returns")
    if re.search(r"^\s+raise ", inspect.getsource(member), flags=re.MULTILINE):
        assert _has(member, "Raises")


@pytest.mark.parametrize("name", PUBLIC)
def test_an_example_prints_a_number(name):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(PUBLIC[name]))
    printed = "".join(example.want for example in examples)
    assert re.search(r"\d", printed)


@pytest.mark.parametrize("name", INSIDE)
def test_an_example_prints_a_number_or_a_verdict(name):
    examples = doctest.DocTestParser().get_examples(inspect.getdoc(INSIDE[name]))
    printed = "".join(example.want for example in examples)
    assert re.search(r"\d|True|False", printed)
