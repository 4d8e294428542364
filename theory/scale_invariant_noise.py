"""Derive what noise does to a scale-invariant block at finite steps: memory of a direction, fluctuation of norm^4."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import by_summation, definition, difference, equation, premise, proof
from .registry import derivation, derive
from .steps import Step
from .validity import KEEPS_PART

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights, _n_steps = symbols_of("lr weight_decay n_weights n_steps")
_norm_squared, _stationary, _unit_power = symbols_of("norm_squared norm_squared_stationary unit_gradient_power")
_EPS = _lr * _weight_decay
_LEFT = 1 - _EPS

_LINES = (
    quantity("weight", "w", "w", "weight", "a weight", real=True),
    quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True),
    quantity("decay_per_step", "\\varepsilon", "ε", "1", "lr times weight_decay", positive=True),
    quantity("start", "w_{0}", "w_0", "weight", "the weight that is remembered", real=True),
    quantity("gradient", "g", "g", "loss / weight", "gradient of the mini-batch's loss, without penalty", real=True),
    quantity("overlap", "O", "O", "weight²", "⟨w_0, w⟩, mean", real=True),
    quantity("overlap_next", "O'", "O'", "weight²", "overlap after the step", real=True),
    quantity("cross", "X", "X", "loss", "⟨w_0, g⟩, mean", real=True),
    quantity(
        "cosine", "\\cos\\theta_{T}", "cos θ_T", "1", "mean cosine between directions T steps apart", positive=True
    ),
    quantity("memory", "T_{m}", "T_m", "1", "sum of the mean cosine over all later steps", positive=True),
    quantity("e_folding_steps", "T_{e}", "T_e", "1", "steps in which the cosine falls by e", positive=True),
    quantity("relative_norm", "\\delta", "δ", "1", "relative deviation of the squared norm from rest", real=True),
    quantity(
        "relative_norm_next", "\\delta'", "δ'", "1", "relative deviation of the squared norm after the step", real=True
    ),
    quantity("relative_power", "\\zeta", "ζ", "1", "relative deviation of ‖g‖² at unit norm", real=True),
    quantity(
        "coefficient_of_variation",
        "c",
        "c",
        "1",
        "standard deviation of ‖g‖² at unit norm over its mean",
        positive=True,
    ),
    quantity("relative_variance", "v_{\\delta}", "v_δ", "1", "stationary variance of δ", positive=True),
    quantity("norm_fourth_std", "s_{4}", "s_4", "1", "relative standard deviation of norm⁴", positive=True),
    quantity(
        "norm_fourth_std_leading",
        "s_{4,1}",
        "s_4",
        "1",
        "relative standard deviation of norm⁴, for small decay",
        positive=True,
    ),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_eps = _BY_NAME["decay_per_step"]


@derivation("direction-memory")
def _direction_memory() -> Derivation:
    """Derive that the direction of a weight is remembered as (1 - lr weight_decay)^steps: for 1/(lr weight_decay)."""
    names = ("weight", "weight_next", "start", "gradient")
    w, after, start, g = (sp.IndexedBase(_BY_NAME[name]) for name in names)
    overlap, overlap_next, cross = (_BY_NAME[name] for name in ("overlap", "overlap_next", "cross"))
    cosine, memory, folding = (_BY_NAME[name] for name in ("cosine", "memory", "e_folding_steps"))
    at = sp.Function("overlap")
    i = sp.Symbol("i", integer=True)
    block = (i, 1, _n_weights)

    def recursion(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        one = earlier["step"].rhs.subs(earlier["no-cross"].lhs, earlier["no-cross"].rhs)
        return (
            expression.rhs - one.subs(overlap, at(_n_steps)),
            expression.lhs - at(_n_steps + 1),
        )

    def closed(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        back = difference(earlier["recursion"]).replace(at, lambda step: expression.rhs.subs(_n_steps, step))
        return (
            sp.powsimp(sp.expand(back / _LEFT**_n_steps)).expand(),
            expression.rhs.subs(_n_steps, 0) - _stationary,
            expression.lhs - at(_n_steps),
        )

    def summed(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # The sum from step k on is a^k times the whole sum; so whole = 1 + a whole.
        ratio = sp.powsimp(earlier["cosine"].rhs.subs(_n_steps, _n_steps + 1) / earlier["cosine"].rhs)
        return (sp.cancel(1 + ratio * expression.rhs - expression.rhs), expression.lhs - memory)

    def folded(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        log_cosine = sp.expand_log(sp.log(earlier["cosine"].rhs), force=True)
        return (log_cosine.subs(_n_steps, expression.rhs) + 1, expression.lhs - folding)

    steps = (
        Step("update", "A step of SGD with decay:", equation(after[i], _LEFT * w[i] - _lr * g[i]), premise()),
        Step(
            "overlap",
            "The overlap with earlier weights",
            equation(overlap, sp.Sum(start[i] * w[i], block)),
            definition(),
        ),
        Step("next", "after the step", equation(overlap_next, sp.Sum(start[i] * after[i], block)), definition()),
        Step("cross", "and that of the gradient", equation(cross, sp.Sum(start[i] * g[i], block)), definition()),
        Step(
            "step",
            "obey",
            equation(overlap_next, _LEFT * overlap - _lr * cross),
            by_summation("overlap", "next", "cross", "update"),
        ),
        Step(
            "no-cross",
            "On average a gradient knows nothing of earlier weights,",
            equation(cross, 0),
            premise(),
        ),
        Step(
            "recursion",
            "so from step to step",
            equation(at(_n_steps + 1), _LEFT * at(_n_steps)),
            proof("the step on average, at the step of that number", recursion),
        ),
        Step(
            "decay",
            "and after T steps, from the squared norm at rest,",
            equation(at(_n_steps), _LEFT**_n_steps * _stationary),
            proof("put back into its recursion, which it fulfils, and right at the start", closed),
        ),
        Step(
            "cosine",
            "Over the squared norm, which stays at rest, that is the cosine",
            equation(cosine, _LEFT**_n_steps),
            proof(
                "the overlap divided by the squared norm at rest",
                lambda expression, earlier: (earlier["decay"].rhs / _stationary - expression.rhs,),
            ),
        ),
        Step(
            "memory",
            "Its sum over all later steps, the memory of a direction, is the time of an exponential moving average:",
            equation(memory, 1 / _EPS),
            proof("a geometric series: whole = 1 + ratio times whole", summed),
        ),
        Step(
            "e-folding",
            "It falls by e in",
            equation(folding, -1 / sp.log(_LEFT)),
            proof("put into the cosine, whose logarithm is −1 there", folded),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="direction-memory",
        title="Rotational diffusion: how long SGD with decay remembers a direction",
        assumptions=(
            "On average gradients do not overlap with earlier weights, as on a scale-invariant block under noise.",
            "The squared norm is at rest and its fluctuation is negligible.",
        ),
        steps=steps,
        equation=found["recursion"],
        results={
            "cosine": found["cosine"].rhs,
            "memory": found["memory"].rhs,
            "e_folding_steps": found["e-folding"].rhs,
        },
        conditions=(KEEPS_PART,),
        references=("wangaitchison2024", "lilyuarora2020"),
        quantities=_LINES,
    )


@derivation("norm-fourth-fluctuation")
def _norm_fourth_fluctuation() -> Derivation:
    """Derive the relative standard deviation sqrt(2 lr weight_decay) c of norm^4 on a scale-invariant block."""
    deviation, after, power = (_BY_NAME[name] for name in ("relative_norm", "relative_norm_next", "relative_power"))
    c, variance = _BY_NAME["coefficient_of_variation"], _BY_NAME["relative_variance"]
    std, leading = _BY_NAME["norm_fourth_std"], _BY_NAME["norm_fourth_std_leading"]
    slope = 2 * _LEFT**2 - 1
    in_eps = {_lr: _eps / _weight_decay}

    def linear(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        law = derive("scale-invariant-step")
        rest = law.results["norm_squared_stationary"]
        step = law.results["norm_squared_next"]
        moved = {_norm_squared: rest * (1 + deviation), _unit_power: _unit_power * (1 + power)}
        relative = step.subs(moved, simultaneous=True) / rest - 1
        at_rest = {deviation: 0, power: 0}
        first = sum(sp.diff(relative, part).subs(at_rest) * part for part in (deviation, power))
        return (sp.cancel(relative.subs(at_rest)), sp.cancel(first - expression.rhs), expression.lhs - after)

    def settles(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        parts = [sp.diff(earlier["linear"].rhs, part) for part in (deviation, power)]
        next_variance = parts[0] ** 2 * expression.rhs + parts[1] ** 2 * c**2
        return (sp.cancel(next_variance - expression.rhs), expression.lhs - variance)

    def fourth(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        per_norm = sp.diff((1 + deviation) ** 2, deviation).subs(deviation, 0)
        positive = (
            sp.true if (expression.rhs**2 / c**2).subs({_lr: sp.Rational(1, 3), _weight_decay: 1}) > 0 else sp.false
        )
        rooted = sp.true if expression.rhs.subs({_lr: sp.Rational(1, 3), _weight_decay: 1, c: 1}) > 0 else sp.false
        return (sp.cancel(expression.rhs**2 - per_norm**2 * earlier["variance"].rhs), positive, rooted)

    def small(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        ratio = sp.cancel((expression.rhs**2 / earlier["fourth"].rhs ** 2).subs(in_eps))
        return (sp.limit(ratio, _eps, 0, "+") - 1, sp.true if expression.rhs.is_positive else sp.false)

    steps = (
        Step(
            "linear",
            "Near rest, a relative deviation δ of the squared norm and one ζ of the squared gradient at unit norm make "
            "after a step, to first order,",
            equation(after, slope * deviation + _EPS * (2 - _EPS) * power),
            proof("derivatives, at rest, of one step of the derivation scale-invariant-step", linear),
        ),
        Step(
            "variance",
            "With independent ζ of standard deviation c the variance of δ settles at",
            equation(variance, _EPS * (2 - _EPS) * c**2 / (4 * _LEFT**2)),
            proof("put back into the recursion of the variance, the same before and after", settles),
        ),
        Step(
            "fourth",
            "and norm⁴, which moves twice as much, has the relative standard deviation",
            equation(std, c * sp.sqrt(_EPS * (2 - _EPS)) / _LEFT),
            proof("its square is four times that variance", fourth),
        ),
        Step(
            "leading",
            "which is, for small decay,",
            equation(leading, c * sp.sqrt(2 * _EPS)),
            proof("the ratio of the squares tends to 1 as lr times weight_decay goes to 0", small),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="norm-fourth-fluctuation",
        title="The fluctuation of norm⁴ of a scale-invariant block",
        assumptions=(
            "The loss does not change when the block is scaled; plain SGD with L2, at rest on average.",
            "The squared gradient at unit norm fluctuates independently from step to step; to first order in its "
            "fluctuation.",
        ),
        steps=steps,
        equation=found["linear"],
        results={
            "norm_fourth_std": found["fourth"].rhs,
            "norm_fourth_std_leading": found["leading"].rhs,
            "relative_variance": found["variance"].rhs,
            "relative_norm_next": found["linear"].rhs,
        },
        fixed_points=({deviation: sp.S.Zero, after: sp.S.Zero, power: sp.S.Zero},),
        conditions=(KEEPS_PART,),
        references=("wan2020", "lilyuarora2020"),
        quantities=_LINES,
    )
