"""Derive what drawing batches without replacement does to the pull of the batch that makes the step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, premise, proof
from .registry import derivation
from .steps import Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_pull, _n_weights = symbols_of("radial_pull n_weights")
_QUANTITIES = (
    quantity("weight", "w", "w", "weight", "weights of the block, just before the step", real=True),
    quantity("gradient", "g", "g", "loss / weight", "gradient of a batch, by batch and weight", real=True),
    quantity("gradient_full", r"\bar g", "ḡ", "loss / weight", "gradient of the whole training set", real=True),
    quantity("pull_of_batch", "p", "p", "loss", "pull −⟨w, g⟩ of a batch, by batch", real=True),
    quantity("pull_full", r"\bar P", "P̄", "loss", "pull of the whole training set, at the same weights", real=True),
    quantity("pull_used", "P_{u}", "P_u", "loss", "mean pull of the batches already used in the epoch", real=True),
    quantity("pull_independent", "P_{i}", "P_i", "loss", "mean pull of a batch drawn with replacement", real=True),
    quantity("n_batches", "M", "M", "1", "batches of an epoch", integer=True, positive=True),
    quantity("n_used", "u", "u", "1", "batches already used in the epoch", integer=True, nonnegative=True),
    quantity("i", "i", "i", "1", "number of a weight", integer=True),
    quantity("k", "k", "k", "1", "number of a batch, in the order of the epoch", integer=True),
)
_OF = {line.name: line.symbol for line in _QUANTITIES}
_i, _k, _n_batches, _n_used = (_OF[name] for name in ("i", "k", "n_batches", "n_used"))
_full, _used = _OF["pull_full"], _OF["pull_used"]
_w, _mean_gradient = (sp.IndexedBase(_OF[name]) for name in ("weight", "gradient_full"))
_g, _pulls = (sp.IndexedBase(_OF[name]) for name in ("gradient", "pull_of_batch"))
_REMAIN = Condition(
    _n_used < _n_batches,
    "a batch must be left to draw",
    exactly_where("the number of batches left", _n_batches - _n_used),
)


@derivation("reshuffled-pull")
def _reshuffled_pull() -> Derivation:
    """Derive that the next batch of an epoch pulls less than the training set by what the used ones pull more."""
    steps = (
        Step(
            "full-gradient",
            "The gradient of the training set is the mean over the batches of an epoch,",
            equation(_mean_gradient[_i], sp.Sum(_g[_k, _i], (_k, 1, _n_batches)) / _n_batches),
            premise(),
        ),
        Step(
            "pull-of-batch",
            "Every batch pulls at the norm, and so does the training set:",
            equation(_pulls[_k], -sp.Sum(_w[_i] * _g[_k, _i], (_i, 1, _n_weights))),
            definition(),
        ),
        Step(
            "full",
            "its pull at the same weights",
            equation(_full, -sp.Sum(_w[_i] * _mean_gradient[_i], (_i, 1, _n_weights))),
            definition(),
        ),
        Step(
            "linear",
            "is the mean of the batches' pulls, since a pull is linear in the gradient.",
            equation(_full, sp.Sum(_pulls[_k], (_k, 1, _n_batches)) / _n_batches),
            proof("sums exchanged, written out for two weights and up to three batches", _exchanged),
        ),
        Step(
            "independent",
            "A batch drawn independently of the weights, with replacement, is each of them equally often. On average "
            "it pulls as",
            equation(_OF["pull_independent"], sp.Sum(_pulls[_k] / _n_batches, (_k, 1, _n_batches))),
            definition(),
        ),
        Step(
            "as-full",
            "which is as the training set does.",
            equation(_OF["pull_independent"], _full),
            proof("both are the mean over the batches, written out for up to three", _same_mean),
        ),
        Step(
            "used",
            "In a reshuffled epoch the weights know the batches already used, which pull on average as",
            equation(_used, sp.Sum(_pulls[_k], (_k, 1, _n_used)) / _n_used),
            definition(),
        ),
        Step(
            "left",
            "and the next batch is equally often each of those that are left:",
            equation(_pull, sp.Sum(_pulls[_k], (_k, _n_used + 1, _n_batches)) / (_n_batches - _n_used)),
            definition(),
        ),
        Step(
            "whole",
            "Used ones and those left make up the epoch,",
            equation(_n_batches * _full, _n_used * _used + (_n_batches - _n_used) * _pull),
            proof("the three means written out for up to four batches", _made_up_of_both),
        ),
        Step(
            "next",
            "so that it pulls less than the training set where those used pull more: the weights have in them the "
            "steps −ηg of the used batches, which adds η‖g‖² to the pull of each.",
            equation(_pull, _full - _n_used * (_used - _full) / (_n_batches - _n_used)),
            proof(
                "put into what makes up the epoch, which it fulfils",
                lambda expression, earlier: (
                    difference(earlier["whole"]).subs(_pull, expression.rhs),
                    expression.lhs - _pull,
                ),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="reshuffled-pull",
        title="The pull of the batch that makes the step: with replacement, and in reshuffled epochs",
        assumptions=(
            "Batches are of the same size; an epoch divides the training set among them.",
            "In a reshuffled epoch the order of the batches is random. Averages go over orders that have the same "
            "batches used so far, in the same order.",
        ),
        steps=steps,
        equation=found["next"],
        results={"radial_pull": found["next"].rhs, "pull_independent": found["as-full"].rhs},
        conditions=(_REMAIN,),
        references=("weightdecay",),
        quantities=_QUANTITIES,
    )


def _written_out(expression: Any, used: int, batches: int) -> Any:
    numbers = {_n_used: used, _n_batches: batches, _n_weights: 2}
    return expression.subs(numbers).doit()


def _exchanged(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    full, of_batch, mean = (earlier[key].rhs for key in ("full", "pull-of-batch", "full-gradient"))
    residuals = []
    for batches in (1, 2, 3):
        here = _written_out(expression.rhs, 0, batches)
        here = here.subs({_pulls[k]: _written_out(of_batch.subs(_k, k), 0, batches) for k in range(1, batches + 1)})
        there = _written_out(full, 0, batches)
        there = there.subs({_mean_gradient[i]: _written_out(mean.subs(_i, i), 0, batches) for i in (1, 2)})
        residuals.append(sp.expand(here - there))
    return (*residuals, expression.lhs - earlier["full"].lhs)


def _same_mean(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    gap = earlier["independent"].rhs - earlier["linear"].rhs
    return (
        *(sp.expand(_written_out(gap, 0, batches)) for batches in (1, 2, 3)),
        expression.lhs - earlier["independent"].lhs,
        expression.rhs - earlier["linear"].lhs,
    )


def _made_up_of_both(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    gap = difference(expression)
    for key in ("linear", "used", "left"):
        gap = gap.subs(earlier[key].lhs, earlier[key].rhs)
    return tuple(sp.expand(_written_out(gap, used, batches)) for batches in (2, 3, 4) for used in range(1, batches))
