"""Derive the decay above which a two-layer network with hidden biases collapses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import by_substitution, definition, equation, premise, proof
from .registry import derivation, derive
from .steps import Step

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

(_weight_decay,) = symbols_of("weight_decay")


@derivation("collapse-threshold-biases")
def _collapse_threshold_biases() -> Derivation:
    """Derive that zero weights are stable for weight_decay > max_j |phi'(b_j)| sigma_max(E[(y - p0) x^T])."""
    inner = quantity("inner", "u", "u", "weight", "in-weight of a hidden unit along a direction of the inputs")
    outer = quantity("outer", "v", "v", "weight", "out-weight of a hidden unit along a direction of the outputs")
    stretch = quantity("input", "z", "z", "1", "input along the direction")
    answer = quantity("residual", "e", "e", "loss", "label less output at zero weights, along the direction")
    mean_answer = quantity("residual_mean", "\\bar e", "ē", "loss", "its mean over the data")
    bias = quantity("hidden_bias", "b", "b", "1", "bias of the hidden unit")
    shift = quantity("output_bias", "c", "c", "1", "displacement of the output bias along the direction")
    curvature = quantity("curvature", "h", "h", "loss", "curvature of the loss in the output there", positive=True)
    level = quantity("level", "\\varphi(b)", "φ(b)", "1", "activation of the unit at zero in-weights")
    slope = quantity("slope_at_bias", "\\varphi'(b)", "φ'(b)", "1", "slope of the activation at the bias")
    signal = quantity("signal", "\\sigma", "σ", "loss / weight²", "a singular value of E[(y − p0) xᵀ]", positive=True)
    largest = quantity(
        "signal_max",
        "\\sigma_{\\max}",
        "σ_max",
        "loss / weight²",
        "the largest singular value of E[(y − p0) xᵀ]",
        positive=True,
    )
    one = quantity("weight_decay_threshold", "\\lambda_{c,b}", "λ_c,b", "loss / weight²", "threshold of one unit")
    every = quantity(
        "weight_decay_threshold_with_biases",
        "\\lambda_{c}",
        "λ_c",
        "loss / weight²",
        "decay above which zero is stable, the largest threshold of a unit",
        nonnegative=True,
    )
    steepest = quantity(
        "slope_max", "s_{\\max}", "s_max", "1", "max_j |φ'(b_j)| over the hidden units", nonnegative=True
    )
    change = quantity("loss_change", "\\Delta F", "ΔF", "loss", "change of the regularized loss")
    phi = sp.Function("activation")
    u, v, z, e, b, c = (line.symbol for line in (inner, outer, stretch, answer, bias, shift))
    output = v * phi(b + u * z) + c
    penalty = _weight_decay * (u**2 + v**2) / 2

    def second_order(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        small = sp.Symbol("small", positive=True)
        displaced = {u: small * u, v: small * v, c: small * c}
        change = earlier["change"].rhs.subs(displaced, simultaneous=True)
        series = sp.expand(sum(sp.diff(change, small, k).subs(small, 0).doit() / sp.factorial(k) for k in range(3)))
        series = series.replace(lambda part: isinstance(part, sp.Subs), lambda _: slope.symbol).subs(
            {sp.Derivative(phi(b), b): slope.symbol, phi(b): level.symbol}
        )
        averaged = sp.expand(series).subs(e * z, earlier["singular"].rhs).subs(e, mean_answer.symbol)
        return (averaged.subs(earlier["centred"].lhs, earlier["centred"].rhs) - expression.rhs,)

    def least(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        loss = earlier["loss"].rhs
        return (
            sp.diff(loss, c).subs(c, expression.rhs),
            sp.true if sp.diff(loss, c, 2).is_positive else sp.false,
        )

    def of_one_unit(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        there = derive("collapse-threshold")
        renamed = {
            symbol: slope.symbol for symbol in there.step("loss").expression.free_symbols if symbol.name == "slope"
        }
        return (
            earlier["without-bias"].rhs - there.step("loss").expression.rhs.subs(renamed),
            expression.rhs - there.results["weight_decay_threshold"].subs(renamed),
        )

    def of_all(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        slopes = [sp.Rational(part) for part in ("-7/5", "2/3", "6/5", "0")]
        units = [earlier["unit"].rhs.subs(slope.symbol, part) for part in slopes]
        together = expression.rhs.subs(steepest.symbol, max(abs(part) for part in slopes))
        return (sp.Max(*(part / largest.symbol for part in units)) - together / largest.symbol,)

    steps = (
        Step(
            "change",
            "Along one direction of the inputs and one of the outputs a hidden unit with bias b and the output bias "
            "change the loss by minus the residual times the output, plus its curvature and the penalty.",
            equation(change.symbol, -e * output + curvature.symbol * output**2 / 2 + penalty),
            premise(),
        ),
        Step(
            "singular",
            "Averaged over the data, residual times input along a pair of singular directions is the singular value,",
            equation(e * z, signal.symbol),
            definition(),
        ),
        Step(
            "centred",
            "and a trained, undecayed output bias has brought the mean residual to zero.",
            equation(mean_answer.symbol, 0),
            premise(),
        ),
        Step(
            "loss",
            "To second order in what is displaced the loss then changes by",
            equation(
                change.symbol,
                -slope.symbol * signal.symbol * u * v + curvature.symbol * (v * level.symbol + c) ** 2 / 2 + penalty,
            ),
            proof("Taylor series to second order, its means over the data put in", second_order),
        ),
        Step(
            "least",
            "which as a function of the output bias is least where that takes back what the unit adds to every output:",
            equation(c, -v * level.symbol),
            proof("the derivative vanishes there, and the second one is positive", least),
        ),
        Step(
            "without-bias",
            "The level of the unit drops out,",
            equation(change.symbol, -slope.symbol * signal.symbol * u * v + penalty),
            by_substitution("loss", "least"),
        ),
        Step(
            "unit",
            "and what is left is the loss of a unit without bias, with the slope at b for that at 0: its threshold is",
            equation(one.symbol, sp.Abs(slope.symbol) * largest.symbol),
            proof("loss and threshold are those of the derivation collapse-threshold with that slope", of_one_unit),
        ),
        Step(
            "threshold",
            "Zero is stable if it is so for every unit, the steepest one included.",
            equation(every.symbol, steepest.symbol * largest.symbol),
            proof("the largest threshold of four units with slopes of both signs and 0", of_all),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="collapse-threshold-biases",
        title="The collapse threshold of a two-layer network with hidden biases",
        assumptions=(
            "Two layers of weights of the same decay; any activation with a slope at every hidden bias b_j.",
            "Hidden biases are fixed or trained: at zero weights they get no gradient. Decayed ones go to 0.",
            "The output bias is trained and not decayed, so that p0 is the class frequencies. Without one, out-weights "
            "of units that are active at zero in-weights act as an output bias, and zero is in general no fixed point.",
        ),
        steps=steps,
        equation=found["without-bias"],
        results={
            "weight_decay_threshold_with_biases": found["threshold"].rhs,
            "weight_decay_threshold": found["unit"].rhs,
        },
        references=("ziyinueda2022", "ziyin2022"),
        quantities=(
            *(
                inner,
                outer,
                stretch,
                answer,
                mean_answer,
                bias,
                shift,
                curvature,
                level,
                slope,
                signal,
                largest,
                one,
                every,
            ),
            *(steepest, change, quantity("activation", "\\varphi", "φ", "1", "activation of the hidden units")),
        ),
    )
