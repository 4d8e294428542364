"""Where leading formulas fail: a map over the decay per step, momentum, reshuffled batches and number formats.

The leading order of an equilibrium is what is quoted; the exact theory says by how much it is wrong. Networks whose
norms and rotation are measured show which of the two holds, and where neither does: at a large decay the norm itself
fluctuates, and over reshuffled epochs the gradients are not white. Nothing here has a tolerance.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import theory
from ..simulate import NUMBER_FORMATS, rounded_decay
from ..theory import derive
from .comparison import Comparison, Curve, Report, over_seeds, standard_error
from .configuration import TrainingConfig
from .datasets import Dataset
from .optimizers import SGD, Adam, Optimizer
from .provenance import provenance
from .record import Recording, TrainingRecord
from .seeds import spawned_seeds
from .sweep import Run, train_all
from .training import raise_if_diverged

__all__ = ["Setting", "run"]

Array = NDArray[np.float64]

HIDDEN, MOMENTUM = 16, 0.9
DECAYS = (2e-3, 1e-2, 0.1, 0.3)
"""Decay per step lr * weight_decay of the networks: two where leading formulas hold, two where they do not."""
MOMENTA = (0.5, 0.9, 0.99)
MEMORY_DECAY = 1e-2
"""Decay per step at which the momentum varies: with 0.99 the momentum remembers as long as the weights do."""
BATCH_SIZES = {"short epochs": 250, "long epochs": 50}
EPOCH_DECAY = 5e-3
"""Decay per step where epochs are compared: of MNIST's, the short ones are one memory of the weights long."""
RATES = {"SGD": 0.1, "heavy ball": 0.02, "AdamW": 1e-3}
BURN_IN, WINDOW = 5, {"quick": 15, "full": 60}
"""In memories of the weights 1/(lr*weight_decay): after five the start has left exp(-10) of a squared norm."""
N_SEEDS = {"quick": 1, "full": 3}
FORMATS = ("float32", "float16", "bfloat16")
LEAST_DECAY, MOST_DECAY = 1e-4, 0.3
MAP = "a map of where the formula holds, without a tolerance"
LINEAR: dict[str, tuple[Any, dict[str, float]]] = {
    "SGD": (theory.SGD, {}),
    "heavy ball": (theory.HEAVY_BALL, {"dampening": 0.0}),
    "Nesterov": (theory.NESTEROV, {}),
    "averaged gradients": (theory.EMA, {}),
}
"""The linear optimizers, and the arguments of theirs that stay."""
COUPLINGS, ORDERS, SAMPLINGS = ("coupled", "decoupled"), ("exact", "leading"), ("with_replacement", "reshuffled")
QUANTITIES = {"angular_update": "angular update", "norm_squared": "squared norm"}


@dataclass(frozen=True)
class Setting:
    """Say what a network is trained with.

    Parameters
    ----------
    name : str
        What the optimizer is called, a key of `RATES`.
    optimizer : Optimizer
        What trains.
    decay_per_step : float
        lr * weight_decay.
    sampling : {"with_replacement", "reshuffled"}, optional
        How mini-batches are drawn.
    batch_size : int, optional
        Examples in one.
    """

    name: str
    optimizer: Optimizer
    decay_per_step: float
    sampling: str = "with_replacement"
    batch_size: int = BATCH_SIZES["long epochs"]

    @property
    def lr(self) -> float:
        """Learning rate."""
        return RATES[self.name]

    @property
    def rates(self) -> dict[str, float]:
        """Learning rate and decay coefficient, as the theory takes them."""
        return {"lr": self.lr, "weight_decay": self.decay_per_step / self.lr}


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
) -> Report:
    """Map where the leading formulas for norm and rotation fail.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.

    Returns
    -------
    Report
        Comparisons without a tolerance.

    Raises
    ------
    DivergenceError
        If a run diverges.
    """
    settings = _settings()
    n_seeds = N_SEEDS[scale]
    seeds = spawned_seeds(rng, len(settings))
    runs = [
        _run(setting, one, scale, data)
        for setting, seed in zip(settings, seeds, strict=True)
        for one in seed.spawn(n_seeds)
    ]
    records = train_all(runs, data, n_jobs=n_jobs, progress=progress)
    for record in records:
        raise_if_diverged(record)
    found = {setting: records[place * n_seeds : (place + 1) * n_seeds] for place, setting in enumerate(settings)}
    ordered = dict.fromkeys([*_by_decay(), *_by_momentum()])
    compared = [one for setting in ordered for one in _against_theory(setting, found[setting])]
    compared += [_reshuffled(setting, found[setting], data) for setting in _by_epoch()]
    compared += [_floor(name) for name in FORMATS]
    curves = [*_decay_curves(found), *_momentum_curves(found), *_epoch_curves(compared, data), *_format_curves()]
    return Report(
        experiment="validity",
        comparisons=tuple(compared),
        curves=tuple(curves),
        provenance=provenance(
            experiment="validity",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                "hidden": HIDDEN,
                "momentum": MOMENTUM,
                "momenta": list(MOMENTA),
                "decays_per_step": list(DECAYS),
                "memory_decay_per_step": MEMORY_DECAY,
                "epoch_decay_per_step": EPOCH_DECAY,
                "batch_sizes": dict(BATCH_SIZES),
                "lr": dict(RATES),
                "n_seeds": n_seeds,
                "window": WINDOW[scale],
            },
            data=data,
        ),
    )


def _by_decay() -> list[Setting]:
    return [
        Setting(name, SGD(momentum=momentum), decay)
        for name, momentum in (("SGD", 0.0), ("heavy ball", MOMENTUM))
        for decay in DECAYS
    ]


def _by_momentum() -> list[Setting]:
    return [
        Setting("heavy ball", SGD(momentum=momentum, coupling=coupling), MEMORY_DECAY)
        for coupling in COUPLINGS
        for momentum in MOMENTA
    ]


def _by_epoch() -> list[Setting]:
    return [
        Setting(name, optimizer, EPOCH_DECAY, sampling, batch_size)
        for name, optimizer in (("heavy ball", SGD(momentum=MOMENTUM)), ("AdamW", Adam(coupling="decoupled")))
        for batch_size in BATCH_SIZES.values()
        for sampling in SAMPLINGS
    ]


def _settings() -> list[Setting]:
    return list(dict.fromkeys([*_by_decay(), *_by_momentum(), *_by_epoch()]))


def _run(setting: Setting, seed: np.random.SeedSequence, scale: str, data: Dataset) -> Run:
    """Return one run: a start that is forgotten, and a window that is measured."""
    batch_size = min(setting.batch_size, data.n_train)
    burn_in = round(BURN_IN / setting.decay_per_step)
    total = burn_in + round(WINDOW[scale] / setting.decay_per_step)
    config = TrainingConfig.pytorch(
        layers=[data.n_inputs, HIDDEN, data.n_classes],
        lr=setting.lr,
        weight_decay=setting.decay_per_step / setting.lr,
        batch_size=batch_size,
        epochs=-(-total // -(-data.n_train // batch_size)),
        initialization="he",
        activation="tanh",  # no unit dies: without gradient a decay of 0.3 leaves nothing of one in a thousand steps
        output="softmax",
        biases=False,
        normalized="all",
        optimizer=setting.optimizer,
        sampling=setting.sampling,
        dtype="float64",
    )
    recording = Recording(steps=(burn_in,), pulls=False, evaluate=(), motion=True, every_step_norms=True)
    return Run(config, seed, recording)


def _median(record: TrainingRecord, values: Array) -> float:
    """Return the median over the hidden neurons that had a gradient in the window."""
    alive = record.neuron_motion["gradient_power"][0][-1] > 0
    return float(np.median(values[alive])) if alive.any() else math.nan


def _measured(record: TrainingRecord, quantity: str) -> Array:
    """Return a quantity of each hidden neuron over the window."""
    motion = record.neuron_motion
    if quantity == "norm_squared":
        return np.asarray(motion["norm_squared"][0][-1])
    return np.asarray(np.arccos(1 - motion["one_minus_cosine"][0][-1]))


def _lowest(record: TrainingRecord) -> float:
    """Return the least norm in the window over its root mean square, median over the hidden neurons."""
    assert record.step_neuron_norm_squared is not None
    norms = record.step_neuron_norm_squared[0][record.steps[-2] :]
    return _median(record, np.sqrt(norms.min(axis=0) / norms.mean(axis=0)))


def _predicted(setting: Setting, record: TrainingRecord, quantity: str, order: str) -> Array:
    """Return what a formula says of each hidden neuron, given the power of its gradients.

    With momentum and L2 the power counts what a gradient has in common with earlier ones, which is exact.
    """
    optimizer = setting.optimizer
    assert isinstance(optimizer, SGD)  # the settings by decay and momentum have no other
    told = bool(optimizer.momentum) and optimizer.coupling == "coupled"
    power = record.neuron_motion["measured_power" if told else "gradient_power"][0][-1]
    values = setting.rates | {
        "gradient_power": np.where(power > 0, power, 1.0),
        "momentum": optimizer.momentum,
        "dampening": optimizer.dampening,
    }
    kind = theory.HEAVY_BALL if optimizer.momentum else theory.SGD
    equilibrium = theory.equilibrium(kind, coupling=optimizer.coupling, order=order)
    found = equilibrium.numeric(quantity, **{name: values[name] for name in equilibrium.arguments(quantity)})
    return np.broadcast_to(np.asarray(found, dtype=np.float64), power.shape)


def _ratio(setting: Setting, record: TrainingRecord, quantity: str, order: str) -> float:
    """Return measured over predicted, median over the hidden neurons."""
    return _median(record, _measured(record, quantity) / _predicted(setting, record, quantity, order))


def _describe(setting: Setting) -> str:
    if isinstance(setting.optimizer, SGD) and setting.optimizer.momentum:
        coupling = "" if setting.optimizer.coupling == "coupled" else ", decoupled"
        return f"heavy ball {setting.optimizer.momentum:g}{coupling} at {setting.decay_per_step:g}"
    return f"{setting.name} at {setting.decay_per_step:g}"


def _against_theory(setting: Setting, records: Sequence[TrainingRecord]) -> list[Comparison]:
    """Compare angle and norm with the leading and the exact formula, and the norm with what both formulas assume."""
    given = {"angular_update": "hyperparameters", "norm_squared": "gradients"}
    steady = over_seeds(
        f"least norm over its root mean square, of which formulas assume 1, {_describe(setting)} per step",
        1.0,
        [_lowest(record) for record in records],
        "nothing",
        MAP,
        key=f"least norm {_describe(setting)}",
    )
    compared = [
        over_seeds(
            f"{words} over the {order} formula, {_describe(setting)} per step",
            1.0,
            [_ratio(setting, record, quantity, order) for record in records],
            given[quantity],
            MAP,
            key=f"{words} {order} {_describe(setting)}",
        )
        for quantity, words in QUANTITIES.items()
        for order in ORDERS
    ]
    return [*compared, steady]


def _epoch_key(setting: Setting) -> str:
    return f"{setting.sampling} {setting.name} batch {setting.batch_size}"


def _reshuffled(setting: Setting, records: Sequence[TrainingRecord], data: Dataset) -> Comparison:
    """Compare the norm with that of white gradients of the measured power, for one way of drawing batches."""
    steps = -(-data.n_train // min(setting.batch_size, data.n_train))
    drawn = "drawn with replacement" if setting.sampling == "with_replacement" else "reshuffled every epoch"
    return over_seeds(
        f"squared norm over that of white gradients, {setting.name}, batches {drawn}, {steps} steps in an epoch",
        1.0,
        [_median(record, _measured(record, "norm_squared") / _white(setting, record)) for record in records],
        "gradients" if setting.name == "heavy ball" else "hyperparameters",
        MAP,
        key=_epoch_key(setting),
    )


def _white(setting: Setting, record: TrainingRecord) -> Array:
    """Return the squared norm of each hidden neuron that white gradients of its power at unit norm would make."""
    motion = record.neuron_motion
    unit_power = motion["gradient_power"][0][-1] * motion["norm_squared"][0][-1]
    optimizer = setting.optimizer
    values: dict[str, Any] = setting.rates | {"gradient_power": np.where(unit_power > 0, unit_power, 1.0)}
    values["n_weights"] = record.final.weights[0].shape[1]
    if isinstance(optimizer, Adam):
        kind: Any = theory.ADAM
        values |= {"beta1": optimizer.beta1, "beta2": optimizer.beta2}
    else:
        assert isinstance(optimizer, SGD)  # the settings have no other
        kind = theory.HEAVY_BALL
        values |= {"momentum": optimizer.momentum, "dampening": optimizer.dampening}
    equilibrium = theory.equilibrium(kind, coupling=optimizer.coupling, symmetry="scale")
    found = equilibrium.numeric(
        "norm_squared", **{name: values[name] for name in equilibrium.arguments("norm_squared")}
    )
    return np.broadcast_to(np.asarray(found, dtype=np.float64), unit_power.shape)


def _floor(number_format: str) -> Comparison:
    """Compare the largest decay per step that moves no weight, by the theory and by rounding itself."""
    spacing = 2.0 ** -NUMBER_FORMATS[number_format]
    low, high = spacing / 16, 16 * spacing
    while high / low > 1 + 1e-4:
        middle = math.sqrt(low * high)
        low, high = (low, middle) if rounded_decay(middle, number_format).share_moving else (middle, high)
    return Comparison(
        f"largest decay per step that moves no weight in {number_format}",
        "1",
        float(derive("number-format-floor").numeric("decay_floor", spacing=spacing)),
        low,
        None,
        "nothing",
        reason="found by rounding weights over a factor of two",
        key=f"floor {number_format}",
    )


def _axes(panel: str, x_name: str, y_name: str) -> dict[str, Any]:
    return {"panel": panel, "x_name": x_name, "x_unit": "1", "y_name": y_name, "y_unit": "1"}


def _over_leading(name: str, coupling: str, quantity: str, **values: Any) -> Array:
    """Return the exact over the leading formula of a linear optimizer at given gradients."""
    optimizer, fixed = LINEAR[name]
    given = {"gradient_power": 1.0} | fixed | values
    exact, leading = (
        equilibrium.numeric(quantity, **{argument: given[argument] for argument in equilibrium.arguments(quantity)})
        for equilibrium in (theory.equilibrium(optimizer, coupling=coupling, order=order) for order in ORDERS)
    )
    return np.asarray(exact / leading, dtype=np.float64)


def _points(
    found: dict[Setting, list[TrainingRecord]], settings: Sequence[Setting], quantity: str
) -> tuple[Array, Array]:
    """Return measured over leading, mean over seeds, and its standard error."""
    ratios = np.array([[_ratio(one, record, quantity, "leading") for record in found[one]] for one in settings])
    return ratios.mean(axis=1), standard_error(ratios.T)


def _decay_curves(found: dict[Setting, list[TrainingRecord]]) -> list[Curve]:
    """Return exact and measured over leading against the decay per step, with L2 regularization."""
    decays = np.geomspace(LEAST_DECAY, MOST_DECAY, 60)
    curves = []
    for quantity, words in QUANTITIES.items():
        axes = _axes(f"{words} by decay", "lr times weight_decay", f"{words} over the leading formula")
        for name in LINEAR:
            y = _over_leading(name, "coupled", quantity, lr=1.0, weight_decay=decays, momentum=MOMENTUM)
            curves.append(Curve(name=name, kind="theory", x=decays, y=y, **axes))
        for name in ("SGD", "heavy ball"):
            settings = [one for one in _by_decay() if one.name == name]
            y, error = _points(found, settings, quantity)
            x = np.array([one.decay_per_step for one in settings])
            curves.append(Curve(name=f"{name}, trained", kind="experiment", x=x, y=y, standard_error=error, **axes))
    return curves


def _momentum_curves(found: dict[Setting, list[TrainingRecord]]) -> list[Curve]:
    """Return the same against the memory of heavy ball, coupled and decoupled."""
    momenta = 1 - np.geomspace(1.0, 0.01, 50)
    momenta[0] = 1e-6  # the theory of heavy ball begins above 0
    curves = []
    for quantity, words in QUANTITIES.items():
        axes = _axes(f"{words} by momentum", "1/(1 - momentum) in steps", f"{words} over the leading formula")
        for coupling in COUPLINGS:
            told = {"lr": 1.0, "weight_decay": MEMORY_DECAY, "momentum": momenta}
            y = _over_leading("heavy ball", coupling, quantity, **told)
            curves.append(Curve(name=coupling, kind="theory", x=1 / (1 - momenta), y=y, **axes))
            settings = [one for one in _by_momentum() if one.optimizer.coupling == coupling]
            y, error = _points(found, settings, quantity)
            x = 1 / (1 - np.array(MOMENTA))
            curves.append(Curve(name=f"{coupling}, trained", kind="experiment", x=x, y=y, standard_error=error, **axes))
    return curves


def _epoch_curves(compared: Sequence[Comparison], data: Dataset) -> list[Curve]:
    """Return the norms over those of white gradients against the length of an epoch, for both ways of drawing."""
    by_key = {one.key: one for one in compared}
    axes = _axes("epochs", "steps in an epoch times lr*weight_decay", "squared norm over that of white gradients")
    curves = []
    for name in ("heavy ball", "AdamW"):
        for sampling in SAMPLINGS:
            settings = [one for one in _by_epoch() if (one.name, one.sampling) == (name, sampling)]
            told = [by_key[_epoch_key(one)] for one in settings]
            x = np.array([-(-data.n_train // min(one.batch_size, data.n_train)) * EPOCH_DECAY for one in settings])
            y = np.array([one.measured for one in told])
            error = np.array([np.nan if one.standard_error is None else one.standard_error for one in told])
            label = f"{name}, {sampling.replace('_', ' ')}"
            curves.append(Curve(name=label, kind="experiment", x=x, y=y, standard_error=error, **axes))
    return curves


def _format_curves() -> list[Curve]:
    """Return the decay that number formats do over the decay meant."""
    decays = np.geomspace(1e-9, 0.1, 161)
    axes = _axes("formats", "decay per step", "decay done over decay meant")
    return [
        Curve(
            name=name,
            kind="simulation",
            x=decays,
            y=np.array([rounded_decay(float(decay), name).decay_mean / decay for decay in decays]),
            **axes,
        )
        for name in FORMATS
    ]
