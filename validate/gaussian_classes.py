"""Train on Gaussian stand-ins for the classes of a data set: what a network makes of means and covariances alone.

Their pixels are real numbers of either sign, which the package's trainer does not take; so a plain loop does it here.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import InvalidInput
from .datasets import Dataset
from .seeds import fresh_generator

__all__ = ["GaussianRun", "GaussianVariances", "gaussian_examples"]


@dataclass(frozen=True, eq=False)
class GaussianVariances:
    """Hold the variance of the weights of both layers at the end of every epoch, (n_epochs + 1, 2), weight^2."""

    variance: NDArray[np.float64]


@dataclass(frozen=True)
class GaussianRun:
    """Describe a training of the book's network on Gaussian classes as a job of a sweep.

    Parameters
    ----------
    n_hidden : int
    lr, weight_decay : float
    batch_size, epochs : int
        As in `weightdecay.simulate.untrained`; weights and biases start from N(0, 1).
    seed : SeedSequence
        Where the stream of examples, start and mini-batches begins.

    Notes
    -----
    As many examples as the training set has, drawn once and used in every epoch in a new order; sigmoid units, mean
    cross-entropy, decay of the weights and not of the biases, steps of float32.
    """

    n_hidden: int
    lr: float
    weight_decay: float
    batch_size: int
    epochs: int
    seed: np.random.SeedSequence

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the training set is smaller than a mini-batch."""
        if self.batch_size > data.n_train:
            raise InvalidInput(
                f"batch_size is {self.batch_size}, but the training set has {data.n_train} examples; give at most those"
            )

    def start(self, data: Dataset) -> GaussianVariances:
        """Draw the examples and train."""
        from scipy.special import expit  # here, since it takes long to import

        rng = fresh_generator(self.seed)
        inputs, labels = gaussian_examples(data, rng)
        targets = np.eye(data.n_classes, dtype=np.float32)[labels]
        shapes = [(data.n_inputs, self.n_hidden), (self.n_hidden,), (self.n_hidden, data.n_classes), (data.n_classes,)]
        w, b, v, c = (rng.normal(size=shape).astype(np.float32) for shape in shapes)
        rate, left = np.float32(self.lr), np.float32(1 - self.lr * self.weight_decay)
        variances = [(w.var(), v.var())]
        for _ in range(self.epochs):
            order = rng.permutation(len(labels))
            for first in range(0, len(order), self.batch_size):
                batch = order[first : first + self.batch_size]
                x, step = inputs[batch], rate / np.float32(len(batch))
                active = expit(x @ w + b)
                error = expit(active @ v + c) - targets[batch]
                back = error @ v.T * active * (1 - active)
                v *= left
                v -= step * (active.T @ error)
                c -= step * error.sum(axis=0)
                w *= left
                w -= step * (x.T @ back)
                b -= step * back.sum(axis=0)
            variances.append((w.var(dtype=np.float64), v.var(dtype=np.float64)))
        return GaussianVariances(np.array(variances, dtype=np.float64))


def gaussian_examples(data: Dataset, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Return as many examples as the training set has, Gaussian in each class with its mean and covariance.

    Parameters
    ----------
    data : Dataset
        Every class keeps its number of examples.
    rng : Generator
        Source of the examples.

    Returns
    -------
    inputs : (n_train, n_inputs) ndarray of float32
    labels : (n_train,) ndarray
    """
    labels = data.train.labels.astype(np.int64)
    inputs = np.empty((data.n_train, data.n_inputs), dtype=np.float32)
    for label in np.unique(labels):
        mine = labels == label
        seen = data.train.images[mine] * data.pixel_scale
        mean = seen.mean(axis=0)
        values, axes = np.linalg.eigh((seen - mean).T @ (seen - mean) / len(seen))
        root = axes * np.sqrt(np.maximum(values, 0.0))
        inputs[mine] = mean + rng.normal(size=seen.shape) @ root.T
    return inputs, labels
