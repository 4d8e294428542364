"""Derive the stochastic equations of the norm under isotropic gradient noise, and the laws they settle to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .fokker_planck import flux_of
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, premise, proof
from .ranges import by_range
from .registry import by_derivation, derivation, derive
from .steps import Stability, Step

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights, _time, _pull = symbols_of("lr weight_decay n_weights time radial_pull")
_norm_squared, _start = symbols_of("norm_squared norm_squared_start")

_LINES = (
    quantity("drift", "b", "b", "state / time", "drift b of dx = b dt + s dB", real=True),
    quantity("diffusion", "s", "s", "state / √time", "diffusion s of dx = b dt + s dB", positive=True),
    quantity("diffusion_slope", "s'", "s'", "1 / √time", "derivative of the diffusion in the state", real=True),
    quantity("density", "p", "p", "1 / state", "stationary probability density", positive=True),
    quantity("weight", "w", "w", "weight", "a weight", real=True),
    quantity("gradient", "g", "g", "loss / weight", "mean gradient of the loss, without penalty", real=True),
    quantity("weight_drift", "b_{w}", "b_w", "loss / weight", "drift of a weight", real=True),
    quantity("weight_diffusion", "s_{w}", "s_w", "weight / √time", "diffusion of a weight", positive=True),
    quantity(
        "noise_variance",
        "\\sigma^{2}",
        "σ²",
        "(loss/weight)²",
        "variance of each component of the gradient",
        positive=True,
    ),
    quantity("duration", "\\Delta t", "Δt", "time", "time that a step takes, the learning rate", positive=True),
    quantity("return_rate", "\\kappa", "κ", "1 / time", "rate of return of the squared norm", positive=True),
    quantity("level", "\\bar R", "R̄", "weight²", "level that decay and drift return the state to", positive=True),
    quantity("volatility", "\\nu", "ν", "weight / √time", "diffusion over the root of the squared norm", positive=True),
    quantity("shape", "k", "k", "1", "shape of the Gamma law", positive=True),
    quantity("scale", "\\vartheta", "ϑ", "weight²", "scale of the Gamma law", positive=True),
    quantity("total", "Z", "Z", "1", "integral of the density", positive=True),
    quantity("mean", "m_{R}", "m_R", "weight²", "stationary mean", positive=True),
    quantity("variance", "v_{R}", "v_R", "weight⁴", "stationary variance", positive=True),
    quantity("mean_norm_squared", "m", "m", "weight²", "mean of the squared norm at a time", positive=True),
    quantity("norm", "r", "r", "weight", "norm of the weights", positive=True),
    quantity("mean_norm", "m_{r}", "m_r", "weight", "stationary mean of the norm", positive=True),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_drift, _diffusion, _density, _noise = (_BY_NAME[name] for name in ("drift", "diffusion", "density", "noise_variance"))
_shape, _scale, _norm = (_BY_NAME[name] for name in ("shape", "scale", "norm"))


@derivation("ito-norm")
def _ito_norm() -> Derivation:
    """Derive drift and diffusion of the squared norm from those of the weights, by Itô's lemma."""
    names = ("weight", "gradient", "weight_drift")
    w, g, b = (sp.IndexedBase(_BY_NAME[name]) for name in names)
    i = sp.Symbol("i", integer=True)
    block = (i, 1, _n_weights)
    s_w, duration = _BY_NAME["weight_diffusion"], _BY_NAME["duration"]
    one = sp.Dummy("one")

    def of_step(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        variance = (earlier["step"].rhs.coeff(_noise)) * _noise
        positive = sp.true if expression.rhs.is_positive else sp.false
        return (expression.rhs**2 - (variance / earlier["duration"].rhs), expression.lhs - s_w, positive)

    def lemma(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        term = earlier["norm"].rhs.function.subs(w[i], one)
        claimed = expression.rhs.function
        ito = sp.diff(term, one) * b[i] + sp.diff(term, one, 2) * s_w**2 / 2
        limits = sp.true if expression.rhs.limits == earlier["norm"].rhs.limits else sp.false
        return (claimed - ito.subs(one, w[i]), limits, expression.lhs - _drift)

    def variation(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        term = earlier["norm"].rhs.function.subs(w[i], one)
        claimed = expression.rhs.function
        limits = sp.true if expression.rhs.limits == earlier["norm"].rhs.limits else sp.false
        return (claimed - (sp.diff(term, one) * s_w).subs(one, w[i]) ** 2, limits, expression.lhs - _diffusion**2)

    def summed(key: str) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            names_of_sums = {earlier[name].lhs: earlier[name].rhs for name in ("norm", "pull")}
            claimed = expression.rhs if expression.lhs == earlier[key].lhs else expression.rhs**2
            parts = by_range((earlier[key].rhs - claimed).subs(names_of_sums), {b[i]: earlier["drift"].rhs})
            outside = sp.expand(parts.pop((), sp.S.Zero))
            constant = outside.coeff(_n_weights)  # a term for each weight, summed
            (summand,) = parts.values()
            return (
                sp.expand((summand + constant).subs(s_w, earlier["diffusion"].rhs)),
                sp.expand(outside - constant * _n_weights),
            )

        return proof("norm and pull put in, term by term; a constant term counts once for every weight", residual)

    steps = (
        Step("duration", "A step takes the time", equation(duration, _lr), definition()),
        Step(
            "step",
            "and noise of the mini-batch gradient, of variance σ² in every component, adds to a weight the variance",
            equation(sp.Function("step_variance")(_lr), _lr**2 * _noise),
            premise(),
        ),
        Step(
            "drift",
            "In time, a weight has the drift",
            equation(b[i], -g[i] - _weight_decay * w[i]),
            premise(),
        ),
        Step(
            "diffusion",
            "and the diffusion (the root of the variance per time)",
            equation(s_w, sp.sqrt(_lr * _noise)),
            proof("its square is the variance of a step over the time of a step", of_step),
        ),
        Step("norm", "Of the squared norm", equation(_norm_squared, sp.Sum(w[i] ** 2, block)), definition()),
        Step("pull", "and the pull", equation(_pull, sp.Sum(-w[i] * g[i], block)), definition()),
        Step(
            "ito-drift",
            "Itô's lemma says: the squared norm has the drift",
            equation(_drift, sp.Sum(2 * w[i] * b[i] + s_w**2, block)),
            proof("derivative times drift plus half the second derivative times squared diffusion", lemma),
        ),
        Step(
            "norm-drift",
            "that is",
            equation(_drift, 2 * _pull - 2 * _weight_decay * _norm_squared + _lr * _noise * _n_weights),
            summed("ito-drift"),
        ),
        Step(
            "ito-diffusion",
            "and the squared diffusion",
            equation(_diffusion**2, sp.Sum(4 * w[i] ** 2 * s_w**2, block)),
            proof("squared derivative times squared diffusion, the noises being independent", variation),
        ),
        Step(
            "norm-diffusion",
            "that is, the diffusion",
            equation(_diffusion, 2 * sp.sqrt(_lr * _noise * _norm_squared)),
            summed("ito-diffusion"),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="ito-norm",
        title="Itô's lemma for the squared norm",
        assumptions=(
            "SGD with small steps as a stochastic equation; time is learning rate times steps.",
            "The gradient noise is white, with the same variance in every direction and independent components.",
        ),
        steps=steps,
        equation=found["norm-drift"],
        results={"drift": found["norm-drift"].rhs, "diffusion": found["norm-diffusion"].rhs},
        zero_allowed=frozenset({"weight_decay", "norm_squared"}),
        references=("mandt2017", "li2017"),
        quantities=(
            *_LINES,
            quantity("step_variance", "V", "V", "weight²", "variance that a step adds to a weight", positive=True),
        ),
    )


@derivation("cox-ingersoll-ross")
def _cox_ingersoll_ross() -> Derivation:
    """Derive the law of the squared norm under pure noise: Cox, Ingersoll and Ross's process, Gamma at rest."""
    rate, level, volatility = (_BY_NAME[name] for name in ("return_rate", "level", "volatility"))
    total, mean, variance = (_BY_NAME[name] for name in ("total", "mean", "variance"))
    mean_at = sp.Function("mean_norm_squared", positive=True)
    t, R = _time, _norm_squared
    drift = _lr * _noise * _n_weights - 2 * _weight_decay * R
    diffusion = 2 * sp.sqrt(_lr * _noise * R)
    density = R ** (_shape - 1) * sp.exp(-R / _scale) / (sp.gamma(_shape) * _scale**_shape)
    rest = _lr * _noise * _n_weights / (2 * _weight_decay)

    def matched(key: str, unit: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            return (expression.rhs - unit(earlier[key].rhs),)

        return proof("read off from drift and diffusion", residual)

    def still(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flux = flux_of(expression.rhs, earlier["drift"].rhs, earlier["diffusion"].rhs, R)
        known = {_shape: _n_weights / 2, _scale: _lr * _noise / _weight_decay}
        return (sp.cancel(sp.powsimp(sp.expand((flux / expression.rhs).subs(known)))), expression.lhs - _density)

    def of_density(power: int) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            found = sp.integrate(R**power * earlier["density"].rhs, (R, 0, sp.oo))
            if power == 2:
                found -= earlier["mean"].rhs ** 2
            known = {_shape: earlier["shape"].rhs, _scale: earlier["scale"].rhs}
            return (sp.gammasimp(found.subs(known) - expression.rhs.subs(known)),)

        return proof("integral over the density", residual)

    def parameters(name: str) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            # The log slope of the general density, 2 (b - s s') / s^2, compared with (k - 1) / R - 1 / scale.
            slope = derive("fokker-planck-stationary").results["log_slope"]
            s = earlier["diffusion"].rhs
            here = {_drift: earlier["drift"].rhs, _BY_NAME["diffusion_slope"]: sp.diff(s, R), _diffusion: s}
            series = sp.expand(sp.cancel(slope.subs(here, simultaneous=True)))
            value = series.coeff(R, -1) + 1 if name == "shape" else -1 / series.coeff(R, 0)
            return (expression.rhs - value, expression.lhs - _BY_NAME[name])

        return proof("read off from the slope of the logarithm (derivation fokker-planck-stationary)", residual)

    def mean_flow(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (
            expression.rhs - earlier["drift"].rhs.subs(R, mean_at(t)),
            expression.lhs - sp.Derivative(mean_at(t), t),
        )

    def solves(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        put_back = difference(earlier["mean-flow"]).subs(mean_at(t), expression.rhs).doit()
        return (sp.expand(put_back), sp.expand(expression.rhs.subs(t, 0) - _start), expression.lhs - mean_at(t))

    steps = (
        Step(
            "drift",
            "Without pull the squared norm has the drift (derivation ito-norm)",
            equation(_drift, drift),
            by_derivation("ito-norm", "drift", put_in={_pull: 0}),
        ),
        Step(
            "diffusion",
            "and the diffusion",
            equation(_diffusion, diffusion),
            by_derivation("ito-norm", "diffusion"),
        ),
        Step(
            "return-rate",
            "In Cox, Ingersoll and Ross's form κ (level − R) dt + ν √R dB it returns at the rate",
            equation(rate, 2 * _weight_decay),
            matched("drift", lambda part: -sp.diff(part, R)),
        ),
        Step("level", "to the level", equation(level, rest), matched("drift", lambda part: sp.solve(part, R)[0])),
        Step(
            "volatility",
            "with the volatility",
            equation(volatility, 2 * sp.sqrt(_lr * _noise)),
            matched("diffusion", lambda part: part / sp.sqrt(R)),
        ),
        Step("shape", "It settles to a Gamma law of shape", equation(_shape, _n_weights / 2), parameters("shape")),
        Step("scale", "and scale", equation(_scale, _lr * _noise / _weight_decay), parameters("scale")),
        Step(
            "density",
            "with the density",
            equation(_density, density),
            proof("put into the flux of Fokker and Planck's equation, which vanishes everywhere", still),
        ),
        Step("total", "whose integral is", equation(total, 1), of_density(0)),
        Step("mean", "Its mean is", equation(mean, rest), of_density(1)),
        Step(
            "variance",
            "and its variance",
            equation(variance, _n_weights * (_lr * _noise / _weight_decay) ** 2 / 2),
            of_density(2),
        ),
        Step(
            "mean-flow",
            "On the way there, the drift being linear, the mean obeys",
            equation(sp.Derivative(mean_at(t), t), drift.subs(R, mean_at(t))),
            proof("the drift at the mean", mean_flow),
        ),
        Step(
            "mean-solution",
            "with the solution",
            equation(mean_at(t), rest + (_start - rest) * sp.exp(-2 * _weight_decay * t)),
            proof("put back into its differential equation, which it fulfils, and right at the start", solves),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="cox-ingersoll-ross",
        title="The squared norm under pure gradient noise: Cox, Ingersoll and Ross's process and its Gamma law",
        assumptions=(
            "White gradient noise of the same variance in every direction and nothing else; small steps.",
            "From two weights on the squared norm never reaches 0.",
        ),
        steps=steps,
        equation=found["mean-flow"],
        results={
            "drift": found["drift"].rhs,
            "diffusion": found["diffusion"].rhs,
            "return_rate": found["return-rate"].rhs,
            "level": found["level"].rhs,
            "volatility": found["volatility"].rhs,
            "shape": found["shape"].rhs,
            "scale": found["scale"].rhs,
            "density": found["density"].rhs,
            "mean": found["mean"].rhs,
            "variance": found["variance"].rhs,
            "mean_norm_squared": found["mean-solution"].rhs,
        },
        fixed_points=({mean_at(t): rest},),
        stability=(
            Stability(
                mean_at(t), "flow", 0, -2 * _weight_decay, sp.true, "The mean returns to its level at twice the decay."
            ),
        ),
        zero_allowed=frozenset({"norm_squared", "norm_squared_start"}),
        references=("cox1985", "mandt2017"),
        quantities=_LINES,
    )


@derivation("bessel-ornstein-uhlenbeck")
def _bessel_ornstein_uhlenbeck() -> Derivation:
    """Derive the equation of the norm itself under pure noise: a Bessel process with decay, constant diffusion."""
    R, r = _norm_squared, _norm
    mean = _BY_NAME["mean_norm"]
    drift = (_n_weights - 1) * _lr * _noise / (2 * r) - _weight_decay * r
    density = 2 * r ** (2 * _shape - 1) * sp.exp(-(r**2) / _scale) / (sp.gamma(_shape) * _scale**_shape)
    moment = sp.sqrt(_scale) * sp.gamma(_shape + sp.Rational(1, 2)) / sp.gamma(_shape)
    of_square = derive("cox-ingersoll-ross").results

    def lemma(second: bool) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            root = earlier["norm"].rhs
            b, s = of_square["drift"], of_square["diffusion"]
            ito = sp.diff(root, R) * b + sp.diff(root, R, 2) * s**2 / 2 if second else sp.diff(root, R) * s
            return (sp.expand(ito.subs(R, r**2)) - sp.expand(expression.rhs),)

        return proof("Itô's lemma for the root, from drift and diffusion of the squared norm", residual)

    def still(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flux = flux_of(expression.rhs, earlier["drift"].rhs, earlier["diffusion"].rhs, r)
        known = {_shape: of_square["shape"], _scale: of_square["scale"]}
        of_norm = of_square["density"].subs(R, r**2) * 2 * r
        return (
            sp.cancel(sp.powsimp(sp.expand((flux / expression.rhs).subs(known)))),
            sp.powsimp(expression.rhs / of_norm) - 1,
        )

    def integral(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.gammasimp(sp.integrate(r * earlier["density"].rhs, (r, 0, sp.oo)) / expression.rhs) - 1,)

    steps = (
        Step("norm", "The norm", equation(r, sp.sqrt(R)), definition()),
        Step(
            "drift", "has the drift (derivation cox-ingersoll-ross, Itô's lemma)", equation(_drift, drift), lemma(True)
        ),
        Step(
            "diffusion",
            "and the same diffusion at every size.",
            equation(_diffusion, sp.sqrt(_lr * _noise)),
            lemma(False),
        ),
        Step(
            "density",
            "At rest its density is, with shape and scale of the squared norm,",
            equation(_density, density),
            proof("the density of the squared norm, transformed; the flux vanishes everywhere", still),
        ),
        Step("mean", "and its mean", equation(mean, moment), proof("integral over the density", integral)),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="bessel-ornstein-uhlenbeck",
        title="The norm under pure gradient noise: a Bessel process with decay",
        assumptions=(
            "White gradient noise of the same variance in every direction and nothing else; small steps.",
            "At least two weights, so that the norm never reaches 0.",
        ),
        steps=steps,
        equation=found["drift"],
        results={
            "drift": found["drift"].rhs,
            "diffusion": found["diffusion"].rhs,
            "density": found["density"].rhs,
            "mean_norm": found["mean"].rhs,
        },
        references=("uhlenbeck1930", "cox1985"),
        quantities=_LINES,
    )
