"""Derive size and rotation under any linear filter of white gradients, to leading order in the decay per step.

Two numbers of the filter decide: its response to something constant, H(1), and the sum of squares of its response to
a single gradient. Exact results for one filter at a time come from `filter_derivations`; these are what they go to.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, premise, proof
from .registry import derivation
from .steps import Step

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _power, _unit_power = symbols_of("lr weight_decay gradient_power unit_gradient_power")
_EPS = _lr * _weight_decay
_SMALL = sp.Dummy("small", positive=True)
_WRITTEN_OUT = 6
_COUPLINGS = ("coupled", "decoupled")
_LETTERS = {"coupled": r"\mathrm{c}", "decoupled": r"\mathrm{d}"}


def _of_both(name: str, latex: str, text: str, unit: str, meaning: str) -> tuple[Any, ...]:
    return tuple(
        quantity(
            f"{name}_{coupling}",
            f"{latex}_{{{_LETTERS[coupling]}}}",
            f"{text}_{coupling[0]}",
            unit,
            f"{meaning}, {coupling} decay",
            positive=True,
        )
        for coupling in _COUPLINGS
    )


_QUANTITIES = (
    quantity("B", "B", "B", "1", "backshift: B times a sequence is the sequence one step earlier", real=True),
    quantity("transfer", "H", "H", "1", "transfer function of the optimizer, update = H(B) gradient", real=True),
    quantity("impulse_response", "h", "h", "1", "part of a gradient in the update k steps later", real=True),
    quantity("weight", "w", "w", "weight", "sequence of a weight", real=True),
    quantity("gradient", "g", "g", "loss / weight", "sequence of its gradient, white noise", real=True),
    quantity("filter_gain", "H_{1}", "H_1", "1", "H(1), answer of the update to a constant gradient", positive=True),
    quantity("filter_power", "S_{h}", "S_h", "1", "‖H‖², sum of squares of the impulse response", positive=True),
    quantity("increment_power", r"\Delta^{2}", "Δ²", "weight²", "mean square of a step, E‖w' − w‖²", positive=True),
    *_of_both("response", "T", "T", "1", "transfer function from gradients to weights, but for −ηB"),
    *_of_both(
        "increment_response", "D", "D", "1", "transfer function from gradients to steps of the weights, without decay"
    ),
    *_of_both("slow_pole", "B", "B", "1", "pole of T closest to 1, to first order"),
    *_of_both("variance", "r", "r", "1", "variance of white noise of power 1 behind T, to leading order"),
    *_of_both("norm_squared", "R", "R", "weight²", "squared norm at rest"),
    *_of_both("one_minus_cosine", "x", "x", "1", "one minus the cosine between consecutive weights"),
    *_of_both("angular_update", r"\theta", "θ", "rad", "angle of a step"),
    *_of_both("norm_squared_scale", r"\tilde R", "R̃", "weight²", "squared norm of a scale-invariant block"),
    *_of_both("relaxation_rate", r"\kappa", "κ", "1 / step", "rate at which the squared norm returns"),
    *_of_both(
        "relaxation_rate_scale",
        r"\tilde\kappa",
        "κ̃",
        "1 / step",
        "rate at which R returns, for a scale-invariant block",
    ),
    quantity("k", "k", "k", "1", "number of steps", integer=True, nonnegative=True),
)
_OF = {line.name: line.symbol for line in _QUANTITIES}
_b, _k, _gain, _filter_power = (_OF[name] for name in ("B", "k", "filter_gain", "filter_power"))
_transfer, _impulse = sp.Function("transfer"), sp.Function("impulse_response")


@derivation("filter-leading-order")
def _filter_leading_order() -> Derivation:
    """Derive R = (lr G^2 / 2 weight_decay) H(1) and theta^2 = 2 lr weight_decay ||H||^2 / H(1); decoupled, H(1)^2."""
    steps = (
        Step(
            "impulse",
            "The optimizer filters its gradients, each of which goes on in later updates with the weights h:",
            equation(_transfer(_b), sp.Sum(_impulse(_k) * _b**_k, (_k, 0, sp.oo))),
            definition(),
        ),
        Step("gain", "To a constant gradient it answers with", equation(_gain, _transfer(1)), definition()),
        Step(
            "filter-power",
            "and white noise of power 1 leaves it with the power",
            equation(_filter_power, sp.Sum(_impulse(_k) ** 2, (_k, 0, sp.oo))),
            proof(f"the constant term of H(B) H(1/B), written out for {_WRITTEN_OUT} coefficients", _constant_term),
        ),
        *_coupling_steps("coupled", _OF["weight"], _OF["gradient"] + _weight_decay * _OF["weight"], _gain),
        *_coupling_steps("decoupled", (1 - _EPS) * _OF["weight"], _OF["gradient"], sp.S.One),
    )
    found = {step.key: step.expression for step in steps}
    keys = ("size", "angle", "size-scale", "relaxation", "relaxation-scale")
    results = [found[f"{key}-{coupling}"] for coupling in _COUPLINGS for key in keys]
    return Derivation(
        name="filter-leading-order",
        title="Any optimizer that filters its gradients: size and rotation to leading order",
        assumptions=(
            "Gradients are white noise: mean zero, independent from step to step, and perpendicular to the weights on "
            "average.",
            "Decay per step is small against the inverse of the filter's memory: its poles stay away from B = 1.",
            "The filter lets constant gradients pass (H(1) is above 0).",
            "There are many weights, so that squared norm and angle of a step are close to their means.",
        ),
        steps=steps,
        equation=found["size-coupled"],
        results={str(part.lhs): part.rhs for part in results},
        zero_allowed=frozenset({"gradient_power", "unit_gradient_power"}),
        references=("wan2020", "kosson2023"),
        quantities=_QUANTITIES,
    )


def _coupling_steps(coupling: str, decayed: Any, fed: Any, answer: Any) -> tuple[Step, ...]:
    """Return the steps for one coupling; a slow weight decays by `answer` times lr*weight_decay per step."""

    def named(name: str) -> Any:
        return _OF[f"{name}_{coupling}"]

    def key(name: str) -> str:
        return f"{name}-{coupling}"

    response, increment = sp.Function(f"response_{coupling}"), sp.Function(f"increment_response_{coupling}")
    pole, rate = 1 + _EPS * answer, 2 * _EPS * answer
    variance = _gain**2 / (2 * _EPS * answer)
    size = _lr * _power * _gain**2 / (2 * _weight_decay * answer)
    turn = _EPS * _filter_power * answer / _gain**2
    closed = _transfer(_b) / (1 - _b + _EPS * _b * (_transfer(_b) if coupling == "coupled" else 1))
    return (
        Step(
            key("update"),
            f"With {coupling} decay a step moves the weight; B turns the new weight into the old one.",
            equation(_OF["weight"] / _b, decayed - _lr * _transfer(_b) * fed),
            premise(),
        ),
        Step(
            key("response"),
            "The weight, w = −ηB T(B) g, is a filtered gradient, too, with",
            equation(response(_b), closed),
            proof("put back into the step, which it fulfils", _fulfils(key("update"))),
        ),
        Step(
            key("pole"),
            "The slowest pole of T lies at",
            equation(named("slow_pole"), pole),
            proof("the denominator of T vanishes there to first order in weight decay", _is_pole(key("response"))),
        ),
        Step(
            key("variance"),
            "The variance is the sum of the residues of T(B) T(1/B) / B inside the unit circle. As decay goes to 0, "
            "that at the mirrored pole grows beyond all others:",
            equation(named("variance"), variance),
            proof("weight decay times the residue, at weight decay 0", _residue(key("response"), key("pole"))),
        ),
        Step(
            key("size"),
            "so that the squared norm is",
            equation(named("norm_squared"), size),
            proof(
                "the variance times the power of the gradient and the square of the learning rate",
                lambda expression, earlier: (expression.rhs - _lr**2 * _power * earlier[key("variance")].rhs,),
            ),
        ),
        Step(
            key("increment"),
            "A step is filtered by (1 − B) T(B), which goes to the optimizer's own filter as decay goes to 0,",
            equation(increment(_b), _transfer(_b)),
            proof("(1 − B) T(B) at weight decay 0", _without_decay(key("response"))),
        ),
        Step(
            key("turn"),
            "and has the power η² G² ‖H‖². Two weights of the same length with this distance have the cosine",
            equation(named("one_minus_cosine"), turn),
            proof(
                "law of cosines: the square of the distance is 2 R (1 − cos)",
                lambda expression, earlier: (
                    2 * earlier[key("size")].rhs * expression.rhs - _lr**2 * _power * _filter_power,
                    earlier[key("increment")].rhs - earlier["impulse"].lhs,
                ),
            ),
        ),
        Step(
            key("angle"),
            "and the angle",
            equation(named("angular_update"), sp.sqrt(2 * turn)),
            proof("its square over twice one minus the cosine is 1 for small angles", _small_angle(key("turn"))),
        ),
        Step(
            key("size-scale"),
            "If the block is scale-invariant, the gradient power is that at unit norm over R, which gives R as a root.",
            equation(named("norm_squared_scale"), sp.sqrt(size.subs(_power, _unit_power))),
            proof(
                "put back into R at that gradient power, which it fulfils",
                lambda expression, earlier: (
                    earlier[key("size")].rhs.subs(_power, _unit_power / expression.rhs) - expression.rhs,
                    sp.true if expression.rhs.is_positive else sp.false,
                ),
            ),
        ),
        Step(
            key("relaxation"),
            "A perturbation of R, which goes with the square of the weights, dies out at the rate",
            equation(named("relaxation_rate"), rate),
            proof("twice the logarithm of the pole, to first order in weight decay", _twice_logarithm(key("pole"))),
        ),
        Step(
            key("relaxation-scale"),
            "and, if the block is scale-invariant, at",
            equation(named("relaxation_rate_scale"), 2 * rate),
            proof("slope of −κR + κR_*²/R at R_*, the sign changed", _scale_slope(key("relaxation"), coupling)),
        ),
    )


Residual = Callable[[Any, Mapping[str, Any]], tuple[Any, ...]]


def _constant_term(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    first = sp.symbols(f"h:{_WRITTEN_OUT}", real=True)

    def written_out(total: Any) -> Any:
        (limits,) = total.limits
        if limits != sp.Tuple(_k, 0, sp.oo):
            return sp.nan
        terms = (total.function.subs(_impulse(_k), part).subs(_k, place) for place, part in enumerate(first))
        return sp.Add(*terms)

    transfer = written_out(earlier["impulse"].rhs)
    whole = sp.expand(transfer * transfer.subs(_b, 1 / _b))
    return (written_out(expression.rhs) - whole.coeff(_b, 0), transfer.subs(_b, 0) - first[0])


def _fulfils(update: str) -> Residual:
    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        put_in = difference(earlier[update]).subs(_OF["weight"], -_lr * _b * expression.rhs * _OF["gradient"])
        return (sp.cancel(sp.together(put_in / _OF["gradient"])),)

    return residual


def _near(response: Any, at: Any) -> Any:
    """Return the denominator of T there, with weight decay times a small number in place of weight decay."""
    below = sp.fraction(response)[1]
    return below.subs(_b, at).subs(_weight_decay, _SMALL * _weight_decay)


def _is_pole(response: str) -> Residual:
    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        near = _near(earlier[response].rhs, expression.rhs.subs(_gain, earlier["gain"].rhs))
        return (near.subs(_SMALL, 0), sp.diff(near, _SMALL).subs(_SMALL, 0).doit())

    return residual


def _residue(response: str, pole: str) -> Residual:
    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        gain = earlier["gain"].rhs
        above, below = sp.fraction(earlier[response].rhs)
        mirrored = 1 / earlier[pole].rhs.subs(_gain, gain)
        falls = sp.diff(_near(earlier[response].rhs, mirrored), _SMALL).subs(_SMALL, 0).doit()
        slope = sp.diff(below.subs(_b, 1 / _b).subs(_weight_decay, 0), _b).subs(_b, 1)
        return (expression.rhs.subs(_gain, gain) - above.subs(_b, 1) ** 2 / (falls * slope),)

    return residual


def _without_decay(response: str) -> Residual:
    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.cancel((1 - _b) * earlier[response].rhs.subs(_weight_decay, 0)) - expression.rhs,)

    return residual


def _small_angle(turn: str) -> Residual:
    x = sp.Dummy("x", positive=True)

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        power = sp.limit((2 * sp.asin(sp.sqrt(x / 2))) ** 2 / (2 * x), x, 0)
        positive = sp.true if expression.rhs.is_positive else sp.false
        return (expression.rhs**2 / (2 * earlier[turn].rhs) - power, positive)

    return residual


def _twice_logarithm(pole: str) -> Residual:
    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        logarithm = 2 * sp.log(earlier[pole].rhs)
        slope = sp.diff(logarithm, _weight_decay).subs(_weight_decay, 0)
        return (logarithm.subs(_weight_decay, 0), slope * _weight_decay - expression.rhs)

    return residual


def _scale_slope(relaxation: str, coupling: str) -> Residual:
    norm, at_rest = sp.Dummy("norm", positive=True), _OF[f"norm_squared_scale_{coupling}"]

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        rate = earlier[relaxation].rhs
        return (expression.rhs + sp.diff(-rate * norm + rate * at_rest**2 / norm, norm).subs(norm, at_rest),)

    return residual
