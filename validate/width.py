"""Width: the size of a weight against the number of weights, for hidden layers of 10 to 1000 units.

Two-layer networks without biases with softmax outputs: ReLU units, for which every layer has the same squared norm
whatever its number of weights, and sigmoid units, for which that fails.
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
from .full_batch import living_examples
from .provenance import provenance
from .record import Recording
from .seeds import spawned_seeds
from .sweep import Run, train_all
from .training import raise_if_diverged
from .width_comparisons import SLOPE_FROM, Runs, comparisons, curves

__all__ = ["run"]

_DECAY_PER_STEP = 0.005
"""lr * weight_decay: small against 1, and large enough for rest after a thousand steps."""
_DECAY_SHARE = 0.1
"""Weight decay as a share of the value at which a linear network collapses: few units do, and noise is a small part of
what feeds the weights, since it goes as the learning rate."""
_BATCH_SIZE = 100


@dataclass(frozen=True)
class _Scale:
    """Choose widths, seeds, and the length of the runs in time constants of the squared norm."""

    n_seeds: int
    relu_widths: tuple[int, ...]
    relu_time_constants: int
    sigmoid_widths: tuple[int, ...]
    sigmoid_time_constants: int  # more: a sigmoid at zero has a quarter of the slope, and these nets leave zero slowly


_SCALES = {
    "quick": _Scale(2, (10, 30, 100, 300, 1000), 15, (10, 30, 100, 300), 30),
    "full": _Scale(3, (10, 30, 100, 300, 1000), 30, (10, 30, 100, 300, 1000), 75),
}


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
    decay_share: float = _DECAY_SHARE,
    largest_width: int = 1000,
) -> Report:
    """Train networks of several widths to rest, and compare how the size of their weights goes with the width.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.
    decay_share : float, optional
        Weight decay over the value at which a linear network on these data collapses to zero, below 1.
    largest_width : int, optional
        Wider networks are left out.

    Returns
    -------
    Report
        Slopes of log rms against log n_weights, and the rms at each width from outputs and from gradients.

    Raises
    ------
    InvalidInput
        If a value is outside its range, or no two widths are left for a slope.
    DivergenceError
        If a run diverges.

    Notes
    -----
    The first layer starts from a squared norm of about 1, whatever the width: below rest, so that nothing of the
    start's size is left to decay. Averages are over the second half of each run.
    """
    chosen = _SCALES[scale]
    share = check_positive("decay_share", decay_share)
    if share >= 1:
        raise InvalidInput(f"decay_share is {share:g}, but must be below 1: above it the weights collapse to zero")
    widest = check_count("largest_width", largest_width)
    if sum(SLOPE_FROM <= width <= widest for width in chosen.relu_widths) < 2:
        raise InvalidInput(
            f"largest_width is {widest}, but a slope needs two widths of {', '.join(map(str, chosen.relu_widths))} "
            f"from {SLOPE_FROM} on; raise it"
        )
    weight_decay = share * smooth_threshold(living_examples(data))
    batch_size = min(_BATCH_SIZE, data.n_train)

    def config(activation: str, hidden: int, time_constants: int) -> TrainingConfig:
        n_steps = time_constants / (2 * _DECAY_PER_STEP)
        return TrainingConfig.pytorch(
            layers=[data.n_inputs, hidden, data.n_classes],
            lr=_DECAY_PER_STEP / weight_decay,
            weight_decay=weight_decay,
            batch_size=batch_size,
            epochs=math.ceil(n_steps / math.ceil(data.n_train / batch_size)),
            initialization=1 / math.sqrt(data.n_inputs * hidden),
            activation=activation,
            output="softmax",
            biases=False,
        )

    nets = [("relu", width, chosen.relu_time_constants) for width in chosen.relu_widths if width <= widest]
    nets += [("sigmoid", width, chosen.sigmoid_time_constants) for width in chosen.sigmoid_widths if width <= widest]
    configs = [config(*net) for net in nets for _ in range(chosen.n_seeds)]
    seeds = spawned_seeds(rng, len(configs))
    records = train_all(
        [
            Run(each, seed, Recording(steps=(each.epochs * each.steps_per_epoch(data.n_train) // 2,), evaluate=()))
            for each, seed in zip(configs, seeds, strict=True)
        ],
        data,
        n_jobs=n_jobs,
        progress=progress,
    )
    for record in records:
        raise_if_diverged(record)
    runs = [
        Runs(records[start : start + chosen.n_seeds], _DECAY_PER_STEP / weight_decay, weight_decay)
        for start in range(0, len(records), chosen.n_seeds)
    ]
    options = {"decay_share": share, "largest_width": widest}
    defaults = {"decay_share": _DECAY_SHARE, "largest_width": 1000}
    return Report(
        experiment="width",
        comparisons=tuple(comparisons(runs)),
        curves=tuple(curves(runs)),
        provenance=provenance(
            experiment="width",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                **options,
                "weight_decay": weight_decay,
                "lr": _DECAY_PER_STEP / weight_decay,
                "batch_size": batch_size,
                "n_seeds": chosen.n_seeds,
                "slope_from": SLOPE_FROM,
                "epochs": {each.config.activation: each.config.epochs for each in runs},
                "seeds": [dict(record.seed) for record in records],
            },
            data=data,
            options={name: value for name, value in options.items() if value != defaults[name]},
        ),
    )
