"""Prove that a step follows: ready-made ways, each a sentence and a residual that must vanish.

A residual is computed from the step's own expression and from the steps before it, premises included; nothing in it is
remembered from when the derivation was written. Change any formula and a residual stops vanishing.

>>> x, area, growth = (sp.Symbol(name, positive=True) for name in ("x", "area", "growth"))
>>> slope = by_differentiation("square", x)
>>> earlier = {"square": equation(area, x**2)}
>>> [vanishes(residual) for residual in slope.residual(equation(growth, 2 * x), earlier)]
[True]
>>> [vanishes(residual) for residual in slope.residual(equation(growth, 3 * x), earlier)]
[False]
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

__all__ = [
    "Proof",
    "by_differentiation",
    "by_growth",
    "by_limit",
    "by_putting_back",
    "by_rational_points",
    "by_recursion",
    "by_series",
    "by_substitution",
    "by_summation",
    "definition",
    "difference",
    "equation",
    "premise",
    "proof",
    "rational_points",
    "vanishes",
]

Residual = Callable[[Any, Mapping[str, Any]], Iterable[Any]]


@dataclass(frozen=True)
class Proof:
    """How a step is verified.

    Attributes
    ----------
    how : str
        The way, as a sentence without its full stop, shown in exports.
    residual : callable
        ``residual(expression, earlier)`` with `earlier` the expressions of the steps before, by key; returns
        expressions that must all vanish, or relations that must be true.

    Notes
    -----
    A step holds if all its residuals vanish: zero identically, or a relation that is true (see `vanishes`).

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x, y = sp.symbols("x y")
    >>> square = proof("the square of x", lambda expression, earlier: (expression.rhs - x**2,))
    >>> square.residual(equation(y, 2 + x**2), {})
    (2,)
    """

    how: str
    residual: Residual


def proof(how: str, residual: Residual) -> Proof:
    """Return a proof made for one step.

    Parameters
    ----------
    how : str
        The way, as in `Proof`.
    residual : callable
        ``residual(expression, earlier)``, as in `Proof`.

    Returns
    -------
    Proof

    Notes
    -----
    The step holds where every residual is zero identically, or true.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x, y = sp.symbols("x y")
    >>> proof("twice x", lambda expression, earlier: (expression.rhs - 2 * x,)).residual(equation(y, 2 * x), {})
    (0,)
    """
    return Proof(how, residual)


def premise() -> Proof:
    """Return the mark of a premise: nothing to prove, but later residuals are computed from it."""
    return Proof("premise", lambda _expression, _earlier: ())


def definition() -> Proof:
    """Return the mark of a definition: it gives something a name, and later residuals are computed from it."""
    return Proof("definition", lambda _expression, _earlier: ())


def difference(expression: Any) -> Any:
    """Return what has to vanish for an expression to hold: left side minus right side.

    >>> x = sp.Symbol("x")
    >>> difference(sp.Eq(x, 2))
    x - 2
    """
    return expression.lhs - expression.rhs if isinstance(expression, sp.core.relational.Relational) else expression


def equation(left: Any, right: Any) -> Any:
    """Return left = right, with both sides as they are.

    >>> x = sp.Symbol("x")
    >>> equation(x + x, 2)
    Eq(2*x, 2)
    """
    return sp.Eq(left, right, evaluate=False)


def _replaced(expression: Any, keys: Iterable[str], earlier: Mapping[str, Any]) -> Any:
    for key in keys:
        expression = expression.subs(earlier[key].lhs, earlier[key].rhs)
    return expression


def by_substitution(*keys: str) -> Proof:
    """Return a proof that both sides agree once the named steps, in order, are put in for their left sides."""

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (_replaced(difference(expression), keys, earlier).doit(),)

    return Proof("the difference of both sides simplifies to zero", residual)


def by_summation(*keys: str) -> Proof:
    """Return a proof that sums over weights agree term by term.

    The named steps come in two kinds. Those with an indexed left side (such as w'_i = ...) are put in; the others
    define a sum (R = sum of w_i^2), whose term may stand for the name, since a sum is linear in its terms.
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        rules = [earlier[key] for key in keys]
        named = difference(expression)
        for rule in rules:
            if not isinstance(rule.lhs, sp.Indexed):
                named = named.subs(rule.lhs, rule.rhs)
        if len({part.limits for part in named.atoms(sp.Sum)}) != 1:
            return (sp.false,)
        total = sp.S.Zero
        for part in sp.Add.make_args(sp.expand(named)):
            sums = part.atoms(sp.Sum)
            coefficient = part.subs(dict.fromkeys(sums, 1)) if len(sums) == 1 else sp.nan
            if coefficient * sp.Mul(*sums) != part:
                return (sp.false,)
            total += coefficient * sums.pop().function
        for rule in rules:
            if isinstance(rule.lhs, sp.Indexed):
                total = total.subs(rule.lhs, rule.rhs)
        return (sp.expand(total),)

    return Proof("sums compared term by term: the difference expands to zero", residual)


def by_putting_back(key: str, *more: str, fixed: Mapping[Any, Any] | None = None) -> Proof:
    """Return a proof that a solution (left side: the unknown) fulfils the named equation.

    `more` names steps put in afterwards. `fixed` maps further unknowns of the equation to what they equal at the
    solution, such as {R_next: R} for the fixed point of a recursion.
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        equation = earlier[key].subs(fixed or {})
        left = difference(equation).subs(expression.lhs, expression.rhs)
        return (_replaced(left.doit(), more, earlier).doit(),)

    return Proof("put back into its equation, which it fulfils", residual)


def by_differentiation(key: str, variable: Any, *more: str) -> Proof:
    """Return a proof that the right side is the derivative of the named step's right side."""

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (_replaced(sp.diff(earlier[key].rhs, variable) - expression.rhs, more, earlier),)

    return Proof(f"derivative of an earlier step with respect to {variable}", residual)


def by_recursion(key: str, counter: Any, start: Any, *more: str) -> Proof:
    """Return a proof that a closed form (left: a function of the counter) obeys a recursion and begins at `start`."""

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        def closed(at: Any) -> Any:
            return expression.rhs.subs(counter, at)

        recursion = difference(earlier[key]).replace(expression.lhs.func, closed)
        return (_replaced(sp.expand(recursion), more, earlier), closed(0) - start)

    return Proof("put back into its recursion, which it fulfils, and right at the start", residual)


def by_growth(variable: Any, start: Any = 0, small: Mapping[Any, Any] | None = None) -> Proof:
    """Return a proof of left <= right: equal at `start`, and the difference grows with the (positive) variable.

    `small` writes symbols as functions of the variable, so that the sign of the derivative can be read off.
    """

    def residual(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        if expression.func is not sp.Le:
            return (sp.false,)
        gap = (expression.rhs - expression.lhs).subs(small or {})
        slope = sp.factor(sp.cancel(sp.together(sp.diff(gap, variable))))
        return (sp.limit(gap, variable, start), sp.true if slope.is_nonnegative else sp.false)

    return Proof(f"both sides agree at {variable} = {start} and their difference never falls", residual)


def by_limit(key: str, variable: Any, point: Any, direction: str = "+") -> Proof:
    """Return a proof that the right side is the limit of the named step's right side."""

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.limit(earlier[key].rhs, variable, point, direction) - expression.rhs,)

    return Proof(f"limit of an earlier step for {variable} to {point}", residual)


def by_series(key: str, variable: Any, order: int, small: Mapping[Any, Any] | None = None) -> Proof:
    """Return a proof that the right side is the named step's right side up to (not including) variable**order.

    `small` maps symbols to what they are in terms of `variable`, for products that are small together.
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        exact = earlier[key].rhs.subs(small or {})
        return (sp.series(exact, variable, 0, order).removeO() - expression.rhs.subs(small or {}),)

    return Proof(f"series of an earlier step in {variable}", residual)


def by_rational_points(*keys: str, count: int = 40, least: Mapping[Any, Any] | None = None) -> Proof:
    """Return a proof by exact evaluation at many rational points, for what SymPy cannot simplify."""

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        left = _replaced(difference(expression), keys, earlier)
        values = (left.subs(point).doit() for point in rational_points(left.free_symbols, count, least))
        return tuple(value if value.is_Rational else sp.false for value in values)

    return Proof(f"holds exactly at {count} rational points", residual)


def rational_points(symbols: Iterable[Any], count: int, least: Mapping[Any, Any] | None = None) -> list[dict[Any, Any]]:
    """Return points with small rational coordinates, the same at every call, inside the symbols' assumptions.

    Positive symbols get values between 0 and 1, integers between 2 and 9 (or from their `least`), others any sign.

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

    An expression that is clearly not zero at two points is refused at once; what is left has to become 0 under
    `expand`, `cancel` or, as the last resort, `simplify`.

    >>> x = sp.Symbol("x", positive=True)
    >>> vanishes((x + 1) ** 2 - x**2 - 2 * x - 1), vanishes(x - 1)
    (True, False)
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
