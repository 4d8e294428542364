"""Keep the books of a training run: what decay takes from each layer's norm, and what data, noise and time give.

Two kinds of runs. In `WindowRun` the trainer's own probes measure pull and power of every mini-batch. In
`WholeSetRun` the pull of the whole training set, seen through fresh examples, is measured beside that of the batches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..theory import derive
from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp
from .optimizers import SGD
from .record import Recording
from .seeds import unspawned
from .stepwise import taken_steps
from .sweep import Run
from .training import check_fit

__all__ = ["N_BLOCKS", "WholeSetRun", "WindowRun", "input_power"]

Array = NDArray[np.float64]

_NAMES = ("decay", "pull", "noise", "ends", "balance")
N_BLOCKS = 20
"""Parts of a window whose means give the standard error of a sampled pull: many steps long, so nearly independent."""


def input_power(data: Dataset) -> float:
    """Return the mean squared norm of the training inputs, which sets the scale of stable learning rates.

    >>> from weightdecay.validate import load_mnist
    >>> round(input_power(load_mnist()), 1)
    87.4
    """
    counts = np.bincount(data.train.images.ravel(), minlength=256)
    squares = (np.arange(256) * data.pixel_scale) ** 2
    return float(counts @ squares) / data.train.n_rows


@dataclass(frozen=True)
class WindowRun:
    """Describe a run, by stochastic gradient descent with or without momentum, whose books are kept from its start.

    Parameters
    ----------
    config : TrainingConfig
        What is trained; its last step closes the window and is not in it.
    seed : SeedSequence
        Where the run's own random stream begins.
    """

    config: TrainingConfig
    seed: np.random.SeedSequence

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the configuration does not fit the data."""
        check_fit([self.config], data)
        self.config.tabulate(data.n_train)

    def start(self, data: Dataset) -> dict[str, Array]:
        """Train, and return the books of each layer, all in units of the loss.

        Returns
        -------
        dict of (n_layers,) ndarray
            decay: weight_decay times the mean squared norm. pull, noise, ends: what the mini-batches' pull, the power
            of gradient or buffer, and the change between the two ends of the window account for. balance: what decay
            must then be. All nan if the run diverged.
        """
        lr, weight_decay = (float(table[0]) for table in self.config.tabulate(data.n_train))
        recording = Recording(evaluate=(), motion=True, every_step_motion=True, every_step_norms=True)
        record = Run(self.config, self.seed, recording).start(data)
        assert record.step_motion is not None
        assert record.step_norm_squared is not None
        if record.diverged:
            return dict.fromkeys(_NAMES, np.full(self.config.n_layers, np.nan))
        motion, norms = record.step_motion, record.step_norm_squared
        n_steps = len(motion["radial_pull"]) - 1
        window = slice(0, n_steps)
        values: dict[str, Any] = {
            "lr": lr,
            "weight_decay": weight_decay,
            "n_steps": n_steps,
            "radial_pull": motion["radial_pull"][window].mean(axis=0),
            "norm_squared_start": norms[0],
            "norm_squared_end": norms[n_steps],
        }
        optimizer = self.config.optimizer
        assert isinstance(optimizer, SGD)
        if optimizer.momentum:
            values |= {
                "momentum": optimizer.momentum,
                "dampening": optimizer.dampening,
                "buffer_power": motion["buffer_power"][1 : n_steps + 1].mean(axis=0),  # of the buffers after each step
                "overlap_start": motion["weight_buffer_product"][0],
                "overlap_end": motion["weight_buffer_product"][n_steps],
            }
        else:
            values["gradient_power"] = motion["gradient_power"][window].mean(axis=0)
        return _books("heavy-ball-window" if optimizer.momentum else "window-balance", values) | {
            "decay": weight_decay * norms[window].mean(axis=0)
        }


def _books(law: str, values: dict[str, Any]) -> dict[str, Array]:
    """Return what a balance over a window says of its terms."""
    derivation = derive(law)

    def result(name: str) -> Array:
        told = derivation.numeric(name, **{key: values[key] for key in derivation.arguments(name)})
        return np.asarray(told, dtype=np.float64)

    pull = result("pull_term") if "pull_term" in derivation.results else values["radial_pull"]
    return {
        "pull": pull,
        "noise": result("noise_term"),
        "ends": result("boundary_term"),
        "balance": result("decay_pull"),
    }


@dataclass(frozen=True)
class WholeSetRun:
    """Describe a run of plain SGD whose books are kept twice: with its batches' pulls, and with the whole set's.

    Parameters
    ----------
    config : TrainingConfig
        What is trained while the books are kept.
    n_warm_epochs : int
        Epochs of training before that.
    seed : SeedSequence
        Where the run's own random streams begin.
    n_fresh : int
        Examples drawn from the whole training set, independently of the run, for each look at its pull.
    every : int
        Steps from one look to the next.
    """

    config: TrainingConfig
    n_warm_epochs: int
    seed: np.random.SeedSequence
    n_fresh: int
    every: int

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if the configuration does not fit the data."""
        check_fit([self.config], data)
        self.config.tabulate(data.n_train)

    def start(self, data: Dataset) -> dict[str, Array]:
        """Train, and return the books of each layer, all in units of the loss.

        Returns
        -------
        dict of ndarray
            decay, pull, noise, ends, balance: (n_layers,), as of `WindowRun`. whole_set: (n_blocks, n_layers), the
            balance with the pull of the whole set in place of the batches', block by block of the window. All nan if
            the run diverged.
        """
        warm_seed, seed, fresh_seed = unspawned(self.seed).spawn(3)
        warm_config = TrainingConfig.from_dict(self.config.to_dict() | {"epochs": self.n_warm_epochs})
        warmed = Run(warm_config, warm_seed, Recording(pulls=False, evaluate=())).start(data).final
        fresh = np.random.default_rng(fresh_seed)
        norms, pulls, powers, looks = [], [], [], []
        for k, step in enumerate(taken_steps(self.config, data, rng=np.random.default_rng(seed), initial=warmed)):
            weights, gradients = step.before.weights, step.weight_gradients
            norms.append([np.vdot(w, w) for w in weights])
            pulls.append([-np.vdot(w, g) for w, g in zip(weights, gradients, strict=True)])
            powers.append([np.vdot(g, g) for g in gradients])
            if k % self.every == 0:
                looks.append(_fresh_pulls(step.before, data, fresh.integers(data.n_train, size=self.n_fresh)))
        if not np.isfinite(np.array([norms[-1], looks[-1], pulls[-1]])).all():
            lost = np.full(self.config.n_layers, np.nan)
            return dict.fromkeys(_NAMES, lost) | {"whole_set": np.full((N_BLOCKS, self.config.n_layers), np.nan)}
        norms_end = np.array([np.vdot(w, w) for w in step.after.weights])
        values = {
            "lr": step.lr,
            "weight_decay": step.weight_decay,
            "n_steps": len(norms),
            "radial_pull": np.mean(pulls, axis=0),
            "gradient_power": np.mean(powers, axis=0),
            "norm_squared_start": np.array(norms[0]),
            "norm_squared_end": norms_end,
        }
        blocks = [block.mean(axis=0) for block in np.array_split(np.array(looks), min(N_BLOCKS, len(looks)))]
        seen = _books("window-balance", values | {"radial_pull": np.array(blocks)})
        return _books("window-balance", values) | {
            "decay": step.weight_decay * np.mean(norms, axis=0),
            "whole_set": seen["balance"],
        }


def _fresh_pulls(network: Mlp, data: Dataset, rows: NDArray[np.int64]) -> list[float]:
    """Return the pull of some examples on each layer, computed in float32."""
    weights, biases = (
        tuple(each.astype(np.float32) for each in arrays) for arrays in (network.weights, network.biases)
    )
    lowered = Mlp(weights, biases, network.activation, network.output, network.normalized)
    x = data.train.images[rows] * np.float32(data.pixel_scale)
    y = np.eye(len(biases[-1]), dtype=np.float32)[data.train.labels[rows]]
    gradients = lowered.gradients(x, y)[0]  # on one thread, as long as steps are taken
    return [-float(np.vdot(w, g)) for w, g in zip(weights, gradients, strict=True)]
