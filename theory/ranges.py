"""Take sums over blocks of weights apart, range by range, so that they can be compared term by term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

__all__ = ["added", "by_range", "expanded", "index_of", "name_of"]


def by_range(expression: Any, *rules: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return range -> what is summed over it, of an expression linear in sums; the range () has the terms outside.

    Parameters
    ----------
    expression : sympy.Expr
        Linear in its sums.
    *rules : mapping of sympy.Expr to sympy.Expr
        Put into what is summed, one after the other: SymPy leaves terms with a bound index alone.

    Returns
    -------
    dict of tuple to sympy.Expr

    Raises
    ------
    ValueError
        If the expression is not linear in its sums.

    Notes
    -----
    Two such expressions are equal for all lengths of the blocks if they are equal range by range.

    References
    ----------
    Our own derivation.

    Examples
    --------
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
    """Return one + factor times other, range by range.

    Parameters
    ----------
    one, other : mapping of tuple to sympy.Expr
        As `by_range` returns them.
    factor : sympy.Expr
        Of the second.

    Returns
    -------
    dict of tuple to sympy.Expr

    Notes
    -----
    A range that one of the two lacks counts as 0 there.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> added({(): sp.Integer(3)}, {(): sp.Integer(1)}, -2)
    {(): 1}
    """
    return {key: one.get(key, sp.S.Zero) + factor * other.get(key, sp.S.Zero) for key in one.keys() | other.keys()}


def expanded(parts: Mapping[Any, Any]) -> tuple[Any, ...]:
    """Return what is summed over each range, expanded.

    Parameters
    ----------
    parts : mapping of tuple to sympy.Expr
        As `by_range` returns them.

    Returns
    -------
    tuple of sympy.Expr

    Notes
    -----
    Residuals of a proof: all have to vanish.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x = sp.Symbol("x")
    >>> expanded({(): (x + 1) ** 2 - x**2 - 2 * x})
    (1,)
    """
    return tuple(sp.expand(part) for part in parts.values())


def index_of(weight: Any) -> Any:
    """Return the index of a block's entry, None for a plain symbol.

    Parameters
    ----------
    weight : sympy.Symbol or sympy.Indexed
        A weight of a family.

    Returns
    -------
    sympy.Symbol or None

    Notes
    -----
    Weights with the same index belong to one group.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> w, i = sp.IndexedBase("w"), sp.Symbol("i1")
    >>> index_of(w[i]), index_of(sp.Symbol("b"))
    (i1, None)
    """
    return weight.indices[0] if isinstance(weight, sp.Indexed) else None


def name_of(weight: Any) -> str:
    """Return the name of a weight, without its index.

    Parameters
    ----------
    weight : sympy.Symbol or sympy.Indexed
        A weight of a family.

    Returns
    -------
    str

    Notes
    -----
    Names of companions are made from it.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> w, i = sp.IndexedBase("w1"), sp.Symbol("i")
    >>> name_of(w[i])
    'w1'
    """
    return str(weight.base.label if isinstance(weight, sp.Indexed) else weight.name)
