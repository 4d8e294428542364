"""Derive the exact law of the squared norm under Gaussian gradient noise, at any learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import difference, equation, premise, proof
from .registry import derivation, derive
from .steps import Stability, Step
from .validity import KEEPS_PART

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights, _n_steps = symbols_of("lr weight_decay n_weights n_steps")
_norm_squared, _stationary, _unit_power = symbols_of("norm_squared norm_squared_stationary unit_gradient_power")
_EPS = _lr * _weight_decay
_LEFT = 1 - _EPS

_LINES = (
    quantity(
        "noise_variance",
        "\\sigma^{2}",
        "σ²",
        "(loss/weight)²",
        "variance of each component of the gradient",
        positive=True,
    ),
    quantity("weight", "w", "w", "weight", "a weight", real=True),
    quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True),
    quantity("noise", "\\xi", "ξ", "loss / weight", "its gradient, Gaussian with mean 0", real=True),
    quantity("weight_variance", "v", "v", "weight²", "variance of a weight", positive=True),
    quantity("weight_variance_next", "v'", "v'", "weight²", "variance of the weight after the step", positive=True),
    quantity("weight_variance_stationary", "v_{*}", "v_*", "weight²", "stationary variance of a weight", positive=True),
    quantity("covariance_next", "v_{1}", "v_1", "weight²", "E w w', covariance of a weight with itself a step later"),
    quantity("transform_variable", "u", "u", "1 / weight²", "variable of Laplace's transform", positive=True),
    quantity("weight_transform", "\\phi_{w}", "φ_w", "1", "E exp(−u w²) of one weight", positive=True),
    quantity("norm_transform", "\\phi_{R}", "φ_R", "1", "E exp(−u R) of the squared norm", positive=True),
    quantity("gamma_transform", "\\phi_{\\Gamma}", "φ_Γ", "1", "E exp(−u R) of a Gamma law", positive=True),
    quantity("shape", "k", "k", "1", "shape of the Gamma law", positive=True),
    quantity("scale", "\\vartheta", "ϑ", "weight²", "scale of the Gamma law", positive=True),
    quantity("mean", "m_{R}", "m_R", "weight²", "stationary mean of the squared norm", positive=True),
    quantity("correction", "c_{\\varepsilon}", "c_ε", "1", "scale over that of small steps", positive=True),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_noise, _variance, _variance_next, _shape, _scale = (
    _BY_NAME[name] for name in ("noise_variance", "weight_variance", "weight_variance_next", "shape", "scale")
)


@derivation("gaussian-sgd")
def _gaussian_sgd() -> Derivation:
    """Derive the exact stationary law of the squared norm under Gaussian gradient noise at any learning rate."""
    w, after, xi = (_BY_NAME[name] for name in ("weight", "weight_next", "noise"))
    rest, u = _BY_NAME["weight_variance_stationary"], _BY_NAME["transform_variable"]
    of_weight, of_norm, of_gamma = (
        _BY_NAME[name] for name in ("weight_transform", "norm_transform", "gamma_transform")
    )
    mean, correction, later = (_BY_NAME[name] for name in ("mean", "correction", "covariance_next"))
    value = _lr * _noise / (_weight_decay * (2 - _EPS))

    def second_moment(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        squared = sp.expand(earlier["update"].rhs ** 2)
        means = squared.coeff(w, 2) * _variance + squared.coeff(xi, 2) * _noise  # noise and weight are independent
        return (expression.rhs - means, expression.lhs - _variance_next)

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (difference(earlier["variance"]).subs(dict.fromkeys((_variance, _variance_next), expression.rhs)),)

    def lagged(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        mean_product = sp.expand(earlier["update"].rhs * w).coeff(w, 2) * earlier["stationary"].rhs
        return (sp.cancel(expression.rhs - mean_product), expression.lhs - later)

    def of_one(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # exp(-w²/2v) exp(-u w²) is one Gaussian, whose width is named for the integral.
        width = sp.Dummy("width", positive=True)
        area = sp.integrate(sp.exp(-(w**2) / (2 * width)), (w, -sp.oo, sp.oo))
        found = area.subs(width, 1 / (1 / rest + 2 * u)) / area.subs(width, rest)
        positive = sp.true if expression.rhs.is_positive else sp.false
        return (sp.cancel(sp.powsimp(found**2 - expression.rhs**2)), positive, expression.lhs - of_weight)

    def of_all(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.powsimp(earlier["weight-transform"].rhs ** _n_weights / expression.rhs) - 1,)

    def of_gamma_law(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        density = derive("cox-ingersoll-ross").results["density"]
        found = sp.integrate(density * sp.exp(-u * _norm_squared), (_norm_squared, 0, sp.oo))
        return (sp.powsimp(sp.expand_power_base(found, force=True) / expression.rhs).simplify() - 1,)

    def same(name: str) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            values = {_shape: _n_weights / 2, _scale: 2 * rest}
            agree = sp.powsimp(earlier["gamma-transform"].rhs.subs(values) / earlier["norm-transform"].rhs) - 1
            value = values[_BY_NAME[name]].subs(rest, earlier["stationary"].rhs)
            return (agree, expression.rhs - value, expression.lhs - _BY_NAME[name])

        return proof("with it the transform of the Gamma law is that of the squared norm", residual)

    steps = (
        Step(
            "update",
            "SGD on a loss whose gradient is pure Gaussian noise:",
            equation(after, _LEFT * w - _lr * xi),
            premise(),
        ),
        Step(
            "variance",
            "A weight stays Gaussian, and its variance goes as",
            equation(_variance_next, _LEFT**2 * _variance + _lr**2 * _noise),
            proof("square of the update, mean value; weight and noise are independent", second_moment),
        ),
        Step(
            "stationary",
            "so it rests at",
            equation(rest, value),
            proof("put back into the recursion, with the same variance before and after", rests),
        ),
        Step(
            "covariance",
            "A step later a weight still has the covariance with itself",
            equation(later, _LEFT * value),
            proof("update times weight, mean value, at rest", lagged),
        ),
        Step(
            "weight-transform",
            "Laplace's transform of the square of one weight is",
            equation(of_weight, (1 + 2 * rest * u) ** sp.Rational(-1, 2)),
            proof("integral over the Gaussian density", of_one),
        ),
        Step(
            "norm-transform",
            "and that of the squared norm, the weights being independent,",
            equation(of_norm, (1 + 2 * rest * u) ** (-_n_weights / 2)),
            proof("the transform of one weight to the power of their number", of_all),
        ),
        Step(
            "gamma-transform",
            "A Gamma law has",
            equation(of_gamma, (1 + _scale * u) ** (-_shape)),
            proof("integral over the density of the derivation cox-ingersoll-ross", of_gamma_law),
        ),
        Step(
            "shape", "so the squared norm has the Gamma law of shape", equation(_shape, _n_weights / 2), same("shape")
        ),
        Step("scale", "and scale", equation(_scale, 2 * value), same("scale")),
        Step(
            "mean",
            "with the mean",
            equation(mean, _n_weights * value),
            proof(
                "shape times scale",
                lambda expression, earlier: (expression.rhs - earlier["shape"].rhs * earlier["scale"].rhs,),
            ),
        ),
        Step(
            "correction",
            "Over the scale for small steps (derivation cox-ingersoll-ross) the exact scale is",
            equation(correction, 2 / (2 - _EPS)),
            proof(
                "one scale divided by the other",
                lambda expression, earlier: (
                    sp.cancel(earlier["scale"].rhs / derive("cox-ingersoll-ross").results["scale"] - expression.rhs),
                ),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="gaussian-sgd",
        title="Gaussian gradient noise at finite learning rate: the squared norm has a Gamma law, exactly",
        assumptions=(
            "The gradient is Gaussian noise of the same variance in every component, new and independent each step.",
        ),
        steps=steps,
        equation=found["variance"],
        results={
            "shape": found["shape"].rhs,
            "scale": found["scale"].rhs,
            "weight_variance_stationary": found["stationary"].rhs,
            "mean": found["mean"].rhs,
            "correction": found["correction"].rhs,
            "weight_variance_next": found["variance"].rhs,
            "covariance_next": found["covariance"].rhs,
        },
        fixed_points=({_variance: value, _variance_next: value},),
        stability=(
            Stability(_variance, "map", 0, _LEFT**2, sp.true, "The variance returns by the factor (1 − ηλ)² per step."),
        ),
        conditions=(KEEPS_PART,),
        references=("mandt2017", "cox1985"),
        quantities=_LINES,
    )
