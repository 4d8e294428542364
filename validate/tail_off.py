"""Tail-off: a network from the old initialization is trained until its weights are at rest, and their size predicted.

The exercise's third claim is about where weight decay tails off. Thirty epochs, as in the book, are too short to see
that: this run goes on for ten times as long.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInput, check_count, check_positive
from ..theory import derive
from .comparison import Report
from .configuration import TrainingConfig
from .datasets import Dataset
from .provenance import provenance
from .record import Recording
from .seeds import spawned_seeds
from .sweep import Run, train_all
from .tail_off_comparisons import TOLERANCE, WITHIN, Rest, comparisons, curves
from .training import check_fit, raise_if_diverged

__all__ = ["run"]


@dataclass(frozen=True)
class _Scale:
    """Choose learning rate, length and number of the runs."""

    eta: float
    epochs: int
    n_seeds: int


_SCALES = {
    "quick": _Scale(
        eta=0.5, epochs=60, n_seeds=3
    ),  # time goes as 1/eta: as many time constants in a fifth of the steps
    "full": _Scale(eta=0.1, epochs=300, n_seeds=4),  # the founding question's run, ten times as long
}
_REMNANT = 0.1 * TOLERANCE
"""Share of a layer's squared norm that the start may still have when the averages begin: a tenth of the tolerance."""


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
    eta: float | None = None,
    lmbda: float = 5.0,
    hidden: int = 30,
    epochs: int | None = None,
    batch_size: int = 10,
) -> Report:
    """Train the founding question's network to rest, and compare the sizes with what holds them there.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.
    eta, lmbda : float, optional
        Learning rate and regularization parameter in the book's convention; by default 0.5 at quick scale, 0.1 at full
        scale, and 5.
    hidden, epochs, batch_size : int, optional
        Hidden neurons; epochs, by default 60 at quick and 300 at full scale; examples in a mini-batch.

    Returns
    -------
    Report
        Squared norms at rest, times to get there, and the sizes that the exercise claims.

    Raises
    ------
    InvalidInput
        If a value is outside its range, or the run is too short to come to rest.
    DivergenceError
        If a run diverges.

    Notes
    -----
    What is left of the start at step t is (1 - lr*weight_decay)^(2 t) of its squared norm. Averages begin when that is
    a tenth of the tolerance times what weights of size 1/sqrt(fan_in) have, the smaller of the two sizes in question
    that a layer as wide as its inputs are many can have: a moment known from hyperparameters before the run.

    References
    ----------
    nielsen2015 for the run and the claim.
    """
    chosen = _SCALES[scale]
    given = {"eta": eta, "epochs": epochs}
    rate = check_positive("eta", chosen.eta if eta is None else eta)
    length = check_count("epochs", chosen.epochs if epochs is None else epochs)
    config = TrainingConfig.nielsen(
        layers=[data.n_inputs, check_count("hidden", hidden), data.n_classes],
        eta=rate,
        lmbda=check_positive("lmbda", lmbda),
        batch_size=batch_size,
        epochs=length,
        initialization="large",
    )
    lr, weight_decay = (float(table[0]) for table in config.tabulate(data.n_train))
    check_fit([config], data)
    first = _first_epoch(config, data, lr, weight_decay)
    seeds = spawned_seeds(rng, chosen.n_seeds)
    runs = [Run(config, each, Recording(evaluate=())) for each in seeds]
    records = train_all(runs, data, n_jobs=n_jobs, progress=progress)
    for record in records:
        raise_if_diverged(record)
    rests = [Rest(record, lr, weight_decay, first) for record in records]
    parameters = {"eta": rate, "lmbda": lmbda, "hidden": hidden, "epochs": length, "batch_size": batch_size}
    defaults = {"eta": None, "lmbda": 5.0, "hidden": 30, "epochs": None, "batch_size": 10}
    return Report(
        experiment="tail-off",
        comparisons=tuple(comparisons(rests, data)),
        curves=tuple(curves(rests, data)),
        provenance=provenance(
            experiment="tail-off",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                **parameters,
                "weight_decay": weight_decay,
                "n_seeds": chosen.n_seeds,
                "first_epoch_of_averages": first,
                "tolerance": TOLERANCE,
                "within": WITHIN,
                "seeds": [dict(record.seed) for record in records],
            },
            data=data,
            options={
                name: given.get(name, value)
                for name, value in parameters.items()
                if given.get(name, value) != defaults[name]
            },
        ),
    )


def _first_epoch(config: TrainingConfig, data: Dataset, lr: float, weight_decay: float) -> int:
    """Return the epoch after which the start is forgotten, if the run goes on for at least half as long again."""
    n_steps = derive("decay-floor").numeric(
        "n_steps_to_size",
        size=math.sqrt(_REMNANT) * config.standard_deviation(0) / math.sqrt(config.layers[0]),
        size_start=config.standard_deviation(0),
        lr=lr,
        weight_decay=weight_decay,
    )
    first = math.ceil(float(n_steps) / config.steps_per_epoch(data.n_train))
    if config.epochs < 1.5 * first:
        raise InvalidInput(
            f"epochs is {config.epochs}, but the start is forgotten after {first} epochs only, and as many half again "
            f"are needed for averages: at least {math.ceil(1.5 * first)}; raise epochs, eta or lmbda"
        )
    return first
