"""Sweep deep linear networks, and the products that theory predicts for them, through collapse; and kick them back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import check_count, check_positive
from ..theory import derive
from .datasets import Dataset
from .full_batch import (
    Examples,
    check_pixels,
    come_to_rest,
    cost_and_gradients,
    draw_weights,
    living_examples,
)
from .product_penalty import least_product
from .seeds import fresh_generator
from .sweeping import raise_decay

__all__ = ["DeepNetworks", "DeepProducts", "barrier", "leading_examples", "ray"]

Array = NDArray[np.float64]

_CARRIED = 0.97
"""Share of the inputs' mean square in the directions that the predictions keep: a fifth of MNIST's, a quarter of the
time. Keeping 0.99 changes predicted sizes by two parts in ten thousand."""
_RAY = 25
_SMALL = 0.01


@dataclass(frozen=True)
class DeepProducts:
    """Predict what decay leaves of a deep linear network, from the data alone.

    Parameters
    ----------
    depth : int
        Layers of weights.
    first, most : float
        Smallest decay, and the largest that is tried.
    growth, resolution : float
        As in `raise_decay`.
    kicks : tuple of float
        Sizes of kicks over that of the barrier. Two layers have none: over a hundredth of the weights of the start.
    kicked_at : float
        Decay at which the network is kicked, over the one at which it collapses.
    """

    depth: int
    first: float
    most: float
    growth: float
    resolution: float
    kicks: tuple[float, ...]
    kicked_at: float

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if a value is out of range or the data have no pixel."""
        check_count("depth", self.depth, least=2)
        check_positive("first", self.first)
        check_pixels(data)

    def start(self, data: Dataset) -> dict[str, Any]:
        """Return the sweep of the product, the ray through its last state (see `ray`), and what kicks along it do."""
        examples = leading_examples(living_examples(data))
        start = least_product(examples, self.first, 2).matrix

        def settle(matrix: Array, decay: float) -> tuple[Array, float]:
            product = least_product(examples, decay, self.depth, matrix)
            return product.matrix, product.norm_squared

        sweep = raise_decay(
            settle, start, first=self.first, most=self.most, growth=self.growth, resolution=self.resolution
        )
        scales, decays = ray(examples, sweep.last, self.depth)
        kick_decay = self.kicked_at * sweep.end
        deep = self.depth > 2
        kicks = np.array(self.kicks) * (barrier(scales, decays, kick_decay) if deep else _SMALL)
        found = np.isfinite(kick_decay) and np.all(np.isfinite(kicks))
        kicked = [kick**self.depth * (sweep.last if deep else start) for kick in kicks]
        after = [settle(matrix, kick_decay)[1] if found else np.nan for matrix in kicked]
        modes = np.linalg.svd(sweep.last, compute_uv=False)
        return {
            "weight_decays": sweep.weight_decays,
            "sizes": sweep.sizes,
            "end": sweep.end,
            "last_modes": modes[modes > 1e-6 * modes[0]] if modes[0] else modes[:0],
            "ray_scales": scales,
            "ray_decays": decays,
            "kick_decay": kick_decay,
            "kicks": kicks,
            "kicked_to": np.array(after),
        }


@dataclass(frozen=True)
class DeepNetworks:
    """Train a deep linear network at rising decays until nothing is left, then kick it at a smaller decay.

    Parameters
    ----------
    depth, first, most, growth, resolution
        As in `DeepProducts`.
    seed : SeedSequence
        Of the first weights; each hidden layer has as many units as there are classes.
    kick_decay : float
        Decay at which the network is kicked.
    kicks : tuple of float
        Sizes of the kicks: the weights are put to these multiples of the last state's before its collapse, for two
        layers of the first weights: their zero is unstable in several directions, all of which a random start has.
    """

    depth: int
    first: float
    most: float
    growth: float
    resolution: float
    seed: np.random.SeedSequence
    kick_decay: float
    kicks: tuple[float, ...]

    def check(self, data: Dataset) -> None:
        """Raise InvalidInput if a value is out of range or the data have no pixel."""
        check_count("depth", self.depth, least=2)
        check_positive("first", self.first)
        check_pixels(data)

    def start(self, data: Dataset) -> dict[str, Any]:
        """Return the sweep of the trained networks, and the squared norm of each layer after every kick."""
        examples = living_examples(data)
        hidden = [examples.n_classes] * self.depth
        weights = draw_weights([examples.inputs.shape[1], *hidden], fresh_generator(self.seed))
        passes = [0]

        def settle(layers: tuple[Array, ...], decay: float) -> tuple[tuple[Array, ...], float]:
            rest = come_to_rest(layers, "linear", examples, decay)
            passes[0] += rest.n_gradients
            return rest.weights, float(rest.norms_squared.mean())

        sweep = raise_decay(
            settle, weights, first=self.first, most=self.most, growth=self.growth, resolution=self.resolution
        )
        source = sweep.last if self.depth > 2 else weights
        kicked = [tuple(kick * w for w in source) for kick in self.kicks]
        after = [settle(layers, self.kick_decay)[1] for layers in kicked]
        return {
            "weight_decays": sweep.weight_decays,
            "sizes": sweep.sizes,
            "end": sweep.end,
            "kicked_from": np.array([sum(float(np.sum(w * w)) for w in layers) / self.depth for layers in kicked]),
            "kicked_to": np.array(after),
            "n_gradients": passes[0],
        }


def leading_examples(examples: Examples) -> Examples:
    """Return the examples in those principal directions of their inputs that carry 97 % of the mean square.

    Parameters
    ----------
    examples : Examples
        Inputs in any basis: a rotation of the inputs changes no singular value of a product.
    """
    moments = examples.inputs.T @ examples.inputs
    carried, directions = np.linalg.eigh(moments.astype(np.float64))
    shares = np.cumsum(carried[::-1]) / carried.sum()
    n_kept = int(np.searchsorted(shares, _CARRIED)) + 1
    kept = directions[:, ::-1][:, :n_kept].astype(np.float32)
    return Examples(examples.inputs @ kept, examples.labels, examples.n_classes)


def barrier(scales: Array, weight_decays: Array, weight_decay: float) -> float:
    """Return the smallest scale on a ray at which decay and pull balance; nan if there is none.

    Examples
    --------
    >>> barrier(np.array([0.5, 1.0]), np.array([0.1, 0.3]), 0.2)
    0.75
    """
    above = np.flatnonzero(weight_decays >= weight_decay)
    if not above.size:
        return np.nan
    last = above[0] + 1
    return float(np.interp(weight_decay, np.append(0.0, weight_decays[:last]), np.append(0.0, scales[:last])))


def ray(examples: Examples, product: Array, depth: int) -> tuple[Array, Array]:
    """Return the decay that balances the pull of the data on a network whose layers are all scaled alike.

    Parameters
    ----------
    examples : Examples
        Training set.
    product : (n_classes, n_inputs) ndarray
        Product of the unscaled layers.
    depth : int
        Layers of weights.

    Returns
    -------
    scales : (n,) ndarray
        Factors on the layers, from small to 1.
    weight_decays : (n,) ndarray
        Where decay and pull balance: the result "rate" of the derivation "norm-flow" without noise vanishes there.
        Where the decay falls with the size the balance is stable, where it rises unstable: a barrier, beneath which
        the network collapses and above which it grows.
    """
    scales = np.linspace(0.0, 1.0, _RAY + 1)[1:]
    modes = np.linalg.svd(product, compute_uv=False)
    modes = modes[modes > 0]
    if not modes.size:
        return scales, np.full(_RAY, np.nan)
    size = float(np.sum(derive("layer-split").numeric("norm_squared_layer", mode=modes, depth=depth)))
    pulls = []
    for scale in scales:
        here = scale**depth * product
        pulls.append(-float(np.sum(here * cost_and_gradients([here], "linear", examples)[1][0])))
    return scales, np.array(pulls) / (scales**2 * size)
