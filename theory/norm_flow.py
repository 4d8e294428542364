"""Derive the continuous norm equation, the flow that many small steps make, and its solution for constant pull."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import difference, equation, proof
from .registry import by_derivation, derivation, derive
from .steps import Stability, Step
from .validity import KEEPS_PART

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _time, _radial_pull, _gradient_power = symbols_of("lr weight_decay time radial_pull gradient_power")
_norm_squared, _norm_squared_next, _norm_squared_start, _stationary = symbols_of(
    "norm_squared norm_squared_next norm_squared_start norm_squared_stationary"
)


@derivation("norm-flow")
def _norm_flow() -> Derivation:
    """Derive the continuous norm equation, its solution for constant pull, its fixed point and its times."""
    norm = sp.Function("norm_squared", positive=True)
    t = _time
    change = quantity("rate", "\\dot R", "Ṙ", "loss", "rate of change of the squared norm, per unit of time", real=True)
    target = quantity("norm_squared_target", "R_{1}", "R_1", "weight²", "squared norm to reach", positive=True)
    needed = quantity(
        "time_to_norm_squared", "t_{1}", "t_1", "weight² / loss", "time to reach that squared norm", real=True
    )
    constant = quantity(
        "time_constant", "\\tau_{R}", "τ_R", "weight² / loss", "time constant of the squared norm", positive=True
    )
    in_steps = quantity(
        "time_constant_steps", "k_{R}", "k_R", "1", "time constant of the squared norm, in steps", positive=True
    )
    rate = -2 * _weight_decay * _norm_squared + 2 * _radial_pull + _lr * _gradient_power
    stationary = (2 * _radial_pull + _lr * _gradient_power) / (2 * _weight_decay)
    solution = stationary + (_norm_squared_start - stationary) * sp.exp(-2 * _weight_decay * t)

    def slow(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        per_time = sp.expand((earlier["step"].rhs - _norm_squared) / _lr)
        noise = _gradient_power * per_time.coeff(_gradient_power)
        return (sp.limit(per_time - noise, _lr, 0) + noise - expression.rhs,)

    def solves(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flow = difference(earlier["flow"]).subs(norm(t), expression.rhs).doit()
        return (sp.expand(flow), expression.rhs.subs(t, 0) - _norm_squared_start)

    steps = (
        Step(
            "step",
            "One step does this to the squared norm (derivation radial-step).",
            equation(_norm_squared_next, derive("radial-step").results["norm_squared_next"]),
            by_derivation("radial-step", "norm_squared_next"),
        ),
        Step(
            "rate",
            "With time counted as learning rate times steps, small steps give a rate; gradient noise is kept, "
            "since its power may be as large as one over the learning rate.",
            equation(change.symbol, rate),
            proof("limit of (R' − R)/lr for lr to 0, the noise term held", slow),
        ),
        Step(
            "flow",
            "That is a linear equation for the squared norm in time.",
            equation(sp.Derivative(norm(t), t), rate.subs(_norm_squared, norm(t))),
            proof(
                "the rate, at the squared norm of the time",
                lambda expression, earlier: (
                    expression.rhs - earlier["rate"].rhs.subs(_norm_squared, norm(t)),
                    *(() if expression.lhs == sp.Derivative(norm(t), t) else (sp.false,)),
                ),
            ),
        ),
        Step(
            "stationary",
            "It rests where decay takes what pull and noise give.",
            equation(_stationary, stationary),
            proof(
                "put back into the rate, which vanishes there",
                lambda expression, earlier: (earlier["rate"].rhs.subs(_norm_squared, expression.rhs),),
            ),
        ),
        Step(
            "solution",
            "For constant pull and noise the solution is",
            equation(norm(t), solution),
            proof("put back into its differential equation, which it fulfils, and right at the start", solves),
        ),
        Step(
            "constant",
            "The distance to the stationary size falls by e in",
            equation(constant.symbol, 1 / (2 * _weight_decay)),
            proof(
                "one over minus the slope of the rate",
                lambda expression, earlier: (expression.rhs + 1 / sp.diff(earlier["rate"].rhs, _norm_squared),),
            ),
        ),
        Step(
            "constant-steps",
            "in steps,",
            equation(in_steps.symbol, 1 / (2 * _lr * _weight_decay)),
            proof(
                "the time constant over the learning rate",
                lambda expression, earlier: (expression.rhs - earlier["constant"].rhs / _lr,),
            ),
        ),
        Step(
            "time-to",
            "and a given squared norm is reached after",
            equation(
                needed.symbol,
                sp.log((_norm_squared_start - stationary) / (target.symbol - stationary)) / (2 * _weight_decay),
            ),
            proof(
                "put back into the solution, which then is the norm to reach",
                lambda expression, earlier: (
                    sp.cancel(earlier["solution"].rhs.subs(t, expression.rhs) - target.symbol),
                ),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="norm-flow",
        title="The norm equation in continuous time, and its solution for constant pull",
        assumptions=(
            "The decay of one step is small, so that the norm changes little per step.",
            "The solution and the time to a size need constant pull and gradient power; the equation does not.",
        ),
        steps=steps,
        equation=found["flow"],
        results={
            "norm_squared": found["solution"].rhs,
            "norm_squared_stationary": found["stationary"].rhs,
            "rate": found["rate"].rhs,
            "time_constant": found["constant"].rhs,
            "time_constant_steps": found["constant-steps"].rhs,
            "time_to_norm_squared": found["time-to"].rhs,
        },
        fixed_points=({norm(t): found["stationary"].rhs},),
        stability=(
            Stability(
                state=norm(t),
                kind="flow",
                fixed_point=0,
                jacobian=-2 * _weight_decay,
                stable=sp.true,
                sentence="A displaced squared norm returns at the rate 2λ, from either side.",
            ),
        ),
        conditions=(KEEPS_PART,),
        zero_allowed=frozenset({"lr", "weight_decay", "gradient_power", "norm_squared", "norm_squared_start"}),
        references=("vanlaarhoven2017", "wan2020"),
        quantities=(change, target, needed, constant, in_steps),
    )
