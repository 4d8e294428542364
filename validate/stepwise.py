"""Watch the trainer one step at a time: the network before and after, and the textbook gradient that made the step.

The steps are those of `train`, the arithmetic included; only the gradients are computed once more, in float64 and in
the textbook form of `mlp`, so that a law which links the three is tested on both.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from ..errors import check_count
from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp
from .optimizer_step import OptimizerWorkspace
from .training import check_fit
from .training_step import Networks, Workspace

__all__ = ["TakenStep", "epochs_of", "taken_steps"]

Array = NDArray[np.float64]


@dataclass(frozen=True)
class TakenStep:
    """Hold one step of a training run.

    Parameters
    ----------
    before, after : Mlp
        The network, as float64.
    weight_gradients, bias_gradients : tuple of ndarray
        Unregularized gradients of the mini-batch's mean cost at the network before the step, layer by layer.
    lr, weight_decay : float
        Learning rate and decay coefficient (PyTorch's sense) of the step.
    """

    before: Mlp
    after: Mlp
    weight_gradients: tuple[Array, ...]
    bias_gradients: tuple[Array, ...]
    lr: float
    weight_decay: float

    def moved(self, *, decay_biases: bool) -> TakenStep:
        """Return the step with the gradients that the trainer went by, read off from how far the weights moved.

        They are those of plain SGD. Beside rounding they differ from the textbook's only where a pre-activation is so
        near to a rectifier's kink that the trainer's number format puts it on the other side.

        Parameters
        ----------
        decay_biases : bool
            Whether the biases decay as well.
        """
        left = 1 - self.lr * self.weight_decay
        weights, biases = (
            tuple((kept * before - after) / self.lr for before, after in zip(old, new, strict=True))
            for kept, old, new in (
                (left, self.before.weights, self.after.weights),
                (left if decay_biases else 1.0, self.before.biases, self.after.biases),
            )
        )
        return replace(self, weight_gradients=weights, bias_gradients=biases)


def epochs_of(n_steps: int, n_train: int, batch_size: int) -> int:
    """Return the number of epochs that hold so many steps.

    >>> epochs_of(5001, n_train=50000, batch_size=10)
    2
    """
    return -(-n_steps // -(-n_train // batch_size))


def taken_steps(
    config: TrainingConfig,
    data: Dataset,
    *,
    rng: np.random.Generator,
    n_steps: int | None = None,
    initial: Mlp | None = None,
) -> Iterator[TakenStep]:
    """Train a network as `train` does with this stream, and yield step by step.

    Parameters
    ----------
    config : TrainingConfig
        What is trained.
    data : Dataset
        What to train on.
    rng : Generator
        Source of the initial weights and of the order of the examples.
    n_steps : int, optional
        After how many steps to stop; by default all of the configuration.
    initial : Mlp, optional
        The network to start from, in the place of one drawn as the configuration says.

    Yields
    ------
    TakenStep
        A network that has diverged is yielded as it is.

    Raises
    ------
    InvalidInput
        If configuration and data set do not fit each other.

    Examples
    --------
    >>> from weightdecay.validate import load_mnist
    >>> config = TrainingConfig.pytorch(layers=[784, 10], lr=0.1, weight_decay=0.5, batch_size=10, epochs=1,
    ...                                 dtype="float64")
    >>> (step,) = taken_steps(config, load_mnist(), rng=np.random.default_rng(0), n_steps=1)
    >>> made = 0.95 * step.before.weights[0] - 0.1 * step.weight_gradients[0]
    >>> float(abs(step.after.weights[0] - made).max()) < 1e-14
    True
    """
    check_fit([config], data)
    lr, weight_decay = (table[:, None] for table in config.tabulate(data.n_train))
    n_steps = len(lr) if n_steps is None else min(check_count("n_steps", n_steps, least=0), len(lr))
    for_weights, for_order = rng.spawn(2)
    networks = Networks.start([config], [Mlp.initialize(config, for_weights) if initial is None else initial])
    kind = Workspace if networks.arithmetic is None else OptimizerWorkspace
    targets = np.eye(config.layers[-1])
    per_epoch = config.steps_per_epoch(data.n_train)
    spaces: dict[int, Workspace] = {}
    before = networks.network(0)
    with threadpool_limits(1, user_api="blas"):  # until the last step is taken
        for step in range(n_steps):
            place = step % per_epoch * config.batch_size
            if place == 0:
                order = _order(for_order, data.n_train, config.sampling)
            rows = order[place : place + config.batch_size]
            if len(rows) not in spaces:
                spaces[len(rows)] = kind(networks, data, len(rows), False, False)
            with np.errstate(all="ignore"):
                x = data.train.images[rows] * data.pixel_scale
                gradients = before.gradients(x, targets[data.train.labels[rows]])
                spaces[len(rows)].run(rows[None], lr[step : step + 1], weight_decay[step : step + 1])
                networks.fold()
                after = networks.network(0)
            rates = float(lr[step, 0]), float(weight_decay[step, 0])
            yield TakenStep(before, after, tuple(gradients[0]), tuple(gradients[1]), *rates)
            before = after


def _order(rng: np.random.Generator, n_train: int, sampling: str) -> NDArray[np.int64]:
    """Return the examples of an epoch, in order, as `train` draws them."""
    return rng.permutation(n_train) if sampling == "reshuffled" else rng.integers(n_train, size=n_train)
