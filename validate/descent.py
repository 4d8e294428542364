"""Bring a network to the minimum of cost plus decay, from one weight decay to the next: no gradient noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from .configuration import TrainingConfig
from .datasets import Dataset
from .full_batch import come_to_rest, living_examples
from .mlp import Mlp, cost, predictive_entropy
from .record import Recording
from .seeds import fresh_generator
from .training import check_fit, train

__all__ = ["Descent", "Minima"]

Array = NDArray[Any]


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
    unrest : (n_decays,) ndarray
        Norm of the gradient of cost plus decay that is left, over that of the decay's part of it.
    factor : (n_factors,) ndarray
        Factors by which all weights are multiplied.
    gap_at_factor : (n_decays, n_factors) ndarray
        The entropy-loss gap of the outputs that the rescaled networks have.
    """

    weight_decay: NDArray[np.float64]
    norm_squared: NDArray[np.float64]
    cost: NDArray[np.float64]
    entropy_loss_gap: NDArray[np.float64]
    unrest: NDArray[np.float64]
    factor: NDArray[np.float64]
    gap_at_factor: NDArray[np.float64]


@dataclass(frozen=True)
class Descent:
    """Describe a sweep: a network is trained by SGD, then brought to the minimum at one weight decay after the other.

    Parameters
    ----------
    config : TrainingConfig
        Of the training that the sweep starts from: ReLU or linear units, softmax outputs, no biases.
    weight_decays : tuple of float
        In PyTorch's sense, each minimization starting from the result of the one before.
    first_steps, steps : int
        Most steps of L-BFGS at the first weight decay and at each of the others.
    factors : tuple of float
        Factors by which all weights are multiplied to see what the outputs would pull.
    seed : SeedSequence
        Of the training.
    """

    config: TrainingConfig
    weight_decays: tuple[float, ...]
    first_steps: int
    steps: int
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
        rng = fresh_generator(self.seed)
        network = train(self.config, data, rng=rng, record=Recording(pulls=False, evaluate=())).final
        examples = living_examples(data)
        alive = np.setdiff1d(np.arange(data.n_inputs), data.dead_pixels)
        weights = (network.weights[0][:, alive], *network.weights[1:])
        targets = np.eye(data.n_classes)[examples.labels]
        rows: list[tuple[Any, ...]] = []
        with threadpool_limits(1, user_api="blas"):
            for place, weight_decay in enumerate(self.weight_decays):
                most_steps = self.steps if place else self.first_steps
                rest = come_to_rest(weights, self.config.activation, examples, weight_decay, most_steps=most_steps)
                weights = rest.weights
                biases = tuple(np.zeros(len(w)) for w in weights)
                single = Mlp(tuple(w.astype(np.float32) for w in weights), biases, self.config.activation, "softmax")
                logits = np.concatenate([single.logits(x.T) for x, _ in examples.blocks()])
                gaps = [_gap(factor ** len(weights) * logits, targets) for factor in self.factors]
                rows.append((rest.norms_squared, rest.cost, _gap(logits, targets), rest.unrest, gaps))
        norms, costs, gap, unrest, gaps_at_factor = map(np.array, zip(*rows, strict=True))
        return Minima(np.array(self.weight_decays), norms, costs, gap, unrest, np.array(self.factors), gaps_at_factor)


def _gap(logits: Array, targets: Array) -> float:
    """Return the mean predictive entropy less the mean cost."""
    return float(np.mean(predictive_entropy("softmax", logits)) - np.mean(cost("softmax", logits, targets)))
