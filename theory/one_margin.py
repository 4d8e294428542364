"""Derive how large a homogeneous network with one margin becomes: closed forms, collapse, fold and transition."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import equation, premise, proof
from .registry import derivation, derive
from .steps import Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_weight_decay, _norm_squared, _depth, _pull = symbols_of("weight_decay norm_squared depth radial_pull")

_LINES = (
    quantity("margin", "q", "q", "1 / weight^L", "margin of the network whose layers all have norm 1", positive=True),
    quantity("scaled_margin", "z", "z", "1", "margin of the network, q times the product of its norms", positive=True),
    quantity("loss", "\\ell", "l", "loss", "loss as a function of the margin", positive=True),
    quantity("stretch", "s", "s", "1", "factor on the weights of one layer", positive=True),
    quantity(
        "decay_at_margin",
        "\\lambda(z)",
        "λ(z)",
        "loss / weight²",
        "decay at which the margin is at rest",
        positive=True,
    ),
    quantity("relaxation_rate", "\\rho", "ρ", "loss / weight²", "rate of return when all layers move alike", real=True),
    quantity("margin_fold", "z_{c}", "z_c", "1", "margin at the fold; smaller ones are unstable", positive=True),
    quantity(
        "decay_fold", "\\lambda_{c}", "λ_c", "loss / weight²", "largest decay with weights at rest", positive=True
    ),
    quantity("norm_squared_two_layers", "R_{(2)}", "R_(2)", "weight²", "squared norm of each of two layers"),
    quantity("norm_squared_deep", "R_{(L)}", "R_(L)", "weight²", "squared norm of each of three or more layers"),
    quantity("margin_deep", "z_{(L)}", "z_(L)", "1", "margin of a network with three or more layers", positive=True),
    quantity("cost", "F", "F", "loss", "regularized loss at rest", positive=True),
    quantity("cost_at_zero", "F_{0}", "F_0", "loss", "cost with all weights zero", positive=True),
    quantity("transition_gap", "\\Delta", "Δ", "loss", "cost at rest less cost at zero", real=True),
    quantity("margin_transition", "z_{t}", "z_t", "1", "margin where both costs are the same", positive=True),
    quantity("decay_transition", "\\lambda_{t}", "λ_t", "loss / weight²", "decay at the transition", positive=True),
    quantity("excess", "x", "x", "1", "how far the decay is from its threshold", positive=True),
    quantity("more", "h", "h", "1", "layers beyond two", positive=True, integer=True),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_q, _z, _loss, _stretch, _decay, _relaxation = (line.symbol for line in _LINES[:6])
_z_fold, _decay_fold, _two, _deep, _z_deep, _cost, _at_zero, _gap, _z_jump, _decay_jump, _excess, _more = (
    line.symbol for line in _LINES[6:]
)
_L, _lam = _depth, _weight_decay
_DEEPER = {_L: _more + 2}
_A = 1 - 2 / _L  # what the margin is raised to in the decay at rest
_ASSUMED = (
    "Every example has the same margin, or one example counts; the directions of all layers are held fixed.",
    "Homogeneous layers without biases; all layers have the same norm (their differences decay: derivation "
    "rescale-symmetry).",
    "The pull of the data alone balances decay: small steps, no gradient noise.",
)
_REFERENCES = ("corless1996", "ziyinueda2022")


def _tidy(residual: Any) -> Any:
    """Return a residual for three or more layers, its exponents cancelled so that powers of one base meet."""
    deeper = sp.sympify(residual).subs(_DEEPER)
    tidied = deeper.replace(sp.Pow, lambda base, exp: base ** sp.cancel(exp))
    return sp.powsimp(sp.expand(tidied))


def _common_steps(loss: Any, pull: Any, decay: Any, slope_part: Any) -> list[Step]:
    """Return the steps up to the rate of return; `slope_part` is minus the logarithmic slope of the pull, plus 1."""

    def pulled(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        stretched = earlier["loss"].rhs.subs(_z, _stretch * _z)
        return (expression.rhs + sp.diff(stretched, _stretch).subs(_stretch, 1), expression.lhs - _pull)

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        balance = _pull_against_decay().subs(_pull, earlier["pull"].rhs).subs(_norm_squared, earlier["size"].rhs)
        return (_tidy(balance.subs(_lam, expression.rhs)), expression.lhs - _decay)

    def returns(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        size, pull_there = earlier["size"].rhs, earlier["pull"].rhs
        rate = _pull_against_decay().subs({_pull: pull_there, _norm_squared: size}, simultaneous=True)
        slope = sp.expand(sp.diff(rate, _z) / sp.diff(size, _z) / _lam)
        at_rest = slope.subs(_lam, pull_there / size)
        return (sp.cancel(sp.powsimp(sp.expand(at_rest + expression.rhs / _lam))), expression.lhs - _relaxation)

    return [
        Step("loss", "The loss falls with the margin as", equation(_loss, loss), premise()),
        Step(
            "size",
            "With L layers of norm r the margin is z = q r^L, so the squared norm of each layer is",
            equation(_norm_squared, (_z / _q) ** (2 / _L)),
            premise(),
        ),
        Step(
            "pull",
            "Scaling one layer scales the margin; the pull is minus the derivative of the loss,",
            equation(_pull, pull),
            proof("derivative of the loss with one layer stretched, at stretch 1", pulled),
        ),
        Step(
            "decay",
            "and balances the decay (derivation norm-flow) where this is",
            equation(_decay, decay),
            proof("put back into the rate of the squared norm, which vanishes there", rests),
        ),
        Step(
            "relaxation",
            "When all layers move alike, a displacement from rest dies out at the rate (grows, where it is below 0)",
            equation(_relaxation, _lam * _L * (slope_part - _A)),
            proof("minus the slope of the rate of the squared norm at rest", returns),
        ),
    ]


def _pull_against_decay() -> Any:
    gradient_power = symbols_of("gradient_power")[0]
    return derive("norm-flow").results["rate"].subs(gradient_power, 0)


def _fold_steps(z_fold: Any, check: Callable[[Any, Mapping[str, Any]], tuple[Any, ...]], decay: Any) -> list[Step]:
    def put_in(key: str, name: Any) -> Callable[[Any, Mapping[str, Any]], tuple[Any, ...]]:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            at = earlier["fold-margin"]
            there = earlier[key].rhs.subs(_z, at.lhs) if key == "decay" else earlier[key].rhs.subs(at.lhs, at.rhs)
            return (expression.rhs - there, expression.lhs - name)

        return residual

    return [
        Step(
            "fold-margin",
            "The rate of return vanishes at the fold: larger margins are stable, smaller ones unstable.",
            equation(_z_fold, z_fold),
            proof("put back into the rate of return, which vanishes there, rising with the margin", check),
        ),
        Step(
            "fold",
            "It lies at the largest decay that three or more layers stand before all weights collapse to zero,",
            equation(_decay_fold, decay.subs(_z, _z_fold)),
            proof("the decay at the fold", put_in("decay", _decay_fold)),
        ),
        Step(
            "fold-depth",
            "in terms of the depth",
            equation(_decay_fold, decay.subs(_z, z_fold)),
            proof("the margin at the fold put in", put_in("fold", _decay_fold)),
        ),
    ]


def _cost_steps(loss: Any, cost: Any, at_zero: Any) -> list[Step]:
    def along(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        penalty = _L * earlier["decay"].rhs * earlier["size"].rhs / 2
        return (_tidy(sp.powdenest(loss + penalty - expression.rhs, force=True)), expression.lhs - _cost)

    return [
        Step(
            "cost",
            "At rest, the loss with its penalty is",
            equation(_cost, cost),
            proof("loss plus half the decay times the squared norms of all layers, at rest", along),
        ),
        Step(
            "zero",
            "and with all weights zero",
            equation(_at_zero, at_zero),
            proof(
                "the loss without margin",
                lambda expression, earlier: (expression.rhs - earlier["loss"].rhs.subs(_z, 0),),
            ),
        ),
        Step(
            "gap",
            "so that zero weights are the better minimum where this is above 0:",
            equation(_gap, cost - at_zero),
            proof(
                "difference of both costs",
                lambda expression, earlier: (expression.rhs - earlier["cost"].rhs + earlier["zero"].rhs,),
            ),
        ),
    ]


def _two_layer_step(size: Any, threshold: Any) -> Step:
    def above_and_below(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (clipped,) = expression.rhs.atoms(sp.Max)
        ((inside,),) = ([part for part in clipped.args if part != 1],)
        below = sp.factor(sp.cancel(inside.subs(_lam, threshold / (1 + _excess)) - 1))
        above = sp.factor(sp.cancel(1 - inside.subs(_lam, threshold * (1 + _excess))))
        margin = (_q * expression.rhs).subs(clipped, inside)
        return (
            sp.cancel(earlier["decay"].rhs.subs(_L, 2).subs(_z, margin)) - _lam,
            expression.rhs.subs(clipped, 1),
            sp.true if below.is_positive and above.is_positive and sp.S.One in clipped.args else sp.false,
            expression.lhs - _two,
        )

    return Step(
        "two-layers",
        "Two layers have in closed form, with a continuous collapse,",
        equation(_two, size),
        proof(
            "put back into the decay at rest of two layers; it vanishes at the threshold, above it is zero",
            above_and_below,
        ),
    )


@derivation("one-margin-exponential")
def _one_margin_exponential() -> Derivation:
    """Derive the size of a homogeneous network with one margin under the exponential loss: Lambert's W, fold."""
    exponent = sp.exp(-_z)
    decay = _q ** (2 / _L) * _z**_A * exponent
    deep = -_A * sp.LambertW(-((_lam * _q ** (-2 / _L)) ** (1 / _A)) / _A, -1)
    jump = -2 / _L - sp.LambertW(-(2 / _L) * sp.exp(-2 / _L), -1)

    def at_fold(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        rate = earlier["relaxation"].rhs.subs(_z, expression.rhs)
        rises = sp.diff(earlier["relaxation"].rhs, _z)
        return (rate, sp.true if rises.is_positive else sp.false)

    def lambert_branch(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (part,) = expression.rhs.atoms(sp.LambertW)
        value = -_z / _A
        claimed = part.args[0].subs(_lam, earlier["decay"].rhs)
        back = expression.rhs.subs(part, sp.Dummy("W"))
        (dummy,) = back.atoms(sp.Dummy)
        return (
            _tidy(claimed - value * sp.exp(value)),
            sp.cancel(back.subs(dummy, value) - _z),
            part.args[1] + 1,
        )

    def transition(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (part,) = expression.rhs.atoms(sp.LambertW)
        value = -2 / _L - _z  # W at the margin z
        back = expression.rhs.subs(part, value)
        # W exp(W) = x says 1 + L z / 2 = exp(z), which is the gap without its factor exp(-z).
        says = (value * sp.exp(value) - part.args[0]) * (-_L / 2) * sp.exp(2 / _L) * sp.exp(_z)
        gap = earlier["gap"].rhs * sp.exp(_z)
        return (sp.expand(back - _z), sp.expand(sp.powsimp(sp.expand(says - gap))), part.args[1] + 1)

    steps = [
        *_common_steps(exponent, _z * exponent, decay, _z),
        _two_layer_step(sp.log(sp.Max(1, _q / _lam)) / _q, _q),
        *_fold_steps(_A, at_fold, decay),
        Step(
            "deep",
            "Three or more layers rest at the margin given by the lower branch of Lambert's function,",
            equation(_z_deep, deep),
            proof("with W = −z/A, W exp(W) is the argument at the decay at rest", lambert_branch),
        ),
        Step(
            "deep-size",
            "so that each has the squared norm",
            equation(_deep, (deep / _q) ** (2 / _L)),
            proof(
                "the size at this margin",
                lambda expression, earlier: (
                    expression.rhs - earlier["size"].rhs.subs(_z, earlier["deep"].rhs),
                    expression.lhs - _deep,
                ),
            ),
        ),
        *_cost_steps(exponent, exponent * (1 + _L * _z / 2), sp.S.One),
        Step(
            "transition",
            "which happens at smaller margins than",
            equation(_z_jump, jump),
            proof("with W = −2/L − z, W exp(W) is the argument exactly where the gap vanishes", transition),
        ),
        Step(
            "transition-decay",
            "and larger decays than",
            equation(_decay_jump, _q ** (2 / _L) * jump**_A * sp.exp(-jump)),
            proof(
                "the decay at this margin",
                lambda expression, earlier: (
                    expression.rhs - earlier["decay"].rhs.subs(_z, earlier["transition"].rhs),
                    expression.lhs - _decay_jump,
                ),
            ),
        ),
    ]
    return _assembled(
        "one-margin-exponential",
        "Homogeneous networks with one margin and exponential loss: size, collapse, fold",
        steps,
        {
            "norm_squared_two_layers": "two-layers",
            "norm_squared_deep": "deep-size",
            "margin_deep": "deep",
            "margin_transition": "transition",
            "decay_transition": "transition-decay",
        },
        Condition(
            _L >= 3,
            "with two layers the size goes to zero without a fold: take norm_squared_two_layers",
            exactly_where("the power of the margin in the decay at rest, 1 − 2/L,", _A),
            of=("norm_squared_deep", "margin_deep"),
        ),
        Condition(
            _lam <= _q ** (2 / _L) * _A**_A * sp.exp(-_A),
            "beyond the fold only zero weights rest",
            exactly_where(
                "the largest decay at rest, at the fold, less the decay",
                lambda earlier: earlier["fold-depth"].rhs.subs(_z_fold, _A) - _lam,
                zero=True,
            ),
        ),
    )


@derivation("one-margin-logistic")
def _one_margin_logistic() -> Derivation:
    """Derive the size of a homogeneous network with one margin under the logistic loss: collapse and fold."""
    loss = sp.log(1 + sp.exp(-_z))
    decay = _q ** (2 / _L) * _z**_A / (1 + sp.exp(_z))
    fold = _A + sp.LambertW(_A * sp.exp(-_A))

    def at_fold(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        rate = earlier["relaxation"].rhs / (_lam * _L)
        (part,) = expression.rhs.atoms(sp.LambertW)
        value = _z - _A  # W at the margin z
        says = (value * sp.exp(value) - part.args[0]) * sp.exp(_A)  # (z - A) exp(z) = A
        vanishing = rate * (1 + sp.exp(_z)) - says
        rises = sp.diff(rate, _z)
        return (
            sp.expand(expression.rhs.subs(part, value) - _z),
            sp.cancel(sp.expand(sp.powsimp(sp.expand(vanishing)))),
            part.args[1] if len(part.args) > 1 else 0,
            sp.true if sp.factor(sp.cancel(rises)).is_positive else sp.false,
        )

    def short(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        ratio = sp.powsimp((expression.rhs / earlier["fold"].rhs).subs(_z_fold, _z))
        (depth,) = sp.solve(earlier["relaxation"].rhs / (_lam * _L), _L)
        return (sp.cancel(sp.powsimp(sp.expand(ratio)).subs(_L, depth).rewrite(sp.exp)) - 1,)

    steps = [
        *_common_steps(loss, _z / (1 + sp.exp(_z)), decay, _z / (1 + sp.exp(-_z))),
        _two_layer_step(sp.log(sp.Max(1, _q / _lam - 1)) / _q, _q / 2),
        *_fold_steps(fold, at_fold, decay),
        Step(
            "fold-short",
            "or, since A = z / (1 + exp(−z)) there with A = 1 − 2/L, shorter",
            equation(_decay_fold, _q ** (2 / _L) * _A * _z_fold ** (-2 / _L) * sp.exp(-_z_fold)),
            proof("divided by the decay at the fold, with the depth solved from the vanishing rate, it is 1", short),
        ),
        *_cost_steps(loss, loss + _L * _z / (2 * (1 + sp.exp(_z))), sp.log(2)),
    ]
    return _assembled(
        "one-margin-logistic",
        "Homogeneous networks with one margin and logistic loss: size, collapse, fold",
        steps,
        {"norm_squared_two_layers": "two-layers"},
    )


def _assembled(name: str, title: str, steps: list[Step], own: Mapping[str, str], *conditions: Condition) -> Derivation:
    found = {step.key: step.expression for step in steps}
    common = {
        "decay_fold": "fold-depth",
        "margin_fold": "fold-margin",
        "decay_at_margin": "decay",
        "relaxation_rate": "relaxation",
        "transition_gap": "gap",
        "radial_pull": "pull",
        "norm_squared": "size",
    }
    return Derivation(
        name=name,
        title=title,
        assumptions=_ASSUMED,
        steps=tuple(steps),
        equation=found["decay"],
        results={result: found[key].rhs for result, key in {**own, **common}.items()},
        conditions=(
            Condition(
                _L >= 2,
                "one layer alone is not a product of norms",
                exactly_where("the power of the margin in the decay at rest, 1 − 2/L,", _A, zero=True),
            ),
            *conditions,
        ),
        references=_REFERENCES,
        quantities=_LINES,
    )
