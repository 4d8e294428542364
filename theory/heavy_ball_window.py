"""Derive the balance of heavy-ball SGD over any window of steps: exact with the terms of its two ends.

The balance of `heavy-ball-balance` speaks of runs that have become stationary. With a buffer, not the squared norm
alone but one combination of it with the overlap of weights and buffer keeps the books of every step; added up over a
window, its changes cancel but for the two ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, proof
from .registry import derivation, derive
from .steps import Step
from .validity import exactly_where
from .window_sums import (
    DECAY_PULL,
    END,
    STEP,
    at_step,
    by_adding_up,
    by_long_window,
    changes_over_window,
    mean_over_window,
    window_derivation,
)

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _momentum, _dampening, _n_steps = symbols_of("lr weight_decay momentum dampening n_steps")
_norm_squared, _start, _radial_pull = symbols_of("norm_squared norm_squared_start radial_pull")
_k = STEP.symbol
_pulls = sp.Function("radial_pull")


@derivation("heavy-ball-window")
def _heavy_ball_window() -> Derivation:
    """Derive weight_decay R over any window of heavy-ball steps with L2, from pulls, buffer power and the two ends."""
    power = quantity(
        "buffer_power",
        "V^{2}",
        "V²",
        "(loss/weight)²",
        "squared norm ‖v‖² of the buffer that makes the step, mean over the window",
        positive=True,
    )
    overlaps = [
        quantity(f"overlap{suffix}", f"B{latex}", f"B{text}", "loss", f"⟨w, v⟩, weights with buffer, {when}", real=True)
        for suffix, latex, text, when in (
            ("_start", "_{0}", "_0", "before the window"),
            ("_end", "_{T}", "_T", "after the window"),
        )
    ]
    work = quantity("work", "A", "A", "loss", "⟨w, g + λw⟩ before a step, mean over the window", real=True)
    norm, buffer_power, overlap, middle, works = (
        sp.Function(name) for name in ("norm_squared", "buffer_power", "overlap", "overlap_middle", "work")
    )
    ledger = sp.Function("ledger")
    before, after = (
        quantity(f"ledger_{when}", f"\\ell_{{{letter}}}", f"ℓ_{letter}", "loss", f"the ledger at the {when}", real=True)
        for when, letter in (("start", "0"), ("end", "T"))
    )
    noise_term, boundary_term = (
        quantity(name, letter, letter, "loss", f"part of the pull of decay that {said}", real=True)
        for name, letter, said in (
            ("noise_term", "N", "the buffer's power pays"),
            ("boundary_term", "E", "the ends of the window pay"),
        )
    )
    first, last = (line.symbol for line in overlaps)
    noise = _lr * (1 + _momentum) / 2
    value_at = {
        "norm_squared": norm(_k),
        "norm_squared_next": norm(_k + 1),
        "buffer_power_next": buffer_power(_k),
        "overlap_before": overlap(_k),
        "overlap_middle": middle(_k),
        "overlap_after": overlap(_k + 1),
        "work": works(_k),
    }

    def ledger_step(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        entries = {ledger(at): earlier["ledger"].rhs.subs(_k, at) for at in (_k + 1, _k)}
        whole = difference(expression).subs(entries)
        for key in ("norm-step", "overlap-step", "buffer-step"):
            whole = whole.subs(earlier[key].lhs, earlier[key].rhs)
        return (sp.expand(whole), *((sp.false,) if whole.has(ledger) else ()))

    def names_of_ends(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        ends = {earlier[key].lhs: earlier[key].rhs for key in ("first", "last", "norm-start", "norm-end")}
        ledgers = {earlier[f"ledger-{end}"].lhs: earlier[f"ledger-{end}"].rhs for end in ("start", "end")}
        entries = {ledger(at): earlier["ledger"].rhs.subs(_k, at) for at in (0, _n_steps)}
        mean = difference(earlier["mean"]).subs(ledgers).subs(entries)
        return ((1 - _dampening) * difference(expression).subs(ends) - mean,)

    steps = [
        Step(
            "norm-step",
            "Step by step, the squared norm changes with the new buffer's overlap and power,",
            equation(norm(_k + 1), norm(_k) - 2 * _lr * middle(_k) + _lr**2 * buffer_power(_k)),
            at_step("heavy-ball-balance", "norm-change", value_at),
        ),
        Step(
            "overlap-step",
            "the overlap of weights and buffer by the step itself,",
            equation(overlap(_k + 1), middle(_k) - _lr * buffer_power(_k)),
            at_step("heavy-ball-balance", "overlap-change", value_at),
        ),
        Step(
            "buffer-step",
            "and before it by what the buffer takes up: the work of gradient and decay.",
            equation(middle(_k), _momentum * overlap(_k) + (1 - _dampening) * works(_k)),
            at_step("heavy-ball-balance", "buffer-change", value_at),
        ),
        Step(
            "ledger",
            "One combination of overlap and norm",
            equation(ledger(_k), _momentum * overlap(_k) - (1 - _momentum) * norm(_k) / (2 * _lr)),
            definition(),
        ),
        Step(
            "ledger-step",
            "keeps the books of every single step:",
            equation((1 - _dampening) * works(_k), noise * buffer_power(_k) + ledger(_k + 1) - ledger(_k)),
            proof("definition of the ledger and the three steps put in", ledger_step),
        ),
        mean_over_window(work.symbol, works, "mean-work", "With the means over a window of T steps, of the work"),
        mean_over_window(power.symbol, buffer_power, "mean-power", "and of the buffer power,"),
        *changes_over_window(
            ledger, before.symbol, after.symbol, "ledger", "and the ledger before the window's first step"
        ),
        Step(
            "mean",
            "the steps add up to",
            equation(
                (1 - _dampening) * work.symbol,
                noise * power.symbol + (after.symbol - before.symbol) / _n_steps,
            ),
            by_adding_up("ledger-step", ("mean-work", "mean-power"), ("ledger-change",)),
        ),
        Step("first", "With the overlap before the window,", equation(first, overlap(0)), definition()),
        Step("last", "after it,", equation(last, overlap(_n_steps)), definition()),
        Step("norm-start", "the squared norm before it", equation(_start, norm(0)), definition()),
        Step("norm-end", "and after it,", equation(END.symbol, norm(_n_steps)), definition()),
        Step(
            "work",
            "the work of gradient and decay is",
            equation(
                work.symbol,
                (
                    noise * power.symbol
                    + (_momentum * (last - first) - (1 - _momentum) * (END.symbol - _start) / (2 * _lr)) / _n_steps
                )
                / (1 - _dampening),
            ),
            proof(
                "ledger and names of the ends put in; the difference is a multiple of the mean law",
                names_of_ends,
            ),
        ),
        mean_over_window(_norm_squared, norm, "mean-norm", "With the mean squared norm"),
        mean_over_window(_radial_pull, _pulls, "mean-pull", "and the mean pull,"),
        Step(
            "work-step",
            "since the work of every step is",
            equation(works(_k), _weight_decay * norm(_k) - _pulls(_k)),
            at_step("heavy-ball-balance", "work-of-pull", value_at | {"radial_pull": _pulls(_k)}),
        ),
        Step(
            "mean-of-work",
            "and so its mean",
            equation(work.symbol, _weight_decay * _norm_squared - _radial_pull),
            by_adding_up("work-step", ("mean-work", "mean-norm", "mean-pull"), ()),
        ),
        Step(
            "decay-pull", "decay pulls with", equation(DECAY_PULL.symbol, _weight_decay * _norm_squared), definition()
        ),
        Step(
            "balance",
            "what the data, the buffer and the two ends of the window give.",
            equation(
                DECAY_PULL.symbol,
                _radial_pull
                + (
                    noise * power.symbol
                    + (_momentum * (last - first) - (1 - _momentum) * (END.symbol - _start) / (2 * _lr)) / _n_steps
                )
                / (1 - _dampening),
            ),
            proof(
                "the two forms of the work",
                lambda expression, earlier: (
                    difference(expression).subs(earlier["decay-pull"].lhs, earlier["decay-pull"].rhs)
                    - (difference(earlier["work"]) - difference(earlier["mean-of-work"])),
                ),
            ),
        ),
        Step(
            "noise-term",
            "Of that the buffer's power pays",
            equation(noise_term.symbol, noise * power.symbol / (1 - _dampening)),
            definition(),
        ),
        Step(
            "boundary-term",
            "the ends of the window",
            equation(
                boundary_term.symbol,
                (_momentum * (last - first) - (1 - _momentum) * (END.symbol - _start) / (2 * _lr))
                / (_n_steps * (1 - _dampening)),
            ),
            definition(),
        ),
        Step(
            "budget",
            "and the data the rest.",
            equation(DECAY_PULL.symbol, _radial_pull + noise_term.symbol + boundary_term.symbol),
            proof(
                "terms put in, it is the balance",
                lambda expression, earlier: (
                    difference(expression).subs(
                        {earlier[key].lhs: earlier[key].rhs for key in ("noise-term", "boundary-term")}
                    )
                    - difference(earlier["balance"]),
                ),
            ),
        ),
        Step(
            "long",
            "Over a long window, in which norm and buffer stay finite, that is the stationary balance.",
            equation(DECAY_PULL.symbol, _radial_pull + noise * power.symbol / (1 - _dampening)),
            by_long_window("balance", lambda: derive("heavy-ball-balance").results["norm_squared_stationary"]),
        ),
    ]
    return window_derivation(
        "heavy-ball-window",
        "The balance of heavy-ball SGD with L2 regularization over any window of steps",
        "Heavy-ball SGD in PyTorch's form; the decay goes into the gradient before the buffer (coupled).",
        steps,
        {"decay_pull": "balance", "work": "work", "noise_term": "noise-term", "boundary_term": "boundary-term"},
        conditions=(
            Condition(
                _dampening < 1,
                "with dampening 1 no gradient enters the buffer",
                exactly_where("what enters of a gradient", 1 - _dampening),
            ),
        ),
        quantities=(
            power,
            work,
            *overlaps,
            before,
            after,
            noise_term,
            boundary_term,
            quantity("overlap", "B", "B", "loss", "⟨w, v⟩, weights with the buffer that brought them here", real=True),
            quantity(
                "overlap_middle", "B'", "B'", "loss", "⟨w, v'⟩, weights with the buffer of the coming step", real=True
            ),
            quantity("ledger", "\\ell", "ℓ", "loss", "what overlap and norm keep of the work for later", real=True),
        ),
        references=("yaida2018",),
    )
