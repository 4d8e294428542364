"""Tell whether an expression is zero identically, by algebra, after a look at its value at exact rational points."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

__all__ = ["rational_points", "vanishes"]


def rational_points(symbols: Iterable[Any], count: int, least: Mapping[Any, Any] | None = None) -> list[dict[Any, Any]]:
    """Return points with small rational coordinates, the same at every call, inside the symbols' assumptions.

    Parameters
    ----------
    symbols : iterable of sympy.Symbol
        The coordinates.
    count : int
        How many points.
    least : mapping of sympy.Symbol to int, optional
        Smallest value of integer symbols.

    Returns
    -------
    list of dict of sympy.Symbol to sympy.Rational

    Notes
    -----
    Positive symbols get values between 0 and 1, integers between 2 and 9 (or from their `least`), others any sign.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> rational_points([sp.Symbol("x", positive=True)], 2)
    [{x: 30/83}, {x: 80/83}]
    """
    points = []
    ordered = sorted(symbols, key=lambda symbol: str(symbol.name))
    for row in range(count):
        point = {}
        for column, symbol in enumerate(ordered):
            draw = (30 + 50 * row + 37 * column + 11 * row * column) % 83
            if symbol.is_integer:  # from 2, or from where the proof says
                point[symbol] = sp.Integer((least or {}).get(symbol, 2) + draw % 8)
            else:
                value = sp.Rational(draw or 41, 83)
                point[symbol] = value if symbol.is_nonnegative else 2 * value - 1
        points.append(point)
    return points


def vanishes(residual: Any) -> bool:
    """Tell whether a residual is zero identically, or a relation true.

    Parameters
    ----------
    residual : sympy.Basic, sympy.Matrix or bool
        An expression that is to vanish, or a relation that is to be true.

    Returns
    -------
    bool

    Notes
    -----
    An expression that is clearly not zero at two points is refused at once; what is left has to become 0 under
    `expand`, `cancel` or, as the last resort, `simplify`. A number has to vanish exactly, not to some digits.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x = sp.Symbol("x", positive=True)
    >>> [vanishes(part) for part in ((x + 1) ** 2 - x**2 - 2 * x - 1, x - 1, sp.Rational(1, 10**15))]
    [True, False, False]
    """
    if isinstance(residual, (bool, sp.logic.boolalg.Boolean)):
        return bool(residual == True)  # noqa: E712  # an undecided relation is not true
    if isinstance(residual, sp.MatrixBase):
        return all(vanishes(entry) for entry in residual)
    if residual == 0:
        return True
    if residual.is_number:
        number = residual.evalf(30)
        if not number.is_finite or abs(number) > 1e-20:
            return False
    elif _differs_numerically(residual):
        return False
    for simpler in (sp.expand, lambda part: sp.cancel(sp.together(part)), _as_exponentials):
        residual = simpler(residual)
        if residual == 0:
            return True
    return not _differs_numerically(_named_apart(residual)) and bool(sp.simplify(residual) == 0)


def _named_apart(expression: Any) -> Any:
    """Return the expression with function values and indexed symbols as symbols, if nothing acts on them."""
    if expression.atoms(sp.Sum, sp.Integral, sp.Derivative, sp.Subs):
        return expression
    parts = expression.atoms(sp.core.function.AppliedUndef, sp.Indexed)
    return expression.xreplace(
        {part: sp.Dummy(f"part_{k}", real=True) for k, part in enumerate(sorted(parts, key=str))}
    )


def _as_exponentials(expression: Any) -> Any:
    """Write every power with a symbolic exponent as an exponential, so that a^x and exp(x log a) are seen to agree."""
    powers = expression.replace(
        lambda part: part.is_Pow and not part.exp.is_number and part.base != sp.E,
        lambda part: sp.exp(sp.expand(sp.cancel(part.exp) * sp.expand_log(sp.log(part.base)))),
    )
    powers = powers.replace(sp.exp, lambda argument: sp.exp(sp.expand(argument)))
    return sp.expand(sp.powsimp(sp.expand_log(powers.expand(power_exp=False))), power_exp=False)


def _differs_numerically(expression: Any) -> bool:
    whole = (sp.core.function.AppliedUndef, sp.Sum, sp.Integral, sp.Derivative, sp.Subs, sp.Indexed)
    if not expression.is_commutative or expression.atoms(*whole):
        return False
    for point in rational_points(expression.free_symbols, 2):
        value = expression.evalf(30, subs=point)
        if value.is_number and value.is_finite and abs(value) > 1e-12:
            return True
    return False
