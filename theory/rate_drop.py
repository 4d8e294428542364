"""Derive what learning rate and decay schedules do at equilibrium: gradient over weight, and the drop of the rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, proof
from .registry import derivation, derive
from .steps import Stability, Step
from .validity import KEEPS_PART

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _norm_squared, _power, _unit_power = symbols_of(
    "lr weight_decay norm_squared gradient_power unit_gradient_power"
)
_EPS = _lr * _weight_decay

_LINES = (
    quantity("gradient_to_weight", "\\gamma", "γ", "loss / weight²", "norm of the gradient over norm of the weights"),
    quantity(
        "gradient_to_weight_leading",
        "\\gamma_{1}",
        "γ_1",
        "loss / weight²",
        "norm of the gradient over norm of the weights, for small decay",
        positive=True,
    ),
    quantity("decay_per_step", "\\varepsilon", "ε", "1", "lr times weight_decay", positive=True),
    quantity("lr_max", "\\eta_{m}", "η_m", "weight² / loss", "largest learning rate of the schedule", positive=True),
    quantity(
        "weight_decay_scheduled", "\\lambda_{t}", "λ_t", "loss / weight²", "decay that follows the rate", positive=True
    ),
    quantity(
        "gradient_to_weight_scheduled",
        "\\gamma_{t}",
        "γ_t",
        "loss / weight²",
        "norm of the gradient over norm of the weights, under that decay",
        positive=True,
    ),
    quantity("drop", "k", "k", "1", "factor by which the learning rate falls", positive=True),
    quantity("steps_since_drop", "T", "T", "1", "steps since the learning rate fell to lr", nonnegative=True),
    quantity("norm_fourth", "x", "x", "weight⁴", "norm⁴ of a scale-invariant block", positive=True),
    quantity(
        "norm_squared_fixed_power",
        "R_{u}",
        "R_u",
        "weight²",
        "squared norm under updates of fixed power",
        positive=True,
    ),
    quantity("update_power", "U^{2}", "U²", "(weight/lr)²", "second moment of an update that ignores R", positive=True),
    quantity("norm_fourth_rest", "x_{*}", "x_*", "weight⁴", "norm⁴ at rest at the new rate", positive=True),
    quantity("norm_squared_rest", "R_{*}", "R_*", "weight²", "squared norm at rest at the new rate", positive=True),
    quantity(
        "angular_update_rest", "\\theta_{*}", "θ_*", "rad", "angular update at rest at the new rate", positive=True
    ),
    quantity(
        "angular_update_fixed_power",
        "\\theta_{u}",
        "θ_u",
        "rad",
        "angular update, updates of fixed power",
        positive=True,
    ),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_ratio, _leading, _eps = (
    _BY_NAME[name] for name in ("gradient_to_weight", "gradient_to_weight_leading", "decay_per_step")
)


@derivation("gradient-to-weight-ratio")
def _gradient_to_weight_ratio() -> Derivation:
    """Derive that |g| / |w| settles at sqrt(2 weight_decay / lr), and which decay schedule keeps it flat."""
    lr_max, scheduled, flat = (
        _BY_NAME[name] for name in ("lr_max", "weight_decay_scheduled", "gradient_to_weight_scheduled")
    )

    def at_rest(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        law = derive("scale-invariant-step")
        rest = law.results["norm_squared_stationary"]
        squared = (law.results["gradient_power"] / _norm_squared).subs(_norm_squared, rest)
        positive = sp.true if expression.rhs.subs({_lr: 1, _weight_decay: sp.Rational(1, 2)}) > 0 else sp.false
        return (sp.cancel(expression.rhs**2 - squared), expression.lhs - _ratio, positive)

    def small(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        in_eps = {_lr: _eps / _weight_decay}
        ratio = sp.cancel((expression.rhs / earlier["ratio"].rhs).subs(in_eps) ** 2)
        positive = sp.true if expression.rhs.is_positive else sp.false
        return (sp.limit(ratio, _eps, 0, "+") - 1, positive, expression.lhs - _leading)

    def follows(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        there = earlier["leading"].rhs.subs(_weight_decay, earlier["schedule"].rhs)
        return (sp.powsimp(there / expression.rhs) - 1, expression.lhs - flat, sp.diff(expression.rhs, _lr))

    steps = (
        Step(
            "ratio",
            "At rest a scale-invariant block has the gradient over weight",
            equation(_ratio, sp.sqrt(_weight_decay * (2 - _EPS) / _lr)),
            proof("its square: gradient power over squared norm at rest (derivation scale-invariant-step)", at_rest),
        ),
        Step(
            "leading",
            "which is, for small decay,",
            equation(_leading, sp.sqrt(2 * _weight_decay / _lr)),
            proof("the ratio of the squares tends to 1 as lr times weight_decay goes to 0", small),
        ),
        Step(
            "schedule",
            "It grows as the learning rate falls. A decay that follows the rate,",
            equation(scheduled, _weight_decay * _lr / _BY_NAME["lr_max"]),
            definition(),
        ),
        Step(
            "flat",
            "keeps it where it is at the largest rate:",
            equation(flat, sp.sqrt(2 * _weight_decay / lr_max)),
            proof("the scheduled decay put in; the learning rate drops out", follows),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="gradient-to-weight-ratio",
        title="Gradient over weight at equilibrium, and the decay that keeps it flat",
        assumptions=(
            "The loss does not change when the block is scaled; SGD with L2, at rest for every learning rate of the "
            "schedule (changes slow against 1 / (4 lr weight_decay) steps).",
        ),
        steps=steps,
        equation=found["leading"],
        results={
            "gradient_to_weight": found["ratio"].rhs,
            "gradient_to_weight_leading": found["leading"].rhs,
            "weight_decay_scheduled": found["schedule"].rhs,
            "gradient_to_weight_scheduled": found["flat"].rhs,
        },
        conditions=(KEEPS_PART,),
        references=("defazio2025", "wan2020"),
        quantities=_LINES,
    )


@derivation("learning-rate-drop")
def _learning_rate_drop() -> Derivation:
    """Derive how the angular update returns after the learning rate falls at equilibrium, with and without feedback."""
    drop, T = _BY_NAME["drop"], _BY_NAME["steps_since_drop"]
    x_rest = _BY_NAME["norm_fourth_rest"]
    R_rest, rest_angle, power = (
        _BY_NAME[name] for name in ("norm_squared_rest", "angular_update_rest", "update_power")
    )
    fixed_angle = _BY_NAME["angular_update_fixed_power"]
    (angle,) = symbols_of("angular_update")
    fourth, squared = sp.Function("norm_fourth", positive=True), sp.Function("norm_squared_fixed_power", positive=True)
    lam = _weight_decay
    quartic = 1 + (drop - 1) * sp.exp(-4 * _lr * lam * T)
    quadratic = 1 + (drop - 1) * sp.exp(-2 * _lr * lam * T)

    def fourth_flow(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        per_time = derive("scale-invariant-flow").results["norm_fourth_rate"]
        there = next(part for part in per_time.free_symbols if str(part) == "norm_fourth")
        return (
            sp.expand(_lr * per_time.subs(there, fourth(T)) - expression.rhs),
            expression.lhs - sp.Derivative(fourth(T), T),
        )

    def squared_flow(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (pull,) = symbols_of("radial_pull")
        per_time = derive("norm-flow").results["rate"].subs({pull: 0, _power: power})
        return (
            sp.expand(_lr * per_time.subs(_norm_squared, squared(T)) - expression.rhs),
            expression.lhs - sp.Derivative(squared(T), T),
        )

    def rests(key: str, function: Any, symbol: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            return (earlier[key].rhs.subs(function(T), expression.rhs), expression.lhs - symbol)

        return proof("put back into the equation, whose right side vanishes there", residual)

    def returns(key: str, rest: str, function: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            value = earlier[rest]
            solution = expression.rhs.subs(value.lhs, value.rhs)
            put_back = difference(earlier[key]).subs(function(T), solution).doit()
            before = value.rhs.subs(_lr, drop * _lr)  # rest at the rate before the drop
            return (sp.expand(put_back), solution.subs(T, 0) - before, expression.lhs - function(T))

        return proof("put back into the equation; it starts from rest at the rate before the drop", residual)

    def angle_at_rest(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # lr^2 times gradient power over squared norm: for both, at rest.
        scale_invariant = _lr**2 * _unit_power / earlier["fourth-rest"].rhs
        fixed = _lr**2 * power / earlier["squared-rest"].rhs
        return (
            sp.cancel(expression.rhs**2 - scale_invariant),
            sp.cancel(expression.rhs**2 - fixed),
            sp.true if expression.rhs.is_positive else sp.false,
            expression.lhs - rest_angle,
        )

    def angle_of(solution: str, rest: str, source: Any, symbol: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            size = earlier[solution].rhs.subs(earlier[rest].lhs, earlier[rest].rhs)
            now = _lr**2 * source / size
            there = expression.rhs.subs(rest_angle, earlier["angle-rest"].rhs)
            positive = expression.rhs.subs({drop: 2, T: 0, rest_angle: 1}) > 0
            return (
                sp.cancel(sp.expand(1 / now - 1 / sp.powsimp(there**2))),
                expression.lhs - symbol,
                sp.true if positive == sp.true else sp.false,
            )

        return proof("lr² times the power over the squared norm; the reciprocals of the squares agree", residual)

    steps = (
        Step(
            "fourth-flow",
            "Counted in steps, norm⁴ of a scale-invariant block obeys (derivation scale-invariant-flow)",
            equation(sp.Derivative(fourth(T), T), 2 * _lr**2 * _unit_power - 4 * _lr * lam * fourth(T)),
            proof("the rate per time, times the learning rate", fourth_flow),
        ),
        Step(
            "fourth-rest",
            "and rests at",
            equation(x_rest, _lr * _unit_power / (2 * lam)),
            rests("fourth-flow", fourth, x_rest),
        ),
        Step(
            "fourth-solution",
            "After the learning rate has fallen by the factor k to what it is now, it returns along",
            equation(fourth(T), x_rest * quartic),
            returns("fourth-flow", "fourth-rest", fourth),
        ),
        Step(
            "squared-flow",
            "Under updates of fixed power (AdamW, sign) it is the squared norm that obeys a linear equation "
            "(derivation norm-flow),",
            equation(sp.Derivative(squared(T), T), _lr**2 * power - 2 * _lr * lam * squared(T)),
            proof("the rate per time without pull, times the learning rate", squared_flow),
        ),
        Step(
            "squared-rest",
            "with rest at",
            equation(R_rest, _lr * power / (2 * lam)),
            rests("squared-flow", squared, R_rest),
        ),
        Step(
            "squared-solution",
            "and the return along",
            equation(squared(T), R_rest * quadratic),
            returns("squared-flow", "squared-rest", squared),
        ),
        Step(
            "angle-rest",
            "At rest both turn, per step and for small decay, by",
            equation(rest_angle, sp.sqrt(2 * _lr * lam)),
            proof("its square: lr² times the power over the squared norm at rest", angle_at_rest),
        ),
        Step(
            "angle",
            "After the drop the angular update is too small at first and returns, for the scale-invariant block, as",
            equation(angle, rest_angle / sp.sqrt(quartic)),
            angle_of("fourth-solution", "fourth-rest", _unit_power, angle),
        ),
        Step(
            "angle-fixed",
            "and under updates of fixed power as",
            equation(fixed_angle, rest_angle / sp.sqrt(quadratic)),
            angle_of("squared-solution", "squared-rest", power, fixed_angle),
        ),
        Step(
            "angle-number",
            "In numbers, with the angle at rest put in:",
            equation(angle, sp.sqrt(2 * _lr * lam) / sp.sqrt(quartic)),
            _put_in("angle"),
        ),
        Step(
            "angle-fixed-number",
            "and",
            equation(fixed_angle, sp.sqrt(2 * _lr * lam) / sp.sqrt(quadratic)),
            _put_in("angle-fixed"),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="learning-rate-drop",
        title="After a drop of the learning rate at equilibrium: how the angular update returns",
        assumptions=(
            "Equilibrium at the learning rate k · lr; from step 0 on the learning rate is lr.",
            "Small decay per step; a scale-invariant block under SGD, or any block under updates whose power does not "
            "depend on its size and that are at right angles to it on average.",
        ),
        steps=steps,
        equation=found["fourth-flow"],
        results={
            "angular_update": found["angle-number"].rhs,
            "angular_update_fixed_power": found["angle-fixed-number"].rhs,
            "angular_update_rest": found["angle-rest"].rhs,
            "norm_fourth_rest": found["fourth-rest"].rhs,
            "norm_squared_rest": found["squared-rest"].rhs,
        },
        fixed_points=({fourth(T): _lr * _unit_power / (2 * lam)},),
        stability=(
            Stability(fourth(T), "flow", 0, -4 * _lr * lam, sp.true, "norm⁴ returns at the rate 4ηλ per step."),
        ),
        references=("defazio2025", "kosson2023"),
        quantities=_LINES,
    )


def _put_in(key: str) -> Any:
    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        at_rest = earlier["angle-rest"]
        there = earlier[key].rhs.subs(at_rest.lhs, at_rest.rhs)
        return (sp.cancel(sp.powsimp(expression.rhs / there)) - 1, expression.lhs - earlier[key].lhs)

    return proof("the angle at rest put in", residual)
