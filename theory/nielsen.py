"""Derive Nielsen's three claims about weight decay, with their conditions, and hold them against a run.

The exercise is "Connecting regularization and the improved method of weight initialization" in chapter 3 of his book.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import equation, premise, proof
from .registry import by_derivation, derivation, derive
from .steps import Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _lmbda, _n_train, _batch_size = symbols_of("lr weight_decay lmbda n_train batch_size")
_norm_squared, _radial_pull, _gradient_power, _gap, _rms, _n_weights = symbols_of(
    "norm_squared radial_pull gradient_power entropy_loss_gap rms n_weights"
)
_EPS = quantity(
    "decay_per_step", "\\varepsilon", "ε", "1", "part of a weight that decay takes in a step", positive=True
)
_IN_NIELSEN = {_weight_decay: _lmbda / _n_train}
_STABLE = Condition(
    _lr * _lmbda < _n_train,
    "a step must leave something of the weight (lower lr or lmbda)",
    exactly_where("what decay leaves of a weight, over the weight,", 1 - _lr * _lmbda / _n_train),
)


@derivation("nielsen-claim-1")
def _claim_1() -> Derivation:
    """Derive when weight decay dominates what happens to a layer: an inequality per layer."""
    loss = quantity("loss_to_decay", "D", "D", "loss", "what decay takes, per unit of time", nonnegative=True)
    gain = quantity("gain", "A", "A", "loss", "what the gradient gives: pull and noise", real=True)
    share = quantity("dominance", "d", "d", "1", "what decay takes over what the gradient does", positive=True)
    least = quantity(
        "lmbda_least",
        "\\lambda_{1}",
        "λ_1",
        "loss / weight²",
        "lmbda at which decay and gradient take and add the same",
        positive=True,
    )
    eps = _EPS.symbol

    def by_radial_step(result: str) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> Any:
            in_full = equation(expression.lhs, expression.rhs.subs(eps, earlier["eps"].rhs))
            return by_derivation("radial-step", result, put_in=_IN_NIELSEN).residual(in_full, earlier)

        return proof("proven in the derivation radial-step, with Nielsen's lmbda put in", residual)

    steps = (
        Step(
            "eps",
            "In Nielsen's letters a step of decay takes this part of a weight:",
            equation(eps, _lr * _lmbda / _n_train),
            by_derivation("convention-nielsen", "decay_per_step"),
        ),
        Step(
            "loss",
            "From the squared norm of a layer it takes, per unit of time,",
            equation(loss.symbol, _lmbda * (2 - eps) * _norm_squared / (2 * _n_train)),
            by_radial_step("loss_to_decay"),
        ),
        Step(
            "gain",
            "and the gradient gives",
            equation(gain.symbol, (1 - eps) * _radial_pull + _lr * _gradient_power / 2),
            proof(
                "the two gains of the derivation radial-step, added",
                lambda expression, earlier: (
                    expression.rhs.subs(eps, earlier["eps"].rhs)
                    - sum(
                        derive("radial-step").results[result].subs(_IN_NIELSEN)
                        for result in ("gain_by_pull", "gain_by_noise")
                    ),
                ),
            ),
        ),
        Step(
            "dominance",
            "Decay dominates the layer as far as this ratio is above one:",
            equation(
                share.symbol,
                _lmbda
                * (2 - eps)
                * _norm_squared
                / (2 * _n_train * sp.Abs((1 - eps) * _radial_pull + _lr * _gradient_power / 2)),
            ),
            proof(
                "loss over the size of the gain",
                lambda expression, earlier: (expression.rhs - earlier["loss"].rhs / sp.Abs(earlier["gain"].rhs),),
            ),
        ),
        Step(
            "claim",
            "that is, with the decay per step put in,",
            equation(
                share.symbol,
                _lmbda
                * (2 - _lr * _lmbda / _n_train)
                * _norm_squared
                / (2 * _n_train * sp.Abs((1 - _lr * _lmbda / _n_train) * _radial_pull + _lr * _gradient_power / 2)),
            ),
            proof(
                "the decay per step put in",
                lambda expression, earlier: (expression.rhs - earlier["dominance"].rhs.subs(eps, earlier["eps"].rhs),),
            ),
        ),
        Step(
            "least",
            "For a small step, lmbda is 'not too small' above",
            equation(least.symbol, _n_train * sp.Abs(_radial_pull + _lr * _gradient_power / 2) / _norm_squared),
            proof(
                "put back into the ratio at vanishing decay per step, which then is one",
                lambda expression, earlier: (earlier["dominance"].rhs.subs(eps, 0).subs(_lmbda, expression.rhs) - 1,),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="nielsen-claim-1",
        title="Nielsen's claim 1: at first a layer is dominated by weight decay",
        assumptions=(
            "SGD with Nielsen's regularization; the statement is about one layer and the steps over which pull and "
            "gradient power are averaged, here those of the first epochs.",
            "'Dominated' compares what decay takes from the squared norm with what the gradient adds to it or takes.",
        ),
        steps=steps,
        equation=found["claim"],
        results={"dominance": found["claim"].rhs, "lmbda_least": found["least"].rhs},
        conditions=(_STABLE,),
        zero_allowed=frozenset({"gradient_power", "lmbda"}),
        references=("nielsen2015",),
        quantities=(_EPS, loss, gain, share, least),
    )


@derivation("nielsen-claim-2")
def _claim_2() -> Derivation:
    """Derive the decay per epoch, exp(-lr*lmbda/batch_size), as a limit with its error bound."""
    exact = quantity(
        "factor_exact", "a_{\\mathrm{epoch}}", "a_epoch", "1", "what one epoch leaves of a weight", positive=True
    )
    claimed = quantity(
        "factor_exponential",
        "e_{\\mathrm{epoch}}",
        "e_epoch",
        "1",
        "what one epoch leaves of a weight by the claim",
        positive=True,
    )
    bound = quantity("relative_error_bound", "b", "b", "1", "bound on the relative error of the claim", positive=True)
    constant = quantity(
        "time_constant_epochs", "\\tau", "τ", "epochs", "epochs in which a weight decays by e", positive=True
    )
    factor = (1 - _lr * _lmbda / _n_train) ** (_n_train / _batch_size)
    exponential = sp.exp(-_lr * _lmbda / _batch_size)
    small = _lr * _lmbda / _n_train
    steps = (
        Step(
            "exact",
            "An epoch of decay leaves, exactly,",
            equation(exact.symbol, factor),
            by_derivation("decay-per-epoch", "factor_exact", put_in=_IN_NIELSEN),
        ),
        Step(
            "exponential",
            "The claim says",
            equation(claimed.symbol, exponential),
            by_derivation("decay-per-epoch", "factor_exponential", put_in=_IN_NIELSEN),
        ),
        Step(
            "limit",
            "which is the limit for a large training set with lr, lmbda and batch size held fixed.",
            equation(sp.Limit(factor, _n_train, sp.oo), exponential),
            proof(
                "the limit taken, of the exact factor, and compared with the claim",
                lambda expression, earlier: (
                    sp.limit(sp.exp(sp.expand_log(sp.log(earlier["exact"].rhs), force=True)), _n_train, sp.oo)
                    - earlier["exponential"].rhs,
                    expression.rhs - earlier["exponential"].rhs,
                    expression.lhs.args[0] - earlier["exact"].rhs,
                ),
            ),
        ),
        Step(
            "bound",
            "At finite size the claim is relatively too large by no more than",
            equation(bound.symbol, _n_train / _batch_size * small**2 / (2 * (1 - small))),
            by_derivation("decay-per-epoch", "relative_error_bound", put_in=_IN_NIELSEN),
        ),
        Step(
            "constant",
            "The claim makes a weight decay by e in",
            equation(constant.symbol, _batch_size / (_lr * _lmbda)),
            proof(
                "epochs after which the claimed factor has become 1/e",
                lambda expression, earlier: (sp.log(earlier["exponential"].rhs) * expression.rhs + 1,),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="nielsen-claim-2",
        title="Nielsen's claim 2: weights decay by exp(−ηλ/m) per epoch",
        assumptions=(
            "Only decay acts: a weight without gradient, or a layer as far as claim 1 holds of it.",
            "eta*lambda is small against n, the size of the training set (not the number of weights).",
        ),
        steps=steps,
        equation=found["exact"],
        results={
            "factor_exact": found["exact"].rhs,
            "factor_exponential": found["exponential"].rhs,
            "relative_error_bound": found["bound"].rhs,
            "time_constant_epochs": found["constant"].rhs,
        },
        conditions=(_STABLE,),
        zero_allowed=frozenset({"lmbda"}),
        references=("nielsen2015",),
        quantities=(exact, claimed, bound, constant),
    )


@derivation("nielsen-claim-3")
def _claim_3() -> Derivation:
    """Derive the size at which decay tails off, layer by layer, with its prefactor and the window of lmbda."""
    total = quantity("n_weights_total", "n", "n", "1", "weights in the whole network", positive=True, integer=True)
    claimed = quantity("rms_claimed", "w_{n}", "w_n", "weight", "size per weight in the claim, 1/√n", positive=True)
    over = quantity("size_over_claim", "r", "r", "1", "stationary size per weight over the claimed one", positive=True)
    prefactor = quantity("prefactor", "c", "c", "weight", "size per weight times √n_w", positive=True)
    start = quantity(
        "rms_start",
        "w_{0}",
        "w_0",
        "weight",
        "size per weight at the start (one in the old initialization)",
        positive=True,
    )
    epochs = quantity("epochs", "E", "E", "1", "epochs of the run", positive=True)
    needed = quantity(
        "epochs_needed", "E_{n}", "E_n", "1", "epochs that decay alone needs down to the claimed size", real=True
    )
    least = quantity(
        "lmbda_least", "\\lambda_{-}", "λ_-", "loss / weight²", "lmbda below which the run is too short", real=True
    )
    threshold = quantity(
        "weight_decay_threshold",
        "\\lambda_{c}",
        "λ_c",
        "loss / weight²",
        "decay above which the network collapses",
        positive=True,
    )
    most = quantity(
        "lmbda_most", "\\lambda_{+}", "λ_+", "loss / weight²", "lmbda above which the network collapses", positive=True
    )
    step_factor = 1 - _lr * _lmbda / _n_train
    steps_needed = -sp.log(start.symbol * sp.sqrt(total.symbol)) / sp.log(step_factor)

    def reached(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        size, size_start = sp.symbols("size size_start", positive=True)
        put_in = {**_IN_NIELSEN, size: earlier["claimed"].rhs, size_start: start.symbol}
        in_steps = equation(expression.lhs, expression.rhs * _n_train / _batch_size)
        return tuple(
            sp.expand(sp.expand_log(residual * sp.log(step_factor)))
            for residual in by_derivation("decay-floor", "n_steps_to_size", put_in=put_in).residual(in_steps, earlier)
        )

    def just_reached(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        at_least = earlier["needed"].rhs.subs(_lmbda, expression.rhs)
        return (sp.expand(sp.expand_log(1 / at_least, force=True)) - sp.expand(1 / epochs.symbol),)

    steps = (
        Step("claimed", "The claim speaks of the size", equation(claimed.symbol, 1 / sp.sqrt(total.symbol)), premise()),
        Step(
            "law",
            "Each layer of a homogeneous network, without noise, settles at",
            equation(_rms, sp.sqrt(_gap * _n_train / (_lmbda * _n_weights))),
            by_derivation("equal-pull", "rms", put_in=_IN_NIELSEN),
        ),
        Step(
            "prefactor",
            "so the size goes with one over the root of the weights of the layer, with the prefactor",
            equation(prefactor.symbol, sp.sqrt(_gap * _n_train / _lmbda)),
            by_derivation("equal-pull", "prefactor", put_in=_IN_NIELSEN),
        ),
        Step(
            "over",
            "and differs from the claim by",
            equation(over.symbol, sp.sqrt(_gap * _n_train * total.symbol / (_lmbda * _n_weights))),
            proof(
                "the law over the claimed size",
                lambda expression, earlier: (expression.rhs - earlier["law"].rhs / earlier["claimed"].rhs,),
            ),
        ),
        Step(
            "needed",
            "Decay alone comes down to the claimed size in this many epochs:",
            equation(needed.symbol, _batch_size / _n_train * steps_needed),
            proof("proven in the derivation decay-floor, with Nielsen's lmbda and the claimed size put in", reached),
        ),
        Step(
            "least",
            "so that a run of given length is too short to show the claim below",
            equation(
                least.symbol,
                _n_train
                / _lr
                * (1 - (start.symbol * sp.sqrt(total.symbol)) ** (-_batch_size / (_n_train * epochs.symbol))),
            ),
            proof("put back into the epochs needed, which then are those of the run", just_reached),
        ),
        Step(
            "most",
            "and above the collapse threshold (derivation collapse-threshold, for two layers) all weights go to zero:",
            equation(most.symbol, _n_train * threshold.symbol),
            proof(
                "lmbda whose weight_decay is the threshold",
                lambda expression, _earlier: (
                    _IN_NIELSEN[_weight_decay].subs(_lmbda, expression.rhs) - threshold.symbol,
                ),
            ),
        ),
    )
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name="nielsen-claim-3",
        title="Nielsen's claim 3: decay tails off at a size around 1/√n, n the number of weights",
        assumptions=(
            "For the law: homogeneous layers (linear or ReLU), cross-entropy, stationary SGD without noise and with "
            "a small step. Sigmoid layers obey it roughly only.",
            "n is the number of weights of the whole network; the law has the number of weights of the layer.",
            "The network is under-confident: its outputs have more entropy than loss.",
        ),
        steps=steps,
        equation=found["law"],
        results={
            "rms": found["law"].rhs,
            "prefactor": found["prefactor"].rhs,
            "size_over_claim": found["over"].rhs,
            "rms_claimed": found["claimed"].rhs,
            "epochs_needed": found["needed"].rhs,
            "lmbda_least": found["least"].rhs,
            "lmbda_most": found["most"].rhs,
        },
        conditions=(
            _STABLE,
            Condition(
                _gap >= 0,
                "an over-confident network has no stationary size",
                exactly_where("the squared norm at rest", _gap * _n_train / _lmbda, zero=True),
            ),
        ),
        references=("nielsen2015",),
        quantities=(total, claimed, over, prefactor, start, epochs, needed, least, threshold, most),
    )
