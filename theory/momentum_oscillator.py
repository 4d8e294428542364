"""Derive the driven damped oscillator that momentum makes of a conserved quantity, and its three regimes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import by_limit, definition, difference, equation, premise, proof
from .registry import derivation, derive
from .steps import Step
from .validity import forgets

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _momentum, _time = symbols_of("lr weight_decay momentum time")
_i = sp.Symbol("i", integer=True)
_KEPT = forgets(_momentum, "a buffer with momentum 1 or more never forgets")

_LINES = (
    quantity("weight", "w", "w", "weight", "a weight", real=True),
    quantity("gradient", "g", "g", "loss / weight", "gradient of the mini-batch's loss, without penalty", real=True),
    quantity("sign", "m", "m", "1", "coefficient of the weight in the charge", real=True),
    quantity("charge", "Q", "Q", "weight^d", "what gradient flow conserves (the charge)", real=True),
    quantity(
        "critical_decay_per_step",
        "\\varepsilon_{c}",
        "ε_c",
        "1",
        "lr times weight_decay above which the charge oscillates",
        positive=True,
    ),
    quantity("damping", "\\gamma", "γ", "1 / time", "damping of the oscillator", positive=True),
    quantity(
        "stiffness", "\\omega^{2}", "ω²", "1 / time²", "squared frequency of the undamped oscillator", positive=True
    ),
    quantity("degree", "d", "d", "1", "degree of the charge: 1 translation, 2 scale and rescale", positive=True),
    quantity(
        "drive", "F", "F", "weight² / time²", "twice Σ m times squared velocities, for a quadratic charge", real=True
    ),
    quantity("velocity", "\\dot w", "dw/dt", "loss / weight", "velocity of a weight", real=True),
    quantity("acceleration", "\\ddot w", "d²w/dt²", "loss / weight / time", "acceleration of a weight", real=True),
    quantity("charge_rate", "\\dot Q", "dQ/dt", "weight^d / time", "rate of change of the charge", real=True),
    quantity(
        "charge_acceleration",
        "\\ddot Q",
        "d²Q/dt²",
        "weight^d / time²",
        "rate of change of the charge's rate of change",
        real=True,
    ),
    quantity("charge_start", "Q_{0}", "Q_0", "weight^d", "the charge at the start", real=True),
    quantity(
        "charge_rate_start",
        "\\dot Q_{0}",
        "dQ_0/dt",
        "weight^d / time",
        "rate of change of the charge at the start",
        real=True,
    ),
    quantity("detuning", "\\Omega", "Ω", "1 / time", "√|γ² − ω²|", positive=True),
    quantity("charge_stationary", "Q_{*}", "Q_*", "weight^d", "charge at rest under a constant drive", real=True),
    quantity("charge_overdamped", "Q_{o}", "Q_o", "weight^d", "charge, creeping (γ > ω)", real=True),
    quantity("charge_underdamped", "Q_{u}", "Q_u", "weight^d", "charge, oscillating (γ < ω)", real=True),
    quantity("charge_critical", "Q_{c}", "Q_c", "weight^d", "charge at the border (γ = ω)", real=True),
    quantity(
        "border_ratio", "\\rho", "ρ", "1", "border of the oscillator over that of the exact recursion", positive=True
    ),
    quantity(
        "border_ratio_limit",
        "\\rho_{1}",
        "ρ_1",
        "1",
        "border of the oscillator over that of the exact recursion, for momentum to 1",
        positive=True,
    ),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_charge, _critical = _BY_NAME["charge"], _BY_NAME["critical_decay_per_step"]
_B = _momentum
_BORDER = (1 - sp.sqrt(_B)) ** 2


def _indexed(*names: str) -> tuple[Any, ...]:
    return tuple(sp.IndexedBase(_BY_NAME[name])[_i] for name in names)


@derivation("momentum-oscillator")
def _momentum_oscillator() -> Derivation:
    """Derive the driven damped oscillator of Kunin et al., its three regimes, and how far its border is off."""
    w, m = _indexed("weight", "sign")
    velocity, acceleration, gradient = _indexed("velocity", "acceleration", "gradient")
    names = ("damping", "stiffness", "degree", "drive", "charge_rate", "charge_acceleration", "detuning")
    damping, stiffness, degree, drive, rate, second, detuning = (_BY_NAME[name] for name in names)
    rest = _BY_NAME["charge_stationary"]
    start, rate_start = (_BY_NAME[name] for name in ("charge_start", "charge_rate_start"))
    gamma = (1 - _B) / (_lr * (1 + _B))
    omega = 2 * degree * _weight_decay / (_lr * (1 + _B))
    border = (1 - _B) ** 2 / (2 * degree * (1 + _B))
    path = sp.Function("weight")
    t, k = _time, sp.Dummy("k")
    fall = sp.exp(-damping * t)
    push = rate_start + damping * start
    told = {
        "charge_overdamped": start * sp.cosh(detuning * t) + push * sp.sinh(detuning * t) / detuning,
        "charge_underdamped": start * sp.cos(detuning * t) + push * sp.sin(detuning * t) / detuning,
        "charge_critical": start + push * t,
    }
    squared = {
        "charge_overdamped": damping**2 - detuning**2,
        "charge_underdamped": damping**2 + detuning**2,
        "charge_critical": damping**2,
    }

    def modified(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        recursion = difference(earlier["recursion"])
        steps = {place: path(t + place * _lr) for place in (-1, 0, 1)}
        series = {
            place: sum((place * _lr) ** power / sp.factorial(power) * sp.diff(path(t), t, power) for power in range(3))
            for place in steps
        }
        put_in = recursion.subs({steps[place]: series[place] for place in (-1, 1)}, simultaneous=True)
        claimed = difference(expression).subs(
            {velocity: sp.diff(path(t), t), acceleration: sp.diff(path(t), t, 2), w: path(t)}, simultaneous=True
        )
        return (sp.expand(put_in.doit() / _lr - claimed),)

    def moments(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # Both charges at once: the sum of m w, whose second derivative is that of w, and the sum of m w^2.
        residuals = []
        for power in (1, 2):
            one = sp.Function("one")(k)
            chain = {one.diff(k): velocity, one.diff(k, 2): acceleration}
            changes = [
                sp.diff(m * one**power, k, order).subs(one.diff(k, 2), acceleration).subs(chain).subs(one, w)
                for order in (0, 1, 2)
            ]
            force = sp.solve(difference(earlier["modified"]), acceleration)[0]
            values = {
                _charge: changes[0],
                rate: changes[1],
                second: changes[2].subs(acceleration, force),
                drive: 2 * m * velocity**2 if power == 2 else 0,
                damping: earlier["damping"].rhs,
                stiffness: earlier["stiffness"].rhs,
            }
            left = difference(expression).subs(values, simultaneous=True).subs(degree, power)
            identity = m * w ** (power - 1) * gradient
            pinned = sp.expand(sp.cancel(left)) + 2 * power * identity / (_lr * (1 + _B))
            residuals.append(sp.cancel(sp.together(pinned)))
        return tuple(residuals)

    def solved(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (difference(earlier["oscillator"]).subs(second, expression.rhs), expression.lhs - second)

    def at_rest(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        still = {_charge: expression.rhs, rate: 0, second: 0}
        return (difference(earlier["oscillator"]).subs(still), expression.lhs - rest)

    def of_both_sides(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        residuals = [expression.rhs.subs(stiffness, damping**2 + sign * detuning**2) - detuning for sign in (-1, 1)]
        return (*residuals, expression.lhs - detuning)

    def regime(name: str) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            equation_of = {
                _charge: expression.rhs,
                rate: sp.diff(expression.rhs, t),
                second: sp.diff(expression.rhs, t, 2),
                drive: 0,
                stiffness: squared[name],
            }
            put_back = difference(earlier["oscillator"]).subs(equation_of)
            return (
                sp.expand(sp.expand(put_back.rewrite(sp.exp))),
                expression.rhs.subs(t, 0) - start,
                sp.diff(expression.rhs, t).subs(t, 0) - rate_start,
            )

        return proof("put back into the oscillator without drive, which it fulfils, and right at the start", residual)

    def border_of(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        at_border = {_lr: expression.rhs / _weight_decay}
        return ((earlier["damping"].rhs ** 2 - earlier["stiffness"].rhs).subs(at_border),)

    def exact() -> Any:
        return derive("momentum-quadratic-charge").results["critical_decay_per_step"]

    ratio, ratio_limit = _BY_NAME["border_ratio"], _BY_NAME["border_ratio_limit"]
    steps = (
        Step(
            "recursion",
            "Heavy-ball SGD, with the buffer taken out and time counted as learning rate times steps:",
            equation(
                path(t + _lr) - path(t),
                _B * (path(t) - path(t - _lr)) - _lr * (gradient + _weight_decay * path(t)),
            ),
            premise(),
        ),
        Step(
            "modified",
            "To second order in the learning rate this is",
            equation(_lr * (1 + _B) / 2 * acceleration + (1 - _B) * velocity, -gradient - _weight_decay * w),
            proof("Taylor series of the weights a step later and a step earlier, put in", modified),
        ),
        Step("damping", "With the damping", equation(damping, gamma), definition()),
        Step("stiffness", "and the stiffness", equation(stiffness, omega), definition()),
        Step(
            "oscillator",
            "a charge of degree d, Σ m w or Σ m w², is a driven damped oscillator: the identity of the gradient leaves "
            "of the data only the squared velocity.",
            equation(second + 2 * damping * rate + stiffness * _charge, drive),
            proof("chain rule, term by term, for both degrees: what is left is a multiple of the identity", moments),
        ),
        Step(
            "acceleration",
            "Solved for the acceleration:",
            equation(second, drive - 2 * damping * rate - stiffness * _charge),
            proof("put back into the oscillator", solved),
        ),
        Step(
            "rest",
            "Under a constant drive it rests at",
            equation(rest, drive / stiffness),
            proof("put back into the oscillator, with neither velocity nor acceleration", at_rest),
        ),
        Step(
            "detuning",
            "How fast it creeps or oscillates there is said by the detuning",
            equation(detuning, sp.sqrt(sp.Abs(damping**2 - stiffness))),
            proof("true for γ² above and below ω²", of_both_sides),
        ),
        *(
            Step(
                name.replace("_", "-"),
                sentence,
                equation(_BY_NAME[name], fall * told[name]),
                regime(name),
            )
            for name, sentence in (
                (
                    "charge_overdamped",
                    "Without drive it creeps where γ > ω (detuning: the root of γ² − ω²),",
                ),
                ("charge_underdamped", "oscillates where ω > γ (detuning: the root of ω² − γ²),"),
                ("charge_critical", "and at the border goes as"),
            )
        ),
        Step(
            "border",
            "The border is at a decay per step of",
            equation(_critical, border),
            proof("damping squared equals stiffness there", border_of),
        ),
        Step(
            "ratio",
            "Over the exact border, (1 − √μ)²,",
            equation(ratio, border / _BORDER),
            proof(
                "both borders divided",
                lambda expression, earlier: (expression.rhs * exact() - earlier["border"].rhs,),
            ),
        ),
        Step(
            "ratio-limit",
            "it is, for momentum near 1: right for a linear charge, half of the true border for a quadratic one, whose "
            "drive moves with the charge.",
            equation(ratio_limit, 1 / degree),
            by_limit("ratio", _B, 1, "-"),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="momentum-oscillator",
        title="Momentum makes of a conserved charge a driven damped oscillator",
        assumptions=(
            "Heavy-ball SGD without dampening and with coupled decay, to second order in the learning rate.",
            "The charge is linear (degree 1) or quadratic (degree 2) in the weights.",
            "The three regimes are stated without drive.",
        ),
        steps=steps,
        equation=found["oscillator"],
        results={
            "damping": found["damping"].rhs,
            "stiffness": found["stiffness"].rhs,
            "critical_decay_per_step": found["border"].rhs,
            "charge_acceleration": found["acceleration"].rhs,
            "charge_stationary": found["rest"].rhs,
            "detuning": found["detuning"].rhs,
            "charge_overdamped": found["charge-overdamped"].rhs,
            "charge_underdamped": found["charge-underdamped"].rhs,
            "charge_critical": found["charge-critical"].rhs,
            "border_ratio": found["ratio"].rhs,
        },
        conditions=(_KEPT,),
        zero_allowed=frozenset({"momentum", "weight_decay"}),
        references=("kunin2021",),
        quantities=_LINES,
    )
