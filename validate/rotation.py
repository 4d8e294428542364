"""How fast normalized weights turn and how large they become, for every optimizer.

A normalized neuron does not feel the length of its weights, so decay and the optimizer's own steps alone decide length
and rotation. With SGD, momentum or not, rotation follows from the hyperparameters whatever the gradients are. For the
other optimizers the value for white gradients is told beside what is measured, and the Green-Kubo identity checks that
the norm is the sum of the autocovariances of the updates: how that sum grows with its cut-off says which time scale
sets the norm.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .. import theory
from ..theory import derive
from .comparison import Comparison, Curve, Report, over_seeds
from .configuration import TrainingConfig
from .datasets import Dataset
from .optimizers import SGD, Adam, Lion, Muon, Optimizer, RMSprop, SignSGD
from .provenance import provenance
from .record import Recording, TrainingRecord
from .seeds import spawned_seeds
from .sweep import Run, train_all
from .training import raise_if_diverged

__all__ = ["CASES", "Case", "run"]

Array = NDArray[np.float64]

HIDDEN, BATCH_SIZE = 16, 50
JUDGED_DECAY, OTHERS_DECAY = 2e-3, 1e-2
"""Decay in one memory of the momentum, lr * weight_decay / (1 - momentum), of the judged cases, and decay per step of
the others: slow enough that the networks learn, fast enough for many memories of the norm in a run."""
BURN_IN, WINDOW = 10, {"quick": (40, 40), "full": (80, 60)}
"""In units of one over that decay: before measuring, and the window, of the judged cases and of the others. After ten
the start has left exp(-20) of a squared norm."""
CUT_OFF = 6
"""The autocovariances are summed to so many times 1/(lr*weight_decay): what is left out has a weight below exp(-6)."""
N_SEEDS = {"quick": (2, 1), "full": (3, 2)}
EXACT, IDENTITY = 0.005, 0.03
"""Tolerances. Rotation under SGD is exact for a stationary norm, which a finite window is up to its drift. The identity
is one of means over an infinite run; the window has a few tens of memories, and its cut-off leaves out exp(-6)."""
MOST_POINTS = 50


@dataclass(frozen=True)
class Case:
    """Say what is trained, and what its theory is.

    Parameters
    ----------
    name : str
        What the optimizer is called.
    optimizer : Optimizer
        What trains.
    lr : float
        Learning rate; with the decay per step it sets the decay coefficient.
    theory : LinearOptimizer or one of theory's other optimizers
        What predicts the rotation under white gradients.
    parameters : tuple of (str, float)
        The theory's own arguments.
    """

    name: str
    optimizer: Optimizer
    lr: float
    theory: Any
    parameters: tuple[tuple[str, float], ...] = ()

    @property
    def judged(self) -> bool:
        """Whether rotation and norm are exact without whiteness: SGD and heavy ball."""
        return isinstance(self.optimizer, SGD) and not self.optimizer.nesterov


MOMENTUM = 0.9
CASES = (
    Case("SGD", SGD(), 0.1, theory.SGD),
    Case("heavy ball", SGD(momentum=MOMENTUM), 0.02, theory.HEAVY_BALL, (("momentum", MOMENTUM), ("dampening", 0.0))),
    Case("Nesterov", SGD(momentum=MOMENTUM, nesterov=True), 0.02, theory.NESTEROV, (("momentum", MOMENTUM),)),
    Case("RMSprop", RMSprop(coupling="decoupled"), 1e-3, theory.RMSPROP, (("smoothing", 0.99),)),
    Case("Adam + L2", Adam(), 0.03, theory.ADAM, (("beta1", 0.9), ("beta2", 0.999))),
    Case("AdamW", Adam(coupling="decoupled"), 1e-3, theory.ADAM, (("beta1", 0.9), ("beta2", 0.999))),
    Case("sign-SGD", SignSGD(coupling="decoupled"), 1e-3, theory.SIGN_SGD),
    Case("Signum", SignSGD(momentum=MOMENTUM, coupling="decoupled"), 1e-3, theory.SIGNUM, (("momentum", MOMENTUM),)),
    Case("Lion", Lion(), 1e-3, theory.LION, (("beta1", 0.9), ("beta2", 0.99))),
    Case("Muon", Muon(momentum=MOMENTUM), 1e-2, theory.MUON, (("momentum", MOMENTUM),)),
)


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
) -> Report:
    """Measure rotation and norm of normalized layers for every optimizer.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.

    Returns
    -------
    Report
        Rotation and norm of SGD and heavy ball are judged; of the others rotation is told beside its value for white
        gradients, and the Green-Kubo identity is judged as a check of the implementation.

    Raises
    ------
    DivergenceError
        If a run diverges.
    """
    seeds = spawned_seeds(rng, len(CASES))
    runs: list[Run] = []
    for case, seed in zip(CASES, seeds, strict=True):
        runs += [_run(case, one, scale, data) for one in seed.spawn(N_SEEDS[scale][not case.judged])]
    records = train_all(runs, data, n_jobs=n_jobs, progress=progress)
    for record in records:
        raise_if_diverged(record)
    comparisons: list[Comparison] = []
    curves: list[Curve] = []
    bars: list[tuple[str, Comparison]] = []
    for case in CASES:
        n = N_SEEDS[scale][not case.judged]
        mine, records = records[:n], records[n:]
        for layer in range(2):
            comparisons += _rotation(case, mine, layer)
        bars.append((case.name, comparisons[-1 if case.judged else -2]))
        if not case.judged:
            curves.append(_growth(case, mine))
        comparisons.append(_dead(case, mine))
    return Report(
        experiment="rotation",
        comparisons=tuple(comparisons),
        curves=(*_ratios(comparisons), *curves),
        provenance=provenance(
            experiment="rotation",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                "hidden": HIDDEN,
                "batch_size": BATCH_SIZE,
                "decay_per_memory_judged": JUDGED_DECAY,
                "decay_per_step_others": OTHERS_DECAY,
                "n_seeds": list(N_SEEDS[scale]),
                "window": list(WINDOW[scale]),
                "cut_off": CUT_OFF,
            },
            data=data,
        ),
    )


def _decay(case: Case) -> float:
    """Return the decay per step."""
    if isinstance(case.optimizer, SGD) and case.judged:
        return JUDGED_DECAY * (1 - case.optimizer.momentum)
    return OTHERS_DECAY


def _run(case: Case, seed: np.random.SeedSequence, scale: str, data: Dataset) -> Run:
    """Return one run: a start that is forgotten, and a window that is measured."""
    decay = _decay(case)
    memory = 1 / (JUDGED_DECAY if case.judged else OTHERS_DECAY)
    burn_in = round(BURN_IN * memory)
    per_epoch = -(-data.n_train // BATCH_SIZE)
    epochs = -(-(burn_in + round(WINDOW[scale][not case.judged] * memory)) // per_epoch)
    config = TrainingConfig.pytorch(
        layers=[data.n_inputs, HIDDEN, data.n_classes],
        lr=case.lr,
        weight_decay=decay / case.lr,
        batch_size=min(BATCH_SIZE, data.n_train),
        epochs=epochs,
        initialization="he",
        activation="relu",
        output="softmax",
        biases=False,
        normalized="all",
        optimizer=case.optimizer,
        dtype="float64",  # a neuron that died decays below what float32 can tell from nothing
    )
    lags: dict[str, Any] = (
        {} if case.judged else {"autocovariance_lags": round(CUT_OFF / decay), "autocovariance_from": burn_in}
    )
    return Run(config, seed, Recording(steps=(burn_in,), pulls=False, evaluate=(), motion=True, **lags))


def _living(record: TrainingRecord, layer: int) -> NDArray[np.bool_]:
    """Return which neurons had a gradient in the window."""
    alive: NDArray[np.bool_] = record.neuron_motion["gradient_power"][layer][-1] > 0
    return alive


def _median(record: TrainingRecord, layer: int, values: Array) -> float:
    """Return the median over the neurons that live."""
    alive = _living(record, layer)
    return float(np.median(values[alive])) if alive.any() else float("nan")


def _mean_angle(record: TrainingRecord, layer: int) -> float:
    """Return the angle whose cosine is the mean cosine between consecutive weights, median over neurons, in rad."""
    turned = record.neuron_motion["one_minus_cosine"][layer][-1]
    return _median(record, layer, np.arccos(1 - turned))


def _rotation(case: Case, records: Sequence[TrainingRecord], layer: int) -> list[Comparison]:
    """Compare rotation and norm of one layer."""
    where = f"{case.name}, {'hidden' if layer == 0 else 'output'} layer"
    rates = {"lr": case.lr, "weight_decay": _decay(case) / case.lr}
    measured = [_mean_angle(record, layer) for record in records]
    norms = [record.neuron_motion["norm_squared"][layer][-1] for record in records]
    told = {"key": f"angular update of {where}", "unit": "rad"}
    if not case.judged:
        white = [_white(case, record, layer, rates) for record in records]
        identity = [
            _median(record, layer, norm / _green_kubo(record, layer, rates))
            for record, norm in zip(records, norms, strict=True)
        ]
        given = "outputs" if case.name == "Adam + L2" else "hyperparameters"
        return [
            over_seeds(
                f"angular update of {where}, against that of white gradients",
                white,
                measured,
                given,
                "real gradients are not white: the value for white ones is told for comparison",
                **told,
            ),
            over_seeds(
                f"squared norm of {where}, over the Green-Kubo sum of its updates' autocovariances",
                1.0,
                identity,
                "update autocovariances (a check of the implementation, no prediction)",
                "an identity of stationary means; the window has some tens of memories",
                key=f"identity of {where}",
                tolerance=IDENTITY,
            ),
        ]
    equilibrium = theory.equilibrium(case.theory, coupling=case.optimizer.coupling, symmetry="scale")
    turned = _asked(equilibrium, "one_minus_cosine", rates | dict(case.parameters))
    sizes = [
        _median(record, layer, norm / _size(case, record, layer, rates))
        for record, norm in zip(records, norms, strict=True)
    ]
    reason = "exact for a stationary norm, whatever the gradients; a finite window drifts"
    return [
        over_seeds(
            f"angular update of {where}",
            float(np.arccos(1 - turned)),
            measured,
            "hyperparameters",
            reason,
            tolerance=EXACT,
            **told,
        ),
        over_seeds(
            f"squared norm of {where}, over that from its gradients' power",
            1.0,
            sizes,
            "gradients",
            reason,
            key=f"squared norm of {where}",
            tolerance=EXACT,
        ),
    ]


def _asked(equilibrium: theory.Equilibrium, quantity: str, values: dict[str, Any]) -> Any:
    """Return a quantity of an equilibrium, from those of the values that it depends on."""
    return equilibrium.numeric(quantity, **{name: values[name] for name in equilibrium.arguments(quantity)})


def _white(case: Case, record: TrainingRecord, layer: int, rates: dict[str, float]) -> float:
    """Return the angular update that the theory has for white gradients, median over neurons, in rad."""
    motion = record.neuron_motion
    equilibrium = theory.equilibrium(case.theory, coupling=case.optimizer.coupling, symmetry="scale")
    n_out, n_in = record.final.weights[layer].shape
    values = (
        dict(case.parameters)
        | rates
        | {"n_weights": n_in, "n_rows": n_out, "n_columns": n_in}
        | {"gradient_power": motion["gradient_power"][layer][-1] * motion["norm_squared"][layer][-1]}
    )
    alive = _living(record, layer)
    values["gradient_power"] = np.where(alive, values["gradient_power"], 1.0)
    angle = np.broadcast_to(_asked(equilibrium, "angular_update", values), alive.shape)
    return _median(record, layer, angle)


def _size(case: Case, record: TrainingRecord, layer: int, rates: dict[str, float]) -> Array:
    """Return the squared norm of each neuron that the power of its gradients pays for; any number for a dead one."""
    alive = _living(record, layer)
    if isinstance(case.optimizer, SGD) and case.optimizer.momentum:
        power = np.where(alive, record.neuron_motion["measured_power"][layer][-1], 1.0)
        size = derive("heavy-ball-measured-power").numeric(
            "norm_squared_stationary", measured_power=power, momentum=case.optimizer.momentum, **rates
        )
    else:
        power = np.where(alive, record.neuron_motion["gradient_power"][layer][-1], 1.0)
        size = derive("update-balance").numeric(
            "norm_squared_stationary", update_power=power, overlap=np.zeros_like(power), **rates
        )
    return np.asarray(size, dtype=np.float64)


def _green_kubo(record: TrainingRecord, layer: int, rates: dict[str, float], cut_off: int | None = None) -> Array:
    """Return the squared norm of each neuron that its updates' autocovariances add up to, up to a lag."""
    assert record.update_autocovariance is not None  # it was asked for
    moments = record.update_autocovariance[layer][: None if cut_off is None else cut_off + 1]
    left = 1 - rates["lr"] * rates["weight_decay"]
    power = np.where(moments[0] > 0, moments[0], 1.0)
    lags = np.arange(len(moments) - 1)
    total = (left**lags) @ (moments[1:] / power)
    return np.asarray(
        derive("green-kubo").numeric("norm_squared_stationary", update_power=power, correlation_sum=total, **rates)
    )


def _growth(case: Case, records: Sequence[TrainingRecord]) -> Curve:
    """Return how the Green-Kubo sum of the hidden layer grows with its cut-off, over the measured squared norm."""
    decay = _decay(case)
    rates = {"lr": case.lr, "weight_decay": decay / case.lr}
    longest = round(CUT_OFF / decay)
    cut_offs = np.unique(np.round(np.geomspace(1, longest, MOST_POINTS)).astype(int))
    shares = [
        [
            _median(record, 0, _green_kubo(record, 0, rates, int(k)) / record.neuron_motion["norm_squared"][0][-1])
            for k in cut_offs
        ]
        for record in records
    ]
    return Curve(
        name=case.name,
        panel="sum against cut-off",
        kind="simulation",
        x=cut_offs * decay,
        y=np.mean(shares, axis=0),
        x_name="cut-off times decay per step",
        x_unit="1",
        y_name="sum over measured squared norm",
        y_unit="1",
    )


def _ratios(comparisons: Sequence[Comparison]) -> list[Curve]:
    """Return measured over predicted rotation of all optimizers, in the order of `CASES`."""
    curves = []
    for layer in ("hidden", "output"):
        found = [
            next(one for one in comparisons if one.key == f"angular update of {case.name}, {layer} layer")
            for case in CASES
        ]
        errors = [(one.standard_error or np.nan) / one.predicted for one in found]
        curves.append(
            Curve(
                name=f"{layer} layer",
                panel="rotation",
                kind="experiment",
                x=np.arange(len(CASES), dtype=float),
                y=np.array([one.ratio for one in found]),
                x_name="optimizer",
                x_unit="1",
                y_name="angular update over predicted",
                y_unit="1",
                standard_error=np.array(errors),
            )
        )
    return curves


def _dead(case: Case, records: Sequence[TrainingRecord]) -> Comparison:
    """Report how many neurons had no gradient, all layers together."""
    dead = [sum(int((~_living(record, layer)).sum()) for layer in range(2)) for record in records]
    return over_seeds(
        f"neurons without gradient, {case.name}",
        0.0,
        [float(count) for count in dead],
        "nothing",
        "counted, and kept out of the medians",
        unit="neurons",
        key=f"dead of {case.name}",
    )
