"""Rescaling: a trained ReLU network sits where its own outputs, all weights rescaled, would let it rest.

Multiply all weights of a homogeneous network by a factor: its outputs are multiplied by a power of it, and so one run's
outputs tell at every factor how the data would pull. Trained without gradient noise, the network has to sit at the
factor 1, at every weight decay. The envelope relation gives its size once more, from the minimum of the cost alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInput, check_count, check_positive
from .collapse_threshold import smooth_threshold
from .comparison import Report
from .configuration import TrainingConfig
from .datasets import Dataset
from .descent import Descent
from .full_batch import living_examples
from .provenance import provenance
from .rescaling_comparisons import Sweep, comparisons, curves
from .seeds import spawned_seeds
from .sweep import compute_all

__all__ = ["run"]

_LARGEST_SHARE = 0.4
"""Largest weight decay as a share of the value at which a linear network collapses: far from zero still."""
_SHARE_AT_DEPTH = {2: 1.0, 3: 0.5}
"""Part of that share for networks of each depth: deeper ones jump to zero at a smaller weight decay."""
_DECADES = 2
_PER_DECADE = 4
"""Weight decays in a decade: far enough apart for the minima at both ends to differ by far more than a minimizer leaves
of them, near enough to interpolate sizes."""
_NEAR_COLLAPSE = 0.9
_FACTORS = tuple(float(factor) for factor in np.geomspace(0.25, 4.0, 49))

_SGD_DECAY_PER_STEP = 2e-4
_SGD_STEPS = 10_000  # four time constants of the squared norm: a start, not yet the minimum
_SGD_BATCH_SIZE = 50


@dataclass(frozen=True)
class _Nets:
    """Choose how many networks of a depth are swept, and how long the minimizer goes on."""

    depth: int
    n_seeds: int
    first_steps: int
    steps: int


_SCALES = {
    "quick": (_Nets(2, 1, 120, 40),),
    "full": (_Nets(2, 3, 200, 80), _Nets(3, 1, 400, 200)),  # three layers leave their plateaus more slowly
}


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
    hidden: int = 30,
    largest_share: float = _LARGEST_SHARE,
) -> Report:
    """Sweep the weight decay over two decades, and hold each minimum against its own rescaling fixed point.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.
    hidden : int, optional
        Units of each hidden layer.
    largest_share : float, optional
        Largest weight decay of two-layer networks, over the value at which linear ones on these data collapse; three
        layers get half of it.

    Returns
    -------
    Report
        Factors of the fixed point at nine weight decays, and sizes from the curve of the minimum.

    Raises
    ------
    InvalidInput
        If a value is outside its range.
    DivergenceError
        If the training diverges from which the sweep starts.

    Notes
    -----
    ReLU units without biases, softmax outputs, the whole training set, L-BFGS: at a minimum there is no noise. The
    sweep goes upwards, since a unit that a large decay has put out does not come back.
    """
    check_count("hidden", hidden)
    share = check_positive("largest_share", largest_share)
    if share >= _NEAR_COLLAPSE:
        raise InvalidInput(
            f"largest_share is {share:g}, but must be below {_NEAR_COLLAPSE:g}: near the collapse no weights are left"
        )
    largest = share * smooth_threshold(living_examples(data))
    shares = np.geomspace(1 / 10**_DECADES, 1, _DECADES * _PER_DECADE + 1)
    decays_at_depth = {
        depth: tuple(float(decay) for decay in part * largest * shares) for depth, part in _SHARE_AT_DEPTH.items()
    }
    batch_size = min(_SGD_BATCH_SIZE, data.n_train)
    chosen = [nets for nets in _SCALES[scale] for _ in range(nets.n_seeds)]

    def descent(nets: _Nets, seed: np.random.SeedSequence) -> Descent:
        weight_decays = decays_at_depth[nets.depth]
        config = TrainingConfig.pytorch(
            layers=[data.n_inputs, *[hidden] * (nets.depth - 1), data.n_classes],
            lr=_SGD_DECAY_PER_STEP / weight_decays[0],
            weight_decay=weight_decays[0],
            batch_size=batch_size,
            epochs=math.ceil(_SGD_STEPS * batch_size / data.n_train),
            initialization="he",
            activation="relu",
            output="softmax",
            biases=False,
        )
        return Descent(config, weight_decays, nets.first_steps, nets.steps, _FACTORS, seed)

    seeds = spawned_seeds(rng, len(chosen))
    jobs = [descent(nets, seed) for nets, seed in zip(chosen, seeds, strict=True)]
    minima = compute_all(jobs, data, n_jobs=n_jobs, progress=progress, what="minimizing")
    sweeps = [
        Sweep(nets.depth, _PER_DECADE, [found for found, its in zip(minima, chosen, strict=True) if its is nets])
        for nets in _SCALES[scale]
    ]
    options = {"hidden": hidden, "largest_share": share}
    defaults = {"hidden": 30, "largest_share": _LARGEST_SHARE}
    return Report(
        experiment="rescaling",
        comparisons=tuple(comparison for sweep in sweeps for comparison in comparisons(sweep)),
        curves=tuple(curve for sweep in sweeps for curve in curves(sweep)),
        provenance=provenance(
            experiment="rescaling",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                **options,
                "weight_decays": {str(nets.depth): list(decays_at_depth[nets.depth]) for nets in _SCALES[scale]},
                "per_decade": _PER_DECADE,
                "linear_threshold": largest / share,
                "n_seeds": {str(nets.depth): nets.n_seeds for nets in _SCALES[scale]},
                "most_steps": {str(nets.depth): [nets.first_steps, nets.steps] for nets in _SCALES[scale]},
                "unrest": [found.unrest.tolist() for found in minima],
                "seeds": [{"entropy": seed.entropy, "spawn_key": list(seed.spawn_key)} for seed in seeds],
            },
            data=data,
            options={name: value for name, value in options.items() if value != defaults[name]},
        ),
    )
