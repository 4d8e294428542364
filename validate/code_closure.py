"""Find the modules that a result depends on, and one checksum over them."""

from __future__ import annotations

import ast
import functools
import hashlib
import re
import sys
from importlib.util import find_spec, resolve_name
from pathlib import Path

from ..errors import InvalidInput

__all__ = ["closure", "closure_checksum"]

_PACKAGE = __package__.partition(".")[0]
_THEORY = f"{_PACKAGE}.theory"
_REGISTERING = re.compile(r"\bderivation\(\s*[\"']([^\"']+)[\"']\s*\)")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@functools.cache
def closure_checksum(module: str) -> str:
    """Return one SHA-256 over the code of a module and of all modules that it depends on.

    Parameters
    ----------
    module : str
        Name of a module that is loaded.

    Returns
    -------
    str
        64 hexadecimal digits.

    Raises
    ------
    InvalidInput
        If the source of one of them is not to be found.

    Notes
    -----
    Each module enters as its syntax tree without docstrings: comments, docstrings and formatting change no result.

    Examples
    --------
    >>> closure_checksum("weightdecay.validate.mlp") == closure_checksum("weightdecay.validate.datasets")
    False
    """
    checksum = hashlib.sha256()
    for name in closure(module):
        checksum.update(f"{name}\n{_bare(_tree(name))}\n".encode())
    return checksum.hexdigest()


@functools.cache
def closure(module: str) -> tuple[str, ...]:
    """Return the modules whose code decides what the code of one module does, itself among them.

    Parameters
    ----------
    module : str
        Name of a module that is loaded.

    Returns
    -------
    tuple of str
        Names, in alphabetical order.

    Raises
    ------
    InvalidInput
        If the source of one of them is not to be found.

    Notes
    -----
    Imports are followed wherever they stand, within this package and within the module's own top-level package. An
    ``__init__`` that passes a name on is looked through: who takes one name from a room depends on the module that
    defines it, not on the whole room. Of theory counts the module that registers a derivation asked for by a literal
    name; where the name is computed, all of theory.

    Examples
    --------
    >>> closure("weightdecay.validate.data_files")
    ('weightdecay.errors', 'weightdecay.validate.data_files')
    """
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _needed(name)
    return tuple(sorted(found))


@functools.cache
def _needed(module: str) -> frozenset[str]:
    """Return the modules of this package, or of the module's own, that one module asks for by itself."""
    own = {_PACKAGE, module.partition(".")[0]}
    found: set[str] = set()
    for node in ast.walk(_tree(module)):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names if alias.name.partition(".")[0] in own)
        elif isinstance(node, ast.ImportFrom):
            source = _source(module, node)
            if source.partition(".")[0] in own:
                found.update(_origin(source, alias.name) for alias in node.names)
        elif isinstance(node, ast.Call) and _called(node) in ("derive", "by_derivation"):
            found |= _definers(node.args[0]) if node.args else frozenset()
    return frozenset(found)


def _source(module: str, node: ast.ImportFrom) -> str:
    """Return the module or package that a `from ... import` names."""
    package = module if _is_package(module) else module.rpartition(".")[0]
    return resolve_name("." * node.level + (node.module or ""), package) if node.level else node.module or ""


def _origin(source: str, name: str) -> str:
    """Return the module that defines what one gets by `from source import name`."""
    if not _is_package(source):
        return source
    for node in ast.walk(_tree(source)):
        if isinstance(node, ast.ImportFrom) and any(name in (alias.name, alias.asname) for alias in node.names):
            passed_on = next(alias.name for alias in node.names if name in (alias.name, alias.asname))
            if _source(source, node) != source:
                return _origin(_source(source, node), passed_on)
    return f"{source}.{name}" if find_spec(f"{source}.{name}") else source


def _definers(name: ast.expr) -> frozenset[str]:
    """Return the modules of theory that may register the derivation of a name."""
    start: object = getattr(name.values[0] if isinstance(name, ast.JoinedStr) else name, "value", None)
    if not isinstance(start, str):
        return _theory()
    exact = isinstance(name, ast.Constant)
    found = {
        module
        for module in _theory()
        if any(each == start if exact else each.startswith(start) for each in _registered(module))
    }
    return frozenset(found) or _theory()


@functools.cache
def _theory() -> frozenset[str]:
    return frozenset(f"{_THEORY}.{path.stem}" for path in _path(_THEORY).parent.glob("[!_]*.py"))


@functools.cache
def _registered(module: str) -> frozenset[str]:
    """Return the literal names under which a module of theory registers derivations."""
    return frozenset(_REGISTERING.findall(_path(module).read_text(encoding="utf-8")))


def _called(node: ast.Call) -> str:
    """Return the last part of the name of what is called."""
    return str(getattr(node.func, "attr", getattr(node.func, "id", "")))


def _is_package(module: str) -> bool:
    return _path(module).name == "__init__.py"


@functools.cache
def _path(module: str) -> Path:
    loaded = sys.modules.get(module)
    try:
        place = getattr(loaded, "__file__", None) if loaded else getattr(find_spec(module), "origin", None)
    except (ImportError, ValueError):
        place = None
    if place is None:
        raise InvalidInput(f"the source of the module {module!r} is not to be found; put it into a file")
    return Path(place)


@functools.cache
def _tree(module: str) -> ast.Module:
    try:
        return ast.parse(_path(module).read_bytes())
    except (OSError, SyntaxError, ValueError) as problem:
        raise InvalidInput(f"the source of the module {module!r} cannot be read ({problem})") from None


def _bare(tree: ast.Module) -> str:
    """Return a syntax tree as text, without docstrings and places."""
    kept = {}
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            kept[node] = node.body
            node.body = node.body[1:]
    told = ast.dump(tree)
    for node, body in kept.items():
        node.body = body
    return told
