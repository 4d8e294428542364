"""Derive that every layer of a homogeneous network is pulled alike, and with it the size per weight of each layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import by_limit, by_putting_back, by_substitution, definition, equation, premise, proof
from .registry import by_derivation, derivation, derive
from .steps import Step
from .validity import KEEPS_PART, exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _gradient_power, _radial_pull, _n_weights, _classes = symbols_of(
    "lr weight_decay gradient_power radial_pull n_weights n_classes"
)
_gap, _stationary, _rms = symbols_of("entropy_loss_gap norm_squared_stationary rms")
_EPS = _lr * _weight_decay


def _chain_rule(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the pull of two weights, summed, plus the derivative of the loss under scaling: zero by the chain rule."""
    scale = sp.Symbol("scale", positive=True)
    weights = sp.symbols("first second", real=True)
    loss = sp.Function("loss")
    along = sp.diff(loss(*(scale * weight for weight in weights)), scale).subs(scale, 1).doit()
    gradient = [sp.diff(loss(*weights), weight) for weight in weights]
    total = earlier["pull"].rhs
    w, g = sorted(total.function.atoms(sp.Indexed), key=lambda part: str(part.base.label), reverse=True)
    pull = sum(total.function.subs({w: weight, g: slope}) for weight, slope in zip(weights, gradient, strict=True))
    claimed = -sp.Subs(sp.Derivative(loss(scale), scale), scale, 1)
    over_all = total.limits == ((w.indices[0], 1, _n_weights),)
    return (sp.expand(pull + along), sp.true if expression.rhs == claimed and over_all else sp.false)


@derivation("equal-pull")
def _equal_pull() -> Derivation:
    """Derive the equal radial pull of homogeneous layers and the law rms = sqrt(gap / (weight_decay * n_weights))."""
    output, label, probability = (sp.IndexedBase(name, real=True) for name in ("output", "label", "probability"))
    weight, gradient = sp.IndexedBase("weight", real=True), sp.IndexedBase("gradient", real=True)
    scale = quantity("scale", "s", "s", "1", "factor on the weights of one layer", positive=True)
    scaled = quantity("scaled_output", "F", "F", "1", "output of the network with the layer scaled", real=True)
    loss = quantity("loss", "C", "C", "loss", "loss of an example with the layer scaled", real=True)
    partition = quantity("partition", "Z", "Z", "1", "normalization of the softmax", positive=True)
    quiet = quantity(
        "norm_squared_without_noise", "R_{0*}", "R_0*", "weight²", "stationary squared norm without noise", real=True
    )
    prefactor = quantity("prefactor", "c", "c", "weight", "size per weight times √n_w", positive=True)
    other = quantity(
        "norm_squared_other_layer", "R_{\\ell'}", "R_l'", "weight²", "squared norm of another layer", positive=True
    )
    other_power = quantity(
        "gradient_power_other_layer",
        "G_{\\ell'}^{2}",
        "G_l'²",
        "(loss/weight)²",
        "gradient power of the other layer",
        positive=True,
    )
    predicted = quantity(
        "norm_squared_from_other_layer", "R_{\\ell}", "R_l", "weight²", "squared norm, from another's", real=True
    )
    i, k = sp.symbols("i k", integer=True)
    each = (k, 1, _classes)
    s = scale.symbol
    scaled_output = sp.Function("scaled_output")
    scaled_loss = sp.Function("loss")
    pairing = sp.Sum(output[k] * (label[k] - probability[k]), each)
    of_scale = sp.log(sp.Sum(sp.exp(s * output[k]), each)) - sp.Sum(s * label[k] * output[k], each)
    balance = (2 * (1 - _EPS) * _gap + _lr * _gradient_power) / (_weight_decay * (2 - _EPS))

    def loss_of_scale(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        homogeneous = earlier["homogeneous"].rhs
        parts = (earlier["softmax-loss"].rhs).subs(scaled_output(s, k), homogeneous)
        return (parts - expression.rhs,)

    def derivative(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        at_one = sp.diff(earlier["loss-of-scale"].rhs, s).subs(s, 1)
        normal = sp.Sum(sp.exp(output[k]), each)
        first = at_one.subs(normal, partition.symbol).replace(
            lambda part: part == 1 / normal, lambda _: 1 / partition.symbol
        )
        probabilities = earlier["probability"]
        total = sp.S.Zero
        for part in sp.Add.make_args(sp.expand(-first)):
            (inside,) = part.atoms(sp.Sum)
            total += part.subs(inside, 1) * inside.function
        claimed = expression.rhs.function.subs(probabilities.lhs, probabilities.rhs)
        same = sp.true if {part.limits for part in first.atoms(sp.Sum)} == {expression.rhs.limits} else sp.false
        return (sp.expand(total - claimed), same, earlier["along"].rhs + sp.Derivative(scaled_loss(s), s).subs(s, 1))

    steps = (
        Step(
            "pull",
            "The radial pull of a layer sums over its weights,",
            equation(_radial_pull, sp.Sum(-weight[i] * gradient[i], (i, 1, _n_weights))),
            definition(),
        ),
        Step(
            "along",
            "which is minus the derivative of the loss when the layer is scaled (Euler).",
            equation(_radial_pull, -sp.Subs(sp.Derivative(scaled_loss(s), s), s, 1)),
            proof("the chain rule, which is a sum over the weights; written out for two", _chain_rule),
        ),
        Step(
            "homogeneous",
            "Scaling a layer of a homogeneous network scales every output, whichever layer it is.",
            equation(scaled_output(s, k), s * output[k]),
            premise(),
        ),
        Step(
            "softmax-loss",
            "The cross-entropy of softmax outputs is",
            equation(
                scaled_loss(s),
                sp.log(sp.Sum(sp.exp(scaled_output(s, k)), each)) - sp.Sum(label[k] * scaled_output(s, k), each),
            ),
            premise(),
        ),
        Step(
            "loss-of-scale",
            "so that, as a function of the scale of any layer,",
            equation(scaled_loss(s), of_scale),
            proof("the scaled outputs put in", loss_of_scale),
        ),
        Step(
            "probability",
            "With the probabilities",
            equation(probability[k], sp.exp(output[k]) / partition.symbol),
            definition(),
        ),
        Step(
            "equal",
            "its derivative gives a pull in which nothing belongs to the layer: all layers are pulled alike.",
            equation(_radial_pull, pairing),
            proof("derivative in the scale, compared with the sum term by term", derivative),
        ),
        Step(
            "gap",
            "That sum is the entropy-loss gap (derivation entropy-loss-gap; for sigmoid outputs too).",
            equation(_radial_pull, _gap),
            proof("the sum in the derivation entropy-loss-gap is this one", _is_gap),
        ),
        Step(
            "stationary",
            "The radial balance gives the stationary size of a layer; only the noise differs between layers.",
            equation(_stationary, balance),
            by_derivation("radial-step", "norm_squared_stationary", "gap"),
        ),
        Step(
            "other",
            "Another layer has the same pull,",
            equation(other.symbol, balance.subs(_gradient_power, other_power.symbol)),
            proof(
                "the balance with the other layer's noise",
                lambda expression, earlier: (
                    expression.rhs - earlier["stationary"].rhs.subs(_gradient_power, other_power.symbol),
                ),
            ),
        ),
        Step(
            "from-other",
            "so that one layer's size follows from another's and the noise of both.",
            equation(
                predicted.symbol,
                other.symbol + _lr * (_gradient_power - other_power.symbol) / (_weight_decay * (2 - _EPS)),
            ),
            proof(
                "the size of the other layer put in, it is the balance of this one",
                lambda expression, earlier: (
                    expression.rhs.subs(other.symbol, earlier["other"].rhs) - earlier["stationary"].rhs,
                ),
            ),
        ),
        Step(
            "without-noise",
            "Without noise and for a small step",
            equation(quiet.symbol, _gap / _weight_decay),
            by_limit("stationary", _lr, 0),
        ),
        Step("rms", "The size per weight is defined by", equation(quiet.symbol, _n_weights * _rms**2), definition()),
        Step(
            "prefactor",
            "It goes with one over the root of the number of weights, with a prefactor that is not one but",
            equation(prefactor.symbol, sp.sqrt(_gap / _weight_decay)),
            proof(
                "the root of the squared norm",
                lambda expression, earlier: (expression.rhs**2 - earlier["without-noise"].rhs,),
            ),
        ),
        Step(
            "law",
            "so that each layer obeys the law",
            equation(_rms, sp.sqrt(_gap / (_weight_decay * _n_weights))),
            by_putting_back("rms", "without-noise"),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="equal-pull",
        title="Equal radial pull: the size per weight of every layer of a homogeneous network",
        assumptions=(
            "Scaling the weights of one layer scales the outputs alike: linear or ReLU layers, biases absent (or "
            "undecayed and stationary without noise).",
            "Softmax or independent sigmoid outputs with cross-entropy.",
            "Stationary SGD with L2; the law for the size per weight further has no gradient noise and a small step.",
        ),
        steps=steps,
        equation=found["stationary"],
        results={
            "rms": found["law"].rhs,
            "norm_squared_stationary": found["stationary"].rhs,
            "norm_squared_without_noise": found["without-noise"].rhs,
            "norm_squared_from_other_layer": found["from-other"].rhs,
            "prefactor": found["prefactor"].rhs,
        },
        fixed_points=({_stationary: found["stationary"].rhs},),
        conditions=(
            KEEPS_PART,
            Condition(
                _gap >= 0,
                "only an under-confident network, with more entropy than loss, holds weights up",
                exactly_where("the squared norm at rest", _gap / _weight_decay, zero=True),
            ),
        ),
        zero_allowed=frozenset({"gradient_power", "gradient_power_other_layer"}),
        references=("weightdecay", "du2018", "nielsen2015"),
        quantities=(
            scale,
            scaled,
            loss,
            partition,
            quiet,
            prefactor,
            other,
            other_power,
            predicted,
            quantity("output", "f", "f", "1", "output of the network for a class", real=True),
            quantity("label", "y", "y", "1", "label of the class", real=True),
            quantity("probability", "p", "p", "1", "probability of the class", real=True),
            quantity("weight", "w", "w", "weight", "a weight of the layer", real=True),
            quantity("gradient", "g", "g", "loss / weight", "its gradient", real=True),
        ),
    )


def _is_gap(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    there = derive("entropy-loss-gap").step("gap-of-outputs").expression
    here = str(earlier["equal"].rhs)
    return (sp.true if str(there.rhs) == here else sp.false, expression.rhs - there.lhs)


@derivation("equal-pull-with-biases")
def _equal_pull_with_biases() -> Derivation:
    """Derive the pull of a ReLU layer when undecayed biases are trained, and the size that follows."""
    biases = quantity(
        "bias_pull", "B_{\\ell}", "B_l", "loss", "sum of −⟨b, g_b⟩ over this layer's biases and those above", real=True
    )
    power = quantity(
        "bias_gradient_power",
        "G_{b}^{2}",
        "G_b²",
        "(loss/weight)²",
        "second moment of the gradients of the biases of this layer and those above",
        positive=True,
    )
    scale = quantity("scale", "s", "s", "1", "factor on a layer's weights, its biases and those above", positive=True)
    loss = quantity("loss", "C", "C", "loss", "loss of an example with all these scaled", real=True)
    s = scale.symbol
    scaled_loss = sp.Function("loss")
    slope = sp.Subs(sp.Derivative(scaled_loss(s), s), s, 1)
    balance = (2 * (1 - _EPS) * (_gap - biases.symbol) + _lr * _gradient_power) / (_weight_decay * (2 - _EPS))

    def chain_rule(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        weight, bias = sp.symbols("first second", real=True)
        along = sp.diff(scaled_loss(s * weight, s * bias), s).subs(s, 1).doit()
        parts = [variable * sp.diff(scaled_loss(weight, bias), variable) for variable in (weight, bias)]
        claimed = expression.rhs.subs(slope, along).subs(biases.symbol, -parts[1])
        return (sp.expand(claimed + parts[0]), expression.lhs - _radial_pull)

    steps = (
        Step(
            "along",
            "Scaling a layer's weights, its biases and all biases above changes the loss by minus the radial pull and "
            "minus the pull of the biases (Euler).",
            equation(_radial_pull, -biases.symbol - slope),
            proof(
                "the chain rule, a sum over the parameters; written out for one weight and one bias",
                chain_rule,
            ),
        ),
        Step(
            "homogeneous",
            "In a ReLU or linear network it scales every output, so the loss changes by minus the entropy-loss gap.",
            equation(slope, -_gap),
            proof("steps 'along' and 'gap' of the derivation equal-pull", _slope_is_gap),
        ),
        Step(
            "pull",
            "The pull of the layer is the gap less the pull of the biases.",
            equation(_radial_pull, _gap - biases.symbol),
            by_substitution("along", "homogeneous"),
        ),
        Step(
            "biases",
            "Undecayed, stationary biases are pulled inwards by what their noise adds (derivation output-bias),",
            equation(biases.symbol, -_lr * power.symbol / 2),
            by_derivation("output-bias", "bias_pull"),
        ),
        Step(
            "stationary",
            "and the layer settles at",
            equation(_stationary, balance.subs(biases.symbol, -_lr * power.symbol / 2)),
            by_derivation("radial-step", "norm_squared_stationary", "pull", "biases"),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="equal-pull-with-biases",
        title="Equal radial pull with undecayed biases",
        assumptions=(
            "Linear or ReLU layers, biases trained and not decayed; softmax or sigmoid outputs with cross-entropy.",
            "Stationary SGD with L2 on the weights; without noise all layers are pulled alike.",
        ),
        steps=steps,
        equation=found["pull"],
        results={"norm_squared_stationary": found["stationary"].rhs, "radial_pull": found["pull"].rhs},
        fixed_points=({_radial_pull: found["pull"].rhs},),
        conditions=(KEEPS_PART,),
        zero_allowed=frozenset({"gradient_power", "bias_gradient_power"}),
        references=("weightdecay", "du2018"),
        quantities=(biases, power, scale, loss),
    )


def _slope_is_gap(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    alone = derive("equal-pull")
    pull_as_slope, pull_as_gap = (alone.step(key).expression for key in ("along", "gap"))
    return (pull_as_slope.rhs + expression.lhs, expression.rhs + pull_as_gap.rhs)
