"""Tell in words where conditions hold at given values: a bound to act on instead of a polynomial."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp

__all__ = ["region_in_words"]

_LONGEST = 60  # characters of a formula that is read at a glance


def region_in_words(relation: Any, relations: Iterable[Any], values: Mapping[str, float]) -> str:
    """Return what a relation demands, as its formula where that is short, and as bounds where it is not a number.

    Parameters
    ----------
    relation : sympy relation
        The one that is violated.
    relations : iterable of sympy relation
        All that have to hold, this one among them.
    values : mapping of str to float
        Value of each of their symbols, by name.

    Returns
    -------
    str

    Notes
    -----
    The learning rate and the decay move only together, as their product. All others but the one that moves stay at
    their values; the roots of the relations in it cut its line into pieces, and those are told in which all hold.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> momentum, memory = sp.symbols("momentum memory", positive=True)
    >>> region_in_words(momentum < 1, [momentum < 1], {"momentum": 1.5})
    'momentum < 1'
    >>> edge = 1 - momentum * memory > 0
    >>> region_in_words(edge, [edge], {"momentum": 1.5, "memory": 0.8})
    '-memory*momentum + 1 > 0 (memory below 0.666667 at momentum=1.5, or momentum below 1.25 at memory=0.8)'
    """
    formula = str(relation).replace("**", "^")
    at_a_number = relation.rhs.is_number and (relation.lhs.is_Symbol or relation.lhs.is_Mul)
    gaps = [part.gts - part.lts for part in relations]
    if at_a_number or not all(gap.is_rational_function() for gap in gaps):
        return formula
    by_name = {str(symbol.name): symbol for gap in gaps for symbol in gap.free_symbols}
    moves: list[tuple[str, Any, tuple[str, ...], float]]
    if {"lr", "weight_decay"} <= {str(symbol.name) for symbol in relation.free_symbols}:
        moves = [("lr*weight_decay", by_name["lr"], ("lr", "weight_decay"), values["weight_decay"])]
    else:
        own = sorted(str(symbol.name) for symbol in relation.free_symbols)
        moves = [(name, by_name[name], (name,), 1.0) for name in own]
    told = []
    for what, moved, names, scale in moves:
        fixed = {symbol: values[name] for name, symbol in by_name.items() if symbol != moved}
        bounds = _bounds(what, moved, [gap.subs(fixed) for gap in gaps], scale)
        others = ", ".join(f"{name}={values[name]:g}" for name in sorted(by_name.keys() - set(names)))
        if bounds:
            told.append(f"{bounds} at {others}" if others else bounds)
    every = ", ".join(what for what, *_ in moves)
    words = ", or ".join(told) or f"other values than these: changing only one of {every} is not enough"
    return f"{formula} ({words})" if len(formula) <= _LONGEST else words


def _bounds(what: str, moved: Any, gaps: list[Any], scale: float) -> str:
    """Return the pieces of a symbol's line, times a scale, on which all gaps are positive, in words; "" if none."""
    sides = [side for gap in gaps if gap.has(moved) for side in sp.fraction(sp.together(gap))]
    roots = np.concatenate([np.roots([float(part) for part in sp.Poly(side, moved).all_coeffs()]) for side in sides])
    start = 0.0 if moved.is_nonnegative else -np.inf
    real = {float(root.real) for root in roots if abs(root.imag) < 1e-9 * (1.0 + abs(root))}
    edges = [start, *sorted(edge for edge in real if edge > start), np.inf]
    pieces: list[list[float]] = []
    for low, high in pairwise(edges):
        inside = low + 1.0 if np.isinf(high) else high - 1.0 if np.isinf(low) else (low + high) / 2.0
        inside = 0.0 if np.isinf(inside) else inside
        if all(float(gap.subs(moved, inside)) > 0.0 for gap in gaps):
            if pieces and pieces[-1][1] == low:
                pieces[-1][1] = high
            else:
                pieces.append([low, high])
    return " or ".join(_piece(what, low * scale, high * scale, start) for low, high in pieces)


def _piece(what: str, low: float, high: float, start: float) -> str:
    if low == start:
        return f"any {what}" if np.isinf(high) else f"{what} below {high:g}"
    return f"{what} above {low:g}" if np.isinf(high) else f"{what} between {low:g} and {high:g}"
