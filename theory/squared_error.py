"""Derive where a homogeneous network under squared error comes to rest when all its layers are rescaled alike."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import equation, premise, proof
from .registry import derivation, derive
from .steps import Step

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_weight_decay, _norm_squared, _depth, _pull, _power = symbols_of(
    "weight_decay norm_squared depth radial_pull gradient_power"
)
_LINES = (
    quantity("factor", "\\alpha", "α", "1", "factor on the weights of every layer", positive=True),
    quantity("stretch", "s", "s", "1", "factor on the weights of one layer more", positive=True),
    quantity("label_overlap", "a", "a", "loss", "E⟨y, f⟩, outputs with targets, before the rescaling", positive=True),
    quantity("output_power", "b", "b", "loss", "E‖f‖², outputs squared, before the rescaling", positive=True),
    quantity("label_power", "E", "E", "loss", "E‖y‖², targets squared", positive=True),
    quantity("loss", "C", "C", "loss", "half the mean squared error", real=True),
    quantity("decay_at_factor", "\\lambda(\\alpha)", "λ(α)", "loss / weight²", "decay at which the block rests at α"),
    quantity("relaxation_rate", "\\rho", "ρ", "loss / weight²", "rate at which a displacement dies out", real=True),
    quantity("factor_one_layer", "\\alpha_{1}", "α_1", "1", "factor at rest, one layer", positive=True),
    quantity("factor_squared_two_layers", "\\alpha_{2}^{2}", "α_2²", "1", "squared factor at rest, two layers"),
    quantity("factor_fold", "\\alpha_{c}", "α_c", "1", "factor at the fold; smaller ones are unstable", positive=True),
    quantity(
        "decay_fold", "\\lambda_{c}", "λ_c", "loss / weight²", "largest decay with weights at rest", positive=True
    ),
    quantity("target", "y", "y", "√loss", "target of an output for an example", real=True),
    quantity("output", "f", "f", "√loss", "the output, before the rescaling", real=True),
    quantity("example_loss", "\\ell", "l", "loss", "part of an example in the loss", real=True),
    quantity("excess", "x", "x", "1", "how far the decay is from its threshold", positive=True),
    quantity("more", "h", "h", "1", "layers beyond two", positive=True, integer=True),
)
(
    _alpha,
    _stretch,
    _overlap,
    _output,
    _label,
    _loss,
    _decay,
    _relaxation,
    _one,
    _two,
    _fold,
    _decay_fold,
    _y,
    _f,
    _example,
    _excess,
    _more,
) = (line.symbol for line in _LINES)
_L = _depth


def _tidy(residual: Any) -> Any:
    """Return a residual for three or more layers, with powers of one base gathered."""
    deeper = sp.sympify(residual).subs(_L, _more + 2)
    tidied = deeper.replace(sp.Pow, lambda base, exp: base ** sp.cancel(exp))
    return sp.cancel(sp.powsimp(sp.expand(tidied)))


@derivation("squared-error-rescaling")
def _squared_error_rescaling() -> Derivation:
    """Derive the factor at rest under squared error: ridge shrinkage, soft threshold, and a fold from three layers."""
    loss = (_label - 2 * _stretch * _alpha**_L * _overlap + _stretch**2 * _alpha ** (2 * _L) * _output) / 2
    pull = _alpha**_L * _overlap - _alpha ** (2 * _L) * _output
    decay = (_overlap * _alpha ** (_L - 2) - _output * _alpha ** (2 * _L - 2)) / _norm_squared
    rate = ((2 * _L - 2) * _output * _alpha ** (2 * _L - 2) - (_L - 2) * _overlap * _alpha ** (_L - 2)) / _norm_squared
    fold = ((_L - 2) * _overlap / ((2 * _L - 2) * _output)) ** (1 / _L)

    def averaged(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        parts = sp.Poly(earlier["example"].rhs, _y, _f)
        means = {(2, 0): _label, (1, 1): _overlap, (0, 2): _output}
        mean = sum(parts.coeff_monomial(_y**one * _f**other) * means[one, other] for one, other in parts.monoms())
        return (sp.expand(expression.rhs - mean), expression.lhs - _loss)

    def pulled(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.expand(expression.rhs + sp.diff(earlier["loss"].rhs, _stretch).subs(_stretch, 1)),)

    def rate_of_norm() -> Any:
        return derive("norm-flow").results["rate"].subs(_power, 0)

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        there = {_pull: earlier["pull"].rhs, _norm_squared: _alpha**2 * _norm_squared, _weight_decay: expression.rhs}
        return (sp.powsimp(sp.expand(rate_of_norm().subs(there, simultaneous=True))), expression.lhs - _decay)

    def returns(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        norm = _alpha**2 * _norm_squared
        change = rate_of_norm().subs({_pull: earlier["pull"].rhs, _norm_squared: norm}, simultaneous=True)
        slope = sp.diff(change / sp.diff(norm, _alpha), _alpha).subs(_weight_decay, earlier["decay"].rhs)
        return (sp.powsimp(sp.expand(slope + expression.rhs)), expression.lhs - _relaxation)

    def one_layer(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        there = earlier["decay"].rhs.subs(_L, 1).subs(_alpha, expression.rhs)
        return (sp.cancel(there - _weight_decay), expression.lhs - _one)

    def two_layers(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        if not isinstance(expression.rhs, sp.Max) or 0 not in expression.rhs.args:
            return (sp.false,)
        (inside,) = (part for part in expression.rhs.args if part != 0)
        there = earlier["decay"].rhs.subs(_L, 2).subs(_alpha, sp.sqrt(inside))
        above = inside.subs(_weight_decay, (1 + _excess) * _overlap / _norm_squared)
        return (
            sp.cancel(there - _weight_decay),
            sp.true if sp.factor(above).is_negative else sp.false,
            expression.lhs - _two,
        )

    def at_fold(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        over = earlier["relaxation"].rhs / _alpha ** (_L - 2)
        return (_tidy(over.subs(_alpha, expression.rhs)), expression.lhs - _fold)

    def decay_there(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (target,) = sp.solve(earlier["relaxation"].rhs.subs(_alpha, _fold), _overlap)
        left = (expression.rhs - earlier["decay"].rhs.subs(_alpha, _fold)).subs(_overlap, target)
        return (_tidy(left), expression.lhs - _decay_fold)

    steps = (
        Step(
            "example",
            "Every layer scaled by α scales the outputs by α^L. With one layer stretched by s once more, an output has",
            equation(_example, (_y - _stretch * _alpha**_L * _f) ** 2 / 2),
            premise(),
        ),
        Step(
            "loss",
            "and the mean over examples is",
            equation(_loss, loss),
            proof("expanded, with the means of the products put in", averaged),
        ),
        Step(
            "pull",
            "so that every layer is pulled by",
            equation(_pull, pull),
            proof("minus the derivative of the loss in the stretch, at stretch 1", pulled),
        ),
        Step(
            "decay",
            "which balances the decay (derivation norm-flow) where this is",
            equation(_decay, decay),
            proof("put back into the rate of the squared norm at the rescaled weights, which vanishes there", rests),
        ),
        Step(
            "relaxation",
            "A displacement of the common factor dies out at the rate (grows, where it is below 0)",
            equation(_relaxation, rate),
            proof("minus the slope of the factor's rate at rest", returns),
        ),
        Step(
            "one-layer",
            "One layer shrinks as in ridge regression,",
            equation(_one, _overlap / (_output + _weight_decay * _norm_squared)),
            proof("put back into the decay at rest of one layer", one_layer),
        ),
        Step(
            "two-layers",
            "two layers have a soft threshold,",
            equation(_two, sp.Max(0, (_overlap - _weight_decay * _norm_squared) / _output)),
            proof("put back into the decay at rest of two layers; above the threshold it is zero", two_layers),
        ),
        Step(
            "fold",
            "and three or more rest only at factors above",
            equation(_fold, fold),
            proof("put back into the rate of return, which vanishes there", at_fold),
        ),
        Step(
            "decay-fold",
            "where the largest decay is",
            equation(_decay_fold, _L * _overlap * _fold ** (_L - 2) / ((2 * _L - 2) * _norm_squared)),
            proof("the decay at rest, with the overlap solved from the vanishing rate of return", decay_there),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="squared-error-rescaling",
        title="Homogeneous networks under squared error: the factor at which all layers rest",
        assumptions=(
            "Homogeneous layers without biases, all of the same norm; all are scaled alike and keep their directions.",
            "Half the squared error, mean over examples; the pull alone balances decay (small steps, no noise).",
        ),
        steps=steps,
        equation=found["decay"],
        results={
            "decay_at_factor": found["decay"].rhs,
            "factor_one_layer": found["one-layer"].rhs,
            "factor_squared_two_layers": found["two-layers"].rhs,
            "factor_fold": found["fold"].rhs,
            "decay_fold": found["decay-fold"].rhs,
            "relaxation_rate": found["relaxation"].rhs,
            "radial_pull": found["pull"].rhs,
        },
        zero_allowed=frozenset({"weight_decay"}),
        references=("saxe2014", "ziyinueda2022"),
        quantities=_LINES,
    )
