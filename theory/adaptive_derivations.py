"""Derive the equilibrium of AdamW and RMSprop, and what the fluctuation of their second moment changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from .derivation import Derivation
from .green_kubo import (
    BARE,
    CORRELATION_SUM,
    GAUSSIAN,
    GREEN_KUBO,
    MANY_WEIGHTS,
    NORM_SQUARED_LEADING,
    ONE_MINUS_COSINE,
    SUMMED_LAG,
    UPDATE_POWER,
)
from .lag_sums import LAG
from .nonlinear_optimizers import (
    ADAM_CORRECTION,
    ADAM_COVARIANCE,
    ADAM_POWER,
    BETA1,
    BETA2,
    SMOOTHING,
)
from .notation import quantity, symbols_of
from .proofs import by_substitution, definition, equation, premise, proof
from .registry import by_derivation, derivation, derive
from .steps import Step
from .validity import STABLE, forgets

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights, _gradient_power = symbols_of("lr weight_decay n_weights gradient_power")
_stationary, _angle, _momentum = symbols_of("norm_squared_stationary angular_update momentum")
_EPS = _lr * _weight_decay
_power, _sum, _turn = UPDATE_POWER.symbol, CORRELATION_SUM.symbol, ONE_MINUS_COSINE.symbol
_CORRECTION = quantity("norm_squared_correction", "c_{R}", "c_R", "1", "relative first correction to it", real=True)
_BETAS = tuple(forgets(line.symbol) for line in (BETA1, BETA2))


@derivation("second-moment-fluctuation")
def _second_moment() -> Derivation:
    """Derive to first order in 1 - beta2 how a fluctuating second moment changes the sum of Adam's autocovariances."""
    delta = quantity("one_minus_beta2", r"\delta", "δ", "1", "1 − beta2", positive=True)
    age = quantity("age", "i", "i", "1", "steps from a gradient to the update", nonnegative=True, integer=True)
    lag = quantity("lag", "k", "k", "1", "steps between two updates", positive=True, integer=True)
    one, two = (
        quantity(f"fluctuation_{name}", f"z_{{{name}}}", f"z_{name}", "1", "relative fluctuation of v", real=True)
        for name in ("now", "then")
    )
    root = quantity("inverse_root", "f", "f", "1", "(v v')^(−1/2), up to the second order", real=True)
    mean = quantity("mean_factor", r"\bar f", "f̄", "1", "E[g² (v v')^(−1/2)] to first order in δ", real=True)
    factor = quantity("correction", "c_{u}", "c_u", "1", "correction for δ small against 1/i and 1/k", real=True)
    d, i, k, z, y = delta.symbol, age.symbol, lag.symbol, one.symbol, two.symbol
    scale = sp.Dummy("scale", positive=True)
    kept = sp.Function("kept")
    keeps = quantity("kept", r"\beta_{2}^{\,\cdot}", "β_2^", "1", "what v keeps after steps", positive=True)

    def series(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        exact = ((1 + scale * z) * (1 + scale * y)) ** sp.Rational(-1, 2)
        taken = sum(sp.diff(exact, scale, order).subs(scale, 0) / sp.factorial(order) for order in range(3))
        return (sp.expand(taken - expression.rhs),)

    def averages(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        fourth = 3  # E g^4 of a normal number
        with_gradient = {z: (fourth - 1) * d * kept(i), y: (fourth - 1) * d * kept(i + k)}
        alone = sp.limit((fourth - 1) * d**2 / (1 - (1 - d) ** 2) / d, d, 0) * d  # squares of d beta2^j, times 2
        squares = {z**2: alone, y**2: alone, z * y: kept(k) * alone}
        polynomial = sp.Poly(earlier["root"].rhs, z, y)
        total = sp.S.Zero
        for (first, second), part in polynomial.terms():
            power = z**first * y**second
            total += part * {**with_gradient, **squares, sp.S.One: 1}[power]
        return (sp.expand(total - expression.rhs),)

    steps = (
        Step(
            "root",
            "Write v = 1 + z with gradients of unit variance; up to the second order in the fluctuation,",
            equation(root.symbol, 1 - (z + y) / 2 + 3 * (z**2 + y**2) / 8 + z * y / 4),
            proof("series of ((1 + z)(1 + z'))^(−1/2)", series),
        ),
        Step(
            "mean",
            "The gradient itself is in v: E[g² z] is 2δ times what v keeps of it; E[z²] is δ, E[z z'] is δ times what "
            "is kept over the lag.",
            equation(mean.symbol, 1 - d * (kept(i) + kept(i + k)) + 3 * d / 4 + d * kept(k) / 4),
            proof("moments of a Gaussian put into the series, to first order in δ", averages),
        ),
        Step(
            "kept",
            "What counts happens within the memory of the first moment; if v remembers much longer, it keeps all:",
            equation(kept(k), 1),
            premise(),
        ),
        Step(
            "correction",
            "every product of updates, and so their sum over lags, is multiplied by",
            equation(factor.symbol, 1 - d),
            proof(
                "the mean with everything kept",
                lambda expression, earlier: (
                    sp.expand(_everywhere(earlier["mean"].rhs, earlier["kept"]) - expression.rhs),
                ),
            ),
        ),
        Step("beta", "In Adam's letter,", equation(d, 1 - BETA2.symbol), definition()),
        Step(
            "result",
            "which is beta2 itself, and for RMSprop its smoothing.",
            equation(factor.symbol, BETA2.symbol),
            by_substitution("correction", "beta"),
        ),
    )
    return Derivation(
        name="second-moment-fluctuation",
        title="What the fluctuation of Adam's second moment changes, to first order",
        assumptions=(GAUSSIAN, "1 − beta2 is small against 1 − beta1."),
        steps=steps,
        equation=steps[3].expression,
        results={"correction": steps[5].expression.rhs},
        conditions=_BETAS[1:],
        references=("kingma2015", "kosson2023"),
        quantities=(delta, age, lag, one, two, root, mean, factor, keeps, BETA2),
    )


def _everywhere(expression: Any, rule: Any) -> Any:
    """Put in a rule f(k) = value for every argument of f."""
    return expression.replace(rule.lhs.func, lambda _argument: rule.rhs)


@derivation("optimizer-adamw")
def _adamw() -> Derivation:
    """Derive the equilibrium of AdamW: a moving average of normalized gradients, and the second-moment correction."""
    beta1, beta2 = BETA1.symbol, BETA2.symbol
    total = quantity(
        "second_moment_correction",
        "c_{u}",
        "c_u",
        "1",
        "sum of the autocovariances of a weight's updates over all lags, as a function of (β1, β2)",
    )
    covariance = quantity("adam_autocovariance", "R_{u}", "R_u", "1", "autocovariance of a weight's updates")
    quiet = quantity(
        "norm_squared_quiet", "R_{0}", "R_0", "weight²", "squared norm where the second moment is steady", real=True
    )
    unit = {_momentum: beta1, _gradient_power: _n_weights}
    a = 1 - _EPS
    correction = ADAM_CORRECTION(beta1, beta2)

    def sums(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (limits,) = expression.rhs.limits
        function = sp.lambdify((beta1, beta2), expression.lhs)
        term = sp.lambdify((LAG, beta1, beta2), expression.rhs.function.subs(sp.Abs(LAG), LAG))
        agree = [
            np.isclose(function(*point), 2 * np.sum(term(np.arange(1, 400), *point)) + term(0, *point), rtol=1e-9)
            for point in ((0.5, 0.9), (0.8, 0.95))
        ]
        return (
            sp.true if all(agree) else sp.false,
            sp.true if limits == sp.Tuple(LAG, -sp.oo, sp.oo) else sp.false,
        )

    steps = (
        Step(
            "quiet",
            "With a steady second moment the update is a moving average of gradients of unit variance, a linear filter "
            "(derivation optimizer-ema-decoupled): exactly,",
            equation(
                quiet.symbol,
                _lr
                * _n_weights
                * (1 - beta1)
                * (1 + a * beta1)
                / (_weight_decay * (2 - _EPS) * (1 + beta1) * (1 - a * beta1)),
            ),
            by_derivation("optimizer-ema-decoupled", "norm_squared_stationary", put_in=unit),
        ),
        Step(
            "cosine",
            "and, whatever the scale of the updates, the rotation",
            equation(_turn, _EPS * (1 - beta1) / (1 + a * beta1)),
            by_derivation("optimizer-ema-decoupled", "one_minus_cosine", put_in=unit),
        ),
        Step(
            "total",
            "In general a weight's autocovariances add up to",
            equation(correction, sp.Sum(ADAM_COVARIANCE(sp.Abs(LAG), beta1, beta2), (LAG, -sp.oo, sp.oo))),
            proof("the function's values are those of the sum", sums),
        ),
        Step(
            "size",
            "which to leading order is what counts of their power,",
            equation(NORM_SQUARED_LEADING.symbol, _lr * _n_weights * correction / (2 * _weight_decay)),
            proof(
                "the leading order of the moving average, with that sum for its power",
                lambda expression, earlier: (
                    expression.rhs
                    - derive("optimizer-ema-decoupled")
                    .results["norm_squared_leading"]
                    .subs({_gradient_power: _n_weights * earlier["total"].lhs, _momentum: beta1}),
                ),
            ),
        ),
        Step(
            "correction",
            "with the first correction in the decay per step",
            equation(_CORRECTION.symbol, _EPS * (sp.S.Half - 2 * beta1 / (1 - beta1**2))),
            by_derivation("optimizer-ema-decoupled", "norm_squared_correction", put_in=unit),
        ),
        Step(
            "angle",
            "and the angle.",
            equation(_angle, sp.sqrt(2 * _EPS * (1 - beta1) / (1 + beta1))),
            proof(
                "half its square is one minus the cosine at weight decay 0, and it is positive",
                lambda expression, earlier: (
                    sp.cancel(expression.rhs**2 / (2 * earlier["cosine"].rhs)).subs(_weight_decay, 0) - 1,
                    sp.true if expression.rhs.as_coeff_Mul()[0] > 0 else sp.false,
                ),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="optimizer-adamw",
        title="Equilibrium of AdamW on random gradients",
        assumptions=(
            GAUSSIAN,
            BARE,
            "The exact squared norm and the rotation need a second moment that hardly fluctuates: 1 − beta2 small.",
            MANY_WEIGHTS,
        ),
        steps=steps,
        equation=found["size"],
        results={str(found[key].lhs): found[key].rhs for key in ("size", "quiet", "cosine", "correction", "angle")},
        conditions=(*_BETAS, STABLE),
        zero_allowed=frozenset({"beta1"}),
        references=("loshchilov2019", "kosson2023"),
        quantities=(
            ONE_MINUS_COSINE,
            NORM_SQUARED_LEADING,
            _CORRECTION,
            quiet,
            total,
            covariance,
            SUMMED_LAG,
            BETA1,
            BETA2,
        ),
    )


@derivation("optimizer-rmsprop")
def _rmsprop() -> Derivation:
    """Derive the equilibrium of RMSprop with decoupled decay."""
    smoothing = SMOOTHING.symbol
    first = quantity("update_power_first", "U_{1}^{2}", "U_1²", "1", "power of the update to first order in 1 − α")
    power = quantity(
        "adam_update_power",
        "p",
        "p",
        "1",
        "E[u²] of the update of one weight, as a function of (momentum, smoothing)",
        positive=True,
    )
    steps = (
        Step(
            "power",
            "Every weight's update has the same power, whatever the size of its gradients.",
            equation(_power, _n_weights * ADAM_POWER(0, smoothing)),
            premise(),
        ),
        Step(
            "white",
            "Updates have the independent signs of their gradients, so that they are uncorrelated.",
            equation(_sum, 0),
            premise(),
        ),
        Step(
            "size",
            "Green and Kubo's relation gives the squared norm, exactly,",
            equation(_stationary, _lr * _n_weights * ADAM_POWER(0, smoothing) / (_weight_decay * (2 - _EPS))),
            by_derivation("green-kubo", "norm_squared_stationary", "power", "white"),
        ),
        Step(
            "cosine",
            "and the rotation, exactly too.",
            equation(_turn, _EPS),
            by_derivation("green-kubo", "one_minus_cosine", "white"),
        ),
        Step(
            "first",
            "For long smoothing the power is (derivation second-moment-fluctuation)",
            equation(first.symbol, _n_weights * smoothing),
            proof(
                "proven in the derivation second-moment-fluctuation, for all weights",
                lambda expression, earlier: by_derivation(
                    "second-moment-fluctuation", "correction", put_in={BETA2.symbol: smoothing}
                ).residual(equation(first.symbol, expression.rhs / _n_weights), earlier),
            ),
        ),
        Step(
            "size-leading",
            "and the squared norm",
            equation(NORM_SQUARED_LEADING.symbol, _lr * _n_weights * smoothing / (2 * _weight_decay)),
            proof(
                "the exact one at that power and small decay per step",
                lambda expression, earlier: (
                    sp.cancel(
                        earlier["size"].rhs.subs(earlier["power"].rhs, earlier["first"].rhs) / expression.rhs
                    ).subs(_weight_decay, 0)
                    - 1,
                ),
            ),
        ),
        Step(
            "angle",
            "The angle has that cosine.",
            equation(_angle, sp.acos(1 - _EPS)),
            proof(
                "one minus its cosine",
                lambda expression, earlier: (1 - sp.cos(expression.rhs) - earlier["cosine"].rhs,),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="optimizer-rmsprop",
        title="Equilibrium of RMSprop with decoupled decay on random gradients",
        assumptions=(GAUSSIAN, BARE, MANY_WEIGHTS),
        steps=steps,
        equation=found["size"],
        results={str(found[key].lhs): found[key].rhs for key in ("size", "cosine", "angle", "size-leading")},
        conditions=(forgets(smoothing), STABLE),
        references=("kosson2023",),
        quantities=(*GREEN_KUBO, NORM_SQUARED_LEADING, first, power, SMOOTHING),
    )
