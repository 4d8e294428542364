"""Derive the equilibrium of optimizers that take signs: sign descent, Signum and Lion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from .derivation import Derivation, Step, by_derivation, derivation
from .evaluation import Condition
from .green_kubo import CORRELATION_SUM, CORRELATION_TIME, ONE_MINUS_COSINE, UPDATE_POWER
from .lag_sums import LAG, lag_sums
from .nonlinear_optimizers import BETA1, BETA2
from .notation import quantity, symbols_of
from .proofs import by_recursion, definition, equation, premise, proof

__all__ = ["lion", "sign_coupled", "sign_decoupled", "signum"]

_lr, _weight_decay, _n_weights, _gradient_power = symbols_of("lr weight_decay n_weights gradient_power")
_stationary, _angle, _momentum = symbols_of("norm_squared_stationary angular_update momentum")
_EPS = _lr * _weight_decay
_REGION = Condition(_EPS < 2, "outside this region of stability the weights grow without bound")
_power, _sum, _time, _turn = (
    line.symbol for line in (UPDATE_POWER, CORRELATION_SUM, CORRELATION_TIME, ONE_MINUS_COSINE)
)
_GREEN_KUBO = (UPDATE_POWER, CORRELATION_SUM, CORRELATION_TIME, ONE_MINUS_COSINE)
_LEADING = quantity("norm_squared_leading", "R_{1}", "R_1", "weight²", "squared norm to leading order", real=True)
_k = LAG
_LAG = quantity("lag", "k", "k", "1", "steps between two updates", positive=True, integer=True)
_MANY = "There are many weights, so that angles are close to their mean."


@derivation("optimizer-sign-decoupled")
def sign_decoupled() -> Derivation:
    """Derive the equilibrium of sign descent with decoupled decay, which needs only the signs of the gradients."""
    steps = (
        Step(
            "power",
            "Every weight moves by one unit in either direction, so that the update has the power",
            equation(_power, _n_weights),
            premise(),
        ),
        Step(
            "white",
            "Signs of independent gradients are uncorrelated, and so is their sum over lags.",
            equation(_sum, 0),
            premise(),
        ),
        Step(
            "size",
            "Green and Kubo's relation gives the squared norm, exactly,",
            equation(_stationary, _lr * _n_weights / (_weight_decay * (2 - _EPS))),
            by_derivation("green-kubo", "norm_squared_stationary", "power", "white"),
        ),
        Step(
            "cosine",
            "and the rotation, exactly too,",
            equation(_turn, _EPS),
            by_derivation("green-kubo", "one_minus_cosine", "white"),
        ),
        Step(
            "angle",
            "which is the angle",
            equation(_angle, sp.acos(1 - _EPS)),
            proof(
                "one minus its cosine is the step before",
                lambda expression, earlier: (1 - sp.cos(expression.rhs) - earlier["cosine"].rhs,),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="optimizer-sign-decoupled",
        title="Equilibrium of sign descent with decoupled decay on random gradients",
        assumptions=("Gradients are independent from step to step, and no weight prefers a sign.", _MANY),
        steps=steps,
        equation=found["size"],
        results={str(found[key].lhs): found[key].rhs for key in ("size", "cosine", "angle")},
        conditions=(_REGION,),
        references=("bernstein2018", "kosson2023"),
        quantities=_GREEN_KUBO,
    )


@derivation("optimizer-sign-coupled")
def sign_coupled() -> Derivation:
    """Derive the equilibrium of sign descent with L2 regularization, with its first correction."""
    w = quantity("weight", "w", "w", "weight", "a weight", real=True)
    std = quantity(
        "gradient_std", r"\sigma", "σ", "loss / weight", "standard deviation of a weight's gradient", positive=True
    )
    mean = quantity("mean_update", r"\bar u", "ū", "1", "mean update of a weight, given the weight", real=True)
    near = quantity("mean_update_series", r"\bar u_{3}", "ū_3", "1", "the same up to the third order", real=True)
    product = quantity("mean_product", "M", "M", "weight", "mean product of weight and update", real=True)
    size = quantity("weight_power", "v", "v", "weight²", "second moment of a weight", positive=True)
    rate = quantity("relaxation_rate", r"\kappa", "κ", "1 / step", "rate at which R returns", positive=True)
    sigma, v = std.symbol, size.symbol
    scaled = _weight_decay * w.symbol / sigma
    expected = sp.sqrt(sp.pi / 8) * _lr * sigma / _weight_decay
    correction = sp.sqrt(sp.pi / 2) * _EPS / (4 * sigma)
    small = sp.Dummy("small", positive=True)

    def mean_sign(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        density = sp.exp(-(scaled**2) / 2) / sp.sqrt(2 * sp.pi)
        slope = 2 * density * _weight_decay / sigma
        return (sp.diff(expression.rhs, w.symbol) - slope, expression.rhs.subs(w.symbol, 0))

    def gaussian(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        moments = {2: v, 4: 3 * v**2}
        inside = sp.Poly(w.symbol * earlier["series"].rhs, w.symbol)
        return (expression.rhs - sum(part * moments[power] for (power,), part in inside.terms()),)

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        balance = earlier["balance"].rhs.subs(product.symbol, earlier["moments"].rhs) - v
        left = sp.expand(balance.subs(v, expression.rhs).subs(_lr, small * _lr))
        return (left.coeff(small, 2), left.coeff(small, 3), left.coeff(small, 1))

    steps = (
        Step(
            "mean",
            "With a Gaussian gradient on top of λw, the sign is on average",
            equation(mean.symbol, sp.erf(scaled / sp.sqrt(2))),
            proof("zero at w = 0, with twice the density of the gradient at −λw as its slope", mean_sign),
        ),
        Step(
            "series",
            "which for small weights is",
            equation(near.symbol, sp.sqrt(2 / sp.pi) * (scaled - scaled**3 / 6)),
            proof(
                "series in the weight",
                lambda expression, earlier: (
                    sp.series(earlier["mean"].rhs, w.symbol, 0, 5).removeO() - expression.rhs,
                ),
            ),
        ),
        Step(
            "moments",
            "Weights that are the sum of many steps are Gaussian to this order, with w⁴ three times the square of w².",
            equation(
                product.symbol,
                sp.sqrt(2 / sp.pi) * (_weight_decay * v / sigma - _weight_decay**3 * v**2 / (2 * sigma**3)),
            ),
            proof("moments of a Gaussian put into the series times the weight", gaussian),
        ),
        Step(
            "balance",
            "A step of size lr leaves the second moment as it was if",
            equation(v, v - 2 * _lr * product.symbol + _lr**2),
            premise(),
        ),
        Step(
            "weight",
            "which holds, with the first correction, for",
            equation(v, expected * (1 + correction)),
            proof("put back into the balance, which it fulfils up to the second order beyond the leading one", rests),
        ),
        Step(
            "spread",
            "If all weights of the block have gradients of the same size, that is",
            equation(sigma, sp.sqrt(_gradient_power / _n_weights)),
            definition(),
        ),
        Step(
            "size",
            "and the squared norm sums over the weights: to leading order,",
            equation(_stationary, sp.sqrt(sp.pi / 8) * _lr * sp.sqrt(_n_weights * _gradient_power) / _weight_decay),
            proof(
                "the number of weights times the leading term",
                lambda expression, earlier: (
                    sp.limit(
                        sp.powsimp(expression.rhs / (_n_weights * earlier["weight"].rhs))
                        .subs(sigma, earlier["spread"].rhs)
                        .subs(_lr, small),
                        small,
                        0,
                    )
                    - 1,
                ),
            ),
        ),
        Step(
            "cosine",
            "Every step has the length lr√n, which by itself gives the rotation, exactly,",
            equation(_turn, _lr**2 * _n_weights / (2 * _stationary)),
            proof(
                "the squared length of the step over twice the squared norm",
                lambda expression, earlier: (
                    expression.rhs - _n_weights * earlier["balance"].rhs.coeff(_lr, 2) * _lr**2 / (2 * _stationary),
                ),
            ),
        ),
        Step(
            "angle",
            "and to leading order the angle.",
            equation(_angle, _lr * sp.sqrt(_n_weights / _stationary)),
            proof(
                "half its square is one minus the cosine, and it is positive",
                lambda expression, earlier: (
                    expression.rhs**2 / 2 - earlier["cosine"].rhs,
                    sp.true if expression.rhs.subs(_stationary, v).is_positive else sp.false,
                ),
            ),
        ),
        Step(
            "relaxation",
            "A perturbation of the squared norm returns at the rate",
            equation(rate.symbol, sp.sqrt(8 / sp.pi) * _EPS / sigma),
            proof(
                "minus the slope of the balance, to leading order",
                lambda expression, earlier: (
                    expression.rhs
                    + sp.diff(
                        (earlier["balance"].rhs - v).subs(product.symbol, earlier["moments"].rhs),
                        v,
                    ).subs(v, 0),
                ),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="optimizer-sign-coupled",
        title="Equilibrium of sign descent with L2 regularization on random gradients",
        assumptions=(
            "Gradients are Gaussian white noise.",
            "Decay is slow: lr*weight_decay is small against the standard deviation of a gradient.",
            _MANY,
        ),
        steps=steps,
        equation=found["balance"],
        results={str(found[key].lhs): found[key].rhs for key in ("size", "weight", "cosine", "angle", "relaxation")},
        references=("bernstein2018",),
        quantities=(ONE_MINUS_COSINE, w, std, mean, near, product, size, rate),
    )


@derivation("optimizer-signum")
def signum() -> Derivation:
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
        conditions=(Condition(_momentum < 1, "otherwise the average never forgets a gradient"),),
        references=("bernstein2018", "price1958"),
        quantities=(recall, zero_based),
    )


@derivation("optimizer-lion")
def lion() -> Derivation:
    """Derive the equilibrium of Lion, the sign of a mean of gradient and momentum, with decoupled decay."""
    b1, b2 = BETA1.symbol, BETA2.symbol
    shift = quantity("B", "B", "B", "1", "backshift", real=True)
    transfer = quantity("transfer", "H", "H", "1", "filter whose sign is the update", real=True)
    power = quantity("mean_power", "r_{0}", "r_0", "1", "its variance for white noise of power 1", positive=True)
    first = quantity("mean_covariance", "r_{1}", "r_1", "1", "its covariance one step apart", positive=True)
    recall = quantity("mean_correlation", r"\rho_{c}", "ρ_c", "1", "its autocorrelation", real=True)
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
            "Lion takes the sign of beta1 times its buffer plus 1 − beta1 times the gradient; the buffer is an average.",
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
        conditions=tuple(
            Condition(symbol < 1, "otherwise the average never forgets a gradient") for symbol in (b1, b2)
        ),
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
    total = quantity(f"{name}_lag_sum", r"\Sigma", "Σ", "1", "sum over lags, by (moment, a, ...)", real=True)
    autocorrelation = 2 / sp.pi * sp.asin(rho)
    lag_sum = lag_sums(f"{name}_lag_sum", autocorrelation)
    at_one, exactly = lag_sum(0, sp.S.One), lag_sum(0, 1 - _EPS)

    def arcsine(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        law = by_derivation("arcsine-law", "sign_correlation")
        gap = law.residual(equation(expression.lhs, 0), earlier)[0]
        (argument,) = gap.free_symbols
        return (expression.rhs + gap.subs(argument, correlation(earlier)),)

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
            equation(_LEADING.symbol, _lr * _n_weights * (1 + 2 * at_one) / (2 * _weight_decay)),
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
        assumptions=("Gradients are Gaussian white noise, with any standard deviation in each weight.", _MANY),
        steps=steps,
        equation=found["size"],
        results={str(found[part].lhs): found[part].rhs for part in results},
        conditions=(*conditions, _REGION),
        references=references,
        quantities=(*_GREEN_KUBO, _LEADING, _LAG, signs, total, *quantities),
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
