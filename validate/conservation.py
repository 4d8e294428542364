"""Conservation: what symmetries conserve, and what decay and finite steps make of it, step by step.

Three networks are trained by the trainer itself, in both number formats: rectified units with softmax outputs (biases
undecayed, then decayed), linear layers with softmax outputs, and sigmoid units with sigmoid outputs, which have none of
the symmetries and serve as a control: there the same laws must fail. After every step each conserved quantity is held
against its law, first from its value just before the step, then from its value at the start of training alone.

The gradients in the laws' second-order terms are those that the trainer went by. A textbook gradient in float64 is the
same but at a rectifier's kink: a pre-activation of 2e-8 may have the other sign in float32, and with it another slope,
each of which has its own conservation. What that is worth is reported.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .charges import conserved_by
from .comparison import Comparison, Curve, Report
from .configuration import TrainingConfig
from .datasets import Dataset
from .provenance import provenance
from .seeds import fresh_generator, spawned_seeds
from .stepwise import epochs_of, taken_steps
from .sweep import compute_all
from .training import check_fit

__all__ = ["LABELS", "TOLERANCES", "ChargeRun", "run"]

TOLERANCES = {"float32": 1e-5, "float64": 1e-12}
"""A hundred roundings of a number of size 1 in float32; in float64 some thousand, since sums over a layer round too."""

LABELS = {
    "dead-input": "weights of dead pixels",
    "translation-symmetry": "column sums of the logits' weights",
    "rescale-symmetry-undecayed-bias": "imbalance of ReLU units, biases undecayed",
    "rescale-symmetry": "imbalance of ReLU units, biases decayed",
    "deep-linear-symmetry": "imbalance of linear layers",
}
_DIFFERENCES = tuple(LABELS)[2:]
_INPUTS = {law: "gradients (second order only)" if law in _DIFFERENCES else "nothing" for law in LABELS}

_HIDDEN = (30, 20)  # two hidden layers, so that a unit can have units on both sides
_LR, _BATCH_SIZE = 0.1, 10
_WEIGHT_DECAY = 0.01  # a thousandth per step: by the end decay alone leaves 2 % of a quadratic charge or less
_N_STEPS, _N_SEEDS = {"quick": 2000, "full": 10000}, {"quick": 1, "full": 3}
_BINS = 30  # points of a curve, even in the logarithm of the step
_CONTROL = "control"
_MEASURED = ("one_step", "all_steps", "textbook", "first_order", "charge", "law")

_NETWORKS: dict[str, dict[str, Any]] = {
    "relu": {"activation": "relu", "output": "softmax", "initialization": "he"},
    "relu, biases decayed": {
        "activation": "relu",
        "output": "softmax",
        "initialization": "he",
        "decay_biases": True,
    },
    "linear": {"activation": "linear", "output": "softmax", "initialization": "fan_in", "biases": False},
    _CONTROL: {"activation": "sigmoid", "output": "sigmoid", "initialization": "fan_in"},
}


@dataclass(frozen=True)
class ChargeRun:
    """Describe a run whose conserved quantities are followed step by step.

    Parameters
    ----------
    config : TrainingConfig
        What is trained.
    seed : SeedSequence
        Where the run's own random stream begins.
    n_steps : int
        Steps to follow.
    """

    config: TrainingConfig
    seed: np.random.SeedSequence
    n_steps: int

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the configuration does not fit the data."""
        check_fit([self.config], data)

    def start(self, data: Dataset) -> dict[str, dict[str, NDArray[np.float64]]]:
        """Train, and return for each law what it was off by.

        Returns
        -------
        dict from law to dict of (n_steps,) ndarray
            one_step, all_steps: largest error after each step, in units of the charge's size at the start, of the law
            applied to the charge before the step, and of the law applied since the start; textbook: as one_step, with
            textbook gradients in float64; first_order: as all_steps, without the gradients' charge. charge, law: root
            mean square of the charges, over that at the start, as measured and as the law has it since the start.
        """
        rng = fresh_generator(self.seed)
        laws = conserved_by(self.config, data)
        predictors = [law.predictor() for law in laws]
        roughly = [law.predictor(second_order=False) for law in laws]
        found: dict[str, dict[str, list[float]]] = {law.law: {name: [] for name in _MEASURED} for law in laws}
        for k, textbook in enumerate(taken_steps(self.config, data, rng=rng, n_steps=self.n_steps)):
            step = textbook.moved(decay_biases=self.config.decay_biases)
            if k == 0:
                start = (step.before.weights, step.before.biases)
                sizes = [law.size(*start) for law in laws]
                now = [law.charge(*start) for law in laws]
                scales = [float(np.sqrt(np.mean(charge**2))) for charge in now]
                exact, rough = list(now), list(now)
            for place, law in enumerate(laws):
                after = law.charge(step.after.weights, step.after.biases)
                exact[place] = predictors[place](exact[place], step)
                rough[place] = roughly[place](rough[place], step)
                told = found[law.law]
                told["one_step"].append(_largest(predictors[place](now[place], step) - after, sizes[place]))
                told["textbook"].append(_largest(predictors[place](now[place], textbook) - after, sizes[place]))
                told["all_steps"].append(_largest(exact[place] - after, sizes[place]))
                told["first_order"].append(_largest(rough[place] - after, sizes[place]))
                told["charge"].append(float(np.sqrt(np.mean(after**2))) / scales[place])
                told["law"].append(float(np.sqrt(np.mean(exact[place] ** 2))) / scales[place])
                now[place] = after
        return {law: {name: np.array(values) for name, values in told.items()} for law, told in found.items()}


def _largest(errors: NDArray[np.float64], sizes: Any) -> float:
    return float(np.max(np.abs(errors) / sizes))


def run(
    *,
    scale: str,
    n_jobs: int | None,
    rng: np.random.Generator | int,
    data: Dataset,
    progress: Callable[[int, int, str], None] | None,
) -> Report:
    """Hold the laws of conserved quantities against training, at every single step.

    Parameters
    ----------
    scale, n_jobs, rng, data, progress
        As in `weightdecay.validate.run`.

    Returns
    -------
    Report
        For each law and number format the largest error of one step, and of all steps from the start.
    """
    n_steps, n_seeds = _N_STEPS[scale], _N_SEEDS[scale]
    epochs = epochs_of(n_steps, data.n_train, min(_BATCH_SIZE, data.n_train))
    seeds = spawned_seeds(rng, n_seeds)
    jobs, places = [], []
    for dtype in TOLERANCES:
        for network, described in _NETWORKS.items():
            if network == _CONTROL and dtype == "float32":
                continue
            config = TrainingConfig.pytorch(
                layers=[data.n_inputs, *_HIDDEN, data.n_classes],
                lr=_LR,
                weight_decay=_WEIGHT_DECAY,
                batch_size=min(_BATCH_SIZE, data.n_train),
                epochs=epochs,
                dtype=dtype,
                **described,
            )
            jobs += [ChargeRun(config, seed, n_steps) for seed in seeds]
            places += [(dtype, network)] * n_seeds
    results = compute_all(jobs, data, n_jobs=n_jobs, progress=progress)
    runs = {place: [each for here, each in zip(places, results, strict=True) if here == place] for place in places}
    return Report(
        experiment="conservation",
        comparisons=tuple(_comparisons(runs)),
        curves=tuple(_curves(runs)),
        provenance=provenance(
            experiment="conservation",
            scale=scale,
            seed=rng if isinstance(rng, int) else None,
            parameters={
                "hidden": list(_HIDDEN),
                "lr": _LR,
                "weight_decay": _WEIGHT_DECAY,
                "batch_size": min(_BATCH_SIZE, data.n_train),
                "n_steps": n_steps,
                "n_seeds": n_seeds,
                "tolerances": TOLERANCES,
                "n_dead": len(data.dead_pixels),
            },
            data=data,
        ),
    )


Runs = Mapping[tuple[str, str], Sequence[Mapping[str, Mapping[str, NDArray[np.float64]]]]]


def _of_law(runs: Runs, law: str, dtype: str, name: str, *, control: bool = False) -> list[NDArray[np.float64]]:
    """Return one quantity of a law from every run of a number format that has the law's symmetry, or of the control."""
    return [
        each[law][name]
        for (format_, network), found in runs.items()
        if format_ == dtype and (network == _CONTROL) == control
        for each in found
        if law in each
    ]


def _comparisons(runs: Runs) -> list[Comparison]:
    found = []
    for dtype, tolerance in TOLERANCES.items():
        for law, label in LABELS.items():
            for name, told in (("one_step", "one step"), ("all_steps", "all steps since the start")):
                errors = _of_law(runs, law, dtype, name)
                if not errors:
                    continue
                found.append(
                    Comparison(
                        f"{label}: largest error of {told}, {dtype}",
                        "of the size at the start",
                        0.0,
                        float(np.max(errors)),
                        None,
                        inputs=_INPUTS[law],
                        tolerance=tolerance,
                        tolerance_kind="absolute",
                        reason=f"the law is exact: rounding of {dtype} alone is allowed",
                        key=f"{law} {name} {dtype}",
                    )
                )
    return [*found, *_reported(runs)]


def _reported(runs: Runs) -> list[Comparison]:
    """Return what is no claim: what kinks and second-order terms are worth, and the control that has no symmetry."""
    found = []
    for law in _DIFFERENCES:
        errors = _of_law(runs, law, "float32", "textbook")
        found.append(
            Comparison(
                f"{LABELS[law]}: largest error of one step, float32, with textbook gradients in float64",
                "of the size at the start",
                0.0,
                float(np.max(errors)),
                None,
                inputs="gradients (second order only)",
                reason="beyond rounding where a pre-activation within rounding of 0 has another slope in float32",
                key=f"{law} textbook",
            )
        )
    for law in _DIFFERENCES:
        errors = _of_law(runs, law, "float64", "first_order")
        found.append(
            Comparison(
                f"{LABELS[law]}: largest error of all steps without the gradients' second order, float64",
                "of the size at the start",
                0.0,
                float(np.max(errors)),
                None,
                inputs="nothing",
                reason="not exact: what gradient flow with decay, which knows no finite steps, misses",
                key=f"{law} first_order",
            )
        )
    for law in ("translation-symmetry", "rescale-symmetry-undecayed-bias"):
        errors = _of_law(runs, law, "float64", "one_step", control=True)
        units = "sigmoid outputs" if law == "translation-symmetry" else "sigmoid units"
        found.append(
            Comparison(
                f"control, {units} without this symmetry: largest error of one step, law of the {LABELS[law]}",
                "of the size at the start",
                0.0,
                float(np.max(errors)),
                None,
                inputs=_INPUTS[law],
                reason="the law must fail here, and the error shows what a broken law would look like",
                key=f"{law} {_CONTROL}",
            )
        )
    return found


def _curves(runs: Runs) -> list[Curve]:
    found = []

    def add(name: str, panel: str, kind: Any, steps: Any, values: Any, quantity: str) -> None:
        found.append(Curve(name, panel, kind, steps, values, "step", "1", quantity, "of the size at the start"))

    for dtype in TOLERANCES:
        n_steps = 0
        for law, label in LABELS.items():
            errors = _of_law(runs, law, dtype, "all_steps")
            if errors:
                steps, largest = _binned(np.max(errors, axis=0))
                add(label, dtype, "experiment", steps, largest, "largest error since the start")
                n_steps = len(errors[0])
        tolerance = np.full(2, TOLERANCES[dtype])
        add("tolerance", dtype, "theory", [1, n_steps], tolerance, "largest error since the start")
    control = _of_law(runs, "rescale-symmetry-undecayed-bias", "float64", "all_steps", control=True)
    steps, largest = _binned(np.max(control, axis=0))
    add("sigmoid units, no symmetry", "float64", "experiment", steps, largest, "largest error since the start")
    for law, label in LABELS.items():
        charges, laws = (_of_law(runs, law, "float32", name) for name in ("charge", "law"))
        if charges:
            picked = np.unique(np.linspace(0, len(charges[0]) - 1, _BINS).astype(int))
            add(f"{label}, law", "charge", "theory", picked + 1, laws[0][picked], "charge")
            add(f"{label}, trained", "charge", "experiment", picked + 1, charges[0][picked], "charge")
    return found


def _binned(errors: NDArray[np.float64]) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Return steps, even in their logarithm, and the largest error since the one before; zeros are left out."""
    edges = np.unique(np.geomspace(1, len(errors), _BINS).astype(int))
    largest = np.array([errors[low:high].max() for low, high in zip([0, *edges[:-1]], edges, strict=True)])
    return edges[largest > 0], largest[largest > 0]
