"""Derive what the loss alone says about sizes: the envelope relation, and bounds that need no measurement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, premise, proof
from .registry import by_derivation, derivation
from .steps import Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_weight_decay, _gap, _cross_entropy, _entropy, _classes = symbols_of(
    "weight_decay entropy_loss_gap cross_entropy predictive_entropy n_classes"
)


@derivation("envelope")
def _envelope() -> Derivation:
    """Derive dF/d(weight_decay) = (sum of squared norms) / 2 along a branch of minima."""
    weight = quantity("weight", "W", "W", "weight", "place along any direction through the minimum", real=True)
    minimum = quantity("regularized_minimum", "F", "F", "loss", "regularized loss at its minimum", real=True)
    loss = quantity("loss", "C", "C", "loss", "loss without penalty", real=True)
    norm = quantity(
        "norm_squared_total", "R", "R", "weight²", "sum of the squared norms of all decayed blocks", positive=True
    )
    place = quantity("place", "W_{*}", "W_*", "weight", "the minimum, as a function of the decay", real=True)
    sizes = quantity(
        "norm_squared_from_curve", "R_{F}", "R_F", "weight²", "sum of squared norms, from the loss curve", real=True
    )
    low = quantity("minimum_below", "F_{-}", "F_-", "loss", "regularized minimum at the lower decay", real=True)
    high = quantity("minimum_above", "F_{+}", "F_+", "loss", "regularized minimum at the higher decay", real=True)
    decay_low = quantity("weight_decay_below", "\\lambda_{-}", "λ_-", "loss / weight²", "lower decay", positive=True)
    decay_high = quantity("weight_decay_above", "\\lambda_{+}", "λ_+", "loss / weight²", "higher decay", positive=True)
    at, cost, total = (sp.Function(name) for name in ("place", "loss", "norm_squared_total"))
    best = sp.Function("regularized_minimum")
    lam, x = _weight_decay, weight.symbol

    def still(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        regularized = cost(x) + lam / 2 * total(x)
        agrees = earlier["minimum"].rhs - regularized.subs(x, at(lam))
        return (agrees, expression.lhs - sp.diff(regularized, x), expression.rhs)

    def envelope_theorem(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        slope = sp.Symbol("slope")
        derivative = sp.diff(earlier["minimum"].rhs, lam).doit()
        moving = earlier["still"].lhs.subs(x, at(lam)).doit() * sp.diff(at(lam), lam)
        rest = sp.expand(derivative - moving - expression.rhs).subs(sp.diff(at(lam), lam), slope).doit()
        return (rest, expression.lhs.doit() - sp.diff(best(lam), lam))

    steps = (
        Step(
            "minimum",
            "Along a smooth branch of minima the regularized loss is",
            equation(best(lam), cost(at(lam)) + lam / 2 * total(at(lam))),
            premise(),
        ),
        Step(
            "still",
            "At a minimum it does not change in any direction of the weights:",
            equation(sp.diff(cost(x) + lam / 2 * total(x), x), 0),
            proof("derivative of the regularized loss at fixed decay", still),
        ),
        Step(
            "envelope",
            "so that, when the decay changes, only its explicit appearance counts (Danskin).",
            equation(sp.Derivative(best(lam), lam), total(at(lam)) / 2),
            proof("chain rule; the part that moves the minimum is the one that vanishes there", envelope_theorem),
        ),
        Step(
            "sizes",
            "Two points of the loss curve therefore give the sum of squared norms between them.",
            equation(sizes.symbol, 2 * (high.symbol - low.symbol) / (decay_high.symbol - decay_low.symbol)),
            proof("exact for a curve whose slope is that of the envelope and constant between the points", _straight),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="envelope",
        title="The envelope relation: sizes from the loss curve alone",
        assumptions=(
            "The network sits at a minimum of the regularized loss, without gradient noise, on one smooth branch.",
            "The sum goes over all decayed blocks of weights.",
            "For two points: the decays are near enough for the slope not to change between them.",
        ),
        steps=steps,
        equation=found["envelope"],
        results={"norm_squared_from_curve": found["sizes"].rhs},
        conditions=(
            Condition(
                decay_high.symbol > decay_low.symbol,
                "the curve needs two different decays, in order",
                exactly_where("the way along the curve", decay_high.symbol - decay_low.symbol),
            ),
        ),
        references=("weightdecay",),
        quantities=(weight, minimum, loss, norm, place, sizes, low, high, decay_low, decay_high),
    )


def _straight(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    low, high = sp.symbols("weight_decay_below weight_decay_above", positive=True)
    size, start, lam = sp.Symbol("size", positive=True), sp.Symbol("start", real=True), _weight_decay
    slope = earlier["envelope"].rhs.replace(lambda part: part.func == sp.Function("norm_squared_total"), lambda _: size)
    curve = start + sp.integrate(slope, (lam, low, lam))
    ends = {sp.Symbol("minimum_below", real=True): start, sp.Symbol("minimum_above", real=True): curve.subs(lam, high)}
    return (sp.cancel(expression.rhs.subs(ends) - size),)


@derivation("size-bounds")
def _size_bounds() -> Derivation:
    """Derive bounds on squared norms at a minimum of the regularized loss, with nothing measured."""
    total = quantity(
        "norm_squared_total",
        "\\Sigma R",
        "ΣR",
        "weight²",
        "sum of the squared norms of all decayed blocks",
        positive=True,
    )
    at_zero = quantity("loss_at_zero", "C(0)", "C(0)", "loss", "loss with all weights zero", positive=True)
    loss = quantity("loss", "C", "C", "loss", "loss at the minimum, without penalty", nonnegative=True)
    bound = quantity(
        "norm_squared_total_bound", "R_{\\max}", "R_max", "weight²", "bound on the sum of squared norms", positive=True
    )
    softmax = quantity(
        "norm_squared_bound_softmax", "R_{\\max}", "R_max", "weight²", "bound on a layer under softmax", positive=True
    )
    sigmoid = quantity(
        "norm_squared_bound_sigmoid",
        "R_{\\max}",
        "R_max",
        "weight²",
        "bound on a layer, sigmoid outputs",
        positive=True,
    )
    ratio = quantity("ratio", "x", "x", "1", "probability of a class times the number of classes", positive=True)
    surplus = quantity("surplus", "y", "y", "1", "how far the ratio is from one, either way", positive=True)
    probability = sp.IndexedBase("probability", positive=True)
    k = sp.Symbol("k", integer=True)
    each = (k, 1, _classes)
    x, y = ratio.symbol, surplus.symbol

    def from_comparison(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        slack = earlier["comparison"].rhs - earlier["comparison"].lhs
        claimed = (expression.rhs - expression.lhs) * _weight_decay / 2
        bigger = claimed - slack
        return (
            sp.true if sp.expand(bigger).is_nonnegative and expression.func is sp.Le else sp.false,
            claimed.subs(loss.symbol, 0) - slack.subs(loss.symbol, 0),
            sp.true if earlier["comparison"].func is sp.Le else sp.false,
        )

    def convex(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        gap = expression.lhs - expression.rhs
        ways = (sp.diff(gap.subs(x, place), y) for place in (1 + y, 1 / (1 + y)))
        growing = (
            sp.true if sp.factor(sp.expand_log(way.simplify(), force=True)).is_nonnegative else sp.false for way in ways
        )
        return (gap.subs(x, 1), sp.true if expression.func is sp.Ge else sp.false, *growing)

    def at_most_uniform(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        term = _classes ** (-1) * difference(earlier["convex"]).subs(x, _classes * probability[k])
        expanded = sp.expand(sp.expand_log(term))
        entropy = earlier["entropy"].rhs.function
        surplus_term = expanded - (-entropy + probability[k] * sp.log(_classes) - probability[k] + 1 / _classes)
        right = expression.rhs == sp.log(_classes) and expression.func is sp.Le
        over_all = earlier["entropy"].rhs.limits == ((k, 1, _classes),)
        return (surplus_term, sp.true if right and over_all else sp.false, expression.lhs - earlier["entropy"].lhs)

    steps = (
        Step(
            "comparison",
            "At a minimum the regularized loss is at most what it is with all weights zero.",
            sp.Le(loss.symbol + _weight_decay * total.symbol / 2, at_zero.symbol, evaluate=False),
            premise(),
        ),
        Step(
            "total",
            "The loss is not negative, so the sum of squared norms has a bound.",
            sp.Le(total.symbol, 2 * at_zero.symbol / _weight_decay, evaluate=False),
            proof("the comparison with the loss left out, which only makes the left side smaller", from_comparison),
        ),
        Step(
            "total-bound",
            "It is",
            equation(bound.symbol, 2 * at_zero.symbol / _weight_decay),
            proof("the right side before", lambda expression, earlier: (expression.rhs - earlier["total"].rhs,)),
        ),
        Step(
            "convex",
            "For every ratio of a probability to the uniform one",
            sp.Ge(x * sp.log(x), x - 1, evaluate=False),
            proof("both sides agree at x = 1, and the difference grows away from there, upwards and downwards", convex),
        ),
        Step(
            "entropy",
            "so that the entropy",
            equation(_entropy, sp.Sum(-probability[k] * sp.log(probability[k]), each)),
            definition(),
        ),
        Step(
            "uniform",
            "is at most that of the uniform distribution.",
            sp.Le(_entropy, sp.log(_classes), evaluate=False),
            proof(
                "the inequality before at x = K p, over K, summed over classes whose probabilities add up to one",
                at_most_uniform,
            ),
        ),
        Step(
            "gap",
            "The gap is entropy less cross-entropy,",
            equation(_gap, _entropy - _cross_entropy),
            by_derivation("entropy-loss-gap", "entropy_loss_gap"),
        ),
        Step(
            "softmax",
            "cross-entropy is not negative, and the stationary size without noise is gap over decay; so under softmax",
            equation(softmax.symbol, sp.log(_classes) / _weight_decay),
            proof("the size of the derivation equal-pull, at its largest: entropy ln K and no loss", _largest_softmax),
        ),
        Step(
            "sigmoid",
            "and with sigmoid outputs, each at most ln 2,",
            equation(sigmoid.symbol, _classes * sp.log(2) / _weight_decay),
            proof("the same, with as many entropies of two outcomes as there are outputs", _largest_sigmoid),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="size-bounds",
        title="Bounds on sizes with nothing measured",
        assumptions=(
            "For the sum: a minimum of the regularized loss at least as good as all weights zero, and a loss that is "
            "never negative.",
            "For one layer: a stationary point without gradient noise; the output layer of any network (without output "
            "bias, or with a stationary undecayed one), every layer of a homogeneous one.",
            "Gradient noise adds lr·G²/(2λ) to a bound.",
        ),
        steps=steps,
        equation=found["total-bound"],
        results={
            "norm_squared_total_bound": found["total-bound"].rhs,
            "norm_squared_bound_softmax": found["softmax"].rhs,
            "norm_squared_bound_sigmoid": found["sigmoid"].rhs,
        },
        references=("weightdecay",),
        quantities=(
            total,
            at_zero,
            loss,
            bound,
            softmax,
            sigmoid,
            ratio,
            surplus,
            quantity("probability", "p", "p", "1", "probability of a class", positive=True),
        ),
    )


def _largest_softmax(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    size = by_derivation("equal-pull", "norm_squared_without_noise", "gap").residual(equation(_gap, 0), earlier)
    (negative,) = size
    largest = -negative.subs({_cross_entropy: 0, _entropy: earlier["uniform"].rhs})
    return (expression.rhs - largest,)


def _largest_sigmoid(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    return (expression.rhs - _classes * earlier["softmax"].rhs.subs(_classes, 2),)
