"""How fast the norm of normalized weights comes back: after a kick, and after a drop of the learning rate.

The theory says that the fourth power of a neuron's norm forgets its past at 4 lr*weight_decay / (1 - momentum) per
step, whatever drives it: a statement about the norm at a given drive. The drive itself, the power of the gradient at
unit norm, answers to a kick as well, since longer weights turn more slowly and learn differently. Both are measured
here: the time constant at the drive that there was, which is judged, and the bare decay of the difference between a
kicked network and its twin, which is told beside it.

At a given drive q the fourth power x of the norm obeys x' - x = -x/T + b q, to leading order in the decay. Summed over
blocks of steps that is a linear regression for each neuron with two unknowns, of which 1/T is compared; the median is
taken over the neurons. Blocks are as long as the time constant, since a momentum buffer hands a gradient on over many
steps. Predicted is what the same regression finds in the exact recursion of the norm at a drive that never changes,
begun as the run is begun: it knows the hyperparameters alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import theory
from ..simulate import Constant
from .comparison import Comparison, Curve, Report, over_seeds
from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp
from .optimizers import SGD
from .provenance import provenance
from .record import Recording, TrainingRecord
from .seeds import fresh_generator, spawned_seeds
from .sweep import compute_all
from .training import check_fit, train, train_ensemble

__all__ = ["Relaxation", "run"]

Array = NDArray[np.float64]

HIDDEN, BATCH_SIZE = 30, 50
DECAY = 2e-3
"""Decay in one memory of the momentum, lr * weight_decay / (1 - momentum)."""
BURN_IN = 10
"""Memories 1/DECAY before the kick: what is left of the start is exp(-20) of a squared norm."""
LENGTH = 4
"""Time constants that are watched after it."""
SETTLING = 10
"""Memories of the momentum that are left out at first, while the buffer fills."""
KICK, DROP = 2.0, 3.0
"""Factors of the norms and of the learning rate: large against what the norms fluctuate by."""
MOMENTA = (0.0, 0.9)
RATES = {0.0: 0.1, 0.9: 0.02}
N_SEEDS = {"quick": 3, "full": 10}
TOLERANCE = 0.03
"""The regression is of leading order in the decay, and has a few hundred steps to learn from."""
NAMES = {0.0: "SGD", 0.9: "heavy ball"}


@dataclass(frozen=True)
class Relaxation:
    """Describe one network, its kicked twins, and its run on after a drop of the learning rate: a job of a sweep.

    Parameters
    ----------
    config : TrainingConfig
        Training up to the kick.
    seed : SeedSequence
        Where the random stream begins.
    n_steps : int
        Steps that are watched afterwards.
    """

    config: TrainingConfig
    seed: np.random.SeedSequence
    n_steps: int

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the configuration does not fit the data."""
        check_fit([self.config], data)

    def start(self, data: Dataset) -> dict[str, Array]:
        """Return fourth powers of the norms and unit gradient powers at every step, for twins and drop."""
        first, second, third = fresh_generator(self.seed).spawn(3)
        before = train(self.config, data, rng=first, record=Recording(pulls=False, evaluate=())).final
        epochs = -(-self.n_steps // self.config.steps_per_epoch(data.n_train))
        after = replace(self.config, epochs=epochs)
        watched = Recording(pulls=False, evaluate=(), motion=True, every_step_motion=True)
        starts = [_kicked(before, KICK), before]
        twins = train_ensemble([after, after], data, rng=second, batches="shared", initial=starts, record=watched)
        assert isinstance(after.lr, Constant)
        lower = replace(after, lr=Constant(after.lr.value / DROP))
        dropped = train(lower, data, rng=third, initial=before, record=watched)
        found = {}
        for name, record in (("kicked", twins[0]), ("twin", twins[1]), ("dropped", dropped)):
            for layer in range(2):
                fourth, drive = _fourth_and_drive(record, layer, self.n_steps)
                found[f"{name} fourth {layer}"], found[f"{name} drive {layer}"] = fourth, drive
        return found


def _kicked(network: Mlp, factor: float) -> Mlp:
    return replace(network, weights=tuple(factor * weights for weights in network.weights))


def _fourth_and_drive(record: TrainingRecord, layer: int, n_steps: int) -> tuple[Array, Array]:
    """Return the fourth power of each neuron's norm and the power at unit norm that drives it, (n_steps, n_neurons)."""
    motion = record.step_neuron_motion
    norm = motion["norm_squared"][layer][:n_steps]
    optimizer = record.config.optimizer
    momentum = optimizer.momentum if isinstance(optimizer, SGD) else 0.0
    power = motion["measured_power" if momentum else "gradient_power"][layer][:n_steps]
    return norm**2, power * norm


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
) -> Report:
    """Measure how fast norms come back after a kick and after a drop of the learning rate.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.

    Returns
    -------
    Report
        Time constants of SGD and heavy ball, judged at the drive that there was and told with the drive's answer.

    Raises
    ------
    DivergenceError
        If a run diverges.
    """
    seeds = spawned_seeds(rng, len(MOMENTA))
    n_seeds = N_SEEDS[scale]
    jobs = [
        Relaxation(_config(momentum, data), one, _first(momentum) + LENGTH * _steps(momentum, 1.0, DROP) + 1)
        for momentum, seed in zip(MOMENTA, seeds, strict=True)
        for one in seed.spawn(n_seeds)
    ]
    results = compute_all(jobs, data, n_jobs=n_jobs, progress=progress)
    comparisons: list[Comparison] = []
    curves: list[Curve] = []
    for place, momentum in enumerate(MOMENTA):
        mine = results[place * n_seeds : (place + 1) * n_seeds]
        for layer in range(2):
            comparisons += _compared(momentum, mine, layer)
            curves += _curves(momentum, mine, layer)
    return Report(
        experiment="relaxation",
        comparisons=tuple(comparisons),
        curves=(*curves, *_ratios(comparisons)),
        provenance=provenance(
            experiment="relaxation",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                "hidden": HIDDEN,
                "batch_size": BATCH_SIZE,
                "decay_per_memory": DECAY,
                "lr": {NAMES[momentum]: RATES[momentum] for momentum in MOMENTA},
                "momentum": max(MOMENTA),
                "kick": KICK,
                "drop": DROP,
                "n_seeds": n_seeds,
            },
            data=data,
        ),
    )


def _config(momentum: float, data: Dataset) -> TrainingConfig:
    lr = RATES[momentum]
    batch_size = min(BATCH_SIZE, data.n_train)
    per_epoch = -(-data.n_train // batch_size)
    return TrainingConfig.pytorch(
        layers=[data.n_inputs, HIDDEN, data.n_classes],
        lr=lr,
        weight_decay=DECAY * (1 - momentum) / lr,
        batch_size=batch_size,
        epochs=-(-round(BURN_IN / DECAY) // per_epoch),
        initialization="he",
        activation="relu",
        output="softmax",
        biases=False,
        normalized="all",
        optimizer=SGD(momentum=momentum),
        dtype="float64",
    )


def _time_constant(momentum: float, drop: float = 1.0) -> float:
    """Return the theory's time constant of a norm's fourth power, in steps, at a learning rate divided by drop."""
    lr = RATES[momentum] / drop
    values = {"lr": lr, "weight_decay": DECAY * (1 - momentum) / RATES[momentum], "gradient_power": 1.0}
    optimizer = theory.HEAVY_BALL if momentum else theory.SGD
    values |= {"momentum": momentum, "dampening": 0.0} if momentum else {}
    equilibrium = theory.equilibrium(optimizer, symmetry="scale")
    asked = equilibrium.arguments("relaxation_rate")
    rate = float(equilibrium.numeric("relaxation_rate", **{name: values[name] for name in asked}))
    return 1 / rate


def _steps(momentum: float, *drops: float) -> int:
    return round(max(_time_constant(momentum, drop) for drop in drops))


def _first(momentum: float) -> int:
    return round(SETTLING / (1 - momentum)) if momentum else 0


def _theory_run(momentum: float, n_steps: int, *, kick: float = 1.0, drop: float = 1.0) -> tuple[Array, Array]:
    """Return norm^4 and its drive, both (n_steps, 1), by the theory's recursion at a drive that never changes.

    The run begins in equilibrium, its norm then multiplied by kick and its learning rate divided by drop, with an empty
    buffer.
    """
    lr, weight_decay, drive = RATES[momentum], DECAY * (1 - momentum) / RATES[momentum], 1.0
    rates = {"lr": lr, "weight_decay": weight_decay}
    norms = np.empty(n_steps)
    if momentum:
        derivation = theory.derive("heavy-ball-measured-power")
        rest = derivation.numeric("norm_squared_scale", unit_measured_power=drive, momentum=momentum, **rates)
        step, buffered = derivation.function("norm_squared_next"), derivation.function("buffer_power_next")
        norm = before = float(rest) * kick**2
        power = 0.0
        for k in range(n_steps):
            norms[k] = norm
            following = buffered(power, lr / drop, drive / norm, momentum, norm, before, weight_decay)
            norm, before, power = (
                step(power, following, lr / drop, momentum, norm, before, weight_decay),
                norm,
                following,
            )
    else:
        derivation = theory.derive("scale-invariant-step")
        step = derivation.function("norm_squared_next")
        norm = float(derivation.numeric("norm_squared_stationary", unit_gradient_power=drive, **rates)) * kick**2
        for k in range(n_steps):
            norms[k] = norm
            norm = step(lr / drop, norm, drive, weight_decay)
    return norms[:, None] ** 2, np.full((n_steps, 1), drive)


def _regressed(fourth: Array, drive: Array, first: int, block: int, length: int) -> float:
    """Return the time constant T of x' - x = -x/T + b q from blocks of steps, median over neurons, in steps."""
    fourth, drive = fourth[first : first + length + 1], drive[first : first + length + 1]
    change = (fourth[block:] - fourth[:-block]) / block
    mean_fourth, mean_drive = (_running_mean(values[:-1], block) for values in (fourth, drive))
    constants = []
    for neuron in range(fourth.shape[1]):
        columns = np.stack([mean_fourth[:, neuron], mean_drive[:, neuron]], axis=1)
        scales = columns.mean(axis=0)
        (lost, _), *_ = np.linalg.lstsq(columns / scales, change[:, neuron], rcond=None)
        constants.append(-scales[0] / lost)
    return float(np.median(constants)) if constants else math.nan


def _running_mean(values: Array, block: int) -> Array:
    """Return the means over every block of neighbouring rows."""
    sums = np.cumsum(np.concatenate([np.zeros((1, values.shape[1])), values]), axis=0)
    means: Array = (sums[block:] - sums[:-block]) / block
    return means


def _living(found: dict[str, Array], layer: int) -> NDArray[np.bool_]:
    """Return which neurons have a gradient in every run."""
    alive: NDArray[np.bool_] = np.all(
        [found[f"{name} drive {layer}"].mean(axis=0) > 0 for name in ("kicked", "twin", "dropped")], axis=0
    )
    return alive


def _bare(found: dict[str, Array], layer: int, momentum: float, living: NDArray[np.bool_]) -> float:
    """Return the time constant of the twins' difference as it is, from its sums over two windows, in steps."""
    difference = _difference(found, layer, living)
    first, length = _first(momentum), _steps(momentum, 1.0)
    early = float(difference[first : first + length].sum())
    late = float(difference[first + length : first + 2 * length].sum())
    return length / math.log(early / late) if early > late > 0 else math.nan


def _difference(found: dict[str, Array], layer: int, living: NDArray[np.bool_]) -> Array:
    """Return the twins' difference of norm^4, mean over neurons, each in units of what it was at first."""
    apart = found[f"kicked fourth {layer}"][:, living] - found[f"twin fourth {layer}"][:, living]
    mean: Array = (apart / apart[0]).mean(axis=1)
    return mean


def _compared(momentum: float, results: list[dict[str, Array]], layer: int) -> list[Comparison]:
    where = f"{NAMES[momentum]}, {'hidden' if layer == 0 else 'output'} layer"
    first = _first(momentum)
    estimates = {}
    for name, kick, drop in (("kicked", KICK, 1.0), ("dropped", 1.0, DROP)):
        block = _steps(momentum, drop)
        fit: dict[str, Any] = {"first": first, "block": block, "length": LENGTH * block}
        measured = []
        for found in results:
            living = _living(found, layer)
            fourth, drive = (found[f"{name} {part} {layer}"][:, living] for part in ("fourth", "drive"))
            measured.append(_regressed(fourth, drive, **fit))
        expected = _theory_run(momentum, first + LENGTH * block + 1, kick=kick, drop=drop)
        estimates[name] = (_regressed(*expected, **fit), measured)
    bare = [_bare(found, layer, momentum, _living(found, layer)) for found in results]
    at_drive = "at the drive that there was, so that what the gradients answer does not count"
    told: dict[str, Any] = {"unit": "steps", "tolerance": TOLERANCE}
    return [
        over_seeds(
            f"time constant of norm⁴ after a kick, {where}",
            *estimates["kicked"],
            "hyperparameters",
            at_drive,
            key=f"kick {where}",
            **told,
        ),
        over_seeds(
            f"time constant of norm⁴ after the learning rate drops by {DROP:g}, {where}",
            *estimates["dropped"],
            "hyperparameters",
            at_drive,
            key=f"drop {where}",
            **told,
        ),
        over_seeds(
            f"time constant of the difference between kicked twins, {where}",
            _time_constant(momentum),
            bare,
            "hyperparameters",
            "the gradients answer to the kick: longer weights turn more slowly, and their unit gradient changes",
            key=f"bare {where}",
            unit="steps",
        ),
    ]


def _ratios(comparisons: list[Comparison]) -> list[Curve]:
    """Return measured over predicted time constants: SGD after kick and drop, then heavy ball."""
    curves = []
    for layer in ("hidden", "output"):
        found = [
            next(one for one in comparisons if one.key == f"{cause} {NAMES[momentum]}, {layer} layer")
            for momentum in MOMENTA
            for cause in ("kick", "drop")
        ]
        curves.append(
            Curve(
                name=layer,
                panel="time constants",
                kind="experiment",
                x=np.arange(len(found), dtype=float),
                y=np.array([one.ratio for one in found]),
                x_name="SGD after kick, drop; heavy ball after kick, drop",
                x_unit="1",
                y_name="measured over predicted time constant",
                y_unit="1",
                standard_error=np.array([(one.standard_error or np.nan) / one.predicted for one in found]),
            )
        )
    return curves


def _curves(momentum: float, results: list[dict[str, Array]], layer: int) -> list[Curve]:
    """Return the twins' difference after the kick, beside the exponential of the theory."""
    name = f"{NAMES[momentum]}, {'output' if layer else 'hidden'}"
    constant = _time_constant(momentum)
    steps = np.arange(0, min(LENGTH * round(constant), len(results[0]["twin fourth 0"])), max(1, round(constant / 15)))
    apart = np.array([_difference(found, layer, _living(found, layer))[steps] for found in results])
    axes: dict[str, Any] = {
        "panel": NAMES[momentum],
        "x_name": "time after the kick over the predicted time constant",
        "x_unit": "1",
        "y_name": "difference of norm⁴ between twins over that of the kick",
        "y_unit": "1",
    }
    x = steps / constant
    curves = [
        Curve(
            name=name,
            kind="experiment",
            x=x,
            y=apart.mean(axis=0),
            standard_error=apart.std(axis=0, ddof=1) / math.sqrt(len(apart)) if len(apart) > 1 else None,
            **axes,
        )
    ]
    if not layer:
        curves.insert(0, Curve(name="theory at a given drive", kind="theory", x=x, y=np.exp(-x), **axes))
    return curves
