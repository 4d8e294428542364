"""What the founding question's runs say, each number beside its prediction.

Layers are counted as in Nielsen's book: layer 2 has the weights from the pixels to the hidden neurons, layer 3 those to
the outputs. In arrays they are 0 and 1.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ..theory import Derivation, derive
from .comparison import Comparison, over_seeds
from .configuration import TrainingConfig
from .datasets import Dataset
from .record import TrainingRecord

__all__ = ["STARTS", "STUDENT", "Findings", "comparisons", "starts"]

Array = NDArray[np.float64]
Examples = Mapping[tuple[int, str], Sequence[TrainingRecord]]  # runs by hidden neurons and initialization

ROUNDING = 1e-5
"""Tolerance for what holds exactly: float32 rounds to 6e-8, and sums over thousands of products lose two digits."""


@dataclass(frozen=True)
class _Student:
    """What the student reported of one layer, before and after training."""

    variance: tuple[float, float]
    largest_column_sum: tuple[float, float]
    sum_of_entries: tuple[float, float]


STUDENT = {
    2: _Student(variance=(1.01, 0.08), largest_column_sum=(33.03, 12.75), sum_of_entries=(75.94, 130.23)),
    3: _Student(variance=(1.15, 3.62), largest_column_sum=(12.51, 26.65), sum_of_entries=(4.26, -72.15)),
}
"""The numbers of the question, by layer: variance, largest column sum of absolute values, sum of entries."""

STARTS = {"large": "old start", "fan_in": "new start"}
"""What the book's two initializations are called here."""


@dataclass(frozen=True)
class Findings:
    """Hold the runs of one network from several seeds, and what their theory needs.

    Parameters
    ----------
    records : sequence of TrainingRecord
        Runs that differ in their seed alone.
    data : Dataset
        What they were trained on.
    lr, weight_decay : float
        In PyTorch's sense.
    """

    records: Sequence[TrainingRecord]
    data: Dataset
    lr: float
    weight_decay: float

    @property
    def rates(self) -> dict[str, float]:
        """Learning rate and weight decay, as the arguments of a derivation."""
        return {"lr": self.lr, "weight_decay": self.weight_decay}

    @property
    def config(self) -> TrainingConfig:
        """Configuration of the runs."""
        return self.records[0].config

    @property
    def steps(self) -> NDArray[np.int64]:
        """Steps after which was recorded, (n_records,)."""
        return self.records[0].steps

    @property
    def epochs(self) -> Array:
        """The same in epochs."""
        return self.records[0].epochs

    @cached_property
    def n_weights(self) -> list[int]:
        """Number of weights of each layer."""
        return [w.size for w in self.records[0].final.weights]

    @property
    def radial(self) -> Derivation:
        """The balance of one step."""
        return derive("radial-step")

    @property
    def floor(self) -> Derivation:
        """What decay alone does."""
        return derive("decay-floor")

    def stack(self, name: str, layer: int) -> Array:
        """Return a quantity of one layer, (n_seeds, n_records)."""
        return np.array([getattr(record, name)[:, layer] for record in self.records])

    def dead_norm_squared(self) -> Array | None:
        """Return the squared norm of the weights of dead pixels, (n_seeds, n_records); None if no pixel is dead."""
        found = [record.dead_norm_squared for record in self.records if record.dead_norm_squared is not None]
        return np.array(found) if found else None

    def balance(self, record: TrainingRecord, layer: int) -> Array:
        """Return the squared norm at every record as its start, pulls and noise add up to it, step by step."""
        pulls, powers = record.step_radial_pull, record.step_gradient_power
        assert pulls is not None
        assert powers is not None
        found = [record.norm_squared[0, layer]]
        for first, last in zip(record.steps[:-1], record.steps[1:], strict=True):
            n_steps, rates = int(last - first), self.rates
            where = {"step": np.arange(n_steps), "n_steps": n_steps, **rates}
            found.append(
                found[-1] * self.radial.numeric("start_weight", n_steps=n_steps, **rates)
                + np.dot(self.radial.numeric("pull_weight", **where), pulls[first:last, layer])
                + np.dot(self.radial.numeric("noise_weight", **where), powers[first:last, layer])
            )
        return np.array(found)

    def budget(self, record: TrainingRecord, layer: int) -> dict[str, Array]:
        """Return loss to decay, gain by pull and gain by noise between the records, in gradient times weight."""
        rates = self.rates
        assert record.mean_norm_squared is not None
        assert record.radial_pull is not None
        assert record.gradient_power is not None
        columns = (slice(1, None), layer)
        return {
            "decay": self.radial.numeric("loss_to_decay", norm_squared=record.mean_norm_squared[columns], **rates),
            "pull": self.radial.numeric("gain_by_pull", radial_pull=record.radial_pull[columns], **rates),
            "noise": self.radial.numeric(
                "gain_by_noise", gradient_power=record.gradient_power[columns], lr=rates["lr"]
            ),
        }


def comparisons(findings: Findings, *, of_student: bool) -> list[Comparison]:
    """Return every comparison of the runs from the old start.

    Parameters
    ----------
    findings : Findings
        Runs with the pull of every step.
    of_student : bool
        Whether the runs are the student's, whose numbers are then compared, too.

    Returns
    -------
    list of Comparison
        The exact ones first, then the three claims, then the student's numbers.
    """
    layers = (0, 1)
    return [
        *_decay(findings),
        *(_variance(findings, layer) for layer in layers),
        *(_balance(findings, layer) for layer in layers),
        _gap(findings),
        _equal_pull(findings),
        *(comparison for layer in layers for comparison in _budget(findings, layer)),
        *(comparison for layer in layers for comparison in _third_claim(findings, layer)),
        *(_student(findings) if of_student else ()),
    ]


def _decay(findings: Findings) -> list[Comparison]:
    """Compare the weights of dead pixels with decay alone: the second claim, with nothing to fit."""
    if findings.records[0].dead_norm_squared is None:
        return []
    shrunk = np.array([record.dead_norm_squared[-1] / record.dead_norm_squared[0] for record in findings.records])  # type: ignore[index]
    claim, epochs = derive("decay-per-epoch"), findings.epochs[-1]
    counts = {"n_train": findings.data.n_train, "batch_size": findings.config.batch_size, **findings.rates}
    full_batches = findings.data.n_train / (
        findings.config.steps_per_epoch(findings.data.n_train) * findings.config.batch_size
    )
    per_epoch = shrunk ** (full_batches / (2 * epochs))  # a last, smaller mini-batch decays as a whole one does
    n_dead = len(findings.data.dead_pixels) * findings.config.layers[1]
    in_double = "the decay is carried in float64; a factor rounded to float32 would miss by 0.4 % in 30 epochs"
    return [
        over_seeds(
            f"dead pixels: squared norm of their {n_dead} weights after {epochs:g} epochs, over that at the start",
            findings.floor.numeric("factor", n_steps=findings.steps[-1], **findings.rates) ** 2,
            shrunk,
            "nothing",
            in_double,
            tolerance=ROUNDING,
            key="dead pixels",
        ),
        over_seeds(
            "claim 2: decay factor per epoch, weights of dead pixels against the exact product",
            claim.numeric("factor_exact", **counts),
            per_epoch,
            "nothing",
            in_double,
            tolerance=ROUNDING,
            key="claim 2, exact product",
        ),
        over_seeds(
            "claim 2: decay factor per epoch, weights of dead pixels against exp(-eta*lmbda/m)",
            claim.numeric("factor_exponential", **counts),
            per_epoch,
            "nothing",
            "the proven bound of the exponential's error, and rounding to float64 over the whole run",
            tolerance=float(claim.numeric("relative_error_bound", **counts)) + 1e-7,
            key="claim 2",
        ),
    ]


def _variance(findings: Findings, layer: int) -> Comparison:
    measured = np.array([record.variance[:, layer] for record in findings.records])
    return over_seeds(
        f"variance of layer {layer + 2} after {findings.epochs[-1]:g} epochs, against decay alone",
        findings.floor.numeric("variance", variance_start=measured[:, 0], n_steps=findings.steps[-1], **findings.rates),
        measured[:, -1],
        "nothing",
        "decay alone is no prediction: data that pull outwards leave a layer above it, inwards below it",
        unit="weight²",
        key=f"variance layer {layer + 2}",
    )


def _balance(findings: Findings, layer: int) -> Comparison:
    predicted = np.array([findings.balance(record, layer)[-1] for record in findings.records])
    measured = np.array([record.norm_squared[-1, layer] for record in findings.records])
    worst = int(np.argmax(abs(measured / predicted - 1)))
    return Comparison(
        f"squared norm of layer {layer + 2} after {findings.epochs[-1]:g} epochs, added up from the pulls and noise of "
        f"all {findings.steps[-1]} mini-batches (worst seed)",
        "weight²",
        float(predicted[worst]),
        float(measured[worst]),
        None,
        "gradients",
        ROUNDING,
        reason="exact: only rounding to float32 may show",
        key=f"balance layer {layer + 2}",
    )


def _last(findings: Findings, name: str, layer: int | None = None) -> Array:
    """Return the average of a quantity over the last epoch, for each seed."""
    values = [getattr(record, name)[-1] for record in findings.records]
    return np.array(values if layer is None else [value[layer] for value in values])


def _gap(findings: Findings) -> Comparison:
    theory = derive("entropy-loss-gap")
    entropy, loss = _last(findings, "predictive_entropy"), _last(findings, "cost")
    gap = theory.numeric("entropy_loss_gap", predictive_entropy=entropy, cross_entropy=loss)
    return over_seeds(
        "radial pull of layer 3 in the last epoch, from the outputs' entropy-loss gap and the biases",
        theory.numeric("radial_pull", entropy_loss_gap=gap, bias_pull=_last(findings, "bias_pull", 1)),
        _last(findings, "radial_pull", 1),
        "outputs",
        "exact for every network: only rounding to float32 may show",
        unit="nat",
        tolerance=ROUNDING,
        key="pull layer 3",
    )


def _equal_pull(findings: Findings) -> Comparison:
    return over_seeds(
        "radial pull of layer 2 in the last epoch, if it were that of layer 3",
        _last(findings, "radial_pull", 1),
        _last(findings, "radial_pull", 0),
        "gradients",
        "equal pull needs homogeneous units; sigmoids are not, and this is by how much they break it",
        unit="nat",
        key="equal pull",
    )


def _budget(findings: Findings, layer: int) -> list[Comparison]:
    books = [findings.budget(record, layer) for record in findings.records]
    return [
        over_seeds(
            f"{when}, pull plus noise of layer {layer + 2} against its loss to decay",
            [book["decay"][epoch] for book in books],
            [book["pull"][epoch] + book["noise"][epoch] for book in books],
            "gradients",
            "decay rules where the ratio is near 0, the data where it is above 1; at rest it is 1",
            unit="nat",
            key=f"{key} layer {layer + 2}",
        )
        for epoch, when, key in (
            (0, "claim 1: first epoch", "claim 1"),
            (-1, f"epoch {findings.epochs[-1]:g}", "last epoch"),
        )
    ]


def _third_claim(findings: Findings, layer: int) -> list[Comparison]:
    """Compare the size of a layer's weights with 1/sqrt(n): of the network, as claimed, and of the layer."""
    n_layer, n_network = findings.n_weights[layer], sum(findings.n_weights)
    rms = np.sqrt(findings.stack("norm_squared", layer) / n_layer)
    claimed, start = 1 / math.sqrt(n_network), float(np.mean(rms[:, 0]))
    needed = math.inf  # without decay
    if findings.weight_decay > 0:
        n_steps = findings.floor.numeric(
            "n_steps_to_size", size=min(claimed, start), size_start=start, **findings.rates
        )
        needed = float(n_steps) / findings.config.steps_per_epoch(findings.data.n_train)
    after = f"of layer {layer + 2} after {findings.epochs[-1]:g} epochs"
    return [
        over_seeds(
            f"claim 3: rms weight {after}, against 1/sqrt(n_weights) of the network",
            claimed,
            rms[:, -1],
            "nothing",
            "the claimed size has no prefactor, and the run is shorter than the decay to it",
            unit="weight",
            key=f"claim 3 layer {layer + 2}",
        ),
        over_seeds(
            f"rms weight {after}, against 1/sqrt(n_weights) of the layer",
            1 / math.sqrt(n_layer),
            rms[:, -1],
            "nothing",
            "the law of homogeneous layers counts each layer's own weights; its prefactor is not 1",
            unit="weight",
            key=f"own size layer {layer + 2}",
        ),
        Comparison(
            f"claim 3: epochs that decay alone takes layer {layer + 2} to 1/sqrt(n_weights), against epochs run",
            "epoch",
            needed,
            float(findings.epochs[-1]),
            None,
            "nothing",
            reason="what the run could have shown, were there no data",
            key=f"claim 3, epochs layer {layer + 2}",
        ),
    ]


def _student(findings: Findings) -> list[Comparison]:
    told = []
    n_seeds = len(findings.records)
    outside = 2 * stats.t.sf(3 / math.sqrt(1 + 1 / n_seeds), n_seeds - 1)
    statistics: dict[str, tuple[Callable[[Array], Any], str]] = {
        "largest_column_sum": (
            lambda w: np.linalg.norm(w, ord=1),
            f"one more run lies outside three sample standard deviations with probability {outside:.0%}",
        ),
        "variance": (
            np.var,
            "told, not judged: two decimals are coarser than the spread of the seeds",
        ),
        "sum_of_entries": (np.sum, "told, not judged: a sum of entries is no measure of size"),
    }
    for layer, student in STUDENT.items():
        for when, network in ((0, "initial"), (1, "final")):
            weights = [getattr(record, network).weights[layer - 2] for record in findings.records]
            for name, (statistic, reason) in statistics.items():
                seeds = [float(statistic(w)) for w in weights]
                mean, spread, said = np.mean(seeds), np.std(seeds, ddof=1), getattr(student, name)[when]
                judged = name == "largest_column_sum"
                told.append(
                    Comparison(
                        f"student's {name.replace('_', ' ')} of layer {layer} {('before', 'after')[when]} training "
                        f"({said:g}; seeds: mean {mean:.4g}, standard deviation {spread:.2g}), z-score",
                        "standard deviations",
                        0.0,
                        float((said - mean) / spread),
                        None,
                        "other seeds",
                        3.0 if judged else None,
                        "absolute",
                        reason,
                        f"student's {name.replace('_', ' ')} layer {layer} {('before', 'after')[when]}",
                    )
                )
    return told


def starts(by_example: Examples) -> list[Comparison]:
    """Compare the book's two starts: where the weights of layer 2 end, and how well the networks do.

    Parameters
    ----------
    by_example : mapping from (hidden, initialization) to sequence of TrainingRecord
        Runs of the book's examples; each width with both starts.

    Returns
    -------
    list of Comparison
        All of them told without a tolerance.
    """
    sizes, accuracies = [], []
    for (width, start), records in by_example.items():
        label = f"{width} hidden neurons, {STARTS[start]}"
        fan_in = records[0].config.layers[0]
        sizes.append(
            over_seeds(
                f"rms weight of layer 2 at the end, {label}, against 1/sqrt(fan_in), where the new start begins",
                1 / math.sqrt(fan_in),
                [np.sqrt(record.norm_squared[-1, 0] / record.final.weights[0].size) for record in records],
                "nothing",
                "by decay alone the old start would come down to the new one's size; the data hold both above it",
                unit="weight",
                key=f"size {label}",
            )
        )
        accuracies.append(
            over_seeds(
                f"validation accuracy at the end, {label}, against the new start's",
                [record.accuracy()[-1] for record in by_example[width, "fan_in"]],
                [record.accuracy()[-1] for record in records],
                "outputs",
                "told for comparison with the book",
                key=f"accuracy {label}",
            )
        )
    return sizes + accuracies
