"""Derive the entropy-loss gap, which feeds the output weights of every classifier, and the size they settle at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import by_putting_back, by_summation, definition, difference, equation, premise, proof
from .registry import by_derivation, derivation, derive
from .steps import Step
from .validity import KEEPS_PART
from .vanishing import vanishes

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _gradient_power, _radial_pull, _classes = symbols_of(
    "lr weight_decay gradient_power radial_pull n_classes"
)
_gap, _cross_entropy, _entropy, _stationary = symbols_of(
    "entropy_loss_gap cross_entropy predictive_entropy norm_squared_stationary"
)
_EPS = _lr * _weight_decay

_LOCAL = (
    quantity("output", "f", "f", "1", "input of softmax or sigmoid in the last layer (logit)", real=True),
    quantity("probability", "p", "p", "1", "probability that the network gives the class", positive=True),
    quantity("label", "y", "y", "1", "label of the class, 0 or 1 (or soft)", real=True),
    quantity("partition", "Z", "Z", "1", "normalization of the softmax", positive=True),
    quantity("label_total", "Y", "Y", "1", "sum of the labels of an example", real=True),
    quantity("probability_total", "Q", "Q", "1", "sum of the probabilities of an example", real=True),
    quantity("rest", "Z'", "Z'", "1", "normalization without the class itself", positive=True),
    quantity("others", "r", "r", "loss", "labels times outputs of the other classes", real=True),
    quantity("pre_bias", "u", "u", "1", "the output without its bias, linear in the weights", real=True),
    quantity("scale", "s", "s", "1", "factor on the weights of the layer", positive=True),
    quantity("output_gradient", "h", "h", "loss", "slope of the loss in the output; the bias has the same", real=True),
    quantity("bias", "b", "b", "weight", "bias of an output neuron", real=True),
    quantity("bias_next", "b'", "b'", "weight", "the bias after the step", real=True),
    quantity("bias_norm_squared", "R_{b}", "R_b", "weight²", "squared norm of the output biases", positive=True),
    quantity(
        "bias_norm_squared_next",
        "R_{b}'",
        "R_b'",
        "weight²",
        "squared norm of the output biases after the step",
        positive=True,
    ),
    quantity(
        "bias_pull", "B", "B", "loss", "pull of the output biases −⟨b, g_b⟩ = ⟨b, y − p⟩, mean over batches", real=True
    ),
    quantity(
        "bias_gradient_power",
        "G_{b}^{2}",
        "G_b²",
        "(loss/weight)²",
        "second moment of the bias gradient",
        positive=True,
    ),
    quantity(
        "norm_squared_undecayed_bias",
        "R_{**}",
        "R_**",
        "weight²",
        "stationary squared norm, bias term put in",
        real=True,
    ),
)
_BY_NAME = {line.name: line.symbol for line in _LOCAL}
_K = sp.Symbol("k", integer=True)
_EACH = (_K, 1, _classes)


def _written_out(classes: int) -> Any:
    """Return f.(y - p) = H - CE for so many classes, in terms of e_k = exp(f_k) and labels that sum to one."""
    parts = [sp.Dummy(f"e_{k}", positive=True) for k in range(classes)]
    labels = [sp.Dummy(f"y_{k}", real=True) for k in range(classes - 1)]
    labels.append(1 - sum(labels))
    probabilities = [part / sum(parts) for part in parts]
    entropy = -sum(p * sp.log(p) for p in probabilities)
    cross_entropy = -sum(y * sp.log(p) for y, p in zip(labels, probabilities, strict=True))
    pairs = zip(parts, labels, probabilities, strict=True)
    return sum(sp.log(part) * (y - p) for part, y, p in pairs) - (entropy - cross_entropy)


def _gap_of_softmax(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    totals = {earlier[key].lhs: earlier[key].rhs for key in ("total-p", "total-y")}
    residual = earlier["gap"].rhs - earlier["totals"].rhs.subs(totals)
    same = sp.true if expression.rhs == earlier["totals"].lhs and expression.lhs == earlier["gap"].lhs else sp.false
    written_out = (sp.true if vanishes(_written_out(classes)) else sp.false for classes in (2, 3))
    return (residual, same, *written_out)


@derivation("output-bias")
def _output_bias() -> Derivation:
    """Derive what an undecayed, stationary bias gives: its pull -⟨b, g_b⟩ is -lr * bias_gradient_power / 2."""
    bias, after, slope = (sp.IndexedBase(_BY_NAME[name]) for name in ("bias", "bias_next", "output_gradient"))
    norm, norm_next = _BY_NAME["bias_norm_squared"], _BY_NAME["bias_norm_squared_next"]
    pull, power = _BY_NAME["bias_pull"], _BY_NAME["bias_gradient_power"]
    steps = (
        Step("update", "A step moves an undecayed bias by", equation(after[_K], bias[_K] - _lr * slope[_K]), premise()),
        Step("norm", "The squared norm", equation(norm, sp.Sum(bias[_K] ** 2, _EACH)), definition()),
        Step("next", "after the step,", equation(norm_next, sp.Sum(after[_K] ** 2, _EACH)), definition()),
        Step(
            "pull",
            "minus the product with the gradient, their pull,",
            equation(pull, sp.Sum(-bias[_K] * slope[_K], _EACH)),
            definition(),
        ),
        Step("power", "and the gradient power", equation(power, sp.Sum(slope[_K] ** 2, _EACH)), definition()),
        Step(
            "radial",
            "obey",
            equation(norm_next, norm + 2 * _lr * pull + _lr**2 * power),
            by_summation("norm", "next", "pull", "power", "update"),
        ),
        Step(
            "stationary",
            "and where the squared norm no longer changes on average",
            equation(pull, -_lr * power / 2),
            by_putting_back("radial", fixed={norm_next: norm}),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="output-bias",
        title="A stationary bias without decay: the data pull it inwards by what its noise adds",
        assumptions=("Plain SGD without decay of the biases.", "The biases are stationary on average over steps."),
        steps=steps,
        equation=found["radial"],
        results={"bias_pull": found["stationary"].rhs},
        fixed_points=({norm_next: norm, pull: found["stationary"].rhs},),
        zero_allowed=frozenset({"bias_gradient_power"}),
        references=("weightdecay",),
        quantities=_LOCAL,
    )


@derivation("entropy-loss-gap")
def _entropy_loss_gap() -> Derivation:
    """Derive f.(y - p) = H - CE for softmax and sigmoid outputs, and the stationary size of the output weights."""
    names = ("output", "probability", "label", "bias", "output_gradient", "pre_bias")
    f, p, y, b, h, u = (sp.IndexedBase(_BY_NAME[name]) for name in names)
    one_f, one_p, one_y = (_BY_NAME[name] for name in names[:3])
    partition, total_y, total_p = (_BY_NAME[name] for name in ("partition", "label_total", "probability_total"))
    rest, others, scale, bias_pull = (_BY_NAME[name] for name in ("rest", "others", "scale", "bias_pull"))
    pairing = sp.Sum(f[_K] * (y[_K] - p[_K]), _EACH)
    balance = (2 * (1 - _EPS) * (_gap - bias_pull) + _lr * _gradient_power) / (_weight_decay * (2 - _EPS))
    binary_loss = -one_y * sp.log(one_p) - (1 - one_y) * sp.log(1 - one_p)
    binary_entropy = -one_p * sp.log(one_p) - (1 - one_p) * sp.log(1 - one_p)

    def total_is_one(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        sums = (earlier["sum-p"].rhs, earlier["partition"].rhs)
        term = sums[0].function.subs(earlier["softmax"].lhs, earlier["softmax"].rhs)
        same = sp.true if sums[0].limits == sums[1].limits else sp.false
        return (term * earlier["partition"].lhs - expression.rhs * sums[1].function, same)

    def sigmoid_gap(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (difference(expression).subs(one_f, sp.log(one_p) - sp.log(1 - one_p)),)

    def slopes(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        claimed = expression.rhs.subs({p[_K]: one_p, y[_K]: one_y}, simultaneous=True)
        softmax = sp.exp(one_f) / (sp.exp(one_f) + rest)
        of_softmax = sp.diff(earlier["loss-of-output"].rhs, one_f).subs(total_y, earlier["total-y"].rhs)
        sigmoid = 1 / (1 + sp.exp(-one_f))
        of_sigmoid = sp.diff(earlier["sigmoid-loss"].rhs.subs(one_p, sigmoid), one_f)
        return (of_softmax - claimed.subs(one_p, softmax), of_sigmoid - claimed.subs(one_p, sigmoid))

    steps = (
        Step("softmax", "Softmax outputs are", equation(p[_K], sp.exp(f[_K]) / partition), premise()),
        Step("partition", "with", equation(partition, sp.Sum(sp.exp(f[_K]), _EACH)), definition()),
        Step(
            "sum-p", "The probabilities of an example add up to", equation(total_p, sp.Sum(p[_K], _EACH)), definition()
        ),
        Step(
            "total-p",
            "which is one;",
            equation(total_p, 1),
            proof("term by term, times the normalization, the sum is the normalization", total_is_one),
        ),
        Step("sum-y", "the labels add up to", equation(total_y, sp.Sum(y[_K], _EACH)), definition()),
        Step("total-y", "which is one, too.", equation(total_y, 1), premise()),
        Step(
            "inverse",
            "Solved for the output:",
            equation(f[_K], sp.log(p[_K]) + sp.log(partition)),
            proof(
                "put back into the softmax, which it fulfils",
                lambda expression, earlier: (difference(earlier["softmax"]).subs(expression.lhs, expression.rhs),),
            ),
        ),
        Step("entropy", "Predictive entropy", equation(_entropy, sp.Sum(-p[_K] * sp.log(p[_K]), _EACH)), definition()),
        Step(
            "cross-entropy",
            "and cross-entropy of an example:",
            equation(_cross_entropy, sp.Sum(-y[_K] * sp.log(p[_K]), _EACH)),
            definition(),
        ),
        Step(
            "totals",
            "Outputs times what is missing to the labels, for any number of classes:",
            equation(pairing, _entropy - _cross_entropy + sp.log(partition) * (total_y - total_p)),
            by_summation("entropy", "cross-entropy", "sum-y", "sum-p", "inverse"),
        ),
        Step("gap", "The entropy-loss gap", equation(_gap, _entropy - _cross_entropy), definition()),
        Step(
            "gap-of-outputs",
            "is that sum, since both totals are one.",
            equation(_gap, pairing),
            proof("the totals put in; written out for two and three classes, it simplifies to zero", _gap_of_softmax),
        ),
        Step(
            "sigmoid-loss",
            "For a sigmoid output the cross-entropy is",
            equation(_cross_entropy, binary_loss),
            definition(),
        ),
        Step(
            "sigmoid",
            "and the same holds, neuron by neuron.",
            equation(one_f * (one_y - one_p), binary_entropy - binary_loss),
            proof("with the sigmoid solved for its input, f = log(p / (1 − p)), the difference vanishes", sigmoid_gap),
        ),
        Step(
            "loss-of-output",
            "As a function of one output the softmax loss is",
            equation(_cross_entropy, total_y * sp.log(sp.exp(one_f) + rest) - one_y * one_f - others),
            proof("written out for three classes, it agrees with the definition", _loss_written_out),
        ),
        Step(
            "slope",
            "so its slope, and the sigmoid's, is probability less label.",
            equation(h[_K], p[_K] - y[_K]),
            proof("derivative of the loss, for softmax and for sigmoid outputs", slopes),
        ),
        Step(
            "output",
            "With its weights scaled by s, the last layer gives",
            equation(f[_K], scale * u[_K] + b[_K]),
            premise(),
        ),
        Step(
            "pull",
            "The radial pull −⟨W, g⟩ is minus the derivative of the loss in s at s = 1, by the chain rule",
            equation(_radial_pull, sp.Sum(-h[_K] * u[_K], _EACH)),
            proof(
                "slope of the loss times derivative of the output in s, summed over the outputs",
                lambda expression, earlier: (expression.rhs.function + h[_K] * sp.diff(earlier["output"].rhs, scale),),
            ),
        ),
        Step(
            "bias-pull", "With the pull of the bias", equation(bias_pull, sp.Sum(-b[_K] * h[_K], _EACH)), definition()
        ),
        Step(
            "pull-gap",
            "it is the gap less the pull of the bias; linear, this holds for means over batches.",
            equation(_radial_pull, _gap - bias_pull),
            proof("sums compared term by term: the difference expands to zero", _pull_is_gap),
        ),
        Step(
            "stationary",
            "The radial balance with this pull gives the stationary size of the output weights.",
            equation(_stationary, balance),
            by_derivation("radial-step", "norm_squared_stationary", "pull-gap"),
        ),
        Step(
            "stationary-bias",
            "For an undecayed, stationary output bias (derivation output-bias) it is",
            equation(
                _BY_NAME["norm_squared_undecayed_bias"],
                balance.subs(bias_pull, derive("output-bias").results["bias_pull"]),
            ),
            proof(
                "the pull of the bias put in, as proven in the derivation output-bias",
                lambda expression, earlier: (
                    expression.rhs
                    - earlier["stationary"].rhs.subs(bias_pull, derive("output-bias").results["bias_pull"]),
                ),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="entropy-loss-gap",
        title="The entropy-loss gap: what feeds the output weights of any classifier",
        assumptions=(
            "Softmax outputs with cross-entropy and labels that add up to one, or independent sigmoid outputs.",
            "The last layer is linear in its weights; everything before it is arbitrary.",
            "Gap, pulls and powers are means over the mini-batches' own outputs, each at its step, in a "
            "stationary run of SGD.",
        ),
        steps=steps,
        equation=found["stationary"],
        results={
            "norm_squared_stationary": found["stationary"].rhs,
            "norm_squared_undecayed_bias": found["stationary-bias"].rhs,
            "radial_pull": found["pull-gap"].rhs,
            "entropy_loss_gap": found["gap"].rhs,
        },
        fixed_points=({_stationary: found["stationary"].rhs},),
        conditions=(KEEPS_PART,),
        zero_allowed=frozenset({"gradient_power", "bias_gradient_power"}),
        references=("weightdecay", "vanlaarhoven2017", "nielsen2015"),
        quantities=_LOCAL,
    )


def _loss_written_out(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the loss as a function of one output less its definition, for three classes."""
    names = ("output", "label", "rest", "others", "label_total")
    f, y, rest, others, total = (_BY_NAME[name] for name in names)
    outputs, labels = [f, *sp.symbols("f_2 f_3", real=True)], [y, *sp.symbols("y_2 y_3", real=True)]
    partition = sum(sp.exp(output) for output in outputs)
    term = earlier["cross-entropy"].rhs.function
    p_k, y_k = (sp.IndexedBase(_BY_NAME[name])[_K] for name in ("probability", "label"))
    pairs = zip(outputs, labels, strict=True)
    defined = sum(
        term.subs({p_k: sp.exp(output) / partition, y_k: label}, simultaneous=True) for output, label in pairs
    )
    known = {
        rest: partition - sp.exp(f),
        others: sum(label * output for output, label in list(zip(outputs, labels, strict=True))[1:]),
        total: sum(labels),
    }
    return (sp.expand(sp.expand_log(expression.rhs.subs(known) - defined)),)


def _pull_is_gap(expression: Any, earlier: Mapping[str, Any]) -> Iterable[Any]:
    output = earlier["output"].subs(_BY_NAME["scale"], 1)
    without_bias = sp.solve(difference(output), sp.IndexedBase(_BY_NAME["pre_bias"])[_K])
    solved = equation(sp.IndexedBase(_BY_NAME["pre_bias"])[_K], without_bias[0])
    rules = {"gap": earlier["gap-of-outputs"], "bias": earlier["bias-pull"], "pull": earlier["pull"]}
    rules |= {"solved": solved, "slope": earlier["slope"]}
    return by_summation(*rules).residual(expression, rules)
