"""Derive the flow that descent with decay follows to second order in the learning rate: the modified equation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import by_series, definition, equation, premise, proof
from .registry import derivation
from .steps import Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay = symbols_of("lr weight_decay")
_LINES = (
    quantity("first", "w_{1}", "w_1", "weight", "a weight", real=True),
    quantity("second", "w_{2}", "w_2", "weight", "another weight", real=True),
    quantity("loss", "C", "C", "loss", "loss with its penalty", real=True),
    quantity("modified_loss", "\\tilde C", "C~", "loss", "loss whose flow descent follows more closely", real=True),
    quantity("first_next", "w_{1}'", "w_1'", "weight", "the first weight after a step of descent", real=True),
    quantity("first_flow", "\\bar w_{1}", "w_1(η)", "weight", "the first weight after the flow ran for the time η"),
    quantity("curvature", "c", "c", "loss / weight²", "curvature of the loss without its penalty", nonnegative=True),
    quantity("pull", "h", "h", "loss / weight²", "curvature plus decay", positive=True),
    quantity("rate_modified", "h_{2}", "h_2", "1 / time", "rate of return in the modified flow", positive=True),
    quantity("rate_exact", "h_{*}", "h_*", "1 / time", "rate of return of descent itself", positive=True),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_first, _second = _BY_NAME["first"], _BY_NAME["second"]
_C, _C_modified = (sp.Function(name)(_first, _second) for name in ("loss", "modified_loss"))


@derivation("modified-equation")
def _modified_equation() -> Derivation:
    """Derive that descent follows the flow of loss + (lr / 4) |gradient|^2 up to third order in the learning rate."""
    weights = (_first, _second)
    slopes = [sp.Derivative(_C, weight) for weight in weights]
    curvature, pull = _BY_NAME["curvature"], _BY_NAME["pull"]
    rate, exact = _BY_NAME["rate_modified"], _BY_NAME["rate_exact"]
    step = _BY_NAME["first_next"]
    after = _BY_NAME["first_flow"]
    modified = _C + _lr * (slopes[0] ** 2 + slopes[1] ** 2) / 4

    def flow_of(loss: Any) -> Any:
        """Return the first weight after the flow of a loss ran for the time lr, up to the second order."""
        velocity = [-sp.diff(loss, weight).doit() for weight in weights]
        acceleration = sum(
            sp.diff(velocity[0], weight) * speed for weight, speed in zip(weights, velocity, strict=True)
        )
        return _first + _lr * velocity[0] + _lr**2 * acceleration / 2

    def second_order(expression: Any) -> Any:
        expanded = sp.expand(expression.doit())
        return sum(expanded.coeff(_lr, power) * _lr**power for power in range(3))

    def flowing(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.expand(expression.rhs.doit() - flow_of(_C)), expression.lhs - after)

    def agrees(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        along = second_order(flow_of(expression.rhs))
        return (sp.expand(along - earlier["step"].rhs.doit()), expression.lhs - _C_modified)

    def quadratic(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        there = earlier["modified"].rhs.subs(_C, pull * _first**2 / 2).doit()
        return (sp.expand(sp.diff(there, _first) / _first - expression.rhs), expression.lhs - rate)

    def of_descent(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        left = earlier["step"].rhs.subs(_C, pull * _first**2 / 2).doit() / _first
        return (sp.cancel(sp.exp(-_lr * expression.rhs) - sp.expand(left)), expression.lhs - exact)

    steps = (
        Step(
            "step",
            "A step of descent on the loss with its penalty takes a weight to",
            equation(step, _first - _lr * slopes[0]),
            premise(),
        ),
        Step(
            "flow",
            "The flow of the same loss, run for the time η, takes it, up to the second order in η, to",
            equation(
                after,
                _first
                - _lr * slopes[0]
                + _lr**2
                * (slopes[0] * sp.Derivative(_C, (_first, 2)) + slopes[1] * sp.Derivative(_C, _first, _second))
                / 2,
            ),
            proof("Taylor's series of the flow in time, written out for two weights", flowing),
        ),
        Step(
            "modified",
            "which is too far back. The flow of this loss, run for the same time, agrees with the step to that order:",
            equation(_C_modified, modified),
            proof("its flow, expanded in the same way, is the step of descent up to the second order", agrees),
        ),
        Step("pull", "With curvature and decay together,", equation(pull, curvature + _weight_decay), definition()),
        Step(
            "rate",
            "near a minimum it returns at the rate",
            equation(rate, pull + _lr * pull**2 / 2),
            proof("slope of the modified loss of a quadratic loss", quadratic),
        ),
        Step(
            "exact",
            "where descent itself returns at",
            equation(exact, -sp.log(1 - _lr * pull) / _lr),
            proof("put into the exponential of one step's time, which is the factor of the step", of_descent),
        ),
        Step(
            "series",
            "of which the former is the beginning.",
            equation(rate, pull + _lr * pull**2 / 2),
            by_series("exact", _lr, 2),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="modified-equation",
        title="The modified equation: the flow that descent with decay follows to second order",
        assumptions=(
            "Gradient descent on the loss with its L2 penalty; a loss with continuous third derivatives.",
            "Li, Tai and E show that gradient noise of covariance C adds the diffusion √(ηC) to the same drift.",
        ),
        steps=steps,
        equation=found["modified"],
        results={"rate_modified": found["rate"].rhs, "rate_exact": found["exact"].rhs, "pull": found["pull"].rhs},
        conditions=(
            Condition(
                _lr * pull < 1,
                "beyond it steps overshoot and no flow goes along with them",
                exactly_where("what a step leaves of the distance", 1 - _lr * pull),
            ),
        ),
        zero_allowed=frozenset({"weight_decay"}),
        references=("li2017",),
        quantities=_LINES,
    )
