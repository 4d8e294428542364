"""Derive the laws to which three stochastic equations bring a state in a given time, from which it can be drawn.

Each law is proven twice: its mean and variance fulfil the equations that Itô's lemma gives for them, and its transform
fulfils Kolmogorov's backward equation and is right at the start, which leaves no other law.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import Quantity, quantity, symbols_of
from .proofs import definition, difference, equation, premise, proof
from .registry import derivation
from .steps import Stability, Step

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

(_t,) = symbols_of("time")
_m, _v, _transform = (sp.Function(name) for name in ("mean_state", "state_variance", "state_transform"))


def _lines(*, positive: bool) -> tuple[Quantity, ...]:
    """Return the quantities of an equation whose state is positive, or has any sign."""
    start: dict[str, Any] = {"nonnegative": True} if positive else {"real": True}
    state: dict[str, Any] = {"positive": True} if positive else {"real": True}
    return (
        quantity("state", "x", "x", "state", "state of the equation dx = b dt + s dB", **state),
        quantity("state_start", "x_{0}", "x_0", "state", "the state at the start", **start),
        quantity("drift", "b", "b", "state / time", "drift", real=True),
        quantity("diffusion", "s", "s", "state / √time", "diffusion", real=True),
        quantity("return_rate", "\\kappa", "κ", "1 / time", "rate of return", positive=True),
        quantity("level", "\\bar x", "x̄", "state", "level that decay and drift return the state to", **state),
        quantity("growth", "g", "g", "1 / time", "rate of growth of the mean", real=True),
        quantity("volatility", "\\nu", "ν", "state^a / √time", "strength of the noise", positive=True),
        quantity("mean_state", "m", "m", "state", "mean of the state at a time", real=True),
        quantity("state_variance", "v", "v", "state²", "variance of the state at a time", nonnegative=True),
        quantity("spread", "\\sqrt{v}", "√v", "state", "standard deviation of the state at a time", nonnegative=True),
        quantity("brownian", "B", "B", "√time", "the Brownian motion at a time", real=True),
        quantity("median", "x_{1/2}", "x_½", "state", "median of the state at a time", positive=True),
        quantity("log_spread", "\\varsigma", "ς", "1", "standard deviation of the state's logarithm", positive=True),
        quantity("transform_variable", "u", "u", "1 / state", "variable of the transform", positive=True),
        quantity("state_transform", "\\phi", "φ", "1", "E exp(u x), or E exp(−u x) of a positive state", positive=True),
        quantity("degrees", "d", "d", "1", "degrees of freedom of the chi-square law", positive=True),
        quantity("noncentrality", "\\Lambda", "Λ", "1", "non-centrality of the chi-square law", nonnegative=True),
        quantity("scale", "c", "c", "state", "what the chi-square law is multiplied by", positive=True),
        quantity("count", "j", "j", "1", "Poisson number of further pairs of degrees", nonnegative=True, integer=True),
        quantity("central_transform", "\\phi_{0}", "φ_0", "1", "E exp(−u y) of a chi-square law", positive=True),
        quantity(
            "mixed_transform", "\\phi_{\\Lambda}", "φ_Λ", "1", "moment transform of the non-central law", positive=True
        ),
    )


def _moments(x: Any, start: Any, mean_rate: Any, mean: Any, variance_rate: Any, variance: Any) -> tuple[Step, ...]:
    """Return the steps for mean and variance, proven from the steps "drift" and "diffusion" (squared)."""

    def mean_flow(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        drift = earlier["drift"].rhs
        return (
            expression.rhs - drift.subs(x, _m(_t)),
            sp.diff(drift, x, 2),  # only of a linear drift is the mean the drift at the mean
            expression.lhs - sp.Derivative(_m(_t), _t),
        )

    def variance_flow(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        drift = earlier["drift"].rhs
        change = sp.Poly(sp.expand(2 * x * drift + earlier["diffusion"].rhs), x)
        powers = (1, _m(_t), _v(_t) + _m(_t) ** 2)
        of_square = sum(coefficient * powers[power] for (power,), coefficient in change.terms())
        found = of_square - 2 * _m(_t) * drift.subs(x, _m(_t))
        return (sp.expand(found - expression.rhs), expression.lhs - sp.Derivative(_v(_t), _t))

    def solves(key: str, begins: Any) -> Callable[..., tuple[Any, ...]]:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            put_back = difference(earlier[key]).subs(expression.lhs, expression.rhs)
            if key == "variance-flow":
                put_back = put_back.subs(_m(_t), earlier["mean"].rhs)
            at_start = expression.rhs.subs(_t, 0) - begins
            unknown = _m(_t) if key == "mean-flow" else _v(_t)
            return (sp.expand(put_back.doit()), sp.expand(at_start), expression.lhs - unknown)

        return residual

    put_back = "put back into its differential equation, which it fulfils, and right at the start"
    return (
        Step(
            "mean-flow",
            "The mean of the state obeys",
            equation(sp.Derivative(_m(_t), _t), mean_rate),
            proof("the drift at the mean, the drift being linear", mean_flow),
        ),
        Step("mean", "so it goes as", equation(_m(_t), mean), proof(put_back, solves("mean-flow", start))),
        Step(
            "variance-flow",
            "The variance obeys",
            equation(sp.Derivative(_v(_t), _t), variance_rate),
            proof("Itô's lemma for the square of the state, mean values, less the square of the mean", variance_flow),
        ),
        Step("variance", "so it goes as", equation(_v(_t), variance), proof(put_back, solves("variance-flow", 0))),
    )


def _exponential_mean(slope: Any) -> Any:
    """Return E exp(slope z) for a standard normal z, by integrating over its density."""
    mean, place = _standard_normal_mean()
    return mean.subs(place, slope)


@functools.lru_cache(maxsize=1)
def _standard_normal_mean() -> tuple[Any, Any]:
    slope, z = sp.symbols("slope z", real=True)
    area = sp.integrate(sp.exp(slope * z - z**2 / 2), (z, -sp.oo, sp.oo)) / sp.sqrt(2 * sp.pi)
    return sp.expand(area), slope


def _backward(phi: Any, start: Any, x: Any, earlier: Mapping[str, Any]) -> Any:
    """Return what has to vanish for a transform to fulfil Kolmogorov's backward equation, over the transform."""
    drift, squared = (earlier[key].rhs.subs(x, start) for key in ("drift", "diffusion"))
    left = sp.diff(phi, _t) - drift * sp.diff(phi, start) - squared / 2 * sp.diff(phi, start, 2)
    return sp.powsimp(left / phi)


@derivation("ornstein-uhlenbeck-transition")
def _ornstein_uhlenbeck_transition() -> Derivation:
    """Derive the Gaussian law of a state that returns to a level under constant noise."""
    lines = _lines(positive=False)
    by_name = {line.name: line.symbol for line in lines}
    x, start, rate, level, nu, u = (
        by_name[name] for name in ("state", "state_start", "return_rate", "level", "volatility", "transform_variable")
    )
    mean = level + (start - level) * sp.exp(-rate * _t)
    variance = nu**2 * (1 - sp.exp(-2 * rate * _t)) / (2 * rate)

    def root(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        nonnegative = all(
            expression.rhs.subs({nu: 1, rate: half, _t: 1}).evalf() > 0 for half in (sp.Rational(1, 2), 2)
        )
        square = sp.expand(expression.rhs**2 - earlier["variance"].rhs)
        return (square, sp.true if nonnegative else sp.false, expression.lhs - by_name["spread"])

    def gaussian(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        phi = expression.rhs.subs({_m(_t): earlier["mean"].rhs, _v(_t): earlier["variance"].rhs})
        m, v = sp.Symbol("m", real=True), sp.Symbol("v", positive=True)
        area = sp.exp(u * m) * _exponential_mean(u * sp.sqrt(v))  # of exp(u (m + sqrt(v) z)), z standard normal
        law = expression.rhs.subs({_m(_t): m, _v(_t): v})
        return (
            _backward(phi, start, x, earlier),
            sp.expand(sp.log(phi.subs(_t, 0)) - u * start),
            sp.powsimp(sp.expand(area / law)) - 1,
            expression.lhs - _transform(u),
        )

    steps = (
        Step(
            "drift",
            "A state that returns to a level has the drift",
            equation(by_name["drift"], rate * (level - x)),
            premise(),
        ),
        Step(
            "diffusion",
            "and, under constant noise, the squared diffusion",
            equation(by_name["diffusion"] ** 2, nu**2),
            premise(),
        ),
        *_moments(x, start, rate * (level - _m(_t)), mean, nu**2 - 2 * rate * _v(_t), variance),
        Step(
            "spread",
            "with the standard deviation",
            equation(by_name["spread"], sp.sqrt(variance)),
            proof("its square is the variance, and it is not negative", root),
        ),
        Step(
            "transform",
            "The law is Gaussian:",
            equation(_transform(u), sp.exp(u * _m(_t) + u**2 * _v(_t) / 2)),
            proof(
                "with mean and variance put in it fulfils Kolmogorov's backward equation and is right at the start; "
                "it is the integral over a Gaussian density",
                gaussian,
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="ornstein-uhlenbeck-transition",
        title="Where constant noise and a return to a level bring a state: a Gaussian law",
        assumptions=("dx = κ (level − x) dt + ν dB, in Itô's sense, from a known state.",),
        steps=steps,
        equation=found["mean-flow"],
        results={
            "mean_state": found["mean"].rhs,
            "state_variance": found["variance"].rhs,
            "spread": found["spread"].rhs,
        },
        fixed_points=({_m(_t): level},),
        stability=(Stability(_m(_t), "flow", 0, -rate, sp.true, "The mean returns to the level."),),
        zero_allowed=frozenset({"volatility"}),
        references=("uhlenbeck1930", "risken1989"),
        quantities=lines,
    )


@derivation("cox-ingersoll-ross-transition")
def _cox_ingersoll_ross_transition() -> Derivation:
    """Derive the non-central chi-square law of a state whose noise grows with its root."""
    lines = _lines(positive=True)
    by_name = {line.name: line.symbol for line in lines}
    x, start, rate, level, nu, u = (
        by_name[name] for name in ("state", "state_start", "return_rate", "level", "volatility", "transform_variable")
    )
    d, apart, c, j = (by_name[name] for name in ("degrees", "noncentrality", "scale", "count"))
    central, mixed = (sp.Function(name) for name in ("central_transform", "mixed_transform"))
    left = sp.exp(-rate * _t)
    mean = level + (start - level) * left
    variance = nu**2 / rate * (1 - left) * (start * left + level * (1 - left) / 2)
    scale, degrees = nu**2 * (1 - left) / (4 * rate), 4 * rate * level / nu**2

    def chi_square(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        y = sp.Symbol("y", positive=True)
        density = y ** (d / 2 - 1) * sp.exp(-y / 2) / (2 ** (d / 2) * sp.gamma(d / 2))
        found = sp.integrate(density * sp.exp(-u * y), (y, 0, sp.oo))
        ratio = sp.powsimp(sp.expand_power_base(found, force=True) / expression.rhs)
        return (ratio.simplify() - 1, expression.lhs - central(d))

    def summed(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (mixture,) = earlier["mixture"].rhs.atoms(sp.Sum)
        outside = sp.cancel(earlier["mixture"].rhs / mixture)
        inner = mixture.function.replace(central, lambda some: earlier["chi-square"].rhs.subs(d, some))
        # what does not depend on j before the sum; the rest is the series of an exponential
        term = sp.powsimp(sp.expand_power_exp(inner / earlier["chi-square"].rhs))
        ratio = sp.simplify(term.subs(j, j + 1) / term * (j + 1))  # from one term to the next: z / (j + 1)
        total = outside * term.subs(j, 0) * earlier["chi-square"].rhs * sp.exp(ratio)
        logarithm = sp.expand_log(sp.log(total / expression.rhs), force=True)
        return (sp.cancel(sp.expand(logarithm)), sp.diff(ratio, j), expression.lhs - mixed(u))

    def fulfils(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        values = [(apart, earlier["noncentrality"].rhs), (d, earlier["degrees"].rhs), (c, earlier["scale"].rhs)]
        phi = expression.rhs.subs(values)
        beginning = sp.cancel(sp.expand_log(sp.log(phi), force=True)).subs(_t, 0) + u * start
        law = sp.expand_log(sp.log(expression.rhs / earlier["mixed"].rhs.subs(u, c * u)), force=True)
        return (
            sp.cancel(law),
            _backward(phi, start, x, earlier),
            sp.expand(beginning),
            expression.lhs - _transform(u),
        )

    steps = (
        Step(
            "drift",
            "A state that returns to a level has the drift",
            equation(by_name["drift"], rate * (level - x)),
            premise(),
        ),
        Step(
            "diffusion",
            "and, under noise that grows with its root, the squared diffusion",
            equation(by_name["diffusion"] ** 2, nu**2 * x),
            premise(),
        ),
        *_moments(x, start, rate * (level - _m(_t)), mean, nu**2 * _m(_t) - 2 * rate * _v(_t), variance),
        Step(
            "chi-square",
            "A chi-square law of d degrees of freedom has the transform",
            equation(central(d), (1 + 2 * u) ** (-d / 2)),
            proof("integral over its density", chi_square),
        ),
        Step(
            "mixture",
            "The non-central law is that of degrees which a Poisson number, whose mean is half the non-centrality, "
            "raises by two each,",
            equation(
                mixed(u),
                sp.exp(-apart / 2) * sp.Sum((apart / 2) ** j / sp.factorial(j) * central(d + 2 * j), (j, 0, sp.oo)),
            ),
            definition(),
        ),
        Step(
            "mixed",
            "so it has",
            equation(mixed(u), (1 + 2 * u) ** (-d / 2) * sp.exp(-apart * u / (1 + 2 * u))),
            proof("the transforms put in: each term over the one before is z / j, so the sum is exp(z)", summed),
        ),
        Step("scale", "With the scale", equation(c, scale), definition()),
        Step("degrees", "the degrees of freedom", equation(d, degrees), definition()),
        Step("noncentrality", "and the non-centrality", equation(apart, start * left / c), definition()),
        Step(
            "transform",
            "the state is the scale times a non-central chi-square number:",
            equation(_transform(u), (1 + 2 * c * u) ** (-d / 2) * sp.exp(-apart * c * u / (1 + 2 * c * u))),
            proof(
                "that law's transform, scaled; with all three put in it fulfils Kolmogorov's backward equation and is "
                "right at the start",
                fulfils,
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="cox-ingersoll-ross-transition",
        title="Where noise that grows with the root brings a state: a non-central chi-square law",
        assumptions=(
            "dx = κ (level − x) dt + ν √x dB, in Itô's sense, from a known state that is not negative.",
            "Zero, where it is reached, reflects.",
        ),
        steps=steps,
        equation=found["mean-flow"],
        results={
            "mean_state": found["mean"].rhs,
            "state_variance": found["variance"].rhs,
            "scale": found["scale"].rhs,
            "degrees": found["degrees"].rhs,
            "noncentrality": found["noncentrality"].rhs,
        },
        fixed_points=({_m(_t): level},),
        stability=(Stability(_m(_t), "flow", 0, -rate, sp.true, "The mean returns to the level."),),
        references=("cox1985",),
        quantities=lines,
    )


@derivation("geometric-brownian-transition")
def _geometric_brownian_transition() -> Derivation:
    """Derive the path and the log-normal law of a state whose noise is proportional to it."""
    lines = _lines(positive=True)
    by_name = {line.name: line.symbol for line in lines}
    x, start, growth, nu, B = (by_name[name] for name in ("state", "state_start", "growth", "volatility", "brownian"))
    median, log_spread = by_name["median"], by_name["log_spread"]
    path = start * sp.exp((growth - nu**2 / 2) * _t + nu * B)
    mean, variance = start * sp.exp(growth * _t), start**2 * sp.exp(2 * growth * _t) * (sp.exp(nu**2 * _t) - 1)

    def lemma(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        found = expression.rhs
        drift = sp.diff(found, _t) + sp.diff(found, B, 2) / 2 - earlier["drift"].rhs.subs(x, found)
        noise = sp.diff(found, B) - earlier["noise"].rhs.subs(x, found)
        return (sp.expand(drift), sp.expand(noise), found.subs({_t: 0, B: 0}) - start, expression.lhs - x)

    def squared(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (expression.rhs - earlier["noise"].rhs ** 2,)

    def middle(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # the path rises with B, whose median is 0
        rises = sp.true if (sp.diff(earlier["path"].rhs, B) / earlier["path"].rhs).is_positive else sp.false
        return (expression.rhs - earlier["path"].rhs.subs(B, 0), rises, expression.lhs - median)

    def logarithm(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        slope = sp.diff(sp.expand_log(sp.log(earlier["path"].rhs), force=True), B)  # B has the variance t
        nonnegative = sp.true if expression.rhs.is_nonnegative else sp.false
        return (expression.rhs**2 - slope**2 * _t, nonnegative, sp.diff(slope, B), expression.lhs - log_spread)

    def averages(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # E exp(k B) over the Gaussian B, whose variance is the time: B / sqrt(time) is standard normal, k its spread
        found = earlier["median"].rhs * _exponential_mean(earlier["log-spread"].rhs)
        return (sp.powsimp(sp.expand(found / expression.rhs)) - 1, expression.rhs - earlier["mean"].rhs)

    steps = (
        Step("drift", "A state that grows at a rate has the drift", equation(by_name["drift"], growth * x), premise()),
        Step(
            "noise",
            "and, under noise proportional to it, the diffusion",
            equation(by_name["diffusion"], nu * x),
            premise(),
        ),
        Step(
            "path",
            "Along each path of the noise it is",
            equation(x, path),
            proof("Itô's lemma: its drift and diffusion are those, and it begins at the start", lemma),
        ),
        Step(
            "diffusion",
            "With the squared diffusion",
            equation(by_name["diffusion"] ** 2, nu**2 * x**2),
            proof("squared", squared),
        ),
        *_moments(x, start, growth * _m(_t), mean, (2 * growth + nu**2) * _v(_t) + nu**2 * _m(_t) ** 2, variance),
        Step(
            "median",
            "The law is log-normal, with the median",
            equation(median, start * sp.exp((growth - nu**2 / 2) * _t)),
            proof("the path, which rises with the noise, at the noise's median 0", middle),
        ),
        Step(
            "log-spread",
            "and the standard deviation of the logarithm",
            equation(log_spread, nu * sp.sqrt(_t)),
            proof("the logarithm is linear in the noise, whose variance is the time", logarithm),
        ),
        Step(
            "average",
            "The mean of that law is the one above:",
            equation(_m(_t), mean),
            proof("integral over the Gaussian density of the noise", averages),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="geometric-brownian-transition",
        title="Where noise proportional to the state brings it: a log-normal law",
        assumptions=("dx = g x dt + ν x dB, in Itô's sense, from a known state above 0.",),
        steps=steps,
        equation=found["variance-flow"],
        results={
            "state": found["path"].rhs,
            "mean_state": found["mean"].rhs,
            "state_variance": found["variance"].rhs,
            "median": found["median"].rhs,
            "log_spread": found["log-spread"].rhs,
        },
        references=("kloeden1992",),
        quantities=lines,
    )
