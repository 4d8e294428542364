"""Derive the balance of decay, pull and noise over any window of SGD steps: exact with the terms of its two ends.

The balance of `radial-step` speaks of runs that have become stationary. Added up over a window instead, the change of
the squared norm cancels but for its values at the two ends, and what is left holds exactly, in any phase of training.
"""

from __future__ import annotations

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import by_substitution, definition, difference, equation, proof
from .registry import by_derivation, derivation, derive
from .steps import Step
from .validity import KEEPS_PART
from .window_sums import (
    DECAY_PULL,
    END,
    STEP,
    by_adding_up,
    by_long_window,
    changes_over_window,
    mean_over_window,
    window_derivation,
)

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_steps = symbols_of("lr weight_decay n_steps")
_norm_squared, _start, _radial_pull, _gradient_power = symbols_of(
    "norm_squared norm_squared_start radial_pull gradient_power"
)
_EPS = _lr * _weight_decay
_LEFT = 1 - _EPS
_k = STEP.symbol
_norm, _pulls, _powers = (sp.Function(name) for name in ("norm_squared", "radial_pull", "gradient_power"))


@derivation("window-balance")
def _window_balance() -> Derivation:
    """Derive weight_decay R over any window of SGD steps from pulls, gradient power and the two ends' squared norms."""
    at_k = {_norm_squared: _norm(_k), _radial_pull: _pulls(_k), _gradient_power: _powers(_k)}
    terms = (
        ("pull_term", "P_{+}", "P_+", "part of it that the pull of the data gives"),
        ("noise_term", "N", "N", "part of it that gradient noise gives"),
        ("boundary_term", "B", "B", "part of it that the norm pays by its own change"),
    )
    pull, noise, boundary = (quantity(name, latex, text, "loss", said, real=True) for name, latex, text, said in terms)
    steps = [
        Step(
            "recursion",
            "Step by step, the squared norm changes by decay, by the pull of its own mini-batch and by its power.",
            equation(_norm(_k + 1), _LEFT**2 * _norm(_k) + 2 * _lr * _LEFT * _pulls(_k) + _lr**2 * _powers(_k)),
            by_derivation("radial-step", "norm_squared_next", put_in=at_k),
        ),
        mean_over_window(
            _norm_squared, _norm, "mean-norm", "Means over a window of T steps, of the squared norm before each,"
        ),
        mean_over_window(_radial_pull, _pulls, "mean-pull", "of the pull"),
        mean_over_window(_gradient_power, _powers, "mean-power", "and of the power, are"),
        *changes_over_window(_norm, _start, END.symbol, "norm", "Before its first step the squared norm is"),
        Step(
            "mean",
            "Added up over the window, the steps say",
            equation(
                (END.symbol - _start) / _n_steps,
                (_LEFT**2 - 1) * _norm_squared + 2 * _lr * _LEFT * _radial_pull + _lr**2 * _gradient_power,
            ),
            by_adding_up("recursion", ("mean-norm", "mean-pull", "mean-power"), ("norm-change",)),
        ),
        Step(
            "decay-pull", "Decay pulls with", equation(DECAY_PULL.symbol, _weight_decay * _norm_squared), definition()
        ),
        Step(
            "pull-term",
            "Of that the data give",
            equation(pull.symbol, 2 * _LEFT * _radial_pull / (2 - _EPS)),
            definition(),
        ),
        Step("noise-term", "noise gives", equation(noise.symbol, _lr * _gradient_power / (2 - _EPS)), definition()),
        Step(
            "boundary-term",
            "the change of the norm itself",
            equation(boundary.symbol, (_start - END.symbol) / (_lr * _n_steps * (2 - _EPS))),
            definition(),
        ),
        Step(
            "budget",
            "and nothing is left over.",
            equation(DECAY_PULL.symbol, pull.symbol + noise.symbol + boundary.symbol),
            proof(
                "terms put in; the difference is a multiple of the mean law",
                lambda expression, earlier: (
                    difference(expression).subs(
                        {
                            earlier[key].lhs: earlier[key].rhs
                            for key in ("decay-pull", "pull-term", "noise-term", "boundary-term")
                        }
                    )
                    - difference(earlier["mean"]) / (_lr * (2 - _EPS)),
                ),
            ),
        ),
        Step(
            "balance",
            "Written out:",
            equation(
                DECAY_PULL.symbol,
                (2 * _LEFT * _radial_pull + _lr * _gradient_power + (_start - END.symbol) / (_lr * _n_steps))
                / (2 - _EPS),
            ),
            by_substitution("budget", "pull-term", "noise-term", "boundary-term"),
        ),
        Step(
            "long",
            "Over a long window, in which the norm stays finite, the ends no longer count: the stationary balance.",
            equation(DECAY_PULL.symbol, (2 * _LEFT * _radial_pull + _lr * _gradient_power) / (2 - _EPS)),
            by_long_window("balance", lambda: derive("radial-step").results["norm_squared_stationary"]),
        ),
    ]
    return window_derivation(
        "window-balance",
        "The balance of decay, pull and noise over any window of SGD steps",
        "Plain SGD with L2 regularization; exact for any network, loss and block of weights.",
        steps,
        {
            "decay_pull": "balance",
            "pull_term": "pull-term",
            "noise_term": "noise-term",
            "boundary_term": "boundary-term",
        },
        conditions=(KEEPS_PART,),
        quantities=(pull, noise, boundary),
        references=("vanlaarhoven2017", "nielsen2015"),
    )
