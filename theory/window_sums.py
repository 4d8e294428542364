"""Add up over a window of steps: what changes cancels but for the window's two ends, what remains becomes a mean."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import Quantity, quantity, symbols_of
from .proofs import Proof, by_limit, definition, difference, equation, proof
from .registry import derive
from .steps import Step
from .validity import exactly_where

__all__ = [
    "DECAY_PULL",
    "END",
    "STEP",
    "at_step",
    "by_adding_up",
    "by_long_window",
    "changes_over_window",
    "mean_over_window",
    "window_derivation",
]

_weight_decay, _n_steps = symbols_of("weight_decay n_steps")

STEP = quantity("step", "k", "k", "1", "number of a step, counted from the beginning of the window", integer=True)
END = quantity("norm_squared_end", "R_{T}", "R_T", "weight²", "squared norm after the window", positive=True)
DECAY_PULL = quantity(
    "decay_pull", "D", "D", "loss", "λ⟨w, w⟩: what decay does to the norm, mean over the window", nonnegative=True
)
_k = STEP.symbol
_WINDOW = (_k, 0, _n_steps - 1)
_AT_LEAST_ONE = Condition(
    _n_steps >= 1, "a window has at least one step", exactly_where("the number of steps that means are over", _n_steps)
)


def mean_over_window(name: Any, function: Any, key: str, sentence: str) -> Step:
    """Return the step that defines a quantity's mean over the steps of the window.

    Parameters
    ----------
    name : sympy.Symbol
        The mean.
    function : sympy.Function
        The quantity by number of the step.
    key, sentence : str
        Of the step.

    Returns
    -------
    Step

    Notes
    -----
    mean = (1/T) sum of f(k) for k from 0 to T - 1.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> mean_over_window(sp.Symbol("mean"), sp.Function("pull"), "mean", "The mean pull is").expression
    Eq(mean, Sum(pull(step), (step, 0, n_steps - 1))/n_steps)
    """
    return Step(key, sentence, equation(name, sp.Sum(function(_k), _WINDOW) / _n_steps), definition())


def changes_over_window(function: Any, start: Any, end: Any, key: str, sentence: str) -> list[Step]:
    """Return the steps that name a quantity at both ends of the window, and add up its changes.

    Parameters
    ----------
    function : sympy.Function
        The quantity by number of the step.
    start, end : sympy.Symbol
        Its value before the first and after the last step.
    key, sentence : str
        Beginning of the keys, and sentence of the first step.

    Returns
    -------
    list of three Step

    Notes
    -----
    sum of f(k+1) - f(k) for k from 0 to T - 1 is f(T) - f(0), proven by induction.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> before, after = sp.symbols("before after")
    >>> changes_over_window(sp.Function("norm"), before, after, "norm", "Before the window")[2].expression
    Eq(Sum(-norm(step) + norm(step + 1), (step, 0, n_steps - 1)), after - before)
    """

    def telescopes(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (total,) = expression.lhs.atoms(sp.Sum)
        closed = expression.rhs.subs(
            {earlier[f"{key}-{place}"].lhs: earlier[f"{key}-{place}"].rhs for place in ("start", "end")}
        )
        return (
            expression.lhs - total,
            closed.subs(_n_steps, 0),
            closed.subs(_n_steps, _n_steps + 1) - closed - total.function.subs(_k, _n_steps),
            *(bound - wanted for bound, wanted in zip(total.limits[0], _WINDOW, strict=True)),
        )

    return [
        Step(f"{key}-start", sentence, equation(start, function(0)), definition()),
        Step(f"{key}-end", "and after its last step", equation(end, function(_n_steps)), definition()),
        Step(
            f"{key}-change",
            "Its changes add up to the difference of the two:",
            equation(sp.Sum(function(_k + 1) - function(_k), _WINDOW), end - start),
            proof("induction: right for no step, and one more step adds its change to both sides", telescopes),
        ),
    ]


def by_adding_up(key: str, means: tuple[str, ...], changes: tuple[str, ...]) -> Proof:
    """Return a proof that a law of one step, linear in what changes, was added up over the window and divided by it.

    Parameters
    ----------
    key : str
        Key of the law of one step.
    means : tuple of str
        Keys of the steps of `mean_over_window`.
    changes : tuple of str
        Keys of the last steps of `changes_over_window`.

    Returns
    -------
    Proof

    Notes
    -----
    Means stand for sums over T, changes for their ends; what is left of the law of one step has to vanish.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> window = derive("window-balance")
    >>> window.check()
    >>> len([step for step in window.steps if step.proof.how.startswith("added up over the window")])
    1
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        left, added = sp.expand(difference(earlier[key])), sp.S.Zero
        for name in changes:
            (total,) = earlier[name].lhs.atoms(sp.Sum)
            later = next(part for part in sp.Add.make_args(total.function) if part.has(_k + 1))
            factor = left.coeff(later)
            left = sp.expand(left - factor * total.function)
            added += factor * earlier[name].rhs / _n_steps
        for name in means:
            (total,) = earlier[name].rhs.atoms(sp.Sum)
            factor = left.coeff(total.function)
            left = sp.expand(left - factor * total.function)
            added += factor * earlier[name].lhs
            if total / _n_steps != earlier[name].rhs or total.limits[0] != sp.Tuple(*_WINDOW):
                return (sp.false,)
        return (left, difference(expression) - added)

    return proof("added up over the window and divided by its steps, term by term", residual)


def at_step(name: str, key: str, values: Mapping[str, Any]) -> Proof:
    """Return a proof that an equation is a step of another derivation, with the values of step k put in by name.

    Parameters
    ----------
    name, key : str
        The derivation and its step.
    values : mapping of str to sympy.Expr
        What stands for its symbols here, such as a function of k.

    Returns
    -------
    Proof

    Notes
    -----
    Symbols without a value stay as they are.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> floor = derive("number-format-floor").step("floor").expression
    >>> at_step("number-format-floor", "floor", {}).residual(floor, {})
    (0, 0)
    """

    def residual(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        there = derive(name).step(key).expression
        put_in = {symbol: values[symbol.name] for symbol in there.free_symbols if symbol.name in values}
        there = there.subs(put_in, simultaneous=True)
        return (expression.lhs - there.lhs, expression.rhs - there.rhs)

    return proof(f"proven in the derivation {name}, at step k", residual)


def by_long_window(key: str, stationary: Callable[[], Any]) -> Proof:
    """Return a proof that a law is the limit of the named one for a long window, and the law of a stationary run.

    Parameters
    ----------
    key : str
        Key of the law over a window.
    stationary : callable
        Returns the stationary squared norm of another derivation; times weight_decay it has to be the limit.

    Returns
    -------
    Proof

    Notes
    -----
    Ends stay bounded and drop out as 1/T.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> size = sp.Symbol("size", positive=True)
    >>> window = {"mean": equation(DECAY_PULL.symbol, size * (1 + 1 / _n_steps))}
    >>> by_long_window("mean", lambda: size / _weight_decay).residual(equation(DECAY_PULL.symbol, size), window)
    (0, 0)
    """
    limit = by_limit(key, _n_steps, sp.oo, "-")

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (*limit.residual(expression, earlier), _weight_decay * stationary() - expression.rhs)

    return proof("limit for many steps, and the same as proven for stationary runs", residual)


def window_derivation(
    name: str,
    title: str,
    optimizer: str,
    steps: list[Step],
    results: Mapping[str, str],
    *,
    conditions: tuple[Condition, ...],
    quantities: tuple[Quantity, ...],
    references: tuple[str, ...],
) -> Derivation:
    """Return the derivation of a balance over a window; its results are named with the keys of their steps.

    Parameters
    ----------
    name, title : str
        As in `Derivation`.
    optimizer : str
        The assumption that says what makes the steps.
    steps : list of Step
        One of them has the key "balance".
    results : mapping of str to str
        Result -> key of its step.
    conditions, quantities, references : tuple
        As in `Derivation`; what all windows have is added.

    Returns
    -------
    Derivation

    Notes
    -----
    lr and weight_decay stay the same within the window; nothing has to be stationary, and mini-batches may be drawn in
    any way: the pull is that of the batch that makes the step.

    References
    ----------
    yaida2018 for the stationary form with momentum; over a window, our own derivation.

    Examples
    --------
    >>> float(derive("window-balance").numeric("noise_term", gradient_power=2.0, lr=0.1, weight_decay=1e-4).round(6))
    0.100001
    """
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name=name,
        title=title,
        assumptions=(
            optimizer,
            "Learning rate and decay stay the same within the window; nothing has to be stationary.",
            "The pull is that of the mini-batch that makes the step, at the weights before the step.",
        ),
        steps=tuple(steps),
        equation=found["balance"],
        results={result: found[key].rhs for result, key in results.items()},
        conditions=(*conditions, _AT_LEAST_ONE),
        zero_allowed=frozenset(
            {"weight_decay", "momentum", "gradient_power", "buffer_power", "norm_squared_start", "norm_squared_end"}
        ),
        references=references,
        quantities=(STEP, END, DECAY_PULL, *quantities),
    )
