"""Derive the size of a scale-invariant block under heavy ball from a measured power, however batches are drawn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import by_substitution, by_summation, definition, difference, equation, premise, proof
from .registry import derivation
from .steps import Step
from .validity import exactly_where, forgets

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _momentum, _n_weights = symbols_of("lr weight_decay momentum n_weights")
_norm_squared, _norm_squared_next, _radial_pull, _stationary = symbols_of(
    "norm_squared norm_squared_next radial_pull norm_squared_stationary"
)


@derivation("heavy-ball-measured-power")
def _heavy_ball_measured_power() -> Derivation:
    """Derive E R = lr (1 + momentum) E h / (weight_decay (1 - momentum) (2 (1 + momentum) - lr weight_decay))."""
    w, w_next, w_before, v, v_next, g = (
        sp.IndexedBase(name, real=True)
        for name in ("weight", "weight_next", "weight_before", "buffer", "buffer_next", "gradient")
    )
    i = sp.Symbol("i", integer=True)
    block = (i, 1, _n_weights)
    unit = "(loss/weight)²"
    norm_before = quantity("norm_squared_before", "R_{-}", "R_-", "weight²", "squared norm a step ago", positive=True)
    power = quantity("buffer_power", "V^{2}", "V²", unit, "squared norm of the buffer", nonnegative=True)
    power_next = quantity(
        "buffer_power_next", "V'^{2}", "V'²", unit, "squared norm of the new buffer", nonnegative=True
    )
    overlap = quantity("overlap", "B", "B", "loss", "⟨w, v⟩: weights with the buffer that brought them here")
    inner = quantity("inner_product", "C", "C", "weight²", "⟨w, w'⟩ of consecutive weights")
    measured = quantity("measured_power", "h", "h", unit, "‖g‖² + 2μ⟨v, g⟩ with the buffer before the step")
    unit_measured = quantity(
        "unit_measured_power",
        "\\tilde h",
        "h̃",
        "loss²",
        "h at unit norm; a block of squared norm R has it over R",
        positive=True,
    )
    turn = quantity("one_minus_cosine", "x", "x", "1", "one minus the cosine between consecutive weights")
    scale = quantity(
        "norm_squared_scale", "\\tilde R_{*}", "R̃_*", "weight²", "squared norm from h at unit norm", positive=True
    )
    V, V_next, B, h = power.symbol, power_next.symbol, overlap.symbol, measured.symbol
    K = _lr * (1 + _momentum) / (_weight_decay * (1 - _momentum) * (2 * (1 + _momentum) - _lr * _weight_decay))
    paid = 2 * _weight_decay * _norm_squared / (_lr * (1 + _momentum))
    still = {_norm_squared_next: _norm_squared, norm_before.symbol: _norm_squared, V_next: V}

    def settles(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        balance = difference(earlier["power-recursion"]).subs(still).subs(V, earlier["paid"].rhs)
        return (balance.subs(_norm_squared, expression.rhs),)

    steps = (
        Step(
            "buffer",
            "The buffer takes up the gradient with its L2 term,",
            equation(v_next[i], _momentum * v[i] + g[i] + _weight_decay * w[i]),
            premise(),
        ),
        Step("update", "the weights follow it,", equation(w_next[i], w[i] - _lr * v_next[i]), premise()),
        Step("before", "as they did a step ago.", equation(w_before[i], w[i] + _lr * v[i]), premise()),
        Step("norm", "Name the squared norm now,", equation(_norm_squared, sp.Sum(w[i] ** 2, block)), definition()),
        Step("norm-next", "next", equation(_norm_squared_next, sp.Sum(w_next[i] ** 2, block)), definition()),
        Step(
            "norm-before",
            "and a step ago,",
            equation(norm_before.symbol, sp.Sum(w_before[i] ** 2, block)),
            definition(),
        ),
        Step("power", "the power of the buffer", equation(V, sp.Sum(v[i] ** 2, block)), definition()),
        Step("power-next", "and of the next,", equation(V_next, sp.Sum(v_next[i] ** 2, block)), definition()),
        Step("overlap", "the overlap of both,", equation(B, sp.Sum(w[i] * v[i], block)), definition()),
        Step("pull", "the radial pull,", equation(_radial_pull, sp.Sum(-w[i] * g[i], block)), definition()),
        Step(
            "measured",
            "and what is measured at every step.",
            equation(h, sp.Sum(g[i] ** 2 + 2 * _momentum * v[i] * g[i], block)),
            definition(),
        ),
        Step(
            "tangential",
            "The loss does not depend on the norm of the block: no gradient pulls on it.",
            equation(_radial_pull, 0),
            premise(),
        ),
        Step(
            "norm-change",
            "A step changes the norm by",
            equation(
                _norm_squared_next,
                _norm_squared
                - 2 * _lr * (_momentum * B - _radial_pull + _weight_decay * _norm_squared)
                + _lr**2 * V_next,
            ),
            by_summation("norm", "norm-next", "power-next", "overlap", "pull", "update", "buffer"),
        ),
        Step(
            "step-back",
            "the step before changed it by",
            equation(norm_before.symbol, _norm_squared + 2 * _lr * B + _lr**2 * V),
            by_summation("norm", "norm-before", "power", "overlap", "before"),
        ),
        Step(
            "power-change",
            "and the power of the buffer becomes",
            equation(
                V_next,
                _momentum**2 * V
                + h
                + _weight_decay**2 * _norm_squared
                + 2 * _weight_decay * (_momentum * B - _radial_pull),
            ),
            by_summation("power", "power-next", "norm", "overlap", "pull", "measured", "buffer"),
        ),
        Step(
            "recursion",
            "Without overlap and pull that is a recursion of the norm, exact at every step,",
            equation(
                _norm_squared_next,
                (1 + _momentum - 2 * _lr * _weight_decay) * _norm_squared
                - _momentum * norm_before.symbol
                + _lr**2 * (V_next + _momentum * V),
            ),
            by_substitution("norm-change", "step-back", "tangential"),
        ),
        Step(
            "power-recursion",
            "and one of the buffer's power, which only h drives.",
            equation(
                V_next,
                _momentum * (_momentum - _lr * _weight_decay) * V
                + h
                + _weight_decay**2 * _norm_squared
                + _momentum * _weight_decay * (norm_before.symbol - _norm_squared) / _lr,
            ),
            by_substitution("power-change", "step-back", "tangential"),
        ),
        Step(
            "paid",
            "Both are linear, so that they hold for means over steps. When these are stationary, the first gives",
            equation(V, paid),
            proof(
                "put back into the recursion of the norm with the same values before and after",
                lambda expression, earlier: (difference(earlier["recursion"]).subs(still).subs(V, expression.rhs),),
            ),
        ),
        Step(
            "size",
            "and the second the mean squared norm.",
            equation(_stationary, K * h),
            proof("put back into the mean of the buffer's recursion, which it fulfils", settles),
        ),
        Step(
            "inner",
            "Consecutive weights have the product",
            equation(inner.symbol, (_norm_squared + _norm_squared_next - _lr**2 * V_next) / 2),
            proof(
                "half of both squared norms less that of the step, weight by weight",
                lambda expression, earlier: (
                    sp.expand(
                        w[i] * w_next[i]
                        - expression.rhs.subs(
                            {
                                _norm_squared: earlier["norm"].rhs.function,
                                _norm_squared_next: earlier["norm-next"].rhs.function,
                                V_next: earlier["power-next"].rhs.function,
                            }
                        )
                    ).subs(earlier["update"].lhs, earlier["update"].rhs),
                ),
            ),
        ),
        Step(
            "cosine",
            "and therefore turn, whatever h is, by",
            equation(turn.symbol, _lr * _weight_decay / (1 + _momentum)),
            proof(
                "one minus the product over the squared norm, with the stationary power of the buffer",
                lambda expression, earlier: (
                    expression.rhs - 1 + earlier["inner"].rhs.subs(still).subs(V, earlier["paid"].rhs) / _norm_squared,
                ),
            ),
        ),
        Step(
            "scale",
            "If the norm hardly fluctuates, h is that at unit norm over the squared norm, which then is",
            equation(scale.symbol, sp.sqrt(K * unit_measured.symbol)),
            proof(
                "put back into the squared norm at that h, which it fulfils; positive",
                lambda expression, earlier: (
                    earlier["size"].rhs.subs(h, unit_measured.symbol / expression.rhs) - expression.rhs,
                    sp.true if expression.rhs.subs({_weight_decay: 1, _lr: 1, _momentum: 0}).is_positive else sp.false,
                ),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    keys = ("size", "scale", "cosine", "recursion", "power-recursion")
    return Derivation(
        name="heavy-ball-measured-power",
        title="The equilibrium of heavy-ball SGD from a measured power, for any way of drawing batches",
        assumptions=(
            "Heavy-ball SGD without dampening; the decay goes into the gradient before the buffer (coupled).",
            "The block is scale-invariant: its gradient is tangential at every step.",
            "Means over steps of norm, buffer power and h are stationary. Gradients may be correlated in any way, as "
            "they are if batches are drawn without replacement: h has in it what that changes. For gradients "
            "uncorrelated with the buffer its mean is that of ‖g‖².",
            "The rotation is that of a norm that is the same before and after the step.",
        ),
        steps=steps,
        equation=found["power-recursion"],
        results={str(found[key].lhs): found[key].rhs for key in keys},
        conditions=(
            forgets(_momentum, "a buffer with momentum 1 or more never forgets"),
            Condition(
                _lr * _weight_decay < 2 * (1 + _momentum),
                "outside this region of stability the weights grow without bound",
                exactly_where(
                    "the denominator (1 − B)(1 − μB) + ηλB of the weights' filter, at B = −1,",
                    2 * (1 + _momentum) - _lr * _weight_decay,
                ),
            ),
        ),
        zero_allowed=frozenset({"momentum"}),
        references=("wan2020", "yaida2018"),
        quantities=(
            *(norm_before, power, power_next, overlap, inner, measured, unit_measured, turn, scale),
            quantity("weight", "w", "w", "weight", "a weight"),
            quantity("weight_next", "w'", "w'", "weight", "the weight after the step"),
            quantity("weight_before", "w_{-}", "w_-", "weight", "the weight a step ago"),
            quantity("buffer", "v", "v", "loss / weight", "momentum buffer"),
            quantity("buffer_next", "v'", "v'", "loss / weight", "the buffer of the coming step"),
            quantity("gradient", "g", "g", "loss / weight", "gradient of the mini-batch's loss, without penalty"),
        ),
    )
