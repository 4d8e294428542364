"""Gradient balance: decay against pull plus noise, for every layer of many networks, on the line y = x.

Four activations, three kinds of outputs, two to four layers, plain SGD and heavy ball, each trained from its start with
weak, middling and strong decay. The pulls are those of the mini-batches that make the steps, and the change of the norm
between the two ends of the window is in the books, so that no run has to be stationary and the balance is exact.

Beside it stands what happens with the pull of the whole training set in place of the batches' own: nothing if batches
are drawn independently (with replacement), and a bias if epochs are reshuffled, since a batch that is yet to come in
this epoch has not been learned from, and those that have been seen have.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .comparison import Comparison, Curve, Report, standard_error
from .configuration import ACTIVATIONS, OUTPUTS, SAMPLINGS, TrainingConfig
from .datasets import Dataset
from .gradient_books import WholeSetRun, WindowRun, input_power
from .optimizers import SGD
from .provenance import provenance
from .seeds import spawned_seeds
from .stepwise import epochs_of
from .sweep import compute_all

__all__ = ["OPTIMIZERS", "TOLERANCE", "run"]

TOLERANCE = 0.005
"""Of what decay takes. The law is exact, and float32 rounds pulls to a millionth of it; this is the room left for
layers whose terms nearly cancel."""

OPTIMIZERS = {"SGD": 0.0, "heavy ball": 0.9}
"""Momentum of each optimizer."""
DEPTHS = (2, 3, 4)
DECAYS = (1e-4, 1e-3, 1e-2)  # lr*weight_decay/(1-momentum), per step, so that the points spread over decades
_HIDDEN, _N_STEPS, _BATCH_SIZE = 20, 2000, 25
# learning rate times mean squared norm of what enters a layer, pixels or hidden units, whose squares grow by the 1 of
# their initial bias from layer to layer; squared errors have larger curvature than cross-entropies
_STABLE, _LARGEST = {"sigmoid": 3.0, "softmax": 3.0, "linear": 0.3}, _HIDDEN * max(DEPTHS)

# The run with two kinds of pulls is the founding question's, quicker by ten: noise goes as lr/batch_size, and an epoch
# is as long in time lr*steps; from the new initialization, since its transient is no part of the question.
_WHOLE = {"hidden": 30, "rate": 10.0, "steps_per_epoch": 500, "decay_per_epoch": 0.05, "n_warm_epochs": 10}
_WHOLE_SCALE = {
    "quick": {"n_seeds": 1, "n_epochs": 10, "every": 5, "n_fresh": 1000},
    "full": {"n_seeds": 4, "n_epochs": 20, "every": 5, "n_fresh": 1000},
}


@dataclass(frozen=True)
class Case:
    """Name one combination that is trained.

    Parameters
    ----------
    activation, output, optimizer : str
        Hidden units, output units, and one of `OPTIMIZERS`.
    depth : int
        Layers of weights.
    decay_per_step : float
        lr * weight_decay / (1 - momentum).
    """

    activation: str
    output: str
    optimizer: str
    depth: int
    decay_per_step: float

    def config(self, data: Dataset, power: float) -> TrainingConfig:
        """Return the configuration of the run, for inputs of that mean squared norm."""
        momentum = OPTIMIZERS[self.optimizer]
        batch_size, rate = min(_BATCH_SIZE, data.n_train), _STABLE[self.output] / max(power, _LARGEST)
        return TrainingConfig.pytorch(
            layers=[data.n_inputs, *[_HIDDEN] * (self.depth - 1), data.n_classes],
            lr=rate * (1 - momentum),
            weight_decay=self.decay_per_step / rate,
            batch_size=batch_size,
            epochs=epochs_of(_N_STEPS, data.n_train, batch_size),
            initialization="fan_in",
            activation=self.activation,
            output=self.output,
            optimizer=SGD(momentum=momentum),
        )


def _cases(scale: str) -> list[Case]:
    """Return all combinations, or one of depth and decay for each activation, output and optimizer.

    With either optimizer the chosen ones hold every pair of two factors: a square of Latin kind.
    """
    kinds = list(itertools.product(ACTIVATIONS, OUTPUTS, OPTIMIZERS))
    if scale == "full":
        return [Case(*kind, *rest) for kind in kinds for rest in itertools.product(DEPTHS, DECAYS)]
    chosen = []
    for activation, output, optimizer in kinds:
        first, second = ACTIVATIONS.index(activation), OUTPUTS.index(output)
        place = first + second + list(OPTIMIZERS).index(optimizer)
        chosen.append(Case(activation, output, optimizer, DEPTHS[place % 3], DECAYS[(place + second) % 3]))
    return chosen


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
) -> Report:
    """Hold decay against pull plus noise for every layer of many networks.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`. At quick scale every activation meets every kind of outputs and both
        optimizers, with one depth and one decay each; at full scale all combinations are trained.

    Returns
    -------
    Report
        One comparison for each activation, output and optimizer: the layer where it is worst. Then the books with the
        pull of the whole training set.
    """
    cases, whole = _cases(scale), _WHOLE_SCALE[scale]
    power = input_power(data)
    window_seed, whole_seed = spawned_seeds(rng, 2)
    windows = [
        WindowRun(case.config(data, power), seed)
        for case, seed in zip(cases, window_seed.spawn(len(cases)), strict=True)
    ]
    samplings = [(sampling, seed) for sampling in SAMPLINGS for seed in whole_seed.spawn(whole["n_seeds"])]
    wholes = [
        WholeSetRun(
            _whole_config(data, power, sampling, whole["n_epochs"]),
            int(_WHOLE["n_warm_epochs"]),
            seed,
            whole["n_fresh"],
            whole["every"],
        )
        for sampling, seed in samplings
    ]
    jobs: list[Any] = [*wholes, *windows]  # the long ones first
    results = compute_all(jobs, data, n_jobs=n_jobs, progress=progress)
    books = dict(zip(cases, results[len(wholes) :], strict=True))
    seen = {
        sampling: [each for (here, _), each in zip(samplings, results, strict=False) if here == sampling]
        for sampling in SAMPLINGS
    }
    return Report(
        experiment="gradient-balance",
        comparisons=(*_balanced(books), *_whole_set(seen)),
        curves=(*_points(books), *_whole_set_curves(seen)),
        provenance=provenance(
            experiment="gradient-balance",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                "n_runs": len(cases),
                "n_layers": sum(case.depth for case in cases),
                "decays_per_step": DECAYS,
                "depths": DEPTHS,
                "hidden": _HIDDEN,
                "n_steps": _N_STEPS,
                "batch_size": min(_BATCH_SIZE, data.n_train),
                "momentum": OPTIMIZERS["heavy ball"],
                "lr": {output: stable / max(power, _LARGEST) for output, stable in _STABLE.items()},
                "tolerance": TOLERANCE,
                "whole_set": {**_WHOLE, **whole, "lr": wholes[0].config.tabulate(data.n_train)[0][0]},
            },
            data=data,
        ),
    )


def _whole_config(data: Dataset, power: float, sampling: str, n_epochs: int) -> TrainingConfig:
    batch_size = max(1, round(data.n_train / _WHOLE["steps_per_epoch"]))
    lr = _WHOLE["rate"] / max(power, _WHOLE["hidden"]) * batch_size / 10
    n_steps = -(-data.n_train // batch_size)
    return TrainingConfig.pytorch(
        layers=[data.n_inputs, int(_WHOLE["hidden"]), data.n_classes],
        lr=lr,
        weight_decay=_WHOLE["decay_per_epoch"] / (lr * n_steps),
        batch_size=batch_size,
        epochs=n_epochs,
        initialization="fan_in",
        sampling=sampling,
    )


Books = Mapping[Case, Mapping[str, NDArray[np.float64]]]
Seen = Mapping[str, Sequence[Mapping[str, NDArray[np.float64]]]]


def _balanced(books: Books) -> list[Comparison]:
    """Return for each activation, output and optimizer the layer in which balance and decay are farthest apart."""
    found = []
    for activation, output, optimizer in itertools.product(ACTIVATIONS, OUTPUTS, OPTIMIZERS):
        layers = [
            (case, layer, float(told["balance"][layer]), float(told["decay"][layer]))
            for case, told in books.items()
            if (case.activation, case.output, case.optimizer) == (activation, output, optimizer)
            for layer in range(case.depth)
        ]
        case, layer, predicted, measured = max(layers, key=lambda one: _deviation(one[2], one[3]))
        depths = sorted({case.depth for case, *_ in layers})
        found.append(
            Comparison(
                f"{activation} units, {output} outputs, {optimizer}: decay of layer {layer + 2} of {case.depth + 1}, "
                f"decay per step {case.decay_per_step:g}, the worst of {len(layers)} layers "
                f"({', '.join(map(str, depths))} layers of weights)",
                "loss",
                predicted,
                measured,
                None,
                inputs="gradients",
                tolerance=TOLERANCE,
                reason="exact; rounding of float32 where terms nearly cancel",
                key=f"{activation} {output} {optimizer}",
            )
        )
    return found


def _deviation(predicted: float, measured: float) -> float:
    """Return the relative deviation, infinite where one is no number."""
    deviation = abs(measured / predicted - 1) if predicted else np.inf
    return deviation if np.isfinite(deviation) else np.inf


_HOW = {"reshuffled": "reshuffled epochs", "with_replacement": "batches drawn with replacement"}


def _whole_set(seen: Seen) -> list[Comparison]:
    """Return the books of the runs with two kinds of pulls: judged with the batches' own, reported with the whole's."""
    found = []
    for sampling, runs in seen.items():
        for layer in range(len(runs[0]["decay"])):
            decay = float(np.mean([told["decay"][layer] for told in runs]))
            found.append(
                Comparison(
                    f"{_HOW[sampling]}, layer {layer + 2}: decay against the batches' own pull, noise and ends",
                    "loss",
                    float(np.mean([told["balance"][layer] for told in runs])),
                    decay,
                    None,
                    inputs="gradients",
                    tolerance=TOLERANCE,
                    reason="exact, however batches are drawn",
                    key=f"own {sampling} layer {layer + 2}",
                )
            )
        for layer in range(len(runs[0]["decay"])):
            mean, error = _with_whole_set(runs, layer)
            expected = (
                "biased: batches yet to come in an epoch pull less than the average example"
                if sampling == "reshuffled"
                else "without bias: a batch is independent of the weights it meets"
            )
            found.append(
                Comparison(
                    f"{_HOW[sampling]}, layer {layer + 2}: the whole training set's pull, noise and ends against decay",
                    "loss",
                    float(np.mean([told["decay"][layer] for told in runs])),
                    mean,
                    error,
                    inputs="gradients",
                    reason=f"{expected}; the error is that of the pull, sampled with fresh examples",
                    error_over="blocks of steps",
                    key=f"whole {sampling} layer {layer + 2}",
                )
            )
    return found


def _with_whole_set(runs: Sequence[Mapping[str, NDArray[np.float64]]], layer: int) -> tuple[float, float]:
    """Return the mean over the blocks of all runs, and its error from the scatter of the blocks within each run."""
    blocks = [told["whole_set"][:, layer] for told in runs]
    errors = [float(standard_error(block)) for block in blocks]
    return float(np.mean([block.mean() for block in blocks])), float(np.sqrt(np.sum(np.square(errors)))) / len(runs)


def _points(books: Books) -> list[Curve]:
    found = []
    everything = [value for told in books.values() for name in ("decay", "balance") for value in told[name]]
    ends = np.array([np.nanmin(everything), np.nanmax(everything)])
    found.append(_curve("y = x", "balance", "theory", ends, ends, "decay"))
    for output, optimizer in itertools.product(OUTPUTS, OPTIMIZERS):
        chosen = [told for case, told in books.items() if (case.output, case.optimizer) == (output, optimizer)]
        balance, decay = (np.concatenate([told[name] for told in chosen]) for name in ("balance", "decay"))
        name, relative = f"{output} outputs, {optimizer}", np.abs(decay / balance - 1)
        found.append(_curve(name, "balance", "experiment", balance, decay, "decay"))
        found.append(_curve(name, "residual", "experiment", balance, relative, "deviation from y = x", "1"))
    found.append(_curve("tolerance", "residual", "theory", ends, np.full(2, TOLERANCE), "deviation from y = x", "1"))
    balance, decay, gone = (
        np.concatenate([told[name] for told in books.values()]) for name in ("balance", "decay", "ends")
    )
    found.append(_curve("without the ends", "balance", "reference", balance - gone, decay, "decay"))
    return found


def _whole_set_curves(seen: Seen) -> list[Curve]:
    found = []
    for sampling, runs in seen.items():
        n_layers = len(runs[0]["decay"])
        for pulls in ("own", "whole"):
            ratios, errors = [], []
            for layer in range(n_layers):
                decay = float(np.mean([told["decay"][layer] for told in runs]))
                mean = float(np.mean([told["balance"][layer] for told in runs]))
                mean, error = (mean, 0.0) if pulls == "own" else _with_whole_set(runs, layer)
                ratios.append(mean / decay)
                errors.append(error / decay)
            found.append(
                Curve(
                    f"{pulls}, {sampling}",
                    "whole set",
                    "experiment",
                    np.arange(2.0, n_layers + 2.0),
                    np.array(ratios),
                    "layer",
                    "1",
                    "pull, noise and ends over decay",
                    "1",
                    np.array(errors),
                )
            )
    return found


def _curve(name: str, panel: str, kind: Any, x: Any, y: Any, y_name: str, y_unit: str = "loss") -> Curve:
    return Curve(name, panel, kind, x, y, "pull, noise and ends", "loss", y_name, y_unit)
