"""Derive what each program's decay parameter means, from the gradient of its own penalty or from its own rule.

Every derivation here goes from a program's parameter to PyTorch's `weight_decay`, the one in
w <- (1 - lr*weight_decay) w.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from ..errors import InvalidInput, check_choice
from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import equation, premise, proof
from .registry import by_derivation, derivation, derive
from .steps import Step

__all__ = ["CONVENTIONS", "convert"]

CONVENTIONS: Mapping[str, str] = {
    "nielsen": "lmbda",
    "pytorch": "torch_weight_decay",
    "keras": "l2",
    "scikit-learn": "alpha",
    "scikit-learn-lbfgs": "alpha",
    "fully-decoupled": "decoupled_weight_decay",
    "adamc": "adamc_weight_decay",
}
"""Name of each convention, and of its parameter; the derivation is called convention-<name>."""

_lr, _weight_decay, _lmbda, _n_train, _batch_size = symbols_of("lr weight_decay lmbda n_train batch_size")
_LR_MAX = quantity(
    "lr_max", "\\eta_{\\max}", "η_max", "weight² / loss", "largest learning rate of the schedule", positive=True
)
_ALPHA = quantity(
    "alpha", "\\alpha", "α", "loss / weight²", "scikit-learn's alpha: α/2 Σ w² over the rows of a batch", positive=True
)
_L2 = quantity("l2", "c", "c", "loss / weight²", "Keras's l2(c): the penalty c Σ w²", positive=True)
_TORCH = quantity(
    "torch_weight_decay",
    "\\lambda_{\\mathrm{torch}}",
    "λ_torch",
    "loss / weight²",
    "PyTorch's weight_decay",
    positive=True,
)
_DECOUPLED = quantity(
    "decoupled_weight_decay",
    "\\lambda_{\\mathrm{d}}",
    "λ_d",
    "1",
    "decay per step at the largest learning rate",
    positive=True,
)
_ADAMC = quantity(
    "adamc_weight_decay",
    "\\lambda_{\\mathrm{C}}",
    "λ_C",
    "loss / weight²",
    "weight_decay of AdamC, times lr²/lr_max",
    positive=True,
)
_WEIGHT = quantity("weight", "w", "w", "weight", "a weight", real=True)
_GRADIENT = quantity("gradient", "g", "g", "loss / weight", "gradient of the loss without penalty", real=True)
_NEXT = quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True)
_PENALTY = quantity(
    "penalty", "\\Omega", "Ω", "loss", "what is added to the loss, as far as one weight is in it", nonnegative=True
)
_SLOPE = quantity("penalty_gradient", "\\Omega'", "Ω'", "loss / weight", "gradient of the penalty", real=True)
_PER_STEP = quantity("decay_per_step", "\\varepsilon", "ε", "1", "part of a weight that a step takes", positive=True)
_PER_EPOCH = quantity(
    "factor_per_epoch",
    "a_{\\mathrm{epoch}}",
    "a_epoch",
    "1",
    "what an epoch leaves of a weight without gradient",
    positive=True,
)
_TIME_STEPS = quantity(
    "time_constant_steps",
    "\\tau_{\\mathrm{steps}}",
    "τ_steps",
    "steps",
    "steps in which decay alone takes a weight to 1/e",
    positive=True,
)
_TIME_EPOCHS = quantity(
    "time_constant_epochs",
    "\\tau_{\\mathrm{epochs}}",
    "τ_epochs",
    "epochs",
    "the same time in epochs",
    positive=True,
)
_SAME_LOSS = (
    "The loss is the same in both programs. Nielsen sums it over the outputs; a reduction called mean that also "
    "divides by the number of outputs makes the gradient that much smaller: equal decay is not yet an equal run."
)
_OWN = (
    _LR_MAX,
    _ALPHA,
    _L2,
    _TORCH,
    _DECOUPLED,
    _ADAMC,
    _WEIGHT,
    _GRADIENT,
    _NEXT,
    _PENALTY,
    _SLOPE,
    _PER_STEP,
    _PER_EPOCH,
    _TIME_STEPS,
    _TIME_EPOCHS,
)
_w, _g, _next = _WEIGHT.symbol, _GRADIENT.symbol, _NEXT.symbol


def _as_pytorch(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the difference of the convention's step and PyTorch's, with the claimed weight_decay put in."""
    rule = (1 - _lr * _weight_decay) * _w - _lr * _g
    return (sp.expand(earlier["step"].rhs - rule.subs(_weight_decay, expression.rhs)),)


def _common(weight_decay: Any, parameter: Any) -> tuple[Step, ...]:
    """Return the steps that every convention ends with."""
    inverse = sp.solve(weight_decay - _weight_decay, parameter)[0]
    per_step = sp.expand(_lr * weight_decay)
    return (
        Step(
            "weight-decay",
            "This is PyTorch's step w' = (1 − lr·weight_decay) w − lr g with",
            equation(_weight_decay, weight_decay),
            proof("put into PyTorch's step, which then is the same", _as_pytorch),
        ),
        Step(
            "parameter",
            "or, the other way round,",
            equation(parameter, inverse),
            proof(
                "put back into the equation before",
                lambda expression, earlier: (
                    earlier["weight-decay"].rhs.subs(parameter, expression.rhs) - _weight_decay,
                ),
            ),
        ),
        Step(
            "per-step",
            "A step takes this part of a weight,",
            equation(_PER_STEP.symbol, per_step),
            proof(
                "one less what the step leaves of a weight without gradient",
                lambda expression, earlier: (sp.expand(1 - earlier["step"].rhs.subs(_g, 0) / _w - expression.rhs),),
            ),
        ),
        Step(
            "per-epoch",
            "and an epoch leaves this.",
            equation(_PER_EPOCH.symbol, (1 - per_step) ** (_n_train / _batch_size)),
            by_derivation("decay-per-epoch", "factor_exact", "weight-decay"),
        ),
        Step(
            "time-steps",
            "Without gradient a weight falls to 1/e, to leading order in the decay per step, within",
            equation(_TIME_STEPS.symbol, 1 / per_step),
            proof(
                "limit of what that many steps leave for a decay per step to zero",
                lambda expression, earlier: (_left_after(expression.rhs, 1 - earlier["per-step"].rhs) - sp.exp(-1),),
            ),
        ),
        Step(
            "time-epochs",
            "steps, which in epochs is",
            equation(_TIME_EPOCHS.symbol, _batch_size / (_n_train * per_step)),
            proof(
                "limit of what that many epochs leave for a decay per step to zero",
                lambda expression, earlier: (_left_after(expression.rhs, earlier["per-epoch"].rhs) - sp.exp(-1),),
            ),
        ),
    )


def _left_after(time: Any, factor: Any) -> Any:
    """Return the limit of factor**time for a learning rate to zero, at which the decay per step goes to zero."""
    base, exponent = factor.as_base_exp()
    small = sp.Dummy("small", positive=True)
    slow = {_lr: small * _lr}
    return sp.exp(sp.limit((time * exponent).subs(slow) * sp.log(base.subs(slow)), small, 0))


def _build(
    name: str,
    program: str,
    parameter: Any,
    weight_decay: Any,
    first: tuple[Step, ...],
    assumptions: tuple[str, ...],
    *keys: str,
) -> Derivation:
    steps = (*first, *_common(weight_decay, parameter))
    found = {step.key: step.expression for step in steps}
    return Derivation(
        name=f"convention-{name}",
        title=f"What the decay parameter of {program} means",
        assumptions=("One step of plain SGD, unless said otherwise.", _SAME_LOSS, *assumptions),
        steps=steps,
        equation=found["weight-decay"],
        results={
            "weight_decay": found["weight-decay"].rhs,
            str(parameter): found["parameter"].rhs,
            "decay_per_step": found["per-step"].rhs,
            "factor_per_epoch": found["per-epoch"].rhs,
            "time_constant_steps": found["time-steps"].rhs,
            "time_constant_epochs": found["time-epochs"].rhs,
        },
        zero_allowed=frozenset({str(parameter), "weight_decay"}),
        references=keys,
        quantities=_OWN,
    )


def _penalized(
    name: str,
    program: str,
    parameter: Any,
    penalty: Any,
    said: str,
    *keys: str,
    assumptions: tuple[str, ...] = (),
) -> Derivation:
    """Return the derivation of a convention that adds a penalty to the loss."""
    slope = sp.diff(penalty, _w)
    first = (
        Step("penalty", said, equation(_PENALTY.symbol, penalty), premise()),
        Step(
            "gradient",
            "so that a weight feels",
            equation(_SLOPE.symbol, slope),
            proof(
                "derivative with respect to the weight",
                lambda expression, earlier: (sp.diff(earlier["penalty"].rhs, _w) - expression.rhs,),
            ),
        ),
        Step(
            "step",
            "and a step does",
            equation(_next, _w - _lr * (_g + slope)),
            proof(
                "gradient step with the gradient of the penalty",
                lambda expression, earlier: (expression.rhs - (_w - _lr * (_g + earlier["gradient"].rhs)),),
            ),
        ),
    )
    return _build(name, program, parameter, sp.cancel(slope / _w), first, assumptions, *keys)


def _by_rule(
    name: str, program: str, parameter: Any, factor: Any, said: str, assumptions: tuple[str, ...], *keys: str
) -> Derivation:
    """Return the derivation of a convention that multiplies the weights by a factor of its own."""
    first = (
        Step("factor", said, equation(_PER_STEP.symbol, factor), premise()),
        Step(
            "step",
            "so that a step does",
            equation(_next, (1 - factor) * _w - _lr * _g),
            proof(
                "weights less that part, then the gradient step",
                lambda expression, earlier: (sp.expand(expression.rhs - (1 - earlier["factor"].rhs) * _w + _lr * _g),),
            ),
        ),
    )
    return _build(name, program, parameter, sp.cancel(factor / _lr), first, assumptions, *keys)


@derivation("convention-nielsen")
def _nielsen() -> Derivation:
    said = "Nielsen adds λ/(2n) times the sum of squares, n the size of the training set:"
    return _penalized(
        "nielsen", "Nielsen's network2.py", _lmbda, _lmbda / (2 * _n_train) * _w**2, said, "nielsen2015", "krogh1991"
    )


@derivation("convention-pytorch")
def _pytorch() -> Derivation:
    said = "PyTorch's SGD adds weight_decay times the weight to the gradient, the slope of half the sum of squares:"
    return _penalized(
        "pytorch",
        "PyTorch's SGD and AdamW and of optax.adamw",
        _TORCH.symbol,
        _TORCH.symbol / 2 * _w**2,
        said,
        "loshchilov2019",
        assumptions=(
            "PyTorch's AdamW and optax.adamw have no penalty: they take weight_decay times lr of the weight as part of "
            "the step. That is the same decay per step, so that all results hold for them; only the gradient's part of "
            "the step is another.",
        ),
    )


@derivation("convention-keras")
def _keras() -> Derivation:
    said = "Keras's regularizers.l2(c) adds c times the sum of squares, without a half:"
    return _penalized("keras", "Keras's l2 regularizer", _L2.symbol, _L2.symbol * _w**2, said, "krogh1991")


@derivation("convention-scikit-learn")
def _scikit_learn() -> Derivation:
    said = (
        "scikit-learn's MLP (solvers sgd and adam) adds alpha/2 times the sum of squares over the rows of a mini-batch:"
    )
    penalty = _ALPHA.symbol / (2 * _batch_size) * _w**2
    return _penalized("scikit-learn", "scikit-learn's MLP (sgd, adam)", _ALPHA.symbol, penalty, said, "krogh1991")


@derivation("convention-scikit-learn-lbfgs")
def _scikit_learn_lbfgs() -> Derivation:
    said = "With solver lbfgs the batch is the whole training set:"
    penalty = _ALPHA.symbol / (2 * _n_train) * _w**2
    return _penalized("scikit-learn-lbfgs", "scikit-learn's MLP (lbfgs)", _ALPHA.symbol, penalty, said, "krogh1991")


@derivation("convention-fully-decoupled")
def _fully_decoupled() -> Derivation:
    said = "Fully decoupled decay takes its parameter times the schedule, lr/lr_max, whatever the learning rate:"
    assumptions = ("The form of the paper, Composer, optimi with decouple_lr=True and big_vision.",)
    factor = _DECOUPLED.symbol * _lr / _LR_MAX.symbol
    return _by_rule(
        "fully-decoupled", "fully decoupled decay", _DECOUPLED.symbol, factor, said, assumptions, "loshchilov2019"
    )


@derivation("convention-adamc")
def _adamc() -> Derivation:
    said = "AdamC scales PyTorch's decay with the schedule once more:"
    factor = _ADAMC.symbol * _lr**2 / _LR_MAX.symbol
    return _by_rule("adamc", "AdamC", _ADAMC.symbol, factor, said, (), "defazio2025")


def convert(value: float, source: str, target: str, **values: float) -> float:
    """Return the parameter of one convention that decays weights as a parameter of another does.

    Parameters
    ----------
    value : float
        Parameter in the convention `source`.
    source, target : str
        Names among `CONVENTIONS`.
    **values : float
        What the two conventions depend on besides: of `n_train`, `batch_size`, `lr` and `lr_max` those that occur.

    Returns
    -------
    float
        Parameter in the convention `target`, in that convention's unit.

    Raises
    ------
    InvalidInput
        If a convention is unknown, or a value is missing or outside its range.

    Notes
    -----
    Both conventions are taken to `weight_decay`, the coefficient in w <- (1 - lr*weight_decay) w; see the derivations
    ``convention-<name>``.

    References
    ----------
    Nielsen (nielsen2015), Loshchilov and Hutter (loshchilov2019), Defazio (defazio2025).

    Examples
    --------
    >>> round(convert(5, "nielsen", "scikit-learn", n_train=50000, batch_size=10), 9)
    0.001
    """
    there, back = (derive(f"convention-{check_choice('convention', name, CONVENTIONS)}") for name in (source, target))

    def needed(claim: Derivation, result: str) -> dict[str, Any]:
        own = {"weight_decay", CONVENTIONS[source], CONVENTIONS[target]}
        wanted = set(claim.arguments(result)) - own
        missing = sorted(wanted - values.keys())
        if missing:
            raise InvalidInput(f"converting {source} to {target} also needs {', '.join(missing)}: give them by name")
        return {name: values[name] for name in wanted}

    parameter = {CONVENTIONS[source]: value}
    weight_decay = there.numeric("weight_decay", **parameter, **needed(there, "weight_decay"))
    result = CONVENTIONS[target]
    return float(back.numeric(result, weight_decay=weight_decay, **needed(back, result)))
