"""Bound the size of weights whose updates never turn, and take the size of weights out of the learning rate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import by_recursion, by_substitution, definition, equation, premise, proof
from .registry import derivation
from .steps import Step
from .validity import KEEPS_PART

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _norm_squared = symbols_of("lr weight_decay norm_squared")
_EPS = _lr * _weight_decay


@derivation("steady-direction")
def _steady_direction() -> Derivation:
    """Derive the largest size that decoupled decay allows to bounded updates, update_bound / weight_decay."""
    step = quantity("step", "k", "k", "1", "number of a step, counted from 0", nonnegative=True, integer=True)
    start = quantity("size_start", "s_{0}", "s_0", "weight", "size at the start", positive=True)
    most = quantity(
        "update_bound", "U", "U", "loss/weight", "largest size of an update, before the learning rate", positive=True
    )
    kept = quantity("kept", "a_{k}", "a_k", "1", "what the steps leave of the start", positive=True)
    size_bound = quantity("size_bound", "s_{\\max}", "s_max", "weight", "size never exceeded in the end", positive=True)
    values = quantity(
        "n_values", "n_{v}", "n_v", "1", "weights, or singular values, that are bounded", positive=True, integer=True
    )
    in_norm = quantity(
        "norm_squared_bound", "R_{\\max}", "R_max", "weight²", "squared norm never exceeded in the end", positive=True
    )
    own = quantity("size_at_rest", "s_{*}", "s_*", "weight", "size that a step returns", positive=True)
    sizes = quantity("size", "s", "s", "weight", "size of a weight or a singular value", positive=True)
    bounds = quantity("bound", "b", "b", "weight", "size that is never exceeded at a step", positive=True)
    size, bound = sp.Function("size", real=True), sp.Function("bound", real=True)
    k, limit = step.symbol, most.symbol / _weight_decay

    def never_above(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        """Subtract the recursion of the bound from that of the size."""
        grows, bounded = earlier["triangle"], earlier["bound"]
        return (
            sp.expand((grows.lhs - bounded.lhs) - expression.lhs),
            sp.expand((grows.rhs - bounded.rhs) - expression.rhs),
            sp.true if expression.func is sp.Le and grows.func is sp.Le else sp.false,
        )

    steps = (
        Step(
            "triangle",
            "A step takes its part of a weight and adds an update of at most update_bound, so of its size",
            sp.Le(size(k + 1), (1 - _EPS) * size(k) + _lr * most.symbol, evaluate=False),
            premise(),
        ),
        Step(
            "bound",
            "What begins at the same size and always gets the largest update obeys",
            equation(bound(k + 1), (1 - _EPS) * bound(k) + _lr * most.symbol),
            definition(),
        ),
        Step(
            "never-above",
            "The size begins there too and never comes above, since",
            sp.Le(size(k + 1) - bound(k + 1), (1 - _EPS) * (size(k) - bound(k)), evaluate=False),
            proof("the first relation less the second", never_above),
        ),
        Step(
            "closed",
            "That bound is, after any number of steps,",
            equation(bound(k), (1 - _EPS) ** k * start.symbol + (1 - (1 - _EPS) ** k) * limit),
            by_recursion("bound", k, start.symbol),
        ),
        Step(
            "limit",
            "which goes, as what is kept of the start goes to 0, to",
            equation(size_bound.symbol, limit),
            proof(
                "limit of the closed form for what is kept to zero",
                lambda expression, earlier: (
                    sp.limit(earlier["closed"].rhs.subs((1 - _EPS) ** k, kept.symbol), kept.symbol, 0) - expression.rhs,
                ),
            ),
        ),
        Step(
            "rest",
            "where a size stays if its updates keep their direction.",
            equation(own.symbol, (1 - _EPS) * size_bound.symbol + _lr * most.symbol),
            proof(
                "put into the recursion of the bound, which then returns it",
                lambda expression, earlier: (
                    sp.expand(expression.rhs.subs(size_bound.symbol, earlier["limit"].rhs) - earlier["limit"].rhs),
                    sp.expand(earlier["bound"].rhs.subs(bound(k), size_bound.symbol) - expression.rhs),
                ),
            ),
        ),
        Step(
            "norm",
            "The squared norm is the sum of the squares of such sizes, of weights or of singular values: at most",
            equation(in_norm.symbol, values.symbol * size_bound.symbol**2),
            premise(),
        ),
        Step(
            "norm-bound",
            "in hyperparameters:",
            equation(in_norm.symbol, values.symbol * limit**2),
            by_substitution("norm", "limit"),
        ),
    )
    found = {one.key: one.expression for one in steps}
    return Derivation(
        name="steady-direction",
        title="Signal instead of noise: the largest size that decoupled decay allows",
        assumptions=(
            "Decoupled decay, w' = (1 − lr·weight_decay) w − lr·u.",
            "No update is larger than update_bound, in each weight, or in spectral norm: 1 in each weight for sign "
            "descent, Signum and Lion, and for Adam while its gradients keep their direction and size; spectral norm "
            "1 for Muon.",
            "Learning rate and decay are constant; the squared norm is for one and the same bound on all values.",
        ),
        steps=steps,
        equation=found["limit"],
        results={"size_bound": found["limit"].rhs, "norm_squared_bound": found["norm-bound"].rhs},
        conditions=(KEEPS_PART,),
        references=("chen2023constrained", "xieli2024", "chen2025muon"),
        quantities=(step, start, most, kept, size_bound, values, in_norm, own, sizes, bounds),
    )


@derivation("effective-learning-rate")
def _effective_learning_rate() -> Derivation:
    """Derive the learning rate that moves weights of norm 1 as lr moves weights of any norm before a normalization."""
    size = quantity("norm", "r", "r", "weight", "norm ‖w‖ of the weights", positive=True)
    unit = quantity("unit_weight", "v", "v", "1", "a weight over the norm", real=True)
    unit_next = quantity("unit_weight_next", "v'", "v'", "1", "new weight over the old norm", real=True)
    unit_gradient = quantity("unit_gradient", "g_{1}", "g_1", "loss", "gradient at norm 1", real=True)
    update = quantity("update", "u", "u", "1", "an update that does not know the size of gradients", real=True)
    weight = quantity("weight", "w", "w", "weight", "a weight", real=True)
    moved = quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True)
    moved_by_update = quantity(
        "weight_normalized", "w''", "w''", "weight", "new weight over the old norm, with a normalized update", real=True
    )
    effective = quantity("effective_lr", "\\eta_{1}", "η_1", "1", "learning rate at norm 1", positive=True)
    normalized = quantity(
        "effective_lr_normalized",
        "\\eta_{2}",
        "η_2",
        "1",
        "learning rate at norm 1, for normalized updates",
        positive=True,
    )
    r, v = size.symbol, unit.symbol
    steps = (
        Step("direction", "A weight is its direction times the norm.", equation(weight.symbol, r * v), definition()),
        Step(
            "step",
            "Before a normalization the gradient is that at norm 1 over the norm, so that a step of SGD does",
            equation(moved.symbol, weight.symbol - _lr * unit_gradient.symbol / r),
            premise(),
        ),
        Step(
            "at-one",
            "At norm 1 some other learning rate would do, for the direction,",
            equation(unit_next.symbol, v - effective.symbol * unit_gradient.symbol),
            definition(),
        ),
        Step(
            "effective",
            "It is the same step over the norm if that learning rate is",
            equation(effective.symbol, _lr / r**2),
            proof(
                "the step over the norm, less the step at norm 1 with it",
                lambda expression, earlier: (
                    sp.expand(
                        earlier["step"].rhs.subs(weight.symbol, earlier["direction"].rhs) / r
                        - earlier["at-one"].rhs.subs(effective.symbol, expression.rhs)
                    ),
                ),
            ),
        ),
        Step("norm", "The squared norm is the norm's square.", equation(_norm_squared, r**2), definition()),
        Step(
            "in-norm-squared",
            "So it is",
            equation(effective.symbol, _lr / _norm_squared),
            by_substitution("effective", "norm"),
        ),
        Step(
            "normalized-step",
            "An update that does not know the size of gradients does",
            equation(moved_by_update.symbol, weight.symbol - _lr * update.symbol),
            premise(),
        ),
        Step(
            "normalized",
            "which over the norm is the step with",
            equation(normalized.symbol, _lr / sp.sqrt(_norm_squared)),
            proof(
                "the step over the norm, less the step at norm 1 with it",
                lambda expression, earlier: (
                    sp.expand(
                        earlier["normalized-step"].rhs.subs(weight.symbol, earlier["direction"].rhs) / r
                        - (v - expression.rhs.subs(_norm_squared, earlier["norm"].rhs) * update.symbol)
                    ),
                ),
            ),
        ),
    )
    found = {one.key: one.expression for one in steps}
    return Derivation(
        name="effective-learning-rate",
        title="The effective learning rate: what a step does to the direction of weights before a normalization",
        assumptions=(
            "The loss does not depend on the norm of the weights (scale-invariant, as before a normalization).",
            "Decay of the step is left out: it changes no direction.",
        ),
        steps=steps,
        equation=found["in-norm-squared"],
        results={
            "effective_lr": found["in-norm-squared"].rhs,
            "effective_lr_normalized": found["normalized"].rhs,
        },
        references=("vanlaarhoven2017",),
        quantities=(
            size,
            unit,
            unit_next,
            unit_gradient,
            update,
            weight,
            moved,
            moved_by_update,
            effective,
            normalized,
        ),
    )
