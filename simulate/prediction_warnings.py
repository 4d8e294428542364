"""Say what about weight decay will go wrong in a run, or is easily misread, one sentence each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import check_count, check_positive
from ..theory import derive
from .decaying_run import DecayingRun
from .layer_equilibria import LayerEquilibrium
from .layers import Layer
from .number_formats import rounded_decay, share_of_steps_lost
from .optimizer_choice import OptimizerChoice

__all__ = ["Warned", "warnings_of"]

_OFF = 0.01
"""A leading formula, or a rounded decay, that is off by more than this is worth a warning."""
_ROUNDING_OFF = 0.001
"""Decay stored wrong by more than this: over some time constants it shows in the norms."""


@dataclass(frozen=True)
class Warned:
    """One thing to know.

    Attributes
    ----------
    kind : str
        "no-decay", "number-format", "collapse", "range", "biases", "adam-l2", "muon", "short-run" or "bound".
    sentence : str
        What it is, with its numbers, and what to do.
    """

    kind: str
    sentence: str


def warnings_of(
    layers: Sequence[Layer],
    choice: OptimizerChoice,
    run: DecayingRun,
    effective: DecayingRun,
    found: Sequence[LayerEquilibrium],
    *,
    number_format: str,
    n_classes: int | None,
    signal_max: float | None,
    tolerance: float,
) -> tuple[Warned, ...]:
    """Return what to know about a run.

    Parameters
    ----------
    layers, choice, run : sequence of Layer, OptimizerChoice, DecayingRun
        What is trained.
    effective : DecayingRun
        The run with decay as fast as the optimizer makes it.
    found : sequence of LayerEquilibrium
        Where each layer rests.
    number_format, n_classes, signal_max, tolerance
        As in `predict`.

    Returns
    -------
    tuple of Warned
    """
    _, weight_decay = run.peak()
    told = [
        *_rounding(run, choice, number_format),
        *_collapse(weight_decay, signal_max),
        *_range(layers, found, run),
        *_biases(layers),
        *_adam(choice),
        *_muon(layers, choice),
        *_short(effective, tolerance),
        *_bound(weight_decay, n_classes),
    ]
    return tuple(told)


def _rounding(run: DecayingRun, choice: OptimizerChoice, number_format: str) -> list[Warned]:
    decays = run.samples()
    largest = float(decays.max())
    if largest == 0:
        return [Warned("no-decay", "there is no decay: nothing makes weights forget their start; give a weight decay")]
    rounded = rounded_decay(largest, number_format)
    where = f"in {number_format} a decay of {largest:.3g} per step"
    caution = "; keep the weights in float32, or let decay be part of the update" + (
        " (as decay through the gradient is)" if choice.coupling == "coupled" else ""
    )
    if choice.coupling == "coupled":
        where += ", if it is multiplied in,"
    if rounded.share_moving == 0:
        return [Warned("number-format", f"{where} rounds to nothing: no weight moves{caution}")]
    if rounded.share_moving < 1:
        return [Warned("number-format", f"{where} moves only {rounded.share_moving:.0%} of the weights{caution}")]
    told = []
    off = rounded.decay_mean / largest - 1.0
    if abs(off) > _ROUNDING_OFF:
        told.append(
            Warned(
                "number-format",
                f"{where} is stored as {rounded.decay_stored:.6g} and runs {abs(off):.2%} too "
                f"{'fast' if off > 0 else 'slow'}; keep weights or decay in higher precision if that matters",
            )
        )
    lost = share_of_steps_lost(decays, number_format)
    if lost > 0:
        told.append(
            Warned(
                "number-format",
                f"in {number_format} the decay of {lost:.0%} of the steps, where the schedule is low, rounds to 0",
            )
        )
    return told


def _collapse(weight_decay: float, signal_max: float | None) -> list[Warned]:
    if signal_max is None:
        return []
    check_positive("signal_max", signal_max)
    threshold = float(derive("collapse-threshold").numeric("weight_decay_threshold", signal_max=signal_max, slope=1.0))
    if weight_decay <= threshold:
        return []
    return [
        Warned(
            "collapse",
            f"weight_decay {weight_decay:.3g} is above the collapse threshold {threshold:.3g}: a two-layer network "
            "without biases goes to zero and learns nothing; stay below it",
        )
    ]


def _range(layers: Sequence[Layer], found: Sequence[LayerEquilibrium], run: DecayingRun) -> list[Warned]:
    worst = max(
        (
            (abs(rest.norm_squared_leading / rest.norm_squared - 1.0), layer.name)
            for layer, rest in zip(layers, found, strict=True)
            if rest.norm_squared and rest.norm_squared_leading is not None
        ),
        default=(0.0, ""),
    )
    if worst[0] <= _OFF:
        return []
    return [
        Warned(
            "range",
            f"lr*weight_decay = {float(run.samples().max()):.3g} is beyond the range of papers' leading formulas: "
            f"their squared norm of {worst[1]} is {worst[0]:.1%} off; the exact one is used here",
        )
    ]


def _biases(layers: Sequence[Layer]) -> list[Warned]:
    names = [layer.name for layer in layers if layer.fan_in is None]
    if not names:
        return []
    return [
        Warned(
            "biases",
            f"{', '.join(names)} {'are' if len(names) > 1 else 'is'} a bias or gain under decay: decay pulls a gain "
            "towards 0, not 1, and no symmetry gives back what it takes; most recipes leave them out of decay",
        )
    ]


def _adam(choice: OptimizerChoice) -> list[Warned]:
    if choice.coupling != "coupled" or choice.linear:
        return []
    return [
        Warned(
            "adam-l2",
            f"{choice.name} sends the decay through its normalizer: each weight decays at lr*weight_decay over the "
            "root of its squared gradients, so that the time constant above holds only where that root is 1; give "
            "each layer's power, or use decoupled decay (adamw)",
        )
    ]


def _muon(layers: Sequence[Layer], choice: OptimizerChoice) -> list[Warned]:
    if choice.name != "muon":
        return []
    told = [
        Warned(
            "muon",
            "the polar factor is taken to be exact and momentum to be plain; five Newton-Schulz steps make updates of "
            "somewhat smaller norm",
        )
    ]
    vectors = [layer.name for layer in layers if layer.fan_in is None]
    if vectors:
        told.append(Warned("muon", f"muon steps matrices only: {', '.join(vectors)} need another optimizer"))
    return told


def _short(effective: DecayingRun, tolerance: float) -> list[Warned]:
    left = effective.left()
    if left <= tolerance or effective.samples().max() == 0:
        return []
    return [
        Warned(
            "short-run",
            f"the run is {-0.5 * math.log(left):.2g} time constants long: decay alone would leave {left:.0%} of the "
            "start's squared norm, so what the weights weigh at the end still depends on how they were initialized",
        )
    ]


def _bound(weight_decay: float, n_classes: int | None) -> list[Warned]:
    if n_classes is None or weight_decay == 0:
        return []
    bounds = derive("size-bounds")
    classes = check_count("n_classes", n_classes, least=2)
    values = {"n_classes": classes, "weight_decay": weight_decay}
    most = float(bounds.numeric("norm_squared_bound_softmax", **values))
    return [
        Warned(
            "bound",
            f"with nothing measured: at a minimum of the regularized loss, and noise left out, the output layer's "
            f"squared norm is at most {most:.4g}",
        )
    ]
