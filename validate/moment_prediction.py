"""Predict a training run from the moments of its data, as a job of a sweep."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInput
from ..simulate import ClassMoments, Untrained, untrained
from .datasets import Dataset
from .seeds import fresh_generator

__all__ = ["Prediction", "class_moments"]


@dataclass(frozen=True)
class Prediction:
    """Describe a prediction without training as a job of a sweep.

    Parameters
    ----------
    n_directions, n_hidden : int
    lr, weight_decay : float
    batch_size, epochs : int
        As in `weightdecay.simulate.ClassMoments` and `untrained`.
    seed : SeedSequence
        Where the stream of the random start begins.
    """

    n_directions: int
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

    def start(self, data: Dataset) -> Untrained:
        """Reduce the training set to its moments and integrate the closed system."""
        return untrained(
            class_moments(data, self.n_directions),
            n_hidden=self.n_hidden,
            lr=self.lr,
            weight_decay=self.weight_decay,
            n_train=data.n_train,
            batch_size=self.batch_size,
            epochs=self.epochs,
            rng=fresh_generator(self.seed),
        )


def class_moments(data: Dataset, n_directions: int) -> ClassMoments:
    """Return share, mean and covariance of every class of a training set.

    Parameters
    ----------
    data : Dataset
        A class without examples gets mean and covariance 0.
    n_directions : int
        As in `ClassMoments`.
    """
    shares = np.bincount(data.train.labels, minlength=data.n_classes) / data.n_train
    means = np.zeros((data.n_classes, data.n_inputs))
    covariances = np.zeros((data.n_classes, data.n_inputs, data.n_inputs))
    for label in np.flatnonzero(shares):
        inputs = data.train.images[data.train.labels == label] * data.pixel_scale
        means[label] = inputs.mean(axis=0)
        covariances[label] = (inputs - means[label]).T @ (inputs - means[label]) / len(inputs)
    return ClassMoments(shares, means, covariances, n_directions)
