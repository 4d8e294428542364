"""Write rational formulas as a textbook does: 1 - momentum instead of momentum - 1, by powers of the decay per step."""

from __future__ import annotations

from typing import Any

import sympy as sp

from .notation import symbols_of

__all__ = ["positive_factors"]

_lr, _weight_decay = symbols_of("lr weight_decay")
_EPS = sp.Dummy("eps", positive=True)
_SMALL = sp.Rational(1, 8)
"""Where factors are made positive: momenta, dampening and decay per step are small, and below 1."""


def positive_factors(expression: Any) -> Any:
    """Return a product, with every factor that is a sum turned so that it is positive where all symbols are small.

    Parameters
    ----------
    expression : sympy.Expr
        Rational, or a root or function of such.

    Returns
    -------
    sympy.Expr

    Notes
    -----
    The value stays: an odd number of turned factors gives the product a minus sign. The sums are ordered by powers of
    lr*weight_decay.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> momentum = sp.Symbol("momentum", positive=True)
    >>> positive_factors((momentum - 1) / (_lr * _weight_decay * (1 + momentum) - (_lr * _weight_decay) ** 2 - 2))
    (1 - momentum)/(lr**2*weight_decay**2 - lr*weight_decay*(momentum + 1) + 2)
    """
    if not expression.args or not expression.has(sp.Add):
        return expression
    if not (expression.is_Mul or expression.is_Pow or expression.is_Add):
        return expression.func(*map(positive_factors, expression.args))
    sign, parts = sp.S.One, []
    for factor in sp.Mul.make_args(expression):
        base, power = factor.as_base_exp()
        if base.is_Add and power.is_Integer:
            turned = -1 if base.subs(dict.fromkeys(base.free_symbols, _SMALL)) < 0 else 1
            sign *= turned**power
            parts.append(_by_decay(turned * base) ** power)
        elif base.is_Mul or base.is_Pow or isinstance(base, sp.Function):
            parts.append(positive_factors(base) ** power)
        else:
            parts.append(factor)
    return sp.Mul(sign, *parts)


def _by_decay(total: Any) -> Any:
    """Return a sum by powers of the decay per step, with factored coefficients."""
    expanded = sp.expand(total).subs(_lr, _EPS / _weight_decay)
    if not expanded.has(_EPS) or expanded.has(_weight_decay) or not expanded.is_polynomial(_EPS):
        return total
    rising = sp.Poly(expanded, _EPS).all_coeffs()[::-1]
    return sp.Add(*(positive_factors(sp.factor(part) * (_lr * _weight_decay) ** k) for k, part in enumerate(rising)))
