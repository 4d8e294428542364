"""Minimize the regularized cost over the whole training set, from one weight decay to the next: no gradient noise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp, cost, derivative, predict, predictive_entropy
from .record import Recording
from .training import check_fit, train

__all__ = ["Descent", "Minima", "cost_and_gradients"]

Array = NDArray[Any]

_ROWS = 1000  # examples at a time, so that what is in work stays in the cache


@dataclass(frozen=True)
class Minima:
    """Hold what the minima over a sweep of weight decays are like.

    Parameters
    ----------
    weight_decay : (n_decays,) ndarray
        In PyTorch's sense.
    norm_squared : (n_decays, n_layers) ndarray
        Squared norm of each layer.
    cost, entropy_loss_gap : (n_decays,) ndarray
        Means over the training set: cost without regularization; predictive entropy less cost.
    slope : (n_decays,) ndarray
        Norm of the gradient of the regularized cost that is left, over that of the decay's part of it.
    factor : (n_factors,) ndarray
        Factors by which all weights are multiplied.
    gap_at_factor : (n_decays, n_factors) ndarray
        The entropy-loss gap of the outputs that the rescaled networks have.
    """

    weight_decay: NDArray[np.float64]
    norm_squared: NDArray[np.float64]
    cost: NDArray[np.float64]
    entropy_loss_gap: NDArray[np.float64]
    slope: NDArray[np.float64]
    factor: NDArray[np.float64]
    gap_at_factor: NDArray[np.float64]


@dataclass(frozen=True)
class Descent:
    """Describe a sweep: a network is trained by SGD, then brought to the minimum at one weight decay after the other.

    Parameters
    ----------
    config : TrainingConfig
        Of the training that the sweep starts from: ReLU or linear units, softmax or sigmoid outputs, no biases.
    weight_decays : tuple of float
        In PyTorch's sense, each minimization starting from the result of the one before.
    first_iterations, iterations : int
        Iterations of L-BFGS at the first weight decay and at each of the others.
    factors : tuple of float
        Factors by which all weights are multiplied to see what the outputs would pull.
    seed : SeedSequence
        Of the training.
    """

    config: TrainingConfig
    weight_decays: tuple[float, ...]
    first_iterations: int
    iterations: int
    factors: tuple[float, ...]
    seed: np.random.SeedSequence

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the configuration does not fit the data."""
        check_fit([self.config], data)
        self.config.tabulate(data.n_train)

    def start(self, data: Dataset) -> Minima:
        """Train, sweep, and return what the minima are like.

        Raises
        ------
        DivergenceError
            If the training diverges.
        """
        rng = np.random.default_rng(np.random.SeedSequence(self.seed.entropy, spawn_key=self.seed.spawn_key))
        network = train(self.config, data, rng=rng, record=Recording(pulls=False, evaluate=())).final
        rows: list[tuple[Any, ...]] = []
        with threadpool_limits(1, user_api="blas"):
            for place, weight_decay in enumerate(self.weight_decays):
                iterations = self.iterations if place else self.first_iterations
                network, slope = _minimum(network, data, weight_decay, iterations)
                logits = _logits(network, data)
                targets = np.eye(logits.shape[1])[data.train.labels]
                gaps = [_gap(network.output, f ** len(network.weights) * logits, targets) for f in self.factors]
                rows.append(
                    (
                        [float(np.sum(w * w)) for w in network.weights],
                        float(np.mean(cost(network.output, logits, targets))),
                        _gap(network.output, logits, targets),
                        slope,
                        gaps,
                    )
                )
        norms, costs, gap, slopes, gaps_at_factor = map(np.array, zip(*rows, strict=True))
        return Minima(np.array(self.weight_decays), norms, costs, gap, slopes, np.array(self.factors), gaps_at_factor)


def cost_and_gradients(network: Mlp, data: Dataset) -> tuple[float, list[Array]]:
    """Return the mean cost over the training set and its gradients by the weights.

    Parameters
    ----------
    network : Mlp
        A network without normalized layers.
    data : Dataset
        Whose training set is taken.

    Returns
    -------
    cost : float
        Without regularization.
    gradients : list of (n_out, n_in) ndarray of float64
        One for each layer; products are in float32, sums over the examples in float64.
    """
    single = _single(network)
    identity = np.eye(len(network.weights[-1]), dtype=np.float32)
    total, gradients = 0.0, [np.zeros(w.shape) for w in network.weights]
    for start in range(0, data.n_train, _ROWS):
        rows = slice(start, start + _ROWS)
        targets = identity[data.train.labels[rows]]
        inputs, logits = single.forward(_inputs(data, rows))
        total += float(cost(network.output, logits, targets).sum(dtype=np.float64))
        delta = predict(network.output, logits) - targets
        for layer in reversed(range(len(gradients))):
            gradients[layer] += delta.T @ inputs[layer]
            if layer:
                delta = (delta @ single.weights[layer]) * derivative(network.activation, inputs[layer])
    return total / data.n_train, [gradient / data.n_train for gradient in gradients]


def _minimum(network: Mlp, data: Dataset, weight_decay: float, iterations: int) -> tuple[Mlp, float]:
    """Return the network after so many iterations of L-BFGS, and the share of the decay that is not balanced."""
    shapes = [w.shape for w in network.weights]

    def unpacked(flat: Array) -> Mlp:
        ends = np.cumsum([rows * columns for rows, columns in shapes])[:-1]
        weights = tuple(part.reshape(shape) for part, shape in zip(np.split(flat, ends), shapes, strict=True))
        return Mlp(weights, network.biases, network.activation, network.output)

    def regularized(flat: Array) -> tuple[float, Array]:
        loss, gradients = cost_and_gradients(unpacked(flat), data)
        slope = _packed(gradients) + weight_decay * flat
        return loss + weight_decay / 2 * float(flat @ flat), slope

    found = minimize(
        regularized,
        _packed(network.weights),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": iterations, "maxcor": 20, "ftol": 0.0, "gtol": 0.0},
    )
    left = np.linalg.norm(regularized(found.x)[1]) / (weight_decay * np.linalg.norm(found.x))
    return unpacked(found.x), float(left)


def _packed(arrays: Sequence[Array]) -> Array:
    return np.concatenate([np.ravel(array) for array in arrays]).astype(np.float64)


def _single(network: Mlp) -> Mlp:
    """Return a network in float32."""
    weights, biases = (
        tuple(array.astype(np.float32) for array in arrays) for arrays in (network.weights, network.biases)
    )
    return Mlp(weights, biases, network.activation, network.output)


def _inputs(data: Dataset, rows: slice) -> Array:
    scaled: Array = data.train.images[rows] * np.float32(data.pixel_scale)
    return scaled


def _logits(network: Mlp, data: Dataset) -> Array:
    """Return the logits of the whole training set, in float64."""
    single = _single(network)
    starts = range(0, data.n_train, _ROWS)
    return np.concatenate([single.logits(_inputs(data, slice(s, s + _ROWS))) for s in starts]).astype(np.float64)


def _gap(output: str, logits: Array, targets: Array) -> float:
    """Return the mean predictive entropy less the mean cost."""
    return float(np.mean(predictive_entropy(output, logits)) - np.mean(cost(output, logits, targets)))
