"""Derive the equilibrium of a linear optimizer step by step: SGD, heavy ball, Nesterov, or any other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import sympy as sp

from .derivation import Derivation
from .equilibria import Equilibrium
from .filter_moments import autocovariances
from .linear_optimizers import EMA, HEAVY_BALL, NESTEROV, SGD
from .notation import GLOSSARY, Quantity, quantity, symbols_of
from .optimizers import B, LinearOptimizer, equilibrium
from .proofs import definition, difference, equation, premise, proof
from .registry import derivation
from .steps import Step
from .vanishing import rational_points

__all__ = ["linear_optimizer"]

_lr, _weight_decay, _gradient_power, _unit_power = symbols_of("lr weight_decay gradient_power unit_gradient_power")
_stationary, _angle = symbols_of("norm_squared_stationary angular_update")
_EPS = _lr * _weight_decay
_SMALL = sp.Dummy("small", positive=True)
_QUANTITIES = (
    quantity("B", "B", "B", "1", "backshift: B times a sequence is the sequence one step earlier", real=True),
    quantity("transfer", "H", "H", "1", "transfer function of the optimizer, update = H(B) gradient", real=True),
    quantity("response", "T", "T", "1", "transfer function from gradients to weights, but for −ηB", real=True),
    quantity("half_spectrum", "S", "S", "1", "half of the weights' spectrum, analytic in the unit disc", real=True),
    quantity("weight", "w", "w", "weight", "sequence of a weight", real=True),
    quantity("gradient", "g", "g", "loss / weight", "sequence of its gradient, white noise", real=True),
    quantity("autocovariance_0", "r_{0}", "r_0", "1", "variance of white noise of power 1 behind T", real=True),
    quantity(
        "autocovariance_1",
        "r_{1}",
        "r_1",
        "1",
        "covariance one step apart of white noise of power 1 behind T",
        real=True,
    ),
    quantity("one_minus_cosine", "x", "x", "1", "one minus the cosine between consecutive weights", real=True),
    quantity("norm_squared_leading", "R_{1}", "R_1", "weight²", "squared norm to leading order in ηλ", real=True),
    quantity(
        "norm_squared_correction",
        "c_{R}",
        "c_R",
        "1",
        "relative first correction to R_1",
        real=True,
    ),
    quantity("angular_update_leading", r"\theta_{1}", "θ_1", "rad", "angle to leading order in ηλ", real=True),
    quantity(
        "norm_squared_scale", r"\tilde R_{*}", "R̃_*", "weight²", "squared norm of a scale-invariant block", real=True
    ),
    quantity("relaxation_rate", r"\kappa", "κ", "1 / step", "rate at which R returns, to leading order", real=True),
    quantity(
        "relaxation_rate_scale",
        r"\tilde\kappa",
        "κ̃",
        "1 / step",
        "rate at which R returns, for a scale-invariant block",
        real=True,
    ),
)
_OF = {line.name: line.symbol for line in _QUANTITIES}


def linear_optimizer(optimizer: LinearOptimizer, coupling: str, *, name: str | None = None) -> Derivation:
    """Return the derivation of a linear optimizer's equilibrium, each step proven from its transfer function.

    Parameters
    ----------
    optimizer : LinearOptimizer
        Any.
    coupling : {"coupled", "decoupled"}
        Where the decay acts.
    name : str, optional
        Name of the derivation; by default optimizer-(name)-(coupling).

    Returns
    -------
    Derivation
        Its result norm_squared_stationary is the equilibrium's norm_squared.

    Notes
    -----
    E||w||^2 = lr^2 G^2 r_0 with sum_k r_k B^k = T(B) T(1/B), T the closed loop of the optimizer under decay; for white
    gradients perpendicular to the weights.

    References
    ----------
    wan2020 for SGD and heavy ball, kosson2023 for leading orders; the general filter is our own derivation.

    Examples
    --------
    >>> look = sp.Symbol("look", positive=True)
    >>> optimistic = linear_optimizer(LinearOptimizer("optimistic", 1 + look - look * B), "coupled")
    >>> optimistic.check()
    >>> float(optimistic.numeric("one_minus_cosine", lr=0.1, weight_decay=0.1, look=1).round(5))
    0.04913
    """
    exact = equilibrium(optimizer, coupling=coupling)
    leading = equilibrium(optimizer, coupling=coupling, order="leading")
    steps = _steps(optimizer, exact, leading)
    found = {step.key: step.expression for step in steps}
    known = {line.symbol for line in GLOSSARY}
    own = tuple(
        Quantity(symbol, sp.latex(symbol), str(symbol.name), "1", f"hyperparameter of {optimizer.name}")
        for symbol in optimizer.hyperparameters
        if symbol not in known
    )
    return Derivation(
        name=name or f"optimizer-{optimizer.name.lower().replace('_', '-').replace(' ', '-')}-{coupling}",
        title=f"Equilibrium of {_called(optimizer)} with {coupling} decay on random gradients",
        assumptions=exact.assumptions,
        steps=steps,
        equation=found["size"],
        results={str(found[key].lhs): found[key].rhs for key in _RESULTS},
        conditions=exact.conditions,
        zero_allowed=exact.zero_allowed | {"unit_gradient_power"},
        references=("wan2020", "kosson2023"),
        quantities=(*_QUANTITIES, *own),
    )


_RESULTS = (
    *("size", "cosine", "angle", "size-leading", "size-correction", "angle-leading"),
    *("size-scale", "relaxation", "relaxation-scale"),
)


def _steps(optimizer: LinearOptimizer, exact: Equilibrium, leading: Equilibrium) -> tuple[Step, ...]:
    above, below = exact.drive, exact.modes
    symbols = (_lr, _weight_decay, *optimizer.hyperparameters)
    r_0, r_1, half = autocovariances(above, below, symbols)
    response, spectrum = sp.Function("response"), sp.Function("half_spectrum")
    weight, gradient, transfer = _OF["weight"], _OF["gradient"], _OF["transfer"]
    decayed = (1 - _EPS) * weight if exact.coupling == "decoupled" else weight
    fed = gradient if exact.coupling == "decoupled" else gradient + _weight_decay * weight
    rotation = exact.one_minus_cosine
    rate = leading.relaxation_rate
    b = _OF["B"]
    fraction = optimizer.transfer_function.subs(B, b)
    return (
        Step("filter", "The optimizer filters its gradients.", equation(transfer, fraction), definition()),
        Step(
            "update",
            "A step moves the weight; B turns the new weight into the old one.",
            equation(weight / b, decayed - _lr * transfer * fed),
            premise(),
        ),
        Step(
            "driven",
            "So the weight, too, is a filtered gradient,",
            equation(weight, -_lr * b * response(b) * gradient),
            definition(),
        ),
        Step(
            "response",
            "with the filter that fulfils the equation of a step.",
            equation(response(b), _polynomial(above, b) / _polynomial(below, b)),
            proof("put back into the step, with the optimizer's filter, which it fulfils", _fulfils),
        ),
        Step(
            "spectrum",
            "Its spectrum T(B) T(1/B) is S(B) + S(1/B), and S has no poles but those of T, outside the unit circle.",
            equation(spectrum(b), _polynomial(half, b) / _polynomial(below, b)),
            proof("both sides agree as rational functions, and S times the denominator of T is a polynomial", _splits),
        ),
        Step(
            "variance",
            "The coefficients of the spectrum's powers of B are autocovariances: the variance is twice S at 0,",
            equation(_OF["autocovariance_0"], r_0),
            _from("spectrum", lambda rhs: 2 * rhs.subs(b, 0), "twice S at B = 0"),
        ),
        Step(
            "neighbour",
            "the covariance of neighbours its slope there.",
            equation(_OF["autocovariance_1"], r_1),
            _from("spectrum", lambda rhs: sp.diff(rhs, b).subs(b, 0), "derivative of S at B = 0"),
        ),
        Step(
            "size",
            "Summed over all weights this is the squared norm, exactly;",
            equation(_stationary, exact.norm_squared),
            proof("the variance times the gradient power and the square of what stands before T", _size),
        ),
        Step(
            "cosine",
            "the cosine between consecutive weights is the correlation of neighbours,",
            equation(_OF["one_minus_cosine"], rotation),
            proof(
                "one minus the ratio of the two covariances",
                lambda expression, earlier: (
                    sp.cancel(expression.rhs - 1 + earlier["neighbour"].rhs / earlier["variance"].rhs),
                ),
            ),
        ),
        Step(
            "angle",
            "which is that of the angle",
            equation(_angle, exact.angular_update),
            proof("one minus its cosine is the step before", _angle_of),
        ),
        Step(
            "size-leading",
            "For small decay per step the squared norm goes as",
            equation(_OF["norm_squared_leading"], leading.norm_squared),
            proof("its ratio to the exact one is 1 at weight decay 0", _ratio_at_zero("size")),
        ),
        Step(
            "size-correction",
            "with the relative first correction",
            equation(_OF["norm_squared_correction"], exact.first_correction["norm_squared"]),
            proof("series of the ratio of the exact and the leading squared norm in weight decay", _next_term),
        ),
        Step(
            "angle-leading",
            "and the angle as",
            equation(_OF["angular_update_leading"], leading.angular_update),
            proof("its square over twice one minus the cosine is 1 at weight decay 0", _leading_angle),
        ),
        Step(
            "size-scale",
            "If the block is scale-invariant, the gradient power is that at unit norm over R, which gives R as a root.",
            equation(
                _OF["norm_squared_scale"],
                equilibrium(optimizer, coupling=exact.coupling, symmetry="scale").norm_squared.subs(
                    _gradient_power, _unit_power
                ),
            ),
            proof("put back into R at that gradient power, which it fulfils", _scale_root),
        ),
        Step(
            "relaxation",
            "The slowest root of the response lies close to 1: a perturbation of R, which goes with its square, "
            "dies out at the rate",
            equation(_OF["relaxation_rate"], rate),
            proof("the denominator of T vanishes at B = 1 + κ/2 to first order in weight decay", _slow_root),
        ),
        Step(
            "relaxation-scale",
            "and, if the block is scale-invariant, at",
            equation(_OF["relaxation_rate_scale"], 2 * rate),
            proof("slope of −κR + κR_*²/R at R_*, the sign changed", _scale_slope),
        ),
    )


def _polynomial(rising: Any, variable: Any) -> Any:
    return sp.Add(*(part * variable**power for power, part in enumerate(rising)))


def _from(key: str, read: Callable[[Any], Any], how: str) -> Any:
    return proof(how, lambda expression, earlier: (_cancelled(read(earlier[key].rhs) - expression.rhs),))


def _cancelled(rational: Any) -> Any:
    """Return a rational function in lowest terms; or its value at a point, much faster, if that is not zero already."""
    (point,) = rational_points(rational.free_symbols, 1)
    value = rational.subs(point)
    if value != 0 or not rational.free_symbols:
        return value
    field = sp.QQ.frac_field(*sorted(rational.free_symbols, key=str))
    return field.to_sympy(field.from_sympy(rational))  # as cancel(together()), in a third of the time


def _fulfils(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    step = difference(earlier["update"]).subs(earlier["filter"].lhs, earlier["filter"].rhs)
    step = step.subs(earlier["driven"].lhs, earlier["driven"].rhs).subs(expression.lhs, expression.rhs)
    return (sp.cancel(sp.together(step / earlier["driven"].rhs.subs(expression.lhs, 1))),)


def _splits(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    b = _OF["B"]
    response, half = earlier["response"].rhs, expression.rhs
    remaining = sp.fraction(sp.cancel(half * sp.fraction(response)[1]))[1]
    whole = response * response.subs(b, 1 / b) - half - half.subs(b, 1 / b)
    return (_cancelled(whole), sp.false if remaining.has(b) else sp.true)


def _size(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    b, driven = _OF["B"], earlier["driven"].rhs
    before = driven.subs({earlier["response"].lhs: 1, _OF["gradient"]: 1})
    return (sp.cancel(expression.rhs - before * before.subs(b, 1 / b) * _gradient_power * earlier["variance"].rhs),)


def _angle_of(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    return (sp.cancel(1 - sp.expand_trig(sp.cos(expression.rhs)) - earlier["cosine"].rhs),)


def _at_zero(expression: Any) -> Any:
    return sp.cancel(sp.together(expression)).subs(_weight_decay, 0)


def _ratio_at_zero(key: str) -> Any:
    return lambda expression, earlier: (_at_zero(earlier[key].rhs / expression.rhs) - 1,)


def _next_term(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    ratio = sp.cancel(earlier["size"].rhs / earlier["size-leading"].rhs)
    return (sp.cancel(sp.diff(ratio, _weight_decay).subs(_weight_decay, 0) * _weight_decay - expression.rhs),)


def _leading_angle(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    x = _OF["one_minus_cosine"]
    power = sp.limit((2 * sp.asin(sp.sqrt(x / 2))) ** 2 / (2 * x), x, 0)
    return (_at_zero(expression.rhs**2 / (2 * earlier["cosine"].rhs)) - power, _is_positive(expression.rhs))


def _scale_root(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    per_power = earlier["size"].rhs / _gradient_power
    squared = sp.powsimp(expression.rhs**2)
    return (sp.cancel(squared - per_power * _unit_power), _is_positive(expression.rhs))


def _is_positive(root: Any) -> Any:
    """Return true if, of the two roots of a square, this is the positive one."""
    value = root.subs({symbol: sp.Rational(1, 3) for symbol in root.free_symbols}).evalf()
    return sp.true if root.as_coeff_Mul()[0] > 0 and (value.is_real is False or value > 0) else sp.false


def _slow_root(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    b = _OF["B"]
    below = sp.fraction(earlier["response"].rhs)[1]
    near = below.subs({b: 1 + expression.rhs / 2}).subs(_weight_decay, _SMALL * _weight_decay)
    return (sp.cancel(near.subs(_SMALL, 0)), sp.cancel(sp.diff(near, _SMALL).subs(_SMALL, 0)))


def _scale_slope(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    rate, norm = earlier["relaxation"].rhs, _OF["norm_squared_scale"]
    flow = -rate * _stationary + rate * norm**2 / _stationary
    return (expression.rhs + sp.diff(flow, _stationary).subs(_stationary, norm),)


_CALLED = {"sgd": "SGD", "ema": "an exponential moving average", "nesterov": "Nesterov's momentum"}


def _called(optimizer: LinearOptimizer) -> str:
    return _CALLED.get(optimizer.name, optimizer.name.replace("-", " "))


@derivation("optimizer-sgd")
def _sgd() -> Derivation:
    """Derive the equilibrium of SGD, for which coupled and decoupled decay are the same."""
    sgd = linear_optimizer(SGD, "coupled", name="optimizer-sgd")
    return replace(sgd, title="Equilibrium of SGD on random gradients: coupled and decoupled decay are the same")


def _register(optimizer: LinearOptimizer, coupling: str) -> None:
    name = f"optimizer-{optimizer.name}-{coupling}"
    derivation(name)(lambda: linear_optimizer(optimizer, coupling, name=name))


for _optimizer in (HEAVY_BALL, NESTEROV, EMA):
    for _coupling in ("coupled", "decoupled"):
        _register(_optimizer, _coupling)
