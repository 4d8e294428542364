"""The founding question's curves, panel by panel."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from .comparison import Curve, standard_error
from .founding_comparisons import STARTS, STUDENT, Examples, Findings

__all__ = ["accuracy_curves", "budget_curves", "size_curves", "tail_off_curves", "variance_curves"]

Array = NDArray[np.float64]


def _curve(
    name: str,
    panel: str,
    kind: Literal["theory", "simulation", "experiment", "reference"],
    epochs: Any,
    values: Any,
    y_name: str,
    y_unit: str = "1",
) -> Curve:
    """Return the mean over seeds of (n_seeds, n_epochs) values against epochs, with its error if they are measured."""
    values = np.atleast_2d(values)
    error = standard_error(values) if kind == "experiment" and len(values) > 1 else None
    return Curve(name, panel, kind, epochs, values.mean(axis=0), "time", "epochs", y_name, y_unit, error)


def variance_curves(findings: Findings, *, of_student: bool) -> list[Curve]:
    """Return each layer's variance, as trained and as its pulls and noise add up to it, beside decay alone."""
    panel, y_name, epochs = "variance", "variance of the weights", findings.epochs
    curves = []
    for layer, n_weights in enumerate(findings.n_weights):
        trained = findings.stack("variance", layer)
        added_up = np.array([findings.balance(record, layer) for record in findings.records]) / n_weights
        squared_mean = findings.stack("norm_squared", layer) / n_weights - trained
        curves += [
            _curve(
                f"layer {layer + 2}, pulls and noise added up", panel, "theory", epochs, added_up - squared_mean, y_name
            ),
            _curve(f"layer {layer + 2}, trained", panel, "experiment", epochs, trained, y_name),
        ]
    start = findings.stack("variance", 0)[:, :1]
    floor = findings.floor.numeric("variance", variance_start=start, n_steps=findings.steps, **findings.rates)
    curves.append(_curve("decay alone", panel, "theory", epochs, floor, y_name))
    dead = findings.dead_norm_squared()
    if dead is not None:
        n_dead = len(findings.data.dead_pixels) * findings.config.layers[1]
        curves.append(_curve("weights of dead pixels", panel, "experiment", epochs, dead / n_dead, y_name))
    if of_student:
        for layer, student in STUDENT.items():
            ends = epochs[[0, -1]]
            curves.append(_curve(f"student, layer {layer}", panel, "reference", ends, student.variance, y_name))
    return curves


def budget_curves(findings: Findings, suffix: str = "") -> list[Curve]:
    """Return what decay takes from each layer and what pull and noise give, epoch by epoch."""
    middles = (findings.epochs[1:] + findings.epochs[:-1]) / 2
    curves = []
    for layer in range(len(findings.n_weights)):
        books = [findings.budget(record, layer) for record in findings.records]
        for entry, label in (("decay", "loss to decay"), ("pull", "gain by pull"), ("noise", "gain by noise")):
            values = [book[entry] for book in books]
            panel, name = f"budget of layer {layer + 2}{suffix}", f"layer {layer + 2}, {label}{suffix}"
            curves.append(_curve(name, panel, "experiment", middles, values, "gradient times weight", "nat"))
    return curves


def size_curves(findings: Findings, by_example: Examples) -> list[Curve]:
    """Return the rms weight of layer 2 in the book's examples, and the sizes that people name."""
    panel, y_name = "size", "rms weight of layer 2"
    curves = []
    for (width, start), records in by_example.items():
        rms = np.sqrt([record.norm_squared[:, 0] / record.final.weights[0].size for record in records])
        name = f"{width} hidden neurons, {STARTS[start]}"
        curves.append(_curve(name, panel, "experiment", records[0].epochs, rms, y_name))
    fan_in, n_network = findings.config.layers[0], sum(findings.n_weights)
    first = np.sqrt(findings.stack("norm_squared", 0)[:, :1] / findings.n_weights[0])
    factor = findings.floor.numeric("factor", n_steps=findings.steps, **findings.rates)
    curves.append(_curve("decay alone", panel, "theory", findings.epochs, first * factor, y_name))
    for name, number in (("1/sqrt(fan_in)", fan_in), ("1/sqrt(n_weights)", n_network)):
        ends = findings.epochs[[0, -1]]
        curves.append(_curve(name, panel, "theory", ends, np.full(2, 1 / math.sqrt(number)), y_name))
    return curves


def accuracy_curves(by_example: Examples) -> list[Curve]:
    """Return the validation accuracy of the book's examples."""
    curves = []
    for (width, start), records in by_example.items():
        accuracy = 100 * np.array([record.accuracy() for record in records])
        name = f"{width} hidden neurons, {STARTS[start]}"
        curves.append(_curve(name, "accuracy", "experiment", records[0].epochs, accuracy, "validation accuracy", "%"))
    return curves


def tail_off_curves(findings: Findings) -> list[Curve]:
    """Return a long run's squared norms, the sizes at which decay, pull and noise balance, and decay alone."""
    panel, y_name = "tail-off", "squared norm"
    curves = []
    for layer in range(len(findings.n_weights)):
        trained = findings.stack("norm_squared", layer)
        resting = findings.radial.numeric(
            "norm_squared_stationary",
            radial_pull=findings.stack("radial_pull", layer)[:, 1:],
            gradient_power=findings.stack("gradient_power", layer)[:, 1:],
            **findings.rates,
        )
        floor = findings.floor.numeric(
            "norm_squared", norm_squared_start=trained[:, :1], n_steps=findings.steps, **findings.rates
        )
        label = f"layer {layer + 2}"
        curves += [
            _curve(f"{label}, trained", panel, "experiment", findings.epochs, trained, y_name),
            _curve(
                f"{label}, size at which decay, pull and noise balance",
                panel,
                "theory",
                findings.epochs[1:],
                resting,
                y_name,
            ),
            _curve(f"{label}, decay alone", panel, "theory", findings.epochs, floor, y_name),
        ]
    return [*curves, *budget_curves(findings, ", long run")]
