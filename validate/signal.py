"""The signal that a data set gives to a network whose weights are all zero."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..theory import derive
from .datasets import Dataset

__all__ = ["linear_threshold", "signal"]

_ROWS = 1000  # images converted at a time


def signal(data: Dataset) -> NDArray[np.float64]:
    """Return the mean of what is missing to the labels times the inputs, at zero weights and without biases.

    Parameters
    ----------
    data : Dataset
        Data with a training set.

    Returns
    -------
    (n_classes, n_inputs) ndarray
        M = E[(y - 1/n_classes) x^T] over the training set.

    Examples
    --------
    >>> from weightdecay.validate import load_mnist
    >>> signal(load_mnist()).shape
    (10, 784)
    """
    total: NDArray[Any] = np.zeros((data.n_classes, data.n_inputs))
    identity = np.eye(data.n_classes)
    for start in range(0, data.n_train, _ROWS):
        images = data.train.images[start : start + _ROWS] * data.pixel_scale
        total += (identity[data.train.labels[start : start + _ROWS]] - 1 / data.n_classes).T @ images
    return total / data.n_train


def linear_threshold(data: Dataset) -> float:
    """Return the weight decay above which a two-layer linear network without biases collapses to zero.

    Parameters
    ----------
    data : Dataset
        Data with a training set.

    Returns
    -------
    float
        In PyTorch's sense: the largest singular value of `signal`, a scale for the decay of networks on these data.

    Examples
    --------
    >>> from weightdecay.validate import load_mnist
    >>> round(linear_threshold(load_mnist()), 4)
    0.5535
    """
    largest = float(np.linalg.norm(signal(data), ord=2))
    return float(derive("collapse-threshold").numeric("weight_decay_threshold", slope=1.0, signal_max=largest))
