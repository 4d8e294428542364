"""Prove that a step follows: ready-made ways, each a sentence and a residual that must vanish.

A residual is computed from the step's own expression and from the steps before it, premises included; nothing in it is
remembered from when the derivation was written. Change any formula and a residual stops vanishing.

>>> from weightdecay.theory.vanishing import vanishes
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

from .vanishing import rational_points

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
    """Return the mark of a premise: nothing to prove, but later residuals are computed from it.

    Returns
    -------
    Proof

    Notes
    -----
    What a derivation takes for granted; its assumptions say the same in words.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> premise().how, len(premise().residual(sp.true, {}))
    ('premise', 0)
    """
    return Proof("premise", lambda _expression, _earlier: ())


def definition() -> Proof:
    """Return the mark of a definition: it gives something a name, and later residuals are computed from it.

    Returns
    -------
    Proof

    Notes
    -----
    A definition cannot be wrong, only unused.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> definition().how, len(definition().residual(sp.true, {}))
    ('definition', 0)
    """
    return Proof("definition", lambda _expression, _earlier: ())


def difference(expression: Any) -> Any:
    """Return what has to vanish for an expression to hold: left side minus right side.

    Parameters
    ----------
    expression : sympy.Basic
        An equation, another relation, or an expression that is to vanish itself.

    Returns
    -------
    sympy.Expr

    Notes
    -----
    An expression that is no relation comes back as it is.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x = sp.Symbol("x")
    >>> difference(sp.Eq(x, 2))
    x - 2
    """
    return expression.lhs - expression.rhs if isinstance(expression, sp.core.relational.Relational) else expression


def equation(left: Any, right: Any) -> Any:
    """Return left = right, with both sides as they are.

    Parameters
    ----------
    left, right : sympy.Expr
        The sides.

    Returns
    -------
    sympy.Eq

    Notes
    -----
    Unevaluated, so that an identity stays an equation and does not become true.

    References
    ----------
    Our own derivation.

    Examples
    --------
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
    """Return a proof that both sides agree once the named steps, in order, are put in for their left sides.

    Parameters
    ----------
    *keys : str
        Keys of earlier steps.

    Returns
    -------
    Proof

    Notes
    -----
    The residual is left minus right, after the substitutions and with integrals and derivatives worked out.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x, y, z = sp.symbols("x y z")
    >>> by_substitution("square").residual(equation(z * y, z * x**2 + 1), {"square": equation(y, x**2)})
    (-1,)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (_replaced(difference(expression), keys, earlier).doit(),)

    return Proof("the difference of both sides simplifies to zero", residual)


def by_summation(*keys: str) -> Proof:
    """Return a proof that sums over weights agree term by term.

    Parameters
    ----------
    *keys : str
        Keys of earlier steps of two kinds. Those with an indexed left side (such as w'_i = ...) are put in; the others
        define a sum (R = sum of w_i^2), whose term may stand for the name, since a sum is linear in its terms.

    Returns
    -------
    Proof

    Notes
    -----
    All sums have to run over one and the same range; then what is summed has to vanish for each entry.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> w, i, count = sp.IndexedBase("w"), sp.Symbol("i", integer=True), sp.Symbol("count", integer=True)
    >>> total = sp.Symbol("total")
    >>> earlier = {"all": equation(total, sp.Sum(w[i] ** 2, (i, 1, count)))}
    >>> four_times = equation(4 * total, sp.Sum((2 * w[i]) ** 2, (i, 1, count)))
    >>> by_summation("all").residual(four_times, earlier)
    (0,)
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

    Parameters
    ----------
    key : str
        Key of the step that has the equation.
    *more : str
        Keys of steps put in afterwards.
    fixed : mapping of sympy.Expr to sympy.Expr, optional
        Further unknowns of the equation and what they equal at the solution, such as {R_next: R} for the fixed point of
        a recursion.

    Returns
    -------
    Proof

    Notes
    -----
    That it is the only solution is not shown; where it matters, the derivation says so.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x, y = sp.symbols("x y", positive=True)
    >>> by_putting_back("root").residual(equation(y, 2 * x), {"root": equation(y**2, 4 * x**2)})
    (0,)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        equation = earlier[key].subs(fixed or {})
        left = difference(equation).subs(expression.lhs, expression.rhs)
        return (_replaced(left.doit(), more, earlier).doit(),)

    return Proof("put back into its equation, which it fulfils", residual)


def by_differentiation(key: str, variable: Any, *more: str) -> Proof:
    """Return a proof that the right side is the derivative of the named step's right side.

    Parameters
    ----------
    key : str
        Key of the step that is differentiated.
    variable : sympy.Symbol
        With respect to what.
    *more : str
        Keys of steps put in afterwards.

    Returns
    -------
    Proof

    Notes
    -----
    The left side only names the derivative.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x, y, z = sp.symbols("x y z")
    >>> by_differentiation("square", x).residual(equation(z, 2 * x), {"square": equation(y, x**2)})
    (0,)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (_replaced(sp.diff(earlier[key].rhs, variable) - expression.rhs, more, earlier),)

    return Proof(f"derivative of an earlier step with respect to {variable}", residual)


def by_recursion(key: str, counter: Any, start: Any, *more: str) -> Proof:
    """Return a proof that a closed form (left: a function of the counter) obeys a recursion and begins at `start`.

    Parameters
    ----------
    key : str
        Key of the step that has the recursion.
    counter : sympy.Symbol
        Number of the step, from 0.
    start : sympy.Expr
        The value at 0.
    *more : str
        Keys of steps put in afterwards.

    Returns
    -------
    Proof

    Notes
    -----
    Two residuals: the recursion with the closed form in it, and the value at 0 less the start. That is induction.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> k, f = sp.Symbol("k", integer=True), sp.Function("f")
    >>> doubling = {"twice": equation(f(k + 1), 2 * f(k))}
    >>> by_recursion("twice", k, 3).residual(equation(f(k), 3 * 2**k), doubling)
    (0, 0)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        def closed(at: Any) -> Any:
            return expression.rhs.subs(counter, at)

        recursion = difference(earlier[key]).replace(expression.lhs.func, closed)
        return (_replaced(sp.expand(recursion), more, earlier), closed(0) - start)

    return Proof("put back into its recursion, which it fulfils, and right at the start", residual)


def by_growth(variable: Any, start: Any = 0, small: Mapping[Any, Any] | None = None) -> Proof:
    """Return a proof of left <= right: equal at `start`, and the difference grows with the (positive) variable.

    Parameters
    ----------
    variable : sympy.Symbol
        What grows.
    start : number, optional
        Where both sides agree.
    small : mapping of sympy.Symbol to sympy.Expr, optional
        Symbols as functions of the variable, so that the sign of the derivative can be read off.

    Returns
    -------
    Proof

    Notes
    -----
    Two residuals: the limit of right minus left at the start, and whether SymPy knows that its slope is never negative.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x = sp.Symbol("x", positive=True)
    >>> by_growth(x).residual(sp.Le(sp.log(1 + x), x, evaluate=False), {})
    (0, True)
    """

    def residual(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        if expression.func is not sp.Le:
            return (sp.false,)
        gap = (expression.rhs - expression.lhs).subs(small or {})
        slope = sp.factor(sp.cancel(sp.together(sp.diff(gap, variable))))
        return (sp.limit(gap, variable, start), sp.true if slope.is_nonnegative else sp.false)

    return Proof(f"both sides agree at {variable} = {start} and their difference never falls", residual)


def by_limit(key: str, variable: Any, point: Any, direction: str = "+") -> Proof:
    """Return a proof that the right side is the limit of the named step's right side.

    Parameters
    ----------
    key : str
        Key of the step whose limit is taken.
    variable : sympy.Symbol
        What goes to the point.
    point : sympy.Expr
        Where it goes.
    direction : {"+", "-"}, optional
        From above or from below.

    Returns
    -------
    Proof

    Notes
    -----
    SymPy's limit (Gruntz's algorithm) of the step's right side, less this right side.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x, y, z = sp.symbols("x y z", positive=True)
    >>> by_limit("ratio", x, 0).residual(equation(z, 1), {"ratio": equation(y, sp.sin(x) / x)})
    (0,)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.limit(earlier[key].rhs, variable, point, direction) - expression.rhs,)

    return Proof(f"limit of an earlier step for {variable} to {point}", residual)


def by_series(key: str, variable: Any, order: int, small: Mapping[Any, Any] | None = None) -> Proof:
    """Return a proof that the right side is the named step's right side up to (not including) variable**order.

    Parameters
    ----------
    key : str
        Key of the step that is expanded.
    variable : sympy.Symbol
        What is small.
    order : int
        First power left out.
    small : mapping of sympy.Symbol to sympy.Expr, optional
        Symbols in terms of `variable`, for products that are small together.

    Returns
    -------
    Proof

    Notes
    -----
    Taylor's series about 0, less this right side.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x, y, z = sp.symbols("x y z", positive=True)
    >>> by_series("inverse", x, 2).residual(equation(z, 1 - x), {"inverse": equation(y, 1 / (1 + x))})
    (0,)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        exact = earlier[key].rhs.subs(small or {})
        return (sp.series(exact, variable, 0, order).removeO() - expression.rhs.subs(small or {}),)

    return Proof(f"series of an earlier step in {variable}", residual)


def by_rational_points(*keys: str, count: int = 40, least: Mapping[Any, Any] | None = None) -> Proof:
    """Return a proof by exact evaluation at many rational points, for what SymPy cannot simplify.

    Parameters
    ----------
    *keys : str
        Keys of steps put in first.
    count : int, optional
        How many points.
    least : mapping of sympy.Symbol to int, optional
        Smallest value of integer symbols.

    Returns
    -------
    Proof

    Notes
    -----
    No rounding: a value that is not rational counts as a failure. The step says in exports how it was proven.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> x = sp.Symbol("x", positive=True)
    >>> by_rational_points(count=3).residual(equation((1 + x) ** 2, 1 + 2 * x + x**2), {})
    (0, 0, 0)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        left = _replaced(difference(expression), keys, earlier)
        values = (left.subs(point).doit() for point in rational_points(left.free_symbols, count, least))
        return tuple(value if value.is_Rational else sp.false for value in values)

    return Proof(f"holds exactly at {count} rational points", residual)
