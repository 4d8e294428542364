"""Take sums over blocks of weights apart, range by range, so that they can be compared term by term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

__all__ = ["added", "by_range", "expanded", "index_of", "name_of"]


def by_range(expression: Any, *rules: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return range -> what is summed over it, of an expression linear in sums; the range () has the terms outside.

    The rules are put into what is summed, one after the other: SymPy leaves terms with a bound index alone.

    Raises
    ------
    ValueError
        If the expression is not linear in its sums.

    >>> w, i, count = sp.IndexedBase("w"), sp.Symbol("i"), sp.Symbol("count")
    >>> parts = by_range(1 + 2 * sp.Sum(w[i] ** 2, (i, 1, count)))
    >>> parts[()], parts[(sp.Tuple(i, 1, count),)]
    (1, 2*w[i]**2)
    """
    parts: dict[Any, Any] = {}
    for part in sp.Add.make_args(sp.expand(expression)):
        sums = part.atoms(sp.Sum)
        coefficient = part.subs(dict.fromkeys(sums, 1)) if len(sums) <= 1 else sp.nan
        if sp.expand(coefficient * sp.Mul(*sums) - part) != 0:
            raise ValueError(f"{part} is not linear in its sums")
        limits = sums.pop().limits if sums else ()
        inside = next(iter(part.atoms(sp.Sum))).function if limits else sp.S.One
        parts[limits] = parts.get(limits, sp.S.Zero) + coefficient * inside
    for rule in rules:
        parts = {limits: part.subs(rule, simultaneous=True) for limits, part in parts.items()}
    return parts


def added(one: Mapping[Any, Any], other: Mapping[Any, Any], factor: Any) -> dict[Any, Any]:
    """Return one + factor times other, range by range."""
    return {key: one.get(key, sp.S.Zero) + factor * other.get(key, sp.S.Zero) for key in one.keys() | other.keys()}


def expanded(parts: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return what is summed over each range, expanded."""
    return tuple(sp.expand(part) for part in parts.values())


def index_of(weight: Any) -> Any:
    """Return the index of a block's entry, None for a plain symbol."""
    return weight.indices[0] if isinstance(weight, sp.Indexed) else None


def name_of(weight: Any) -> str:
    """Return the name of a weight, without its index."""
    return str(weight.base.label if isinstance(weight, sp.Indexed) else weight.name)
