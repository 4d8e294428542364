"""What networks of several widths say of the size of a weight, each number beside its prediction.

Layers are counted as in Nielsen's book: layer 2 has the weights from the pixels, layer 3 those to the outputs. In
arrays they are 0 and 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..theory import derive
from .comparison import Comparison, Curve, over_seeds, standard_error
from .configuration import TrainingConfig
from .record import TrainingRecord

__all__ = ["LAYERS", "SLOPE_FROM", "Runs", "comparisons", "curves"]

Array = NDArray[np.float64]

SLOPE_FROM = 30
"""Hidden units from which on slopes are judged: with fewer the network fits less well, and its gap is smaller."""
SLOPE_TOLERANCE = 0.02
"""Of the slope: a squared norm that changes by a factor of 1.15 over widths of 30 to 1000."""
RMS_TOLERANCE = 0.02
"""Of the size of a weight: the law leaves out gradient noise, a few percent of the squared norm, half of that here."""
LAYERS = (2, 3)
NAMES = {"relu": "ReLU", "sigmoid": "sigmoid"}


@dataclass(frozen=True)
class Runs:
    """Hold runs of one network that differ in their seed alone.

    Parameters
    ----------
    records : sequence of TrainingRecord
        With pulls; the last record holds averages over the second half of the run.
    lr, weight_decay : float
        In PyTorch's sense.
    """

    records: Sequence[TrainingRecord]
    lr: float
    weight_decay: float

    @property
    def config(self) -> TrainingConfig:
        """Configuration of the runs."""
        return self.records[0].config

    @property
    def hidden(self) -> int:
        """Hidden units."""
        return self.config.layers[1]

    def n_weights(self, layer: int) -> int:
        """Return the number of weights of a layer, counted from 0."""
        return self.records[0].final.weights[layer].size

    def last(self, name: str) -> Array:
        """Return the averages of a quantity over the second half, (n_seeds,) or (n_seeds, n_layers)."""
        return np.array([getattr(record, name)[-1] for record in self.records])

    def rms(self, layer: int) -> Array:
        """Return the measured root mean square of a layer's weights, for each seed."""
        values: Array = np.sqrt(self.last("mean_norm_squared")[:, layer] / self.n_weights(layer))
        return values

    def rms_from_gap(self, layer: int) -> Array:
        """Return what the outputs alone predict for every homogeneous layer, for each seed."""
        gap = derive("entropy-loss-gap").numeric(
            "entropy_loss_gap", predictive_entropy=self.last("predictive_entropy"), cross_entropy=self.last("cost")
        )
        fed = np.maximum(gap, 0.0)  # over-confident outputs hold no weights up
        values: Array = derive("equal-pull").numeric(
            "rms", entropy_loss_gap=fed, weight_decay=self.weight_decay, n_weights=self.n_weights(layer)
        )
        return values

    def rms_from_gradients(self, layer: int) -> Array:
        """Return what pull and noise predict for any layer, for each seed."""
        norm_squared = derive("radial-step").numeric(
            "norm_squared_stationary",
            radial_pull=self.last("radial_pull")[:, layer],
            gradient_power=self.last("gradient_power")[:, layer],
            lr=self.lr,
            weight_decay=self.weight_decay,
        )
        values: Array = np.sqrt(norm_squared / self.n_weights(layer))
        return values


def comparisons(runs: Sequence[Runs]) -> list[Comparison]:
    """Return every comparison: slopes first, then the size at each width.

    Parameters
    ----------
    runs : sequence of Runs
        One for each activation and width.

    Returns
    -------
    list of Comparison
    """
    return [*_slopes(runs), *(found for each in runs for found in _sizes(each))]


def _slopes(runs: Sequence[Runs]) -> list[Comparison]:
    found = []
    for activation in NAMES:
        of_activation = [each for each in runs if each.config.activation == activation]
        wide = [each for each in of_activation if each.hidden >= SLOPE_FROM]
        narrow = [each for each in of_activation if each.hidden <= SLOPE_FROM]
        for layer, label in enumerate(LAYERS):
            for chosen, judged in ((wide, activation == "relu"), (narrow, False)):
                if len(chosen) < 2:
                    continue
                first, last = chosen[0].hidden, chosen[-1].hidden
                found.append(
                    over_seeds(
                        f"slope of log rms of layer {label} against log n_weights, {NAMES[activation]} units, "
                        f"{first} to {last} of them",
                        _slope_of_law([each.n_weights(layer) for each in chosen]),
                        _slope(chosen, layer),
                        "nothing",
                        _reason_of_slope(activation, judged=judged),
                        tolerance=SLOPE_TOLERANCE if judged else None,
                        tolerance_kind="absolute",
                        key=f"slope {activation} layer {label}" + (", narrow" if chosen is narrow else ""),
                    )
                )
    return found


def _reason_of_slope(activation: str, *, judged: bool) -> str:
    if judged:
        return (
            "a network that is wide enough to fit alike has the same gap, and so the same squared norm, at each width"
        )
    if activation == "relu":
        return "told: with this few units the fit, and with it the gap, still depends on the width"
    return (
        "told: sigmoid layers are not pulled alike, and every sigmoid is one half at zero, an input that all outputs "
        "share and that grows with the width"
    )


def _slope(runs: Sequence[Runs], layer: int) -> Array:
    """Return the fitted slope of log rms against log n_weights, for each seed."""
    x = np.log([each.n_weights(layer) for each in runs])
    y = np.log([each.rms(layer) for each in runs])
    slopes: Array = np.polyfit(x, y, 1)[0]
    return slopes


def _slope_of_law(n_weights: Sequence[int]) -> float:
    """Return the slope between the first and the last number of weights that the law of equal pull has."""
    ends = np.array([n_weights[0], n_weights[-1]])
    rms = derive("equal-pull").numeric("rms", entropy_loss_gap=1.0, weight_decay=1.0, n_weights=ends)
    return float(np.diff(np.log(rms))[0] / np.diff(np.log(ends))[0])


def _sizes(runs: Runs) -> list[Comparison]:
    found = []
    activation = runs.config.activation
    homogeneous = activation == "relu"
    for layer, label in enumerate(LAYERS):
        what = f"rms weight of layer {label}, {runs.hidden} {NAMES[activation]} units"
        found += [
            over_seeds(
                f"{what}, from the outputs' entropy-loss gap",
                runs.rms_from_gap(layer),
                runs.rms(layer),
                "outputs",
                "gradient noise is left out: the weights are larger by half its share"
                if homogeneous
                else "told: noise is left out, and without homogeneous units the gap feeds the output layer alone",
                unit="weight",
                tolerance=RMS_TOLERANCE if homogeneous else None,
                key=f"gap {activation} {runs.hidden} layer {label}",
            ),
            over_seeds(
                f"{what}, from its pull and noise",
                runs.rms_from_gradients(layer),
                runs.rms(layer),
                "gradients",
                "exact at rest; a drift over the averages is left",
                unit="weight",
                tolerance=RMS_TOLERANCE,
                key=f"gradients {activation} {runs.hidden} layer {label}",
            ),
        ]
    return found


def curves(runs: Sequence[Runs]) -> list[Curve]:
    """Return what the figure draws: size and squared norm against the number of weights and the width.

    Parameters
    ----------
    runs : sequence of Runs
        One for each activation and width.

    Returns
    -------
    list of Curve
        Panels "rms weight" and "squared norm".
    """
    found = []
    for activation, name in NAMES.items():
        chosen = [each for each in runs if each.config.activation == activation]
        for layer, label in enumerate(LAYERS):
            sizes = np.array([float(each.n_weights(layer)) for each in chosen])
            widths = np.array([float(each.hidden) for each in chosen])
            measured = np.array([each.rms(layer) for each in chosen]).T
            lines = {"from pull and noise": [each.rms_from_gradients(layer) for each in chosen]}
            if activation == "relu":
                lines["from the gap"] = [each.rms_from_gap(layer) for each in chosen]
            for how, values in lines.items():
                mean = np.mean(np.array(values), axis=1)
                squares = sizes * np.mean(np.array(values) ** 2, axis=1)
                if how == "from the gap":
                    found.append(_curve(f"{name}, layer {label}, {how}", "rms weight", "theory", sizes, mean))
                found.append(_curve(f"{name}, layer {label}, {how}", "squared norm", "theory", widths, squares))
            found.append(
                _curve(f"{name}, layer {label}, trained", "rms weight", "experiment", sizes, measured.mean(axis=0),
                       standard_error(measured))
            )  # fmt: skip
            norms = measured**2 * sizes
            found.append(
                _curve(f"{name}, layer {label}, trained", "squared norm", "experiment", widths, norms.mean(axis=0),
                       standard_error(norms))
            )  # fmt: skip
    everything = [float(each.n_weights(layer)) for each in runs for layer in (0, 1)]
    ends = np.array([min(everything), max(everything)])
    found.append(_curve("1/sqrt(n_weights)", "rms weight", "theory", ends, 1 / np.sqrt(ends)))
    return found


def _curve(name: str, panel: str, kind: str, x: Array, y: Array, error: Array | None = None) -> Curve:
    x_name, y_unit = {"rms weight": ("n_weights of the layer", "weight"), "squared norm": ("hidden units", "weight^2")}[
        panel
    ]
    return Curve(name, panel, kind, x, y, x_name, "1", panel, y_unit, error)  # type: ignore[arg-type]
