"""Bring together what a log says of hyperparameters and shapes, and what its reader does; refuse contradictions."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput, check_choice
from ..simulate import Layer
from .training_log import LayerLog, TrainingLog

__all__ = ["known_shapes", "layer_decays", "learning_rates"]

FloatArray = NDArray[np.float64]
_CONTRADICTION = 1e-6
"""Relative difference above which two values of one hyperparameter contradict each other: logs print few digits."""


def known_shapes(log: TrainingLog, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...] | None]:
    """Return the shape of every layer, as far as it is told, and refuse what the log contradicts."""
    names = [layer.name for layer in log.layers]
    for name in shapes:
        check_choice(f"a layer of {log.name}", name, names)
    known: dict[str, tuple[int, ...] | None] = {}
    for layer in log.layers:
        shape = shapes.get(layer.name)
        if shape is not None:
            told = Layer(layer.name, tuple(shape)).n_weights
            if layer.n_weights not in (None, told):
                raise InvalidInput(
                    f"{layer.name} has {layer.n_weights} weights in the log, but {told} by its shape; correct the shape"
                )
        known[layer.name] = shape if shape is not None or layer.n_weights is None else (layer.n_weights,)
    return known


def layer_decays(log: TrainingLog, given: float | None) -> dict[str, float]:
    """Return the weight decay of every layer, its own in the log or the one given, and refuse what contradicts it."""
    decays = {}
    for layer in log.layers:
        told = layer.weight_decay
        if told is None:
            if given is None:
                raise InvalidInput("the log has no column weight_decay; give the weight_decay of the run")
            told = given
        elif given is not None and abs(told - given) > _CONTRADICTION * max(abs(given), abs(told)):
            raise InvalidInput(
                f"weight_decay is {given:g}, but the log says {told:g} of {layer.name}; leave it out, or correct it"
            )
        decays[layer.name] = float(told)
    return decays


def learning_rates(log: LayerLog, lr: float | None, name: str) -> tuple[FloatArray, FloatArray]:
    """Return learning rates at the rows of a layer, and their sums over the steps before."""
    if log.lr is None or log.summed_lr is None:
        if lr is None:
            raise InvalidInput(f"{name} has no column lr; give the lr of the run")
        return np.full(log.step.shape, lr), lr * (log.step - log.step[0])
    if lr is not None:
        off = np.abs(log.lr - lr) > _CONTRADICTION * lr
        if off.any():
            at = int(np.argmax(off))
            raise InvalidInput(
                f"lr is {lr:g}, but the log says {log.lr[at]:g} at step {log.step[at]:g}; leave it out, or correct it"
            )
    return log.lr, log.summed_lr
