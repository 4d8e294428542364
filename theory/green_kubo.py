"""Derive Green and Kubo's relation, weights from the autocorrelation of any updates, and the arcsine law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import by_putting_back, by_substitution, definition, equation, premise, proof
from .registry import derivation
from .steps import Step
from .validity import STABLE, exactly_where

__all__ = [
    "BARE",
    "CORRELATION_SLOPE",
    "CORRELATION_SUM",
    "CORRELATION_TIME",
    "GAUSSIAN",
    "GREEN_KUBO",
    "MANY_WEIGHTS",
    "NORM_SQUARED_LEADING",
    "ONE_MINUS_COSINE",
    "SUMMED_LAG",
    "UPDATE_POWER",
]  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay = symbols_of("lr weight_decay")
_stationary, _angle = symbols_of("norm_squared_stationary angular_update")
_EPS = _lr * _weight_decay

UPDATE_POWER = quantity(
    "update_power", "U^{2}", "U²", "(loss/weight)²", "second moment E‖u‖² of the update", positive=True
)
CORRELATION_SUM = quantity(
    "correlation_sum", r"\Sigma_{a}", "Σ_a", "1", "sum over lags k of (1−ηλ)^(k−1) times the autocorrelation", real=True
)
CORRELATION_TIME = quantity(
    "correlation_time", r"\tau_{u}", "τ_u", "steps", "1 + 2 Σ ρ_k, integrated autocorrelation time", positive=True
)
CORRELATION_SLOPE = quantity(
    "correlation_slope", r"\Sigma_{1}", "Σ_1", "1", "sum over lags k of k times the autocorrelation", real=True
)
ONE_MINUS_COSINE = quantity(
    "one_minus_cosine", "x", "x", "1", "one minus the cosine between consecutive weights", real=True
)
NORM_SQUARED_LEADING = quantity(
    "norm_squared_leading", "R_{1}", "R_1", "weight²", "squared norm to leading order", real=True
)
SUMMED_LAG = quantity("lag", "k", "k", "1", "steps between two updates", positive=True, integer=True)
GREEN_KUBO = (UPDATE_POWER, CORRELATION_SUM, CORRELATION_TIME, ONE_MINUS_COSINE)
GAUSSIAN = "Gradients are Gaussian white noise, with any standard deviation in each weight."
BARE = "The small constant in the denominator is negligible, and bias corrections have died out."
MANY_WEIGHTS = "There are many weights, so that angles are close to their mean."


@derivation("green-kubo")
def _green_kubo() -> Derivation:
    """Derive squared norm and rotation of weights under decoupled decay from the autocorrelation of the updates."""
    weight, update, rho = (sp.Function(name) for name in ("weight", "update", "autocorrelation"))
    total = sp.Function("weighted_sum")
    t = quantity("step", "t", "t", "1", "number of a step", real=True, integer=True)
    lag = SUMMED_LAG
    cross = quantity("cross_moment", "C", "C", "loss", "mean product E⟨w, u⟩ of weights and next update", real=True)
    leading = NORM_SQUARED_LEADING
    correction = quantity("norm_squared_correction", "c_{R}", "c_R", "1", "relative first correction to it", real=True)
    turn = quantity("one_minus_cosine_leading", "x_{1}", "x_1", "1", "x to leading order", real=True)
    others = (
        quantity("weight", "w", "w", "weight", "a weight", real=True),
        quantity("update", "u", "u", "loss / weight", "its update, without decay", real=True),
        quantity("autocorrelation", r"\rho", "ρ", "1", "E⟨u_t, u_t+k⟩ over E‖u‖²", real=True),
        quantity(
            "weighted_sum", r"\Sigma", "Σ", "1", "sum over lags k of a^(k−1) times the autocorrelation", real=True
        ),
        quantity("left", "a", "a", "1", "what decay leaves of a weight in a step", positive=True),
    )
    a = others[-1].symbol
    power, sums, time, slope = (
        line.symbol for line in (UPDATE_POWER, CORRELATION_SUM, CORRELATION_TIME, CORRELATION_SLOPE)
    )
    k, x = lag.symbol, ONE_MINUS_COSINE.symbol
    left = 1 - _EPS
    exact = _lr * power * (1 + 2 * left * sums) / (_weight_decay * (2 - _EPS))
    rotation = _EPS - _EPS * (2 - _EPS) * sums / (1 + 2 * left * sums)

    def unrolls(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (part,) = expression.rhs.atoms(sp.Sum)
        front = expression.rhs / part
        term = part.function
        before = earlier["update"].rhs
        newest = before - left * weight(t.symbol)
        return (
            front * term.subs(k, 1).subs(t.symbol, t.symbol + 1) - newest,
            sp.powsimp(term.subs({k: k + 1}).subs(t.symbol, t.symbol + 1) / term) - before.coeff(weight(t.symbol)),
            sp.true if part.limits == (sp.Tuple(k, 1, sp.oo),) else sp.false,
        )

    def crosses(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (part,) = earlier["unrolled"].rhs.atoms(sp.Sum)
        front = earlier["unrolled"].rhs / part
        product = part.function / update(t.symbol - k) * power * rho(k)
        wanted = earlier["sum"].rhs
        same = sp.powsimp(product / power / wanted.function.subs(a, left)) - 1
        return (same, expression.rhs - front * power * sums, sp.true if wanted.limits == part.limits else sp.false)

    def squares(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        before, moved = earlier["update"].rhs.coeff(weight(t.symbol)), earlier["update"].rhs.coeff(update(t.symbol))
        after = before**2 * _stationary + 2 * before * moved * cross.symbol + moved**2 * power
        return (sp.expand(expression.rhs - after), expression.lhs - _stationary)

    def turns(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        before, moved = earlier["update"].rhs.coeff(weight(t.symbol)), earlier["update"].rhs.coeff(update(t.symbol))
        product = before * _stationary + moved * earlier["cross"].rhs
        return (sp.cancel((expression.rhs - 1 + product / _stationary).subs(_stationary, earlier["size"].rhs)),)

    def near_one(expression: Any, earlier: Mapping[str, Any]) -> Any:
        """Put in the sum over lags to first order in lr*weight_decay."""
        return sp.cancel(sp.together(expression.subs(sums, earlier["near-one"].rhs)))

    def grows(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        ratio = near_one(earlier["size"].rhs / earlier["size-leading"].rhs, earlier)
        return (sp.cancel(sp.diff(ratio, _weight_decay).subs(_weight_decay, 0) * _weight_decay - expression.rhs),)

    def expands(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        term = earlier["sum"].rhs.function
        first = term.subs(a, 1) / rho(k)
        second = sp.diff(term, a).subs(a, 1) / rho(k)
        claimed = expression.rhs.subs({time: 1 + 2 * first, slope: k})
        return (sp.expand(claimed - first + _EPS * second),)

    steps = (
        Step(
            "update",
            "A step decays the weight and moves it by the update.",
            equation(weight(t.symbol + 1), left * weight(t.symbol) - _lr * update(t.symbol)),
            premise(),
        ),
        Step(
            "unrolled",
            "So a weight is the sum of all its updates, decayed since.",
            equation(weight(t.symbol), -_lr * sp.Sum(left ** (k - 1) * update(t.symbol - k), (k, 1, sp.oo))),
            proof("one step more multiplies every term by what decay leaves and adds the newest", unrolls),
        ),
        Step(
            "sum",
            "Name the sum over the autocorrelation in which older updates count less.",
            equation(total(a), sp.Sum(a ** (k - 1) * rho(k), (k, 1, sp.oo))),
            definition(),
        ),
        Step(
            "cross",
            "Weights and the next update then have the mean product",
            equation(cross.symbol, -_lr * power * sums),
            proof("the sum of the weight's updates, each times the next: update power times autocorrelation", crosses),
        ),
        Step(
            "balance",
            "and the squared norm after the step is that before it if",
            equation(_stationary, left**2 * _stationary - 2 * _lr * left * cross.symbol + _lr**2 * power),
            proof("the step squared, in the mean", squares),
        ),
        Step(
            "size",
            "which gives the squared norm, exactly;",
            equation(_stationary, exact),
            by_putting_back("balance", "cross"),
        ),
        Step(
            "cosine",
            "the product of weights before and after a step gives the rotation.",
            equation(x, rotation),
            proof("one minus E⟨w, w'⟩ over the squared norm", turns),
        ),
        Step(
            "near-one",
            "For decay that is slow against the memory of the updates the sum is, to first order,",
            equation(sums, (time - 1) / 2 - _EPS * (slope - (time - 1) / 2)),
            proof("each term expanded at a = 1", expands),
        ),
        Step(
            "size-leading",
            "so that the squared norm goes as",
            equation(leading.symbol, _lr * power * time / (2 * _weight_decay)),
            proof(
                "its ratio to the exact one is 1 at weight decay 0",
                lambda expression, earlier: (
                    near_one(earlier["size"].rhs / expression.rhs, earlier).subs(_weight_decay, 0) - 1,
                ),
            ),
        ),
        Step(
            "size-correction",
            "with the relative first correction",
            equation(correction.symbol, _EPS * (sp.S.Half - 2 * slope / time)),
            proof("series of the ratio of the exact and the leading squared norm in weight decay", grows),
        ),
        Step(
            "cosine-leading",
            "and one minus the cosine as",
            equation(turn.symbol, _EPS / time),
            proof(
                "its ratio to the exact one is 1 at weight decay 0",
                lambda expression, earlier: (
                    near_one(earlier["cosine"].rhs / expression.rhs, earlier).subs(_weight_decay, 0) - 1,
                ),
            ),
        ),
        Step(
            "angle",
            "half the square of a small angle.",
            equation(_angle, sp.sqrt(2 * _EPS / time)),
            proof(
                "half its square is one minus the cosine, and it is positive",
                lambda expression, earlier: (
                    expression.rhs**2 / 2 - earlier["cosine-leading"].rhs,
                    sp.true if expression.rhs.is_positive else sp.false,
                ),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    keys = ("size", "cosine", "size-leading", "size-correction", "cosine-leading", "angle")
    return Derivation(
        name="green-kubo",
        title="Green and Kubo's relation: weights from the autocorrelation of their updates",
        assumptions=(
            "Decay is decoupled.",
            "Updates are stationary, with an autocorrelation that falls off, whatever made them.",
            "Consecutive angles are close to their mean, as they are for many weights.",
        ),
        steps=steps,
        equation=found["balance"],
        results={str(found[key].lhs): found[key].rhs for key in keys},
        fixed_points=({_stationary: exact, cross.symbol: -_lr * power * sums},),
        conditions=(STABLE,),
        zero_allowed=frozenset({"update_power"}),
        references=("kosson2023", "wangaitchison2024"),
        quantities=(
            *(UPDATE_POWER, CORRELATION_SUM, CORRELATION_TIME, CORRELATION_SLOPE, ONE_MINUS_COSINE),
            *(t, lag, cross, leading, correction, turn, *others),
        ),
    )


@derivation("arcsine-law")
def _arcsine_law() -> Derivation:
    """Derive how the signs of two correlated Gaussian numbers are correlated."""
    rho = quantity("rho", r"\rho", "ρ", "1", "correlation of two Gaussian numbers", real=True)
    between = quantity("between", r"\varphi", "φ", "rad", "angle between two directions", positive=True)
    opposite = quantity("opposite", "p_{-}", "p_-", "1", "probability of opposite signs", nonnegative=True)
    signs = quantity("sign_correlation", "q", "q", "1", "mean product of the two signs", real=True)
    direction = quantity("direction", r"\vartheta", "ϑ", "rad", "a random direction in the plane", real=True)
    angle, theta = between.symbol, direction.symbol

    def measured(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        mean = sp.integrate(sp.cos(theta) * sp.cos(theta - angle), (theta, 0, 2 * sp.pi)) / sp.pi
        apart = (
            sp.integrate(1, (theta, sp.pi / 2, sp.pi / 2 + angle)) / sp.pi
        )  # cos(t) < 0 < cos(t - angle), and opposite
        return (expression.rhs - apart, sp.simplify(earlier["projections"].rhs - mean))

    steps = (
        Step(
            "projections",
            "Two Gaussian numbers are a random vector of the plane, isotropic, seen along two directions; their "
            "correlation is the cosine of the angle between these.",
            equation(rho.symbol, sp.cos(angle)),
            premise(),
        ),
        Step(
            "opposite",
            "Their signs differ if the vector's direction falls between the dividing lines, which are as far apart.",
            equation(opposite.symbol, angle / sp.pi),
            proof("the length of the arc between both lines; the correlation is the mean product", measured),
        ),
        Step(
            "product",
            "The mean product of the signs is 1 less twice that,",
            equation(signs.symbol, 1 - 2 * opposite.symbol),
            definition(),
        ),
        Step(
            "angle",
            "or, in the angle,",
            equation(signs.symbol, 1 - 2 * angle / sp.pi),
            by_substitution("product", "opposite"),
        ),
        Step(
            "law",
            "and in the correlation:",
            equation(signs.symbol, 2 * sp.asin(rho.symbol) / sp.pi),
            proof(
                "the same as in the angle, by sin(π/2 − φ) = cos(φ)",
                lambda expression, earlier: (
                    sp.sin(
                        (sp.solve(expression.rhs - signs.symbol, sp.asin(rho.symbol))[0]).subs(
                            signs.symbol, earlier["angle"].rhs
                        )
                    )
                    - earlier["projections"].rhs,
                ),
            ),
        ),
    )
    return Derivation(
        name="arcsine-law",
        title="The arcsine law: correlation of signs",
        assumptions=("The two numbers are jointly Gaussian with mean zero and equal variance.",),
        steps=steps,
        equation=steps[-1].expression,
        results={"sign_correlation": steps[-1].expression.rhs},
        conditions=(
            Condition(
                rho.symbol**2 <= 1,
                "a correlation lies from -1 to 1",
                exactly_where("the determinant of the covariances of two such numbers", 1 - rho.symbol**2, zero=True),
            ),
        ),
        references=("price1958",),
        quantities=(rho, between, opposite, signs, direction),
    )
