"""Derive the equilibrium of Adam, RMSprop and Muon, and what the fluctuation of Adam's second moment changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import sympy as sp

from .derivation import Derivation, Step, by_derivation, derivation, derive
from .evaluation import Condition
from .green_kubo import CORRELATION_SUM, CORRELATION_TIME, ONE_MINUS_COSINE, UPDATE_POWER
from .lag_sums import LAG
from .nonlinear_optimizers import (
    ADAM_CORRECTION,
    ADAM_COVARIANCE,
    ADAM_POWER,
    BETA1,
    BETA2,
    N_COLUMNS,
    N_ROWS,
    SMOOTHING,
)
from .notation import quantity, symbols_of
from .proofs import by_substitution, definition, difference, equation, premise, proof

__all__ = ["adam_coupled", "adamw", "muon", "rmsprop", "second_moment"]

_lr, _weight_decay, _n_weights, _gradient_power = symbols_of("lr weight_decay n_weights gradient_power")
_stationary, _angle, _momentum, _unit_power = symbols_of(
    "norm_squared_stationary angular_update momentum unit_gradient_power"
)
_EPS = _lr * _weight_decay
_REGION = Condition(_EPS < 2, "outside this region of stability the weights grow without bound")
_power, _sum, _time, _turn = (
    line.symbol for line in (UPDATE_POWER, CORRELATION_SUM, CORRELATION_TIME, ONE_MINUS_COSINE)
)
_GREEN_KUBO = (UPDATE_POWER, CORRELATION_SUM, CORRELATION_TIME, ONE_MINUS_COSINE)
_LEADING = quantity("norm_squared_leading", "R_{1}", "R_1", "weight²", "squared norm to leading order", real=True)
_CORRECTION = quantity(
    "norm_squared_correction", "c_{R}", "c_R", "1", "relative first correction to it in ηλ", real=True
)
_LAG = quantity("lag", "k", "k", "1", "steps between two updates", positive=True, integer=True)
_BETAS = tuple(Condition(line.symbol < 1, "otherwise the average never forgets a gradient") for line in (BETA1, BETA2))
_GAUSSIAN = "Gradients are Gaussian white noise, with any standard deviation in each weight."
_BARE = "The small constant in the denominator is negligible, and bias corrections have died out."
_MANY = "There are many weights, so that angles are close to their mean."


@derivation("second-moment-fluctuation")
def second_moment() -> Derivation:
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
    factor = quantity("correction", "c_{u}", "c_u", "1", "the same for δ small against 1/i and 1/k", real=True)
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
        assumptions=(_GAUSSIAN, "1 − beta2 is small against 1 − beta1."),
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
def adamw() -> Derivation:
    """Derive the equilibrium of AdamW: a moving average of normalized gradients, and the second-moment correction."""
    beta1, beta2 = BETA1.symbol, BETA2.symbol
    total = quantity("second_moment_correction", "c_{u}", "c_u", "1", "sum of a weight's update autocovariances")
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
            equation(_LEADING.symbol, _lr * _n_weights * correction / (2 * _weight_decay)),
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
            _GAUSSIAN,
            _BARE,
            "The exact squared norm and the rotation need a second moment that hardly fluctuates: 1 − beta2 small.",
            _MANY,
        ),
        steps=steps,
        equation=found["size"],
        results={str(found[key].lhs): found[key].rhs for key in ("size", "quiet", "cosine", "correction", "angle")},
        conditions=(*_BETAS, _REGION),
        zero_allowed=frozenset({"beta1"}),
        references=("loshchilov2019", "kosson2023"),
        quantities=(ONE_MINUS_COSINE, _LEADING, _CORRECTION, quiet, total, covariance, _LAG, BETA1, BETA2),
    )


@derivation("optimizer-rmsprop")
def rmsprop() -> Derivation:
    """Derive the equilibrium of RMSprop with decoupled decay."""
    smoothing = SMOOTHING.symbol
    first = quantity("update_power_first", "U_{1}^{2}", "U_1²", "1", "power of the update to first order in 1 − α")
    power = quantity("adam_update_power", "p", "p", "1", "E[u²] of one weight, by (0, smoothing)", positive=True)
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
            equation(_LEADING.symbol, _lr * _n_weights * smoothing / (2 * _weight_decay)),
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
        assumptions=(_GAUSSIAN, _BARE, _MANY),
        steps=steps,
        equation=found["size"],
        results={str(found[key].lhs): found[key].rhs for key in ("size", "cosine", "angle", "size-leading")},
        conditions=(Condition(smoothing < 1, "otherwise the average never forgets a gradient"), _REGION),
        references=("kosson2023",),
        quantities=(*_GREEN_KUBO, _LEADING, first, power, SMOOTHING),
    )


@derivation("optimizer-adam-coupled")
def adam_coupled() -> Derivation:
    """Derive the equilibrium of Adam with L2 regularization, which normalizes the decay along with the gradient."""
    beta1 = BETA1.symbol
    std = quantity(
        "gradient_std", r"\sigma", "σ", "loss / weight", "standard deviation of a weight's gradient", positive=True
    )
    size = quantity("weight_power", "v", "v", "weight²", "second moment of a weight", positive=True)
    relative = quantity("relative_power", "y", "y", "1", "(λ/σ)² E w²", positive=True)
    step = quantity("relative_step", "s", "s", "1", "ηλ/σ, decay per step as Adam feels it", positive=True)
    series = quantity("relative_power_series", "y_{1}", "y_1", "1", "y with its first correction", real=True)
    scaled = quantity(
        "norm_squared_scale",
        r"\tilde R_{*}",
        "R̃_*",
        "weight²",
        "squared norm of a scale-invariant block",
        positive=True,
    )
    rate = quantity("relaxation_rate", r"\kappa", "κ", "1 / step", "rate at which R returns", positive=True)
    scale_rate = quantity(
        "relaxation_rate_scale", r"\tilde\kappa", "κ̃", "1 / step", "the same for a scale-invariant block", real=True
    )
    sigma, v, y, s = std.symbol, size.symbol, relative.symbol, step.symbol
    small = sp.Dummy("small", positive=True)
    fed = sp.sqrt(sigma**2 + _weight_decay**2 * v)
    filtered = (
        _lr
        / fed
        * sigma**2
        * (1 + beta1)
        / (_weight_decay * (2 * (1 + beta1) - _lr / fed * _weight_decay * (1 - beta1)))
    )
    grown = (1 - beta1) / (2 * (1 + beta1)) - sp.Rational(1, 4)

    def cubic(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        gap = (earlier["size"].lhs - earlier["size"].rhs) * _weight_decay**2 / sigma**2
        relative_gap = gap.subs(v, y * sigma**2 / _weight_decay**2).subs(_lr, s * sigma / _weight_decay)
        relative_gap = sp.cancel(sp.together(sp.powsimp(relative_gap.subs(sigma, 1)).subs(sp.sqrt(1 + y), 1 / small)))
        claimed = sp.cancel(sp.together((expression.lhs - expression.rhs).subs(sp.sqrt(1 + y), 1 / small)))
        below = 2 * (1 + beta1) / small - s * (1 - beta1)
        return (sp.cancel((relative_gap * below - claimed).subs(y, 1 / small**2 - 1)),)

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        gap = difference(earlier["cubic"]).subs(y, expression.rhs)
        expanded = sp.series(gap.subs(s, small * s), small, 0, 3).removeO()
        return (sp.cancel(expanded.coeff(small, 1)), sp.cancel(expanded.coeff(small, 2)))

    def average_power() -> Any:
        """Return the power of a moving average of gradients of power 1, read off from its angle and squared norm."""
        average = derive("optimizer-ema-coupled").results
        power = average["angular_update_leading"] ** 2 * average["norm_squared_leading"] / (_lr**2 * _gradient_power)
        return power.subs(_momentum, beta1)

    def loss(earlier: Mapping[str, Any]) -> Any:
        return earlier["relaxation"].rhs.subs(_gradient_power, _unit_power / scaled.symbol) * scaled.symbol

    per_step = _EPS * sp.sqrt(_n_weights / _gradient_power)
    steps = (
        Step(
            "size",
            "With a steady second moment, that of gradient plus decay, Adam is a moving average with the learning rate "
            "lr over its root (derivation optimizer-ema-coupled): per weight,",
            equation(v, filtered),
            by_derivation(
                "optimizer-ema-coupled",
                "norm_squared_stationary",
                put_in={_lr: _lr / fed, _gradient_power: sigma**2, _momentum: beta1},
            ),
        ),
        Step(
            "cubic",
            "In units of σ/λ, with s = ηλ/σ, that is an equation for y = (λ/σ)² v:",
            equation(2 * (1 + beta1) * y * sp.sqrt(1 + y), s * (1 + beta1 + (1 - beta1) * y)),
            proof("the equation before, in these units and without denominators", cubic),
        ),
        Step(
            "series",
            "For small s its solution is",
            equation(series.symbol, s / 2 * (1 + grown * s)),
            proof("put back into that equation, which it fulfils up to the second order", rests),
        ),
        Step(
            "spread",
            "If all weights of the block have gradients of the same size,",
            equation(sigma, sp.sqrt(_gradient_power / _n_weights)),
            premise(),
        ),
        Step(
            "norm",
            "the squared norm is to leading order",
            equation(_stationary, _lr * sp.sqrt(_n_weights * _gradient_power) / (2 * _weight_decay)),
            proof(
                "the number of weights times σ²/λ² times the leading term",
                lambda expression, earlier: (
                    sp.powsimp(
                        expression.rhs
                        / (
                            _n_weights
                            * sigma**2
                            / _weight_decay**2
                            * sp.diff(earlier["series"].rhs, s).subs(s, 0)
                            * _EPS
                            / sigma
                        ).subs(sigma, earlier["spread"].rhs)
                    )
                    - 1,
                ),
            ),
        ),
        Step(
            "angle",
            "the angle",
            equation(_angle, _lr * sp.sqrt(_n_weights * (1 - beta1) / ((1 + beta1) * _stationary))),
            proof(
                "the square is the power of a moving average's updates, times lr², over the squared norm; positive",
                lambda expression, _earlier: (
                    sp.cancel(expression.rhs**2 * _stationary / (_lr**2 * _n_weights) - average_power()),
                    sp.true if expression.rhs.as_coeff_Mul()[0] > 0 else sp.false,
                ),
            ),
        ),
        Step(
            "scale",
            "If the block is scale-invariant, the gradient power is that at unit norm over R, and R the root",
            equation(
                scaled.symbol,
                (_lr * sp.sqrt(_n_weights * _unit_power) / (2 * _weight_decay)) ** sp.Rational(2, 3),
            ),
            proof(
                "put back into the squared norm at that gradient power, which it fulfils",
                lambda expression, earlier: (
                    sp.powsimp(
                        sp.expand_power_base(
                            earlier["norm"].rhs.subs(_gradient_power, _unit_power / expression.rhs) / expression.rhs
                        ),
                        force=True,
                    )
                    - 1,
                ),
            ),
        ),
        Step(
            "relaxation",
            "A perturbation of the squared norm returns at the rate",
            equation(rate.symbol, 2 * per_step),
            proof(
                "that of the moving average, 2ηλ, at the learning rate over σ",
                lambda expression, earlier: (
                    sp.powsimp(
                        expression.rhs
                        / derive("optimizer-ema-coupled")
                        .results["relaxation_rate"]
                        .subs(_lr, _lr / sigma)
                        .subs(sigma, earlier["spread"].rhs)
                    )
                    - 1,
                ),
            ),
        ),
        Step(
            "relaxation-scale",
            "and, if the block is scale-invariant, at",
            equation(scale_rate.symbol, 3 * _EPS * sp.sqrt(_n_weights * scaled.symbol / _unit_power)),
            proof(
                "slope of κR, what decay takes in a step, in R, with κ growing as √R",
                lambda expression, earlier: (sp.powsimp(expression.rhs / sp.diff(loss(earlier), scaled.symbol)) - 1,),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    keys = ("norm", "series", "angle", "scale", "relaxation", "relaxation-scale")
    return Derivation(
        name="optimizer-adam-coupled",
        title="Equilibrium of Adam with L2 regularization on random gradients",
        assumptions=(
            "Gradients are Gaussian white noise, of one standard deviation in each weight.",
            "The second moment hardly fluctuates: 1 − beta2 small.",
            _BARE,
            _MANY,
        ),
        steps=steps,
        equation=found["cubic"],
        results={str(found[key].lhs): found[key].rhs for key in keys},
        conditions=_BETAS[:1],
        zero_allowed=frozenset({"beta1"}),
        references=("kingma2015", "kosson2023"),
        quantities=(std, size, relative, step, series, scaled, rate, scale_rate, BETA1),
    )


@derivation("optimizer-muon")
def muon() -> Derivation:
    """Derive the equilibrium of Muon, and how much polar factors of large correlated square matrices overlap."""
    index = quantity("index", "j", "j", "1", "number of an odd polynomial, from 0", nonnegative=True, integer=True)
    coefficient = quantity("coefficient", "s_{j}", "s_j", "1", "component of the polar factor along it", real=True)
    half = quantity("half_angle", r"\varphi", "φ", "rad", "half the angle that parametrizes the semicircle", real=True)
    rho = quantity("rho", r"\rho", "ρ", "1", "correlation of two matrices", real=True)
    overlap = quantity("overlap", "q", "q", "1", "overlap of their polar factors", real=True)
    slope = quantity("overlap_slope", "q'", "q'", "1", "slope of the overlap at ρ = 0", real=True)
    j, psi, ratio = index.symbol, half.symbol, rho.symbol
    term = quantity("overlap_term", "q_{j}", "q_j", "1", "its term of order 2j + 1", real=True)
    first, smaller = 6, sp.Min(N_ROWS.symbol, N_COLUMNS.symbol)
    closed = 4 * (-1) ** j * (2 * j + 2) / (sp.pi * (2 * j + 1) * (2 * j + 3))

    def at_points(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(
            sp.simplify(earlier["coefficient"].rhs.subs(j, number).doit() - expression.rhs.subs(j, number))
            for number in range(first)
        )

    def semicircle(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (integral,) = expression.rhs.atoms(sp.Integral)
        density = 2 / sp.pi * sp.sin(2 * psi) ** 2 * 2  # of t = 4 cos(psi)^2, by d psi: twice that of phi = 2 psi
        chebyshev = sp.sin((j + 1) * 2 * psi) / sp.sin(2 * psi)
        wanted = density * chebyshev / (2 * sp.cos(psi))
        given = expression.rhs / integral * integral.function
        values = [(given - wanted).subs({j: number, psi: sp.Rational(number + 1, 7)}).evalf(30) for number in range(4)]
        return (
            *(sp.true if abs(value) < 1e-25 else sp.false for value in values),
            sp.true if integral.limits == (sp.Tuple(psi, 0, sp.pi / 2),) else sp.false,
        )

    steps = (
        Step(
            "coefficient",
            "The polar factor is the sign of the singular values. For large square matrices, t, their square over the "
            "side, weights odd polynomials with a semicircle, t = 2 + 2 cos(2φ), under which Chebyshev's U are "
            "orthogonal. The component of t^(−1/2) along them is",
            equation(
                coefficient.symbol,
                4 / sp.pi * sp.Integral(sp.sin((2 * j + 2) * psi) * sp.sin(psi), (psi, 0, sp.pi / 2)),
            ),
            proof("the mean of U over 2 cos(φ) under the semicircle, at four points of the integrand", semicircle),
        ),
        Step(
            "closed",
            "which is",
            equation(coefficient.symbol, closed),
            proof(f"the integral, exactly, for j from 0 to {first - 1}", at_points),
        ),
        Step(
            "term",
            "The polynomials of two matrices of correlation ρ have the correlation ρ^(2j+1), so that the overlap has "
            "the terms",
            equation(term.symbol, coefficient.symbol**2 * ratio ** (2 * j + 1)),
            definition(),
        ),
        Step(
            "overlap",
            "and is their sum.",
            equation(overlap.symbol, sp.Sum(closed**2 * ratio ** (2 * j + 1), (j, 0, sp.oo))),
            proof(
                "each term with the closed coefficient; at ρ = 1 their sum is 1",
                lambda expression, earlier: (
                    sp.simplify(
                        expression.rhs.function - earlier["term"].rhs.subs(earlier["closed"].lhs, earlier["closed"].rhs)
                    ),
                    _adds_up(expression.rhs, ratio, j),
                ),
            ),
        ),
        Step(
            "slope",
            "Its slope at ρ = 0 is the first coefficient squared,",
            equation(slope.symbol, (sp.Integer(8) / (3 * sp.pi)) ** 2),
            proof(
                "the derivative of the first term",
                lambda expression, earlier: (
                    expression.rhs - sp.diff(earlier["overlap"].rhs.function.subs(j, 0), ratio).subs(ratio, 0),
                ),
            ),
        ),
        Step(
            "power",
            "A polar factor has as many singular values of 1 as the smaller side.",
            equation(_power, smaller),
            premise(),
        ),
        Step(
            "size-leading",
            "Green and Kubo's relation then gives to leading order the squared norm",
            equation(_LEADING.symbol, _lr * smaller * _time / (2 * _weight_decay)),
            by_derivation("green-kubo", "norm_squared_leading", "power"),
        ),
        Step(
            "angle",
            "and the angle, with the autocorrelation time τ_u = 1 + 2 Σ q(μ^k).",
            equation(_angle, sp.sqrt(2 * _EPS / _time)),
            by_derivation("green-kubo", "angular_update"),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="optimizer-muon",
        title="Equilibrium of Muon with decoupled decay on random gradients",
        assumptions=(
            "Gradients are Gaussian white noise, with the same standard deviation in every weight of the matrix.",
            "The polar factor is exact.",
            "For the overlap: the matrix is square and large, so that singular values have their limiting law, under "
            "which odd polynomials that are orthogonal keep their correlation to its own power.",
            _MANY,
        ),
        steps=steps,
        equation=found["overlap"],
        results={
            "norm_squared_leading": found["size-leading"].rhs,
            "angular_update": found["angle"].rhs,
            "overlap_slope": found["slope"].rhs,
            "coefficient": found["closed"].rhs,
        },
        conditions=(_REGION,),
        references=("jordan2024muon", "ginibre1965", "edelman1989"),
        quantities=(
            *_GREEN_KUBO,
            *(_LEADING, index, coefficient, half, rho, overlap, slope, term, N_ROWS, N_COLUMNS),
        ),
    )


def _adds_up(total: Any, ratio: Any, index: Any) -> Any:
    """Return true if the sum is 1 at correlation 1: its first terms and a bound on the rest say so."""
    if total.limits != (sp.Tuple(index, 0, sp.oo),):
        return sp.false
    terms = sp.lambdify(index, total.function.subs(ratio, 1))(np.arange(200000))
    return sp.true if abs(np.sum(terms) - 1.0) < 1e-5 else sp.false
