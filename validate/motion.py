r"""Measure at every step how the weights of each neuron move: norms, updates, rotation, autocovariances.

The update u of a step is what the optimizer does beside the decay, whatever the coupling:

    w' = (1 - lr*weight_decay) w - lr u.

It is taken from the weights themselves, before and after. They are stored as w = s V with a float64 scale s that
carries the decay, so that with decoupled decay u = -(s'/lr) (V' - V) and rounding stays that of the weights. All
products are sums over one neuron's weights; a layer's are the sums over its neurons.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .optimizers import SGD
from .training_step import Networks

__all__ = ["Autocovariance", "Motion"]

Array = NDArray[Any]
Float = NDArray[np.float64]

_BLOCK_STEPS = 64  # updates that are multiplied with earlier ones at a time, in one product


class Autocovariance:
    """Sum <u_t, u_(t+k)> of each neuron over all pairs of steps, exactly, for all lags k up to a largest.

    The last `n_lags` updates are kept in a ring; every `_BLOCK_STEPS` steps the new ones are multiplied with all of it.

    Parameters
    ----------
    shape : tuple of int
        (n_runs, n_neurons, n_inputs).
    dtype : dtype
        Of the updates.
    n_lags : int
        Largest lag.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any, n_lags: int) -> None:
        n_runs, n_neurons, n_inputs = shape
        self.n_lags, self.count, self.filled = n_lags, 0, 0
        n_rows = _BLOCK_STEPS * (1 + -(-n_lags // _BLOCK_STEPS))
        self.ring = np.zeros((n_runs, n_neurons, n_rows, n_inputs), dtype)
        self.totals = np.zeros((n_runs, n_neurons, n_lags + 1))

    def add(self, update: Array) -> None:
        """Take in the update of a step."""
        position = self.count % self.ring.shape[2]
        self.ring[:, :, position] = update
        self.count += 1
        self.filled += 1
        if self.filled == _BLOCK_STEPS:
            self._multiply()

    def _multiply(self) -> None:
        """Multiply the new updates with all that are kept."""
        n_rows = self.ring.shape[2]
        first = (self.count - self.filled) % n_rows  # blocks never wrap: n_rows is a multiple of their length
        new = self.ring[:, :, first : first + self.filled]
        # oldest first, so that the lag of column j to new row i is n_rows - filled + i - j
        end = first + self.filled
        products = new @ self.ring.swapaxes(2, 3)
        ordered = np.concatenate([products[..., end:], products[..., :end]], axis=3)
        for i in range(self.filled):
            newest = n_rows - self.filled + i
            oldest = max(newest - self.n_lags, 0)
            self.totals[:, :, : newest - oldest + 1] += ordered[:, :, i, oldest : newest + 1][..., ::-1]
        self.filled = 0

    def values(self) -> Float:
        """Return the mean of <u_t, u_(t+k)> over the pairs, (n_runs, n_lags + 1, n_neurons); nan without any."""
        if self.filled:
            self._multiply()
        pairs = self.count - np.arange(self.n_lags + 1.0)
        return np.where(pairs > 0, self.totals / np.maximum(pairs, 1), np.nan).swapaxes(1, 2)


class Motion:
    """Measure the steps of all runs, neuron by neuron.

    Parameters
    ----------
    networks : Networks
        What trains.
    n_steps : int
        Steps of the whole run.
    means, every_step, every_norm : bool
        Whether to average between records, to keep every step, and to keep every step's squared norms.
    n_lags, first_step : int
        Largest lag of the autocovariance of the updates (0: none), and the steps before it begins.
    """

    def __init__(
        self,
        networks: Networks,
        n_steps: int,
        *,
        means: bool,
        every_step: bool,
        every_norm: bool,
        n_lags: int,
        first_step: int,
    ) -> None:
        self.networks, self.n_steps = networks, n_steps
        self.means, self.every_step, self.every_norm = means, every_step, every_norm
        self.measuring = means or every_step
        self.first_step, self.step, self.paused = first_step, 0, False
        self.correlations = [Autocovariance(w.shape, w.dtype, n_lags) for w in networks.weights] if n_lags else []
        self.before = [np.empty_like(w) for w in networks.weights] if self.measuring or n_lags else []
        self.products: list[dict[str, Float]] = []
        self.counted = 0
        self.sums: list[dict[str, Float]] = [{} for _ in networks.weights]
        self.layer_sums: list[dict[str, Float]] = [{} for _ in networks.weights]
        self.kept: list[dict[str, Float]] = [{} for _ in networks.weights]
        self.layer_kept: list[dict[str, Float]] = [{} for _ in networks.weights]
        if every_norm:
            self.norms = [np.full((n_steps + 1, *w.shape[:2]), np.nan) for w in networks.weights]
            self._keep_norms(0, networks.scale)

    def _keep_norms(self, step: int, scale: Float) -> None:
        for norms, w in zip(self.norms, self.networks.weights, strict=True):
            norms[step] = np.vecdot(w, w) * scale[:, None] ** 2

    def start(self, k: int, scale: Float, gradients: list[Array] | None) -> None:
        """Look at the networks before planned step k; no gradients are given with plain SGD, whose updates they are."""
        if self.paused or not self.before:
            return
        self.products = []
        for layer, (before, w) in enumerate(zip(self.before, self.networks.weights, strict=True)):
            np.copyto(before, w)
            found: dict[str, Float] = {}
            self.products.append(found)
            if not self.measuring:
                continue
            s = scale[:, None]
            found["norm_squared"] = np.vecdot(w, w) * s**2
            if gradients is None:
                continue
            g = gradients[layer]
            pull = -np.vecdot(w, g) * s
            found["radial_pull"], found["gradient_power"] = pull, np.vecdot(g, g).astype(np.float64)
            arithmetic = self.networks.arithmetic
            memory = None if arithmetic is None else arithmetic.buffer(k, layer)
            if arithmetic is None or memory is None:
                continue
            b, t, rho = memory[0], memory[1][:, None], memory[2][:, None]  # the buffer is t b + rho w
            overlap, power = np.vecdot(w, b) * s * t, np.vecdot(b, b) * t**2
            found["weight_buffer_product"] = overlap + rho * found["norm_squared"]
            found["buffer_power"] = power + 2 * rho * overlap + rho**2 * found["norm_squared"]
            found["buffer_gradient_product"] = np.vecdot(b, g) * t - rho * pull
            if isinstance(arithmetic.optimizers[0], SGD):
                momentum = arithmetic.parameter("momentum")[:, None]
                found["measured_power"] = found["gradient_power"] + 2 * momentum * found["buffer_gradient_product"]

    def finish(self, lr: Float, weight_decay: Float, scale: Float, next_scale: Float) -> None:
        """Look at the networks after the step; hyperparameters and scales before and after it are (n_runs,)."""
        if self.paused:
            return
        if self.every_norm:
            self._keep_norms(self.step + 1, next_scale)
        if self.before:
            left = 1 - lr * weight_decay
            with np.errstate(divide="ignore", invalid="ignore"):
                back = np.where(lr > 0, -next_scale / lr, 0.0)[:, None, None]
            rest = (1 - left * scale / next_scale)[:, None, None]  # 0 if decay is in the scale alone
            for layer, (before, w) in enumerate(zip(self.before, self.networks.weights, strict=True)):
                update = w - before
                if rest.any():
                    update += rest.astype(w.dtype) * before
                update *= back.astype(w.dtype)
                if self.correlations and self.step >= self.first_step:
                    self.correlations[layer].add(update)
                if self.measuring:
                    self._collect(layer, before, update, lr[:, None], left[:, None], scale[:, None])
        if self.measuring:
            self.counted += 1
        self.step += 1

    def _collect(self, layer: int, before: Array, update: Array, lr: Float, left: Float, scale: Float) -> None:
        """Add one layer's products to the sums and to what is kept of every step."""
        found = self.products[layer]
        found["update_power"] = np.vecdot(update, update).astype(np.float64)
        found["weight_update_product"] = np.vecdot(before, update) * scale
        if self.networks.arithmetic is None:
            found["radial_pull"], found["gradient_power"] = -found["weight_update_product"], found["update_power"]
        whole = {name: values.sum(axis=1, keepdims=True) for name, values in found.items()}
        for table in (found, whole):
            table.update(_turning(table, lr, left))
        for sums, kept, table in (
            (self.sums, self.kept, found),
            (self.layer_sums, self.layer_kept, whole),
        ):
            for name, values in table.items():
                if self.means:
                    sums[layer][name] = sums[layer].get(name, 0.0) + values
                if self.every_step:
                    if name not in kept[layer]:
                        kept[layer][name] = np.full((self.n_steps, *values.shape), np.nan)
                    kept[layer][name][self.step] = values

    def averages(self) -> tuple[dict[str, Float], list[dict[str, Float]]]:
        """Return the means since the last call: of layers, (n_runs, n_layers), and of each layer's neurons."""
        whole = {
            name: np.concatenate([sums[name] for sums in self.layer_sums], axis=1) / self.counted
            for name in self.layer_sums[0]
        }
        neurons = [{name: total / self.counted for name, total in sums.items()} for sums in self.sums]
        for totals in (*self.sums, *self.layer_sums):
            for name in totals:
                totals[name] = np.zeros(())
        self.counted = 0
        return whole, neurons


def _turning(table: dict[str, Float], lr: Float, left: Float) -> dict[str, Float]:
    """Return 1 - cos and the squared angle between w and w' = left*w - lr*u, from products: without cancellation."""
    size, power, along = table["norm_squared"], table["update_power"], table["weight_update_product"]
    across = lr * np.sqrt(np.maximum(size * power - along**2, 0))
    angle = np.arctan2(across, left * size - lr * along)
    return {"one_minus_cosine": 2 * np.sin(angle / 2) ** 2, "angle_squared": angle**2}
