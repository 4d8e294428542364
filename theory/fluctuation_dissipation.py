"""Derive the balance of heavy-ball SGD: what decay and gradient do to the weights is paid for by the buffer's power."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import by_summation, definition, difference, equation, premise, proof
from .registry import derivation
from .steps import Step
from .validity import exactly_where, forgets

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _momentum, _dampening, _n_weights = symbols_of("lr weight_decay momentum dampening n_weights")
_norm_squared, _norm_squared_next, _radial_pull, _stationary = symbols_of(
    "norm_squared norm_squared_next radial_pull norm_squared_stationary"
)


@derivation("heavy-ball-balance")
def _heavy_ball_balance() -> Derivation:
    """Derive E<w, g + weight_decay w> = lr (1 + momentum) / (2 (1 - dampening)) E|v|^2 for heavy-ball SGD with L2."""
    names = ("weight", "weight_next", "buffer", "buffer_next", "gradient")
    w, w_next, v, v_next, g = (sp.IndexedBase(name, real=True) for name in names)
    i = sp.Symbol("i", integer=True)
    block = (i, 1, _n_weights)
    power = quantity(
        "buffer_power", "V^{2}", "V²", "(loss/weight)²", "second moment E‖v‖² of the momentum buffer", positive=True
    )
    power_next = quantity(
        "buffer_power_next", "V'^{2}", "V'²", "(loss/weight)²", "squared norm of the new buffer", positive=True
    )
    work = quantity("work", "A", "A", "loss", "⟨w, g + λw⟩: weights with the whole gradient, before a step", real=True)
    before = quantity(
        "overlap_before", "B", "B", "loss", "⟨w, v⟩: weights with the buffer that brought them here", real=True
    )
    middle = quantity(
        "overlap_middle", "B'", "B'", "loss", "⟨w, v'⟩: weights with the buffer of the coming step", real=True
    )
    after = quantity("overlap_after", "B''", "B''", "loss", "⟨w', v'⟩: the same after the step", real=True)
    gradient_power = _lr * (1 + _momentum) * power.symbol / (2 * (1 - _dampening))

    def stationary(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        same = {_norm_squared_next: _norm_squared, power_next.symbol: power.symbol, after.symbol: before.symbol}
        unknowns = (middle.symbol, before.symbol, work.symbol)
        equations = [difference(earlier[key]).subs(same) for key in ("norm-change", "buffer-change", "overlap-change")]
        (found,) = sp.solve(equations, unknowns, dict=True)
        return (expression.rhs - found[work.symbol], expression.lhs - work.symbol)

    steps = (
        Step(
            "buffer",
            "The buffer takes up the gradient with its L2 term,",
            equation(v_next[i], _momentum * v[i] + (1 - _dampening) * (g[i] + _weight_decay * w[i])),
            premise(),
        ),
        Step("update", "and the weights follow the buffer.", equation(w_next[i], w[i] - _lr * v_next[i]), premise()),
        Step("norm", "Of the weights before", equation(_norm_squared, sp.Sum(w[i] ** 2, block)), definition()),
        Step("next", "and after the step,", equation(_norm_squared_next, sp.Sum(w_next[i] ** 2, block)), definition()),
        Step("power", "of the new buffer", equation(power_next.symbol, sp.Sum(v_next[i] ** 2, block)), definition()),
        Step("before", "and of", equation(before.symbol, sp.Sum(w[i] * v[i], block)), definition()),
        Step("middle", "their", equation(middle.symbol, sp.Sum(w[i] * v_next[i], block)), definition()),
        Step("after", "overlaps", equation(after.symbol, sp.Sum(w_next[i] * v_next[i], block)), definition()),
        Step(
            "work",
            "and the work of the whole gradient,",
            equation(work.symbol, sp.Sum(w[i] * (g[i] + _weight_decay * w[i]), block)),
            definition(),
        ),
        Step(
            "norm-change",
            "one finds: the norm changes by",
            equation(_norm_squared_next, _norm_squared - 2 * _lr * middle.symbol + _lr**2 * power_next.symbol),
            by_summation("norm", "next", "power", "middle", "update"),
        ),
        Step(
            "overlap-change",
            "the overlap by",
            equation(after.symbol, middle.symbol - _lr * power_next.symbol),
            by_summation("after", "middle", "power", "update"),
        ),
        Step(
            "buffer-change",
            "and the new buffer overlaps by",
            equation(middle.symbol, _momentum * before.symbol + (1 - _dampening) * work.symbol),
            by_summation("middle", "before", "work", "buffer"),
        ),
        Step(
            "balance",
            "When norm, buffer power and overlap no longer change on average, the work is paid for by the buffer.",
            equation(work.symbol, gradient_power),
            proof("the three changes, with the same values before and after, solved for the work", stationary),
        ),
        Step("pull", "With the radial pull", equation(_radial_pull, sp.Sum(-w[i] * g[i], block)), definition()),
        Step(
            "work-of-pull",
            "the work is",
            equation(work.symbol, _weight_decay * _norm_squared - _radial_pull),
            by_summation("work", "norm", "pull"),
        ),
        Step(
            "size",
            "so that the squared norm settles at",
            equation(
                _stationary,
                (_radial_pull + gradient_power) / _weight_decay,
            ),
            proof(
                "put back into the balance",
                lambda expression, earlier: (
                    earlier["work-of-pull"].rhs.subs(_norm_squared, expression.rhs) - earlier["balance"].rhs,
                ),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="heavy-ball-balance",
        title="Fluctuation and dissipation: the balance of heavy-ball SGD with L2 regularization",
        assumptions=(
            "Heavy-ball SGD in PyTorch's form; the decay goes into the gradient before the buffer (coupled).",
            "Means over steps of norm, buffer power and overlap are stationary; the gradients may be anything else.",
        ),
        steps=steps,
        equation=found["balance"],
        results={
            "work": found["balance"].rhs,
            "norm_squared_stationary": found["size"].rhs,
        },
        fixed_points=({work.symbol: found["balance"].rhs},),
        conditions=(
            forgets(_momentum, "a buffer with momentum 1 or more never forgets"),
            Condition(
                _dampening < 1,
                "with dampening 1 no gradient enters the buffer",
                exactly_where("what enters of a gradient", 1 - _dampening),
            ),
        ),
        zero_allowed=frozenset({"momentum", "buffer_power"}),
        references=("yaida2018",),
        quantities=(
            power,
            power_next,
            work,
            before,
            middle,
            after,
            quantity("weight", "w", "w", "weight", "a weight", real=True),
            quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True),
            quantity("buffer", "v", "v", "loss / weight", "momentum buffer", real=True),
            quantity("buffer_next", "v'", "v'", "loss / weight", "the buffer of the coming step", real=True),
            quantity(
                "gradient", "g", "g", "loss / weight", "gradient of the mini-batch's loss, without penalty", real=True
            ),
        ),
    )
