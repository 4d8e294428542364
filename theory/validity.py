"""Prove conditions of validity: what a condition is for, as an expression that is positive exactly where it holds.

>>> from weightdecay.theory.vanishing import vanishes
>>> lr, weight_decay = symbols_of("lr weight_decay")
>>> [vanishes(part) for relation in (lr * weight_decay < 1, lr * weight_decay < 2)
...  for part in KEEPS_PART.proof.residual(relation, {})]
[True, False]
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

from .evaluation import Condition
from .notation import symbols_of
from .proofs import Proof, proof

__all__ = ["KEEPS_PART", "STABLE", "exactly_where", "forgets", "stays_bounded"]

_lr, _weight_decay = symbols_of("lr weight_decay")
_EPS = _lr * _weight_decay
_WHOLE = range(12)


def exactly_where(what: str, sign_carrier: Any | Callable[[Mapping[str, Any]], Any], *, zero: bool = False) -> Proof:
    """Return a proof that a condition holds exactly where an expression is positive.

    Parameters
    ----------
    what : str
        What the expression is, in words.
    sign_carrier : sympy.Expr or callable
        The expression, or a function that makes it from the derivation's steps by key.
    zero : bool, optional
        Whether it may be 0 too.

    Returns
    -------
    Proof

    Notes
    -----
    The larger side of the condition less the smaller one, over the expression, has to be positive by what is assumed of
    its symbols. Where all of them are whole numbers, both are compared at all that lie between 0 and 11.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> count = sp.Symbol("count", integer=True, positive=True)
    >>> at_least = exactly_where("the count less 2", count - 2)
    >>> [at_least.residual(relation, {}) for relation in (count > 2, count > 3)]
    [(True,), (False,)]
    """

    def residual(relation: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        carrier = sign_carrier if isinstance(sign_carrier, sp.Basic) else sign_carrier(earlier)
        if all(symbol.is_integer for symbol in carrier.free_symbols | relation.free_symbols):
            return (sp.true if _agree(relation, carrier, zero) else sp.false,)
        strict = isinstance(relation, (sp.StrictLessThan, sp.StrictGreaterThan))
        ratio = sp.factor(sp.cancel((relation.gts - relation.lts) / carrier))
        return (sp.true if ratio.is_positive and strict != zero else sp.false,)

    return proof(f"{what} is {'0 or more' if zero else 'positive'} exactly there", residual)


def _agree(relation: Any, carrier: Any, zero: bool) -> bool:
    """Tell whether relation and sign agree at whole numbers, of which some are on either side."""
    wanted = carrier >= 0 if zero else carrier > 0
    symbols = sorted(relation.free_symbols | carrier.free_symbols, key=str)
    points: list[dict[Any, int]] = [{}]
    for symbol in symbols:
        points = [{**point, symbol: k} for point in points for k in _WHOLE if k or not symbol.is_positive]
    verdicts = [(bool(relation.subs(point)), bool(wanted.subs(point))) for point in points]
    return all(stated == holds for stated, holds in verdicts) and len(set(verdicts)) == 2


def forgets(symbol: Any, sentence: str = "otherwise the average never forgets a gradient") -> Condition:
    """Return the condition that an average with this coefficient forgets: its powers have a finite sum.

    Parameters
    ----------
    symbol : sympy.Symbol
        The coefficient.
    sentence : str, optional
        Why the condition is needed.

    Returns
    -------
    Condition

    Notes
    -----
    sum over k of symbol^k = 1 / (1 - symbol) if and only if symbol < 1, for a coefficient that is not negative.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> momentum = sp.Symbol("momentum", positive=True)
    >>> forgets(momentum).relation
    momentum < 1
    """
    k = sp.Dummy("k", integer=True, nonnegative=True)

    def residual(relation: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (closed, converges), *_ = sp.summation(symbol**k, (k, 0, sp.oo)).args
        return (sp.true if relation == converges else sp.false, closed * (1 - symbol) - 1)

    return Condition(symbol < 1, sentence, proof(f"the powers of {symbol} have a finite sum exactly there", residual))


def stays_bounded(factor: Any) -> Proof:
    """Return a proof that a condition holds exactly where a state that a step multiplies by this factor dies out.

    Parameters
    ----------
    factor : sympy.Expr
        What a step multiplies the state by.

    Returns
    -------
    Proof

    Notes
    -----
    x' = factor x dies out if and only if factor^2 < 1.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> [stays_bounded(1 - _EPS).residual(_EPS < edge, {}) for edge in (1, 2)]
    [(False,), (True,)]
    """
    return exactly_where(
        f"1 less the square of {factor}, by which a step multiplies,".replace("**", "^"), 1 - factor**2
    )


KEEPS_PART = Condition(
    _EPS < 1,
    "a step must leave something of the weight (lower the learning rate or the decay)",
    exactly_where("what decay leaves of a weight, over the weight,", 1 - _EPS),
)
"""A step of decay takes less than the weight."""

STABLE = Condition(
    _EPS < 2,
    "outside this region of stability the weights grow without bound",
    stays_bounded(1 - _EPS),
)
"""Decay brings the weights back, be it with turned sign."""
