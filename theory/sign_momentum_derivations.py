"""Derive the equilibrium of optimizers that take the sign of filtered gradients: Signum and Lion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .green_kubo import (
    CORRELATION_SUM,
    CORRELATION_TIME,
    GREEN_KUBO,
    MANY_WEIGHTS,
    NORM_SQUARED_LEADING,
    ONE_MINUS_COSINE,
    SUMMED_LAG,
    UPDATE_POWER,
)
from .lag_sums import LAG, lag_sums
from .nonlinear_optimizers import BETA1, BETA2
from .notation import quantity, symbols_of
from .proofs import by_recursion, equation, premise, proof
from .registry import by_derivation, derivation, derive
from .steps import Step
from .validity import STABLE, forgets

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights = symbols_of("lr weight_decay n_weights")
_stationary, _angle, _momentum = symbols_of("norm_squared_stationary angular_update momentum")
_EPS = _lr * _weight_decay
_power, _sum, _time, _turn = (
    UPDATE_POWER.symbol,
    CORRELATION_SUM.symbol,
    CORRELATION_TIME.symbol,
    ONE_MINUS_COSINE.symbol,
)
_k = LAG


@derivation("optimizer-signum")
def _signum() -> Derivation:
    """Derive the equilibrium of Signum, the sign of momentum, with decoupled decay."""
    correlation = sp.Function("momentum_correlation")
    recall = quantity("momentum_correlation", r"\rho_{m}", "ρ_m", "1", "autocorrelation of the momentum", real=True)
    counter = sp.Symbol("lag_from_zero", integer=True, nonnegative=True)
    zero_based = quantity(
        "lag_from_zero", "k", "k", "1", "steps between two updates, from 0", integer=True, nonnegative=True
    )
    begin = (
        Step(
            "memory",
            "The momentum keeps the part μ of itself; new gradients are independent of it.",
            equation(correlation(counter + 1), _momentum * correlation(counter)),
            premise(),
        ),
        Step(
            "correlation",
            "So its autocorrelation is",
            equation(correlation(counter), _momentum**counter),
            by_recursion("memory", counter, 1),
        ),
    )
    return _sign_of_filter(
        "signum",
        "Signum",
        begin,
        lambda earlier: earlier["correlation"].rhs.subs(counter, _k),
        _momentum**_k,
        conditions=(forgets(_momentum),),
        references=("bernstein2018", "price1958"),
        quantities=(recall, zero_based),
    )


@derivation("optimizer-lion")
def _lion() -> Derivation:
    """Derive the equilibrium of Lion, the sign of a mean of gradient and momentum, with decoupled decay."""
    b1, b2 = BETA1.symbol, BETA2.symbol
    shift = quantity("B", "B", "B", "1", "backshift", real=True)
    transfer = quantity("transfer", "H", "H", "1", "filter whose sign is the update", real=True)
    power = quantity(
        "mean_power",
        "r_{0}",
        "r_0",
        "1",
        "variance of what the sign is taken of, for white noise of power 1",
        positive=True,
    )
    first = quantity(
        "mean_covariance", "r_{1}", "r_1", "1", "covariance of what the sign is taken of, one step apart", positive=True
    )
    recall = quantity(
        "mean_correlation", r"\rho_{c}", "ρ_c", "1", "autocorrelation of what the sign is taken of", real=True
    )
    B = shift.symbol
    newest, oldest = 1 - b1, b1 * (1 - b2)
    r_0 = newest**2 + oldest**2 / (1 - b2**2)
    r_1 = newest * oldest + oldest**2 * b2 / (1 - b2**2)

    def squares(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        rising = sp.diff(earlier["filter"].rhs, B)
        ratio = sp.cancel(sp.diff(rising, B).subs(B, 0) / 2 / rising.subs(B, 0))
        begin, then = earlier["filter"].rhs.subs(B, 0), rising.subs(B, 0)
        return (sp.cancel(expression.rhs - begin**2 - then**2 / (1 - ratio**2)),)

    def spectrum(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        both = earlier["filter"].rhs * earlier["filter"].rhs.subs(B, 1 / B)
        half = expression.rhs * B / (1 - b2 * B)
        return (sp.cancel(sp.together(both - earlier["power"].rhs - half - half.subs(B, 1 / B))),)

    begin = (
        Step(
            "filter",
            "Lion takes the sign of beta1 times its buffer plus 1 − beta1 times the gradient.",
            equation(transfer.symbol, (1 - b1) + b1 * (1 - b2) * B / (1 - b2 * B)),
            premise(),
        ),
        Step(
            "power",
            "The squares of this filter's coefficients add up to",
            equation(power.symbol, r_0),
            proof("the first squared, and a geometric series", squares),
        ),
        Step(
            "covariance",
            "the products of neighbouring ones to",
            equation(first.symbol, r_1),
            proof("H(B) H(1/B) is the variance plus S(B) + S(1/B), with S = covariance · B / (1 − beta2·B)", spectrum),
        ),
        Step(
            "correlation",
            "and from then on they fall off geometrically.",
            equation(recall.symbol, b2 ** (_k - 1) * r_1 / r_0),
            proof(
                "coefficients of powers of B in that S, over the variance",
                lambda expression, earlier: (
                    expression.rhs - b2 ** (_k - 1) * earlier["covariance"].rhs / earlier["power"].rhs,
                ),
            ),
        ),
    )
    return _sign_of_filter(
        "lion",
        "Lion",
        begin,
        lambda earlier: earlier["correlation"].rhs,
        b2 ** (_k - 1) * r_1 / r_0,
        conditions=tuple(forgets(symbol) for symbol in (b1, b2)),
        references=("chen2023lion", "price1958"),
        quantities=(shift, transfer, power, first, recall, BETA1, BETA2),
    )


def _sign_of_filter(
    name: str,
    title: str,
    begin: tuple[Step, ...],
    correlation: Any,
    rho: Any,
    *,
    conditions: tuple[Condition, ...],
    references: tuple[str, ...],
    quantities: tuple[Any, ...],
) -> Derivation:
    """Finish the derivation of an optimizer that takes the sign of filtered Gaussian gradients."""
    signs = quantity("sign_correlation", "q", "q", "1", "correlation of the signs", real=True)
    total = quantity(
        f"{name}_lag_sum",
        r"\Sigma",
        "Σ",
        "1",
        "sum over lags k of k^m a^(k−1) times the autocorrelation, as a function of (m, a, ...)",
        real=True,
    )
    autocorrelation = 2 / sp.pi * sp.asin(rho)
    lag_sum = lag_sums(f"{name}_lag_sum", autocorrelation)
    at_one, exactly = lag_sum(0, sp.S.One), lag_sum(0, 1 - _EPS)

    def arcsine(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        law = derive("arcsine-law").results["sign_correlation"]
        (argument,) = law.free_symbols
        return (expression.rhs - law.subs(argument, correlation(earlier)),)

    steps = (
        *begin,
        Step(
            "signs",
            "Signs of Gaussian numbers follow the arcsine law.",
            equation(signs.symbol, autocorrelation),
            proof("proven in the derivation arcsine-law, with the autocorrelation put in", arcsine),
        ),
        Step(
            "sum",
            "Name their sum over lags.",
            equation(at_one, sp.Sum(autocorrelation, (_k, 1, sp.oo))),
            proof(
                "the terms are those of the step before, and the function's values those of the sum",
                lambda expression, earlier: (expression.rhs.function - earlier["signs"].rhs, _evaluates(expression)),
            ),
        ),
        Step(
            "time",
            "The autocorrelation time is",
            equation(_time, 1 + 2 * at_one),
            proof("1 and twice that sum", lambda expression, earlier: (expression.rhs - 1 - 2 * earlier["sum"].lhs,)),
        ),
        Step(
            "update-power",
            "Every weight moves by one unit in either direction.",
            equation(_power, _n_weights),
            premise(),
        ),
        Step(
            "size",
            "Green and Kubo's relation gives the squared norm, exactly,",
            equation(
                _stationary,
                _lr * _n_weights * (1 + 2 * (1 - _EPS) * exactly) / (_weight_decay * (2 - _EPS)),
            ),
            by_derivation("green-kubo", "norm_squared_stationary", "update-power", put_in={_sum: exactly}),
        ),
        Step(
            "cosine",
            "the rotation,",
            equation(_turn, _EPS - _EPS * (2 - _EPS) * exactly / (1 + 2 * (1 - _EPS) * exactly)),
            by_derivation("green-kubo", "one_minus_cosine", put_in={_sum: exactly}),
        ),
        Step(
            "size-leading",
            "and to leading order the squared norm",
            equation(NORM_SQUARED_LEADING.symbol, _lr * _n_weights * (1 + 2 * at_one) / (2 * _weight_decay)),
            by_derivation("green-kubo", "norm_squared_leading", "update-power", "time"),
        ),
        Step(
            "angle",
            "and the angle.",
            equation(_angle, sp.sqrt(2 * _EPS) / sp.sqrt(1 + 2 * at_one)),
            by_derivation("green-kubo", "angular_update", "time"),
        ),
    )
    found = {step.key: step.expression for step in steps}
    results = ("size", "cosine", "size-leading", "angle", "time")
    return Derivation(
        name=f"optimizer-{name}",
        title=f"Equilibrium of {title} with decoupled decay on random gradients",
        assumptions=("Gradients are Gaussian white noise, with any standard deviation in each weight.", MANY_WEIGHTS),
        steps=steps,
        equation=found["size"],
        results={str(found[part].lhs): found[part].rhs for part in results},
        conditions=(*conditions, STABLE),
        references=references,
        quantities=(*GREEN_KUBO, NORM_SQUARED_LEADING, SUMMED_LAG, signs, total, *quantities),
    )


def _evaluates(expression: Any) -> Any:
    """Return true if a function that stands for a sum over lags has the values of the sum at a few points."""
    (limits,) = expression.rhs.limits
    if limits != sp.Tuple(_k, 1, sp.oo):
        return sp.false
    own = sorted(expression.lhs.free_symbols, key=str)
    function, term = sp.lambdify(own, expression.lhs), sp.lambdify((_k, *own), expression.rhs.function)
    lags = np.arange(1.0, 400.0)
    agree = [
        np.isclose(float(function(*point)), np.sum(term(lags, *point)), rtol=1e-10)
        for point in (np.linspace(0.5, 0.8, len(own)), np.linspace(0.7, 0.6, len(own)))
    ]
    return sp.true if all(agree) else sp.false
