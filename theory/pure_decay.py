"""Follow a weight that gets no gradient: the decay of one epoch, and the floor below every layer's size."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import (
    by_growth,
    by_putting_back,
    by_recursion,
    by_substitution,
    by_summation,
    definition,
    equation,
    premise,
    proof,
)
from .registry import derivation, derive
from .steps import Step
from .validity import KEEPS_PART, exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_train, _batch_size, _n_steps, _n_weights = symbols_of(
    "lr weight_decay n_train batch_size n_steps n_weights"
)
_norm_squared, _norm_squared_start = symbols_of("norm_squared norm_squared_start")
_EPS = _lr * _weight_decay
_STEP = quantity("step", "k", "k", "1", "number of a step, counted from 0", nonnegative=True, integer=True)
_WEIGHT = quantity("weight", "w", "w", "weight", "a weight", real=True)
_START = quantity("weight_start", "w_{0}", "w_0", "weight", "the weight at the start", real=True, nonzero=True)


@derivation("decay-per-epoch")
def _decay_per_epoch() -> Derivation:
    """Derive the decay of one epoch, (1 - lr*weight_decay)^(n_train/batch_size), and how far the exponential is off."""
    weight = sp.Function("weight", real=True)
    step, start = _STEP.symbol, _START.symbol
    exact = quantity(
        "factor_exact", "a_{\\mathrm{epoch}}", "a_epoch", "1", "what one epoch leaves of a weight", positive=True
    )
    exponential = quantity(
        "factor_exponential",
        "e_{\\mathrm{epoch}}",
        "e_epoch",
        "1",
        "the exponential for what one epoch leaves",
        positive=True,
    )
    excess = quantity(
        "excess", "\\delta", "δ", "1", "decay of a step beyond lr·weight_decay, in the logarithm", positive=True
    )
    bound = quantity(
        "relative_error_bound", "b", "b", "1", "bound on the relative error of the exponential", positive=True
    )
    product = quantity("product", "c", "c", "1", "decay per step times steps, held fixed", positive=True)
    ratio = quantity("ratio", "x", "x", "1", "decay of a step over what it leaves", positive=True)
    shrink = quantity("total_excess", "y", "y", "1", "excess of all steps of the epoch", positive=True)
    per_epoch = _n_train / _batch_size
    step_bound = _EPS**2 / (2 * (1 - _EPS))

    def below_linear(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        y = shrink.symbol
        left = 1 - earlier["ratio"].rhs.subs(excess.symbol, y / _n_steps)
        slope = sp.diff(y - left, y).subs(y, sp.log(1 + ratio.symbol))
        return (
            left.subs(y, 0),
            sp.true if sp.factor(slope).is_nonnegative else sp.false,
            expression.lhs - (1 - earlier["ratio"].lhs),
            sp.true if expression.func is sp.Le else sp.false,
            expression.rhs - bound.symbol,
            earlier["bound"].rhs - (_n_steps * earlier["excess-bound"].rhs).subs(_n_steps, earlier["epoch"].rhs),
        )

    steps = (
        Step(
            "update",
            "A step of decay multiplies a weight that gets no gradient.",
            equation(weight(step + 1), (1 - _EPS) * weight(step)),
            premise(),
        ),
        Step(
            "closed",
            "So it shrinks as a power.",
            equation(weight(step), (1 - _EPS) ** step * start),
            by_recursion("update", step, start),
        ),
        Step("epoch", "An epoch has this many steps.", equation(_n_steps, per_epoch), definition()),
        Step(
            "exact",
            "One epoch leaves this part of the weight, exactly.",
            equation(exact.symbol, (1 - _EPS) ** per_epoch),
            proof(
                "the closed form after the steps of an epoch, over the weight at the start",
                lambda expression, earlier: (
                    expression.rhs - earlier["closed"].rhs.subs(step, earlier["epoch"].rhs) / start,
                ),
            ),
        ),
        Step(
            "exponential",
            "The book's exercise claims an exponential instead.",
            equation(exponential.symbol, sp.exp(-_EPS * per_epoch)),
            definition(),
        ),
        Step(
            "limit",
            "With decay per step times steps held fixed, it goes to that exponential as the steps become many.",
            equation(
                sp.Limit((1 - product.symbol / _n_steps) ** _n_steps, _n_steps, sp.oo),
                sp.exp(-product.symbol),
            ),
            proof(
                "limit of the exact factor, written in decay per step times steps",
                lambda expression, earlier: (
                    expression.lhs.doit() - expression.rhs,
                    expression.lhs.args[0]
                    - earlier["exact"]
                    .rhs.subs(_n_train, _n_steps * _batch_size)
                    .subs(_weight_decay, product.symbol / (_n_steps * _lr)),
                    expression.rhs - earlier["exponential"].rhs.subs(_weight_decay, product.symbol / (per_epoch * _lr)),
                ),
            ),
        ),
        Step(
            "excess",
            "The logarithm of a step exceeds the decay per step by this much.",
            equation(excess.symbol, -sp.log(1 - _EPS) - _EPS),
            definition(),
        ),
        Step(
            "ratio",
            "The exact factor is the exponential times this.",
            equation(exact.symbol / exponential.symbol, sp.exp(-_n_steps * excess.symbol)),
            by_substitution("exact", "exponential", "epoch", "excess"),
        ),
        Step(
            "excess-bound",
            "The excess of a step is small of second order.",
            sp.Le(-sp.log(1 - _EPS) - _EPS, step_bound, evaluate=False),
            by_growth(ratio.symbol, 0, {_weight_decay: ratio.symbol / (1 + ratio.symbol) / _lr}),
        ),
        Step(
            "bound",
            "Over the steps of an epoch that adds up to a bound.",
            equation(bound.symbol, per_epoch * step_bound),
            definition(),
        ),
        Step(
            "relative-error",
            "So the exponential is too large, and relatively by no more than the bound.",
            sp.Le(1 - exact.symbol / exponential.symbol, bound.symbol, evaluate=False),
            proof(
                "1 − exp(−y) is at most y, the excess of all steps, which is at most the steps times the bound of one",
                below_linear,
            ),
        ),
    )
    return Derivation(
        name="decay-per-epoch",
        title="Decay per epoch: the product of the steps against the exponential",
        assumptions=(
            "The weight gets no gradient: only decay acts on it.",
            "Learning rate and decay are the same in every step of the epoch.",
            "An epoch goes through the training set once, in mini-batches.",
        ),
        steps=steps,
        equation=steps[3].expression,
        results={
            "factor_exact": steps[3].expression.rhs,
            "factor_exponential": steps[4].expression.rhs,
            "relative_error_bound": steps[9].expression.rhs,
        },
        conditions=(KEEPS_PART,),
        zero_allowed=frozenset({"weight_decay"}),
        references=("nielsen2015",),
        quantities=(_STEP, _WEIGHT, _START, exact, exponential, excess, bound, product, ratio, shrink),
    )


@derivation("decay-floor")
def _decay_floor() -> Derivation:
    """Derive size, norm and variance of weights without gradient after n_steps, and the steps to a given size."""
    weights = sp.IndexedBase(sp.Symbol("weight", real=True))
    before = sp.IndexedBase(_START.symbol)
    index = sp.Symbol("i", integer=True)
    block = (index, 1, _n_weights)
    mean = quantity("mean", "\\bar w", "w̄", "weight", "mean of the weights after the steps", real=True)
    mean_start = quantity("mean_start", "\\bar w_{0}", "w̄_0", "weight", "mean of the weights at the start", real=True)
    variance = quantity("variance", "V", "V", "weight²", "variance of the weights after the steps", positive=True)
    variance_start = quantity("variance_start", "V_{0}", "V_0", "weight²", "variance at the start", positive=True)
    factor = quantity("factor", "a_{T}", "a_T", "1", "what the steps leave of a weight", positive=True)
    size = quantity("size", "s", "s", "weight", "size to come down to", positive=True)
    size_start = quantity("size_start", "s_{0}", "s_0", "weight", "size at the start", positive=True)
    needed = quantity("n_steps_to_size", "T_{s}", "T_s", "1", "steps to come down to the size", nonnegative=True)
    power = (1 - _EPS) ** _n_steps
    steps = (
        Step(
            "factor",
            "Steps of decay leave this part of every weight.",
            equation(factor.symbol, power),
            proof(
                "the closed form of a weight without gradient (derivation decay-per-epoch), over its start",
                lambda expression, _earlier: (
                    expression.rhs
                    - derive("decay-per-epoch").step("closed").expression.rhs.subs(_STEP.symbol, _n_steps)
                    / _START.symbol,
                ),
            ),
        ),
        Step(
            "weight",
            "So each weight is that part of its start.",
            equation(weights[index], factor.symbol * before[index]),
            premise(),
        ),
        Step(
            "norm-start",
            "The squared norm at the start is a sum over the weights,",
            equation(_norm_squared_start, sp.Sum(before[index] ** 2, block)),
            definition(),
        ),
        Step(
            "norm",
            "and so it is after the steps.",
            equation(_norm_squared, sp.Sum(weights[index] ** 2, block)),
            definition(),
        ),
        Step(
            "norm-shrinks",
            "The squared norm shrinks by the square of the factor;",
            equation(_norm_squared, factor.symbol**2 * _norm_squared_start),
            by_summation("norm-start", "norm", "weight"),
        ),
        Step(
            "norm-floor",
            "in hyperparameters:",
            equation(_norm_squared, power**2 * _norm_squared_start),
            by_substitution("norm-shrinks", "factor"),
        ),
        Step(
            "variance-start",
            "The variance at the start is the mean squared distance from the mean,",
            equation(
                variance_start.symbol,
                sp.Sum((before[index] - mean_start.symbol) ** 2 / _n_weights, block),
            ),
            definition(),
        ),
        Step(
            "variance",
            "and so it is after the steps.",
            equation(variance.symbol, sp.Sum((weights[index] - mean.symbol) ** 2 / _n_weights, block)),
            definition(),
        ),
        Step(
            "mean-start",
            "The mean at the start",
            equation(mean_start.symbol, sp.Sum(before[index] / _n_weights, block)),
            definition(),
        ),
        Step(
            "mean",
            "and after the steps",
            equation(mean.symbol, sp.Sum(weights[index] / _n_weights, block)),
            definition(),
        ),
        Step(
            "mean-shrinks",
            "shrinks like a weight,",
            equation(mean.symbol, factor.symbol * mean_start.symbol),
            by_summation("mean-start", "mean", "weight"),
        ),
        Step(
            "variance-shrinks",
            "and the variance like a square;",
            equation(variance.symbol, factor.symbol**2 * variance_start.symbol),
            by_summation("variance-start", "variance", "weight", "mean-shrinks"),
        ),
        Step(
            "variance-floor",
            "in hyperparameters:",
            equation(variance.symbol, power**2 * variance_start.symbol),
            by_substitution("variance-shrinks", "factor"),
        ),
        Step(
            "size",
            "Coming down to a size takes the steps for which",
            equation(size.symbol, (1 - _EPS) ** needed.symbol * size_start.symbol),
            proof(
                "the factor of that many steps, times the size at the start",
                lambda expression, earlier: (
                    expression.rhs / size_start.symbol - earlier["factor"].rhs.subs(_n_steps, needed.symbol),
                ),
            ),
        ),
        Step(
            "time",
            "that is:",
            equation(needed.symbol, sp.log(size.symbol / size_start.symbol) / sp.log(1 - _EPS)),
            by_putting_back("size"),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="decay-floor",
        title="The floor of pure decay: weights that get no gradient",
        assumptions=(
            "The weights get no gradient, as those behind inputs that are zero in every training example.",
            "Learning rate and decay are constant.",
            "Sizes are root-mean-square or single weights: both shrink by the same factor.",
        ),
        steps=steps,
        equation=found["norm-floor"],
        results={
            "norm_squared": found["norm-floor"].rhs,
            "variance": found["variance-floor"].rhs,
            "factor": found["factor"].rhs,
            "n_steps_to_size": found["time"].rhs,
        },
        conditions=(
            KEEPS_PART,
            Condition(
                size.symbol <= size_start.symbol,
                "decay alone never makes a weight larger",
                exactly_where("1 less what is left of the size", 1 - size.symbol / size_start.symbol, zero=True),
            ),
        ),
        zero_allowed=frozenset({"weight_decay", "norm_squared_start", "variance_start"}),
        references=("nielsen2015", "krogh1991"),
        quantities=(
            _STEP,
            _WEIGHT,
            _START,
            mean,
            mean_start,
            variance,
            variance_start,
            factor,
            size,
            size_start,
            needed,
        ),
    )
