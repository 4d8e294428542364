"""State where a filter is stable, as conditions on single symbols, and prove each from the roots of its polynomials."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from ..errors import InvalidInput
from .evaluation import Condition
from .notation import symbols_of
from .positive_factors import positive_factors
from .proofs import proof
from .vanishing import rational_points

__all__ = ["EPS", "conditions", "follows"]

EPS = sp.Dummy("eps", positive=True)
"""Decay per step, lr * weight_decay, where a polynomial needs it as one symbol."""

_lr, _weight_decay = symbols_of("lr weight_decay")


def conditions(what: str, positive: list[Any], sentence: str) -> tuple[Condition, ...]:
    """Return expressions > 0 as conditions, solved for lr*weight_decay where that is possible.

    Parameters
    ----------
    what : str
        What has no stable region, for the message.
    positive : list of sympy.Expr
        Expressions that have to be positive, with `EPS` for lr*weight_decay.
    sentence : str
        Why, as in `Condition`.

    Returns
    -------
    tuple of Condition

    Raises
    ------
    InvalidInput
        If one of them cannot be met.

    Notes
    -----
    An expression that is linear in lr*weight_decay, or else in its only symbol, is solved for that; another stays as it
    is. Each condition is proven from the roots of filter and closed loop at points on either side of it.

    References
    ----------
    Our own derivation; the criteria are Schur's, Cohn's and Jury's.

    Examples
    --------
    >>> [condition.relation for condition in conditions("SGD", [2 - EPS], "beyond it weights grow")]
    [lr*weight_decay < 2]
    """
    region = [_solved(part, positive) for part in positive]
    if any(relation == sp.false for relation in region):
        raise InvalidInput(f"{what}: {sentence}")
    told = [relation.subs(EPS, _lr * _weight_decay) for relation in dict.fromkeys(region) if relation != sp.true]
    return tuple(Condition(relation, sentence, _BY_ROOTS) for relation in told)


def _where_stable(relation: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    """Compare all conditions together with the roots of filter and closed loop, at points inside and outside."""
    (b,) = earlier["response"].lhs.args
    below = tuple(sp.fraction(sp.together(earlier[key].rhs))[1] for key in ("filter", "response"))
    region = earlier["conditions"]
    agree, last_inside = _compared(region, below, b)
    open_region = isinstance(relation, (sp.StrictLessThan, sp.StrictGreaterThan))
    return tuple(sp.true if holds else sp.false for holds in (agree, relation in last_inside, open_region))


@functools.lru_cache(maxsize=16)
def _compared(region: Any, below: tuple[Any, ...], b: Any) -> tuple[bool, frozenset[Any]]:
    """Tell whether a region is where all roots lie outside the unit circle, and which of its edges are sharp.

    An edge is sharp if the loop is stable somewhere 2 % within it; that of a single hyperparameter has to be, one of
    lr*weight_decay may be hidden behind another.
    """
    symbols = region.free_symbols.union(*(part.free_symbols for part in below)) - {b}
    coefficients = [part for side in below for part in sp.Poly(side, b).all_coeffs()]
    length = sp.degree(below[0], b) + 1
    numbers = sp.lambdify(sorted(symbols, key=str), coefficients, modules="math")
    relations = sp.And.make_args(region)

    def stable(point: Mapping[Any, Any]) -> bool:
        values = numbers(*(float(point[symbol]) for symbol in sorted(symbols, key=str)))
        roots = (*np.roots(values[:length]), *np.roots(values[length:]))
        return bool(min(map(abs, roots), default=np.inf) > 1)

    sharp: set[Any] = set()
    verdicts = []
    for row, near in enumerate(rational_points(symbols, 12)):
        far = {symbol: value * (1 + row % 3 * sp.Rational(5, 3)) for symbol, value in near.items()}
        points = [(None, near), (None, far)]
        for relation in relations:
            moved = _edge(relation, near)
            points += [
                (relation, near | {symbol: sp.Rational(part, 50) * value})
                for symbol, value in moved.items()
                for part in (49, 51)
            ]
        for relation, point in points:
            stays = stable(point)
            verdicts.append((stays, region.xreplace(point) == sp.true))
            if relation is not None and stays and relation.xreplace(point) == sp.true:
                sharp.add(relation)
    return (
        all(stays == stated for stays, stated in verdicts) and len({stated for _, stated in verdicts}) == 2,
        frozenset(sharp | {relation for relation in relations if not relation.lhs.is_Symbol}),
    )


def _edge(relation: Any, point: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the symbol on the left of a relation and its value at the edge, or nothing if the left is no product."""
    moved = _lr if relation.lhs.has(_lr) else relation.lhs
    if not moved.is_Symbol or relation.rhs.has(moved) or not (relation.lhs / moved).xreplace(point).is_Rational:
        return {}
    value = (relation.rhs * moved / relation.lhs).xreplace(point)
    return {moved: value} if value.is_Rational and (value > 0 or not moved.is_positive) else {}


_BY_ROOTS = proof(
    "agrees with where all roots lie outside the unit circle, at points inside and outside", _where_stable
)


def follows(expression: Any, positive: list[Any]) -> bool:
    """Tell whether expression > 0 at any decay per step above 0, since its coefficients are among the positive.

    Parameters
    ----------
    expression : sympy.Expr
        Polynomial in `EPS`.
    positive : list of sympy.Expr
        What is known to be positive.

    Returns
    -------
    bool

    Notes
    -----
    A polynomial in eps with positive coefficients has no positive root.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> momentum = sp.Symbol("momentum", positive=True)
    >>> [follows(1 - momentum + momentum * EPS, known) for known in ([1 - momentum], [])]
    [True, False]
    >>> len([1 - momentum])
    1
    """
    parts = sp.Poly(expression, EPS).coeffs()
    return expression.has(EPS) and all(part.is_positive or sp.expand(part) in positive for part in parts)


def _solved(expression: Any, positive: list[Any]) -> Any:
    """Return expression > 0, solved for the decay per step, or else for a single symbol, if it is linear in that."""
    for symbol in (EPS, *(expression.free_symbols if len(expression.free_symbols) == 1 else ())):
        if expression.has(symbol) and sp.degree(expression, symbol) == 1:
            slope = sp.factor(expression.coeff(symbol))
            bound = positive_factors(sp.factor(-expression.subs(symbol, 0) / slope))
            if slope.is_negative or sp.expand(-slope) in positive:
                return symbol < bound
            if slope.is_positive or sp.expand(slope) in positive:
                return symbol > bound
    return expression > 0
