"""How the norm of normalized weights fluctuates at rest, beside the law of its stochastic differential equation.

The fourth power of a neuron's norm is linear under SGD: it forgets at 4 lr*weight_decay per step and is driven by the
power of the gradient at unit norm. If that power fluctuates independently from step to step, with a coefficient of
variation c, the fourth power has a normal law of relative standard deviation sqrt(2 lr*weight_decay) c. On real data
the power drifts and is correlated in time; the same linear equation, driven by the power as it was, tells how much of
what the first law misses is due to that. Neurons have different means: each is measured in units of its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import lfilter
from scipy.stats import kstest, norm

from ..theory import derive
from .comparison import Comparison, Curve, Report, over_seeds
from .configuration import TrainingConfig
from .datasets import Dataset
from .provenance import provenance
from .record import Recording
from .seeds import fresh_generator, spawned_seeds
from .sweep import compute_all
from .training import check_fit, train

__all__ = ["Fluctuation", "run"]

Array = NDArray[np.float64]

HIDDEN, BATCH_SIZE, LR, DECAY = 16, 50, 0.1, 2e-3
"""DECAY is that per step, lr * weight_decay: small, so that the law's first order in the fluctuation holds."""
BURN_IN = 10
"""Memories 1/DECAY before measuring: the start has left exp(-40) of a fourth power, and the network has learnt."""
WINDOW = {"quick": 40, "full": 100}
"""Memories that are measured: 160 and 400 relaxation times of the fourth power."""
N_SEEDS = {"quick": 3, "full": 8}
EVERY = 25
"""Steps between samples for the histogram: a fifth of the relaxation time."""
EDGES = np.linspace(-6, 6, 31)
LAYERS = ("hidden", "output")


@dataclass(frozen=True)
class Fluctuation:
    """Describe one network at rest whose norms are watched: a job of a sweep.

    Parameters
    ----------
    config : TrainingConfig
        What is trained.
    seed : SeedSequence
        Where the random stream begins.
    burn_in : int
        Steps before the watch.
    lr, weight_decay : float
        Those of the configuration.
    """

    config: TrainingConfig
    seed: np.random.SeedSequence
    burn_in: int
    lr: float
    weight_decay: float

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the configuration does not fit the data."""
        check_fit([self.config], data)

    def start(self, data: Dataset) -> dict[str, Array]:
        """Return what the fourth power of each living neuron's norm did, in units of its mean, for each layer.

        The samples are (n_samples, n_neurons); its standard deviation, that of the equation driven by the power as it
        was, and the coefficient of variation of the power are (n_neurons,).
        """
        rng = fresh_generator(self.seed)
        watched = Recording(pulls=False, evaluate=(), motion=True, every_step_motion=True)
        record = train(self.config, data, rng=rng, record=watched)
        found = {}
        for layer, name in enumerate(LAYERS):
            motion = record.step_neuron_motion
            norm_squared = motion["norm_squared"][layer][self.burn_in :]
            power = motion["gradient_power"][layer][self.burn_in :] * norm_squared
            alive = power.mean(axis=0) > 0
            fourth, power = norm_squared[:, alive] ** 2, power[:, alive]
            relative = fourth / fourth.mean(axis=0) - 1
            drive = power / power.mean(axis=0) - 1
            found[f"samples {name}"] = relative[::EVERY]
            found[f"measured {name}"] = relative.std(axis=0)
            found[f"driven {name}"] = _driven(drive, relative[0], self.lr, self.weight_decay).std(axis=0)
            found[f"variation {name}"] = drive.std(axis=0)
        return found


def _driven(drive: Array, start: Array, lr: float, weight_decay: float) -> Array:
    """Return the relative deviation of the fourth power that the linear equation makes of a drive, step by step."""
    step = derive("norm-fourth-fluctuation")
    kept, gained = (
        float(step.numeric("relative_norm_next", lr=lr, weight_decay=weight_decay, relative_norm=a, relative_power=b))
        for a, b in ((1.0, 0.0), (0.0, 1.0))
    )
    deviations, _ = lfilter([0.0, gained], [1.0, -kept], drive, axis=0, zi=start[None] / 2)
    return np.asarray(2 * deviations)  # to first order the fourth power deviates twice as much as the squared norm


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
) -> Report:
    """Compare the distribution of norms at rest with the law of the stochastic differential equation.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.

    Returns
    -------
    Report
        Standard deviations and Kolmogorov-Smirnov distances, without a tolerance.

    Raises
    ------
    DivergenceError
        If a run diverges.
    """
    config, burn_in = _config(data, scale)
    seeds = spawned_seeds(rng, N_SEEDS[scale])
    results = compute_all(
        [Fluctuation(config, seed, burn_in, LR, DECAY / LR) for seed in seeds], data, n_jobs=n_jobs, progress=progress
    )
    comparisons = [one for layer in LAYERS for one in _compared(results, layer)]
    curves = [*_densities(results), *_spreads(results)]
    return Report(
        experiment="fluctuations",
        comparisons=tuple(comparisons),
        curves=tuple(curves),
        provenance=provenance(
            experiment="fluctuations",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                "hidden": HIDDEN,
                "batch_size": config.batch_size,
                "lr": LR,
                "decay_per_step": DECAY,
                "window": WINDOW[scale],
                "n_seeds": N_SEEDS[scale],
                "n_neurons": int(sum(found[f"measured {layer}"].size for found in results for layer in LAYERS)),
            },
            data=data,
        ),
    )


def _config(data: Dataset, scale: str) -> tuple[TrainingConfig, int]:
    """Return what is trained, with independent mini-batches, and the step at which measuring begins."""
    batch_size = min(BATCH_SIZE, data.n_train)
    burn_in = round(BURN_IN / DECAY)
    total = burn_in + round(WINDOW[scale] / DECAY)
    config = TrainingConfig.pytorch(
        layers=[data.n_inputs, HIDDEN, data.n_classes],
        lr=LR,
        weight_decay=DECAY / LR,
        batch_size=batch_size,
        epochs=-(-total // -(-data.n_train // batch_size)),
        initialization="he",
        activation="relu",
        output="softmax",
        biases=False,
        normalized="all",
        sampling="with_replacement",
        dtype="float64",
    )
    return config, burn_in


def _law(found: dict[str, Array], layer: str, name: str = "norm_fourth_std") -> Array:
    """Return the relative standard deviation of each neuron under the law for independent fluctuations."""
    variation = found[f"variation {layer}"]
    law = derive("norm-fourth-fluctuation").numeric(
        name, coefficient_of_variation=variation, lr=LR, weight_decay=DECAY / LR
    )
    return np.asarray(law, dtype=np.float64)


def _compared(results: Sequence[dict[str, Array]], layer: str) -> list[Comparison]:
    """Compare spread and distribution of one layer, medians over its neurons."""
    reason = "the law is for power that fluctuates independently; the power of real gradients is correlated in time"
    driven = "what is left when the correlation in time is told: fluctuations of higher order"
    measured = [_median(found[f"measured {layer}"]) for found in results]
    told = {"unit": "1"}
    compared = [
        over_seeds(
            f"relative standard deviation of norm⁴, {layer} layer, against that from {words}",
            [_median(values(found)) for found in results],
            measured,
            "gradient noise",
            why,
            key=f"{key} {layer}",
            **told,
        )
        for key, words, why, values in (
            ("independent", "the power's coefficient of variation", reason, lambda found: _law(found, layer)),
            (
                "leading",
                "the same to leading order",
                reason,
                lambda found: _law(found, layer, "norm_fourth_std_leading"),
            ),
            ("driven", "the power's course in time", driven, lambda found: found[f"driven {layer}"]),
        )
    ]
    for key, spread, why in (
        ("independent", lambda found: _law(found, layer), reason),
        ("driven", lambda found: found[f"driven {layer}"], "a drifting power is not normal either"),
    ):
        distances = [_distance(found[f"samples {layer}"] / spread(found)) for found in results]
        compared.append(
            over_seeds(
                f"Kolmogorov-Smirnov distance of norm⁴, {layer} layer, from the normal law with the {key} spread",
                0.0,
                distances,
                "gradient noise",
                why,
                key=f"distance {key} {layer}",
            )
        )
    return compared


def _median(values: Array) -> float:
    return float(np.median(values)) if values.size else math.nan


def _distance(scaled: Array) -> float:
    """Return the largest distance between the distribution of all samples and the standard normal one."""
    return float(kstest(scaled.ravel(), "norm").statistic) if scaled.size else math.nan


def _densities(results: Sequence[dict[str, Array]]) -> list[Curve]:
    """Return histograms of the deviation in units of both laws' standard deviation, beside the normal density."""
    middles = (EDGES[1:] + EDGES[:-1]) / 2
    curves = []
    for panel, spread in _SPREADS.items():
        axes: dict[str, Any] = {
            "panel": f"density, {panel}",
            "x_name": "deviation of norm⁴ over the law's standard deviation",
            "x_unit": "1",
            "y_name": "density",
            "y_unit": "1",
        }
        for layer in LAYERS:
            shares = []
            for found in results:
                scaled = found[f"samples {layer}"] / spread(found, layer)
                counts = np.histogram(scaled, EDGES)[0]
                shares.append(counts / max(scaled.size, 1) / np.diff(EDGES))
            curves.append(Curve(name=f"{layer} layer", kind="experiment", x=middles, y=np.mean(shares, axis=0), **axes))
        fine = np.linspace(EDGES[0], EDGES[-1], 121)
        curves.append(Curve(name="law", kind="theory", x=fine, y=norm.pdf(fine), **axes))
    return curves


_SPREADS: dict[str, Callable[[dict[str, Array], str], Array]] = {
    "independent": _law,
    "driven": lambda found, layer: found[f"driven {layer}"],
}


def _spreads(results: Sequence[dict[str, Array]]) -> list[Curve]:
    """Return the measured standard deviation of every neuron against that of both laws."""
    axes: dict[str, Any] = {
        "panel": "spread",
        "x_name": "predicted relative standard deviation of norm⁴",
        "x_unit": "1",
        "y_name": "measured",
        "y_unit": "1",
    }
    curves = []
    for name, spread in _SPREADS.items():
        for layer in LAYERS:
            x = np.concatenate([spread(found, layer) for found in results])
            y = np.concatenate([found[f"measured {layer}"] for found in results])
            curves.append(Curve(name=f"{name}, {layer} layer", kind="experiment", x=x, y=y, **axes))
    ends = np.concatenate([curve.x for curve in curves] + [curve.y for curve in curves])
    ends = np.array([ends.min(), ends.max()]) if ends.size else np.array([0.01, 1.0])
    return [*curves, Curve(name="equal", kind="theory", x=ends, y=ends, **axes)]
