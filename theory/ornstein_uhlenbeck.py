"""Derive the covariance of weights near a minimum under gradient noise and decay: an Ornstein-Uhlenbeck law."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import difference, equation, premise, proof
from .registry import derivation
from .steps import Stability, Step
from .validity import stays_bounded

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights, _time = symbols_of("lr weight_decay n_weights time")
_LINES = (
    quantity("weight", "w", "w", "weight", "a weight, from the minimum on", real=True),
    quantity("weight_drift", "b", "b", "loss / weight", "drift of a weight", real=True),
    quantity("pull_matrix", "H", "H", "loss / weight²", "what draws weights back: curvature plus decay", real=True),
    quantity("covariance_matrix", "S", "S", "weight²", "covariance of two weights", real=True),
    quantity("covariance_rate", "\\dot S", "dS/dt", "weight² / time", "rate of change of the covariance", real=True),
    quantity("noise_matrix", "C", "C", "(loss/weight)²", "covariance of the gradient noise", real=True),
    quantity("curvature", "a_{i}", "a_i", "loss / weight²", "curvature of the loss in one direction", nonnegative=True),
    quantity(
        "curvature_other", "a_{j}", "a_j", "loss / weight²", "curvature in another (or the same)", nonnegative=True
    ),
    quantity("noise_covariance", "c_{ij}", "c_ij", "(loss/weight)²", "noise covariance of both directions", real=True),
    quantity("covariance", "S_{ij}", "S_ij", "weight²", "covariance of the weights in both directions", real=True),
    quantity("covariance_start", "S_{0}", "S_0", "weight²", "covariance at the start", real=True),
    quantity("covariance_next", "S'", "S'", "weight²", "covariance after a step", real=True),
    quantity("covariance_stationary", "S_{*}", "S_*", "weight²", "covariance at rest, small steps", real=True),
    quantity(
        "covariance_discrete", "S_{\\Delta}", "S_Δ", "weight²", "covariance at rest, at finite learning rate", real=True
    ),
    quantity("return_rate", "\\kappa", "κ", "1 / time", "rate at which the covariance returns", positive=True),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_a, _a_other, _c, _S, _S_next = (
    _BY_NAME[name] for name in ("curvature", "curvature_other", "noise_covariance", "covariance", "covariance_next")
)


@derivation("ornstein-uhlenbeck-covariance")
def _ornstein_uhlenbeck_covariance() -> Derivation:
    """Derive H S + S H = lr C with H = A + weight_decay, its solution in time, and the same at finite steps."""
    names = ("pull_matrix", "covariance_matrix", "noise_matrix", "covariance_rate")
    H, S, C, rate = (sp.IndexedBase(_BY_NAME[name]) for name in names)
    w, b = (sp.IndexedBase(_BY_NAME[name]) for name in ("weight", "weight_drift"))
    i, j, k = sp.symbols("i j k", integer=True)
    covariance = sp.Function("covariance")
    return_rate, start = _BY_NAME["return_rate"], _BY_NAME["covariance_start"]
    rest, discrete = _BY_NAME["covariance_stationary"], _BY_NAME["covariance_discrete"]
    together = _a + _a_other + 2 * _weight_decay
    value = _lr * _c / together
    h, h_other = _a + _weight_decay, _a_other + _weight_decay
    left, left_other = 1 - _lr * h, 1 - _lr * h_other

    def lemma(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        """Itô's lemma for the product of two of three weights, mean values put in."""
        three = sp.symbols("w_1:4", real=True)
        drifts = [earlier["drift"].rhs.subs({i: row, _n_weights: 3}).doit() for row in (1, 2, 3)]
        drifts = [part.subs({w[row + 1]: three[row] for row in range(3)}) for part in drifts]
        residuals = []
        for first in (1, 2, 3):
            for second in (1, 2, 3):
                product = three[first - 1] * three[second - 1]
                change = sum(sp.diff(product, three[row]) * drifts[row] for row in range(3))
                change += sum(
                    sp.diff(product, three[row], three[other]) * _lr * C[row + 1, other + 1] / 2
                    for row in range(3)
                    for other in range(3)
                )
                means = sp.expand(change)
                for row in range(3):
                    for other in range(row, 3):
                        means = means.subs(three[row] * three[other], S[row + 1, other + 1])
                claimed = expression.rhs.subs({i: first, j: second, _n_weights: 3}).doit()
                symmetric = {M[row, other]: M[other, row] for M in (S, C) for row in (2, 3) for other in range(1, row)}
                residuals.append(sp.expand((means - claimed).subs(symmetric)))
        return (*residuals, expression.lhs - rate[i, j])

    def eigenbasis(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # H is diagonal there, with the curvatures plus decay; only the terms k = i and k = j of the sums are left.
        terms = earlier["rate"].rhs
        (total,) = terms.atoms(sp.Sum)
        weight = terms.coeff(total)
        products = sp.expand(total.function)
        h_first = products.coeff(S[k, j]) - H[i, k] + _a + _weight_decay
        h_second = products.coeff(S[i, k]) - H[j, k] + _a_other + _weight_decay
        at = weight * (h_first + h_second) * covariance(_time) + (terms - weight * total).subs(C[i, j], _c)
        return (sp.expand(at - expression.rhs), expression.lhs - sp.Derivative(covariance(_time), _time))

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.cancel(earlier["flow"].rhs.subs(covariance(_time), expression.rhs)), expression.lhs - rest)

    def solves(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        put_back = difference(earlier["flow"]).subs(covariance(_time), expression.rhs).doit()
        return (
            sp.cancel(sp.expand(put_back)),
            sp.expand(expression.rhs.subs(_time, 0) - start),
            expression.lhs - covariance(_time),
        )

    def stepped(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # The flow is the limit of (S' - S) / lr for small steps, the noise held.
        change = sp.expand((expression.rhs - _S) / _lr)
        noise = _lr * _c
        limit = sp.limit(change - noise, _lr, 0) + noise
        updates = {"one": 1 - _lr * h, "other": 1 - _lr * h_other}
        product = sp.expand(updates["one"] * updates["other"] * _S + _lr**2 * _c)
        return (
            sp.expand(limit - earlier["flow"].rhs.subs(covariance(_time), _S)),
            sp.expand(product - expression.rhs),
            expression.lhs - _S_next,
        )

    def rests_discretely(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        same = dict.fromkeys((_S, _S_next), expression.rhs)
        return (sp.cancel(difference(earlier["step"]).subs(same)), expression.lhs - discrete)

    steps = (
        Step(
            "drift",
            "Near a minimum curvature and decay draw the weights back,",
            equation(b[i], -sp.Sum(H[i, k] * w[k], (k, 1, _n_weights))),
            premise(),
        ),
        Step(
            "rate",
            "so that, with gradient noise of covariance C, the covariance S of the weights obeys: "
            "rate = lr C − (H S + S H)",
            equation(rate[i, j], _lr * C[i, j] - sp.Sum(H[i, k] * S[k, j] + H[j, k] * S[i, k], (k, 1, _n_weights))),
            proof("Itô's lemma for the product of two weights, mean values put in; written out for three", lemma),
        ),
        Step(
            "flow",
            "In the directions in which H, curvature plus decay, is diagonal:",
            equation(sp.Derivative(covariance(_time), _time), _lr * _c - together * covariance(_time)),
            proof("only one term of each sum is left, curvature plus decay", eigenbasis),
        ),
        Step(
            "stationary",
            "It rests at",
            equation(rest, value),
            proof("put back into the flow, which vanishes there", rests),
        ),
        Step(
            "return-rate",
            "to which it returns at the rate",
            equation(return_rate, together),
            proof(
                "minus the slope of the flow",
                lambda expression, earlier: (
                    expression.rhs + sp.diff(earlier["flow"].rhs, covariance(_time)),
                    expression.lhs - return_rate,
                ),
            ),
        ),
        Step(
            "solution",
            "along",
            equation(covariance(_time), value + (start - value) * sp.exp(-together * _time)),
            proof("put back into its differential equation, which it fulfils, and right at the start", solves),
        ),
        Step(
            "step",
            "At finite learning rate a step of SGD does",
            equation(_S_next, left * left_other * _S + _lr**2 * _c),
            proof("product of both updates, mean value; its limit for small steps is the flow", stepped),
        ),
        Step(
            "discrete",
            "and the covariance rests at",
            equation(discrete, _lr * _c / (h + h_other - _lr * h * h_other)),
            proof("put back into the step, with the same covariance before and after", rests_discretely),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="ornstein-uhlenbeck-covariance",
        title="Weights near a minimum under gradient noise and decay: their covariance",
        assumptions=(
            "A quadratic loss around the minimum of the regularized loss; SGD with L2; gradient noise that is white "
            "and does not depend on the weights.",
            "Curvature and noise are taken in the directions of the curvature; decay adds the same to each.",
        ),
        steps=steps,
        equation=found["flow"],
        results={
            "covariance_stationary": found["stationary"].rhs,
            "covariance_discrete": found["discrete"].rhs,
            "covariance": found["solution"].rhs,
            "return_rate": found["return-rate"].rhs,
            "covariance_next": found["step"].rhs,
        },
        fixed_points=({covariance(_time): value},),
        stability=(
            Stability(covariance(_time), "flow", 0, -together, sp.true, "The covariance returns in every direction."),
        ),
        conditions=(
            Condition(
                _lr * (_a + _weight_decay) < 2,
                "beyond it the steps overshoot and grow",
                stays_bounded(1 - _lr * (_a + _weight_decay)),
            ),
            Condition(
                _lr * (_a_other + _weight_decay) < 2,
                "beyond it the steps overshoot and grow",
                stays_bounded(1 - _lr * (_a_other + _weight_decay)),
            ),
        ),
        references=("mandt2017", "li2017", "uhlenbeck1930"),
        quantities=_LINES,
    )
