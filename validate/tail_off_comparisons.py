"""What long runs say of the size of weights at rest, each number beside its prediction.

Layers are counted as in Nielsen's book: layer 2 has the weights from the pixels, layer 3 those to the outputs. In
arrays they are 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..simulate import norm_trajectory
from ..theory import derive
from .comparison import Comparison, Curve, over_seeds, standard_error
from .datasets import Dataset
from .record import TrainingRecord

__all__ = ["TOLERANCE", "WITHIN", "Rest", "comparisons", "curves"]

Array = NDArray[np.float64]

TOLERANCE = 0.02
"""Of sizes at rest and of times: averages over a dozen time constants leave a few tenths of a percent of drift."""
WITHIN = 0.05
"""A layer is in equilibrium when its squared norm first comes within this of its average at rest."""


@dataclass(frozen=True)
class Rest:
    """Hold one run and what its averages at rest predict.

    Parameters
    ----------
    record : TrainingRecord
        A run with pulls, recorded every epoch.
    lr, weight_decay : float
        In PyTorch's sense.
    first : int
        Epoch after which the averages begin.
    """

    record: TrainingRecord
    lr: float
    weight_decay: float
    first: int

    @property
    def rates(self) -> dict[str, float]:
        """Learning rate and weight decay, as the arguments of a derivation."""
        return {"lr": self.lr, "weight_decay": self.weight_decay}

    def mean(self, name: str) -> Array:
        """Return the average at rest of what was recorded step by step: a number, or one for each layer."""
        values: Array = getattr(self.record, name)[self.first + 1 :].mean(axis=0)
        return values

    @cached_property
    def norm_squared(self) -> Array:
        """Average squared norm of each layer."""
        return self.mean("mean_norm_squared")

    @cached_property
    def from_outputs(self) -> tuple[float, float]:
        """Squared norm of layer 3 from gap, bias term and noise; the second with the term of a bias at rest."""
        theory = derive("entropy-loss-gap")
        gap = theory.numeric(
            "entropy_loss_gap", predictive_entropy=self.mean("predictive_entropy"), cross_entropy=self.mean("cost")
        )
        common = {"entropy_loss_gap": gap, "gradient_power": self.mean("gradient_power")[1], **self.rates}
        with_bias = theory.numeric("norm_squared_stationary", bias_pull=self.mean("bias_pull")[1], **common)
        at_rest = theory.numeric(
            "norm_squared_undecayed_bias", bias_gradient_power=self.mean("bias_gradient_power")[1], **common
        )
        return float(with_bias), float(at_rest)

    def from_gradients(self, layer: int, *, pull_of: int | None = None) -> float:
        """Return the squared norm of a layer from its measured pull, or another layer's, and its noise."""
        return float(
            derive("radial-step").numeric(
                "norm_squared_stationary",
                radial_pull=self.mean("radial_pull")[layer if pull_of is None else pull_of],
                gradient_power=self.mean("gradient_power")[layer],
                **self.rates,
            )
        )

    def course(self, layer: int) -> Array:
        """Return the squared norm at every record as the flow leads it, with the average pull and noise of each."""
        flow = derive("norm-flow")
        found = [self.record.norm_squared[0, layer]]
        steps = np.diff(self.record.steps)
        assert self.record.radial_pull is not None
        assert self.record.gradient_power is not None
        for n_steps, pull, power in zip(
            steps, self.record.radial_pull[1:, layer], self.record.gradient_power[1:, layer], strict=True
        ):
            fed = {"radial_pull": pull, "gradient_power": power, **self.rates}
            found.append(
                float(flow.numeric("norm_squared", norm_squared_start=found[-1], time=n_steps * self.lr, **fed))
            )
        return np.array(found)

    def arrival(self, norm_squared: Array, rest: float) -> float:
        """Return the epoch at which a squared norm, given at the records, first comes near its rest; nan if never."""
        away = np.abs(norm_squared / rest - 1) - WITHIN
        inside = np.flatnonzero(away <= 0)
        if not inside.size:
            return math.nan
        last = int(inside[0])
        if last == 0:
            return 0.0
        share = away[last - 1] / (away[last - 1] - away[last])
        return float(np.interp(last - 1 + share, np.arange(len(away)), self.record.epochs))

    def constant_pull(self, layer: int) -> float:
        """Return the epoch of equilibrium if pull and noise were those at rest from the first step on."""
        steps = norm_trajectory(
            norm_squared_start=float(self.record.norm_squared[0, layer]),
            radial_pull=float(self.mean("radial_pull")[layer]),
            gradient_power=float(self.mean("gradient_power")[layer]),
            n_steps=int(self.record.steps[-1]),
            tolerance=WITHIN,
            lr=self.lr,
            weight_decay=self.weight_decay,
        ).steps_to_equilibrium
        return steps / self.steps_per_epoch

    @property
    def steps_per_epoch(self) -> int:
        """Steps in an epoch."""
        return int(self.record.steps[1])


def comparisons(rests: Sequence[Rest], data: Dataset) -> list[Comparison]:
    """Return every comparison: sizes at rest, times, and the sizes that the exercise claims.

    Parameters
    ----------
    rests : sequence of Rest
        Runs that differ in their seed alone.
    data : Dataset
        What they were trained on.

    Returns
    -------
    list of Comparison
    """
    return [*_sizes(rests), *_control(rests, data), *_times(rests), *_lines(rests)]


def _sizes(rests: Sequence[Rest]) -> list[Comparison]:
    first, last = rests[0].first, rests[0].record.epochs[-1]
    when = f"at rest (mean of epochs {first} to {last:g})"
    output, hidden = ([rest.norm_squared[layer] for rest in rests] for layer in (1, 0))
    stated = "exact at rest; what the squared norm drifts over the averages, divided by their time constants, is left"
    bound = derive("size-bounds").numeric(
        "norm_squared_bound_sigmoid", n_classes=rests[0].record.config.layers[-1], weight_decay=rests[0].weight_decay
    )
    return [
        over_seeds(
            f"squared norm of layer 3 {when}, from the mini-batches' entropy-loss gap, bias term and noise",
            [rest.from_outputs[0] for rest in rests],
            output,
            "outputs",
            stated,
            unit="weight²",
            tolerance=TOLERANCE,
            key="norm of layer 3",
        ),
        over_seeds(
            f"squared norm of layer 2 {when}, from its pull and noise",
            [rest.from_gradients(0) for rest in rests],
            hidden,
            "gradients",
            stated,
            unit="weight²",
            tolerance=TOLERANCE,
            key="norm of layer 2",
        ),
        over_seeds(
            f"squared norm of layer 3 {when}, with the bias term of output biases at rest",
            [rest.from_outputs[1] for rest in rests],
            output,
            "outputs",
            "output biases do not decay and may still drift when the weights are at rest: the deviation is their drift",
            unit="weight²",
            key="norm of layer 3, biases at rest",
        ),
        over_seeds(
            f"squared norm of layer 2 {when}, if it were pulled as layer 3 is",
            [rest.from_gradients(0, pull_of=1) for rest in rests],
            hidden,
            "gradients",
            "equal pull needs homogeneous units; this is by how much sigmoids break it",
            unit="weight²",
            key="norm of layer 2, equal pull",
        ),
        over_seeds(
            f"squared norm of layer 3 {when}, against the bound without noise that needs no run",
            bound,
            output,
            "hyperparameters",
            "a bound, not a prediction: no more entropy than coin flips have, no loss",
            unit="weight²",
            key="bound of layer 3",
        ),
    ]


def _control(rests: Sequence[Rest], data: Dataset) -> list[Comparison]:
    """Compare the time that weights of dead pixels take to the two claimed sizes: decay alone, nothing to fit."""
    if rests[0].record.dead_norm_squared is None:
        return []
    config = rests[0].record.config
    n_dead = len(data.dead_pixels) * config.layers[1]
    found = []
    for name, size in _claimed(rests[0]).items():
        start = [math.sqrt(rest.record.dead_norm_squared[0] / n_dead) for rest in rests]  # type: ignore[index]
        needed = derive("decay-floor").numeric(
            "n_steps_to_size", size=size, size_start=np.array(start), **rests[0].rates
        )
        predicted = needed / rests[0].steps_per_epoch
        if predicted.max() >= rests[0].record.epochs[-1]:
            continue
        measured = [_crossing(rest, math.log(n_dead * size**2)) for rest in rests]
        found.append(
            over_seeds(
                f"epochs that the {n_dead} weights of dead pixels take from N(0, 1) to a size of {name}",
                predicted,
                measured,
                "hyperparameters",
                "exact: these weights get no gradient; tolerance of the experiment",
                unit="epoch",
                tolerance=TOLERANCE,
                key=f"dead pixels to {name}",
            )
        )
    return found


def _crossing(rest: Rest, level: float) -> float:
    """Return the epoch at which the logarithm of the dead weights' squared norm falls to a level."""
    assert rest.record.dead_norm_squared is not None
    return float(np.interp(-level, -np.log(rest.record.dead_norm_squared), rest.record.epochs))


def _times(rests: Sequence[Rest]) -> list[Comparison]:
    found = []
    for layer in (0, 1):
        measured = [rest.arrival(rest.record.norm_squared[:, layer], float(rest.norm_squared[layer])) for rest in rests]
        what = f"epochs until layer {layer + 2} is within {100 * WITHIN:g} % of its squared norm at rest"
        creeps = layer == 1
        found += [
            over_seeds(
                f"{what}, from the pull and noise of each epoch",
                [rest.arrival(rest.course(layer), rest.from_gradients(layer)) for rest in rests],
                measured,
                "gradients",
                "told: this layer creeps to its rest, so that a small error in size is a large one in time"
                if creeps
                else "the flow of the squared norm is exact up to the decay of one step",
                unit="epoch",
                tolerance=None if creeps else TOLERANCE,
                key=f"time of layer {layer + 2}",
            ),
            over_seeds(
                f"{what}, from its pull and noise at rest, held constant",
                [rest.constant_pull(layer) for rest in rests],
                measured,
                "gradients at rest",
                "told: on the way to rest the data pull otherwise than at rest, layer 2 even inwards at first",
                unit="epoch",
                key=f"time of layer {layer + 2}, constant pull",
            ),
        ]
    return found


def _claimed(rest: Rest) -> dict[str, float]:
    """Return the sizes that are called 1/sqrt(n): for the inputs of a neuron of layer 2, and for the network."""
    sizes = [w.size for w in rest.record.final.weights]
    return {
        "1/sqrt(fan_in)": 1 / math.sqrt(rest.record.config.layers[0]),
        "1/sqrt(n_weights)": 1 / math.sqrt(sum(sizes)),
    }


def _lines(rests: Sequence[Rest]) -> list[Comparison]:
    found = []
    for layer, weights in enumerate(rests[0].record.final.weights):
        rms = [math.sqrt(rest.norm_squared[layer] / weights.size) for rest in rests]
        fan_in = 1 / math.sqrt(weights.shape[1])
        claimed = {"1/sqrt(fan_in)": fan_in, "1/sqrt(n_weights)": _claimed(rests[0])["1/sqrt(n_weights)"]}
        found += [
            over_seeds(
                f"rms weight of layer {layer + 2} at rest, against {name}",
                size,
                rms,
                "nothing",
                "told: the claimed size has no prefactor",
                unit="weight",
                key=f"rms of layer {layer + 2} against {name}",
            )
            for name, size in claimed.items()
        ]
    return found


def curves(rests: Sequence[Rest], data: Dataset) -> list[Curve]:
    """Return what the figure draws: squared norms and sizes over the epochs.

    Parameters
    ----------
    rests : sequence of Rest
        Runs that differ in their seed alone.
    data : Dataset
        What they were trained on.

    Returns
    -------
    list of Curve
        Panels "squared norm" and "rms weight".
    """
    record, rates = rests[0].record, rests[0].rates
    epochs, floor = record.epochs, derive("decay-floor")
    found = []

    def add(name: str, panel: str, kind: str, x: Array, y: Array, error: Array | None = None) -> None:
        unit = {"squared norm": "weight^2", "rms weight": "weight"}[panel]
        found.append(Curve(name, panel, kind, x, y, "epoch", "1", panel, unit, error))  # type: ignore[arg-type]

    shrunk = floor.numeric("factor", n_steps=record.steps, **rates)
    for layer in (0, 1):
        label, n_weights = f"layer {layer + 2}", record.final.weights[layer].size
        norms = np.array([rest.record.norm_squared[:, layer] for rest in rests])
        predicted = [rest.from_outputs[0] if layer else rest.from_gradients(layer) for rest in rests]
        add(f"{label}, decay alone", "squared norm", "theory", epochs, norms[:, 0].mean() * shrunk**2)
        add(f"{label}, at rest", "squared norm", "theory", epochs[[0, -1]], np.full(2, np.mean(predicted)))
        course = np.mean([rest.course(layer) for rest in rests], axis=0)
        add(f"{label}, pull and noise of each epoch", "squared norm", "theory", epochs, course)
        add(f"{label}, trained", "squared norm", "experiment", epochs, norms.mean(axis=0), standard_error(norms))
        rms = np.sqrt(norms / n_weights)
        add(f"{label}, trained", "rms weight", "experiment", epochs, rms.mean(axis=0), standard_error(rms))
    ends = epochs[[0, -1]]
    for name, size in _claimed(rests[0]).items():
        add(name, "rms weight", "theory", ends, np.full(2, size))
    start = float(np.sqrt(np.mean([rest.record.norm_squared[0, 0] for rest in rests]) / record.final.weights[0].size))
    add("decay alone", "rms weight", "theory", epochs, start * shrunk)
    if record.dead_norm_squared is not None:
        n_dead = len(data.dead_pixels) * record.config.layers[1]
        dead = np.sqrt(np.array([rest.record.dead_norm_squared for rest in rests]) / n_dead)
        add("weights of dead pixels", "rms weight", "experiment", epochs, dead.mean(axis=0), standard_error(dead))
    return found
