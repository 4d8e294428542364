"""Solve for the second moments of weights that a rational filter drives, exactly, in the field of its coefficients.

The weights are filtered white noise, w = -lr * T(B) g with T = numerator(B) / denominator(B) in the backshift B. Their
autocovariances r_k are the coefficients of T(B) T(1/B); writing that as S(B) + S(1/B) with S analytic in the unit disc
is one linear system, and r_0 = 2 S(0), r_1 = S'(0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sympy as sp
from sympy.polys.matrices import DomainMatrix
from sympy.polys.matrices.exceptions import DMNonInvertibleMatrixError

from ..errors import InvalidInput
from .positive_factors import positive_factors

__all__ = ["autocovariances", "leading_terms", "schur_conditions", "spectral_part"]


def spectral_part(numerator: Sequence[Any], denominator: Sequence[Any], symbols: Sequence[Any]) -> tuple[Any, ...]:
    """Return the numerator of S, where T(B) T(1/B) = S(B) + S(1/B) and S has the denominator of T.

    Parameters
    ----------
    numerator, denominator : sequence of sympy.Expr
        Coefficients of T = numerator / denominator, of rising powers of B, rational in `symbols`.
    symbols : sequence of sympy.Symbol
        All symbols in the coefficients.

    Returns
    -------
    tuple of sympy.Expr
        Coefficients of S's numerator, of rising powers of B.

    Raises
    ------
    InvalidInput
        If the filter has poles on the unit circle, or pairs of them mirrored in it, for every value of its symbols.

    Notes
    -----
    The coefficients of B^k in n(B) n(1/B) = s(B) d(1/B) + s(1/B) d(B), for k = 0 to the order, are linear equations
    for those of s. They are solved in the field of rational functions of the symbols.

    References
    ----------
    Åström, Jury and Agniel's evaluation of the same contour integral is the recursive form of this system.

    Examples
    --------
    >>> a = sp.Symbol("a")
    >>> spectral_part([1], [1, -a], [a])  # S = 1/2 (1 + a B) / ((1 - a^2) (1 - a B))
    (-1/(2*a**2 - 2), -a/(2*a**2 - 2))
    """
    field = sp.QQ.frac_field(*symbols) if symbols else sp.QQ
    order = max(len(numerator), len(denominator)) - 1
    n, d = (
        [field.from_sympy(sp.sympify(part)) for part in side] + [field.zero] * (order + 1 - len(side))
        for side in (numerator, denominator)
    )
    rows = [[field.zero] * (order + 1) for _ in range(order + 1)]
    products = []
    for k, row in enumerate(rows):
        products.append([sum((n[j + k] * n[j] for j in range(order + 1 - k)), field.zero)])
        for i in range(order + 1):
            if i >= k:
                row[i] += d[i - k]
            if i + k <= order:
                row[i] += d[i + k]
    try:
        solved = DomainMatrix(rows, (order + 1, order + 1), field).lu_solve(
            DomainMatrix(products, (order + 1, 1), field)
        )
    except DMNonInvertibleMatrixError:
        raise InvalidInput(
            "the filter has no stationary second moment: its poles lie on the unit circle, or in pairs mirrored in it"
        ) from None
    return tuple(field.to_sympy(row[0]) for row in solved.to_list())


def autocovariances(
    numerator: Sequence[Any], denominator: Sequence[Any], symbols: Sequence[Any]
) -> tuple[Any, Any, tuple[Any, ...]]:
    """Return r_0, r_1 of white noise of power 1 behind the filter, and the numerator of S (see `spectral_part`).

    Parameters
    ----------
    numerator, denominator : sequence of sympy.Expr
        Coefficients of T = numerator / denominator, of rising powers of B, rational in `symbols`.
    symbols : sequence of sympy.Symbol
        All symbols in the coefficients.

    Returns
    -------
    r_0, r_1 : sympy.Expr
        Autocovariances at lags 0 and 1, factored.
    numerator : tuple of sympy.Expr
        That of S, of rising powers of B.

    Raises
    ------
    InvalidInput
        If there is no stationary second moment.

    Notes
    -----
    r_0 = 2 S(0) and r_1 = S'(0), where sum_k r_k B^k = T(B) T(1/B) = S(B) + S(1/B).

    References
    ----------
    Our own derivation; Åström, Jury and Agniel evaluate the same contour integral by recursion.

    Examples
    --------
    >>> a = sp.Symbol("a")
    >>> autocovariances([1], [1, -a], [a])[:2]
    (1/((1 - a)*(a + 1)), a/((1 - a)*(a + 1)))
    """
    s = (*spectral_part(numerator, denominator, symbols), sp.S.Zero)
    d = (*map(sp.sympify, denominator), sp.S.Zero)
    moments = (2 * s[0] / d[0], (s[1] * d[0] - s[0] * d[1]) / d[0] ** 2)
    return *map(positive_factors, map(sp.factor, moments)), s[:-1]


def leading_terms(expression: Any, small: Any) -> tuple[Any, Any]:
    """Return the leading term of a rational function in `small`, and the coefficient of its relative first correction.

    Parameters
    ----------
    expression : sympy.Expr
        Rational in `small`.
    small : sympy.Symbol
        What is small.

    Returns
    -------
    leading, correction : sympy.Expr
        The function is leading * (1 + correction * small + ...).

    Notes
    -----
    From the two lowest powers in numerator and denominator; their ratio needs no series.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> eps = sp.Symbol("eps")
    >>> leading_terms(1 / (eps * (2 - eps)), eps)
    (1/(2*eps), 1/2)
    """
    parts = []
    for side in sp.fraction(sp.together(expression)):
        rising = sp.Poly(side, small).all_coeffs()[::-1]
        lowest = next(place for place, part in enumerate(rising) if part != 0)
        first, second = rising[lowest], (*rising, sp.S.Zero)[lowest + 1]
        parts.append((first, second / first, lowest))
    (above, above_next, above_power), (below, below_next, below_power) = parts
    leading = sp.factor(sp.cancel(above / below)) * small ** (above_power - below_power)
    return leading, sp.factor(sp.cancel(above_next - below_next))


def schur_conditions(coefficients: Sequence[Any], symbols: Sequence[Any]) -> list[Any]:
    """Return expressions that are positive if and only if all roots of the polynomial lie outside the unit circle.

    Parameters
    ----------
    coefficients : sequence of sympy.Expr
        Of rising powers; the first must be 1.
    symbols : sequence of sympy.Symbol
        All symbols in the coefficients.

    Returns
    -------
    list of sympy.Expr

    Notes
    -----
    Schur's and Cohn's recursion, down to the three conditions of Jury for a quadratic. Factors that are positive by
    their symbols' assumptions are left out, and so are conditions that then hold by themselves.

    References
    ----------
    The criteria are Schur's, Cohn's and Jury's; the derivations compare them with the roots.

    Examples
    --------
    >>> momentum = sp.Symbol("momentum", positive=True)
    >>> schur_conditions([1, -momentum], [momentum])
    [1 - momentum]
    """
    field = sp.QQ.frac_field(*symbols) if symbols else sp.QQ
    rising = [field.from_sympy(sp.sympify(part)) for part in coefficients]
    while len(rising) > 1 and rising[-1] == field.zero:
        rising.pop()
    positive = []
    while len(rising) > 3:
        first, last = rising[0], rising[-1]
        positive += [first - last, first + last]
        rising = [first * part - last * other for part, other in zip(rising[:-1], rising[:0:-1], strict=True)]
    if len(rising) == 3:
        first, middle, last = rising
        positive += [first - last, first + middle + last, first - middle + last]
    elif len(rising) == 2:
        positive += [rising[0] + rising[1], rising[0] - rising[1]]
    return [part for part in map(_sign_carrier, map(field.to_sympy, positive)) if not part.is_positive]


def _sign_carrier(expression: Any) -> Any:
    """Return the expression without factors that cannot change its sign."""
    number, factors = sp.factor_list(sp.fraction(sp.factor(expression))[0])
    below, more = sp.factor_list(sp.fraction(sp.factor(expression))[1])
    sign = sp.sign(number * below)
    carrier = sp.Mul(*(base for base, power in (*factors, *more) if power % 2 and not base.is_positive))
    return sp.expand(sign * carrier)
