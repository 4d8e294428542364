"""Take steps of any optimizer, with normalized layers or without, many networks at a time.

The forward and backward passes are those of `training_step`; here the gradients of all layers become arrays of their
own, (n_runs, n_out, n_in), in the units of the weights, and `optimizer_arithmetic` makes steps of them.

A normalized row w acts as c w/||w|| with a fixed c. The products take the stored rows V (w = s V) as they are and
their results, z = V a, are multiplied by c/||V||. With E the errors of the pre-activations times c/||w||, the gradient
is E^T a less its part along V: row j loses t_j V_j, t_j = sum_e E_ej z_ej / ||V_j||^2. A row that decay alone has moved
until its square underflows has no direction left, and counts as the weights of a unit that is off.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

from .configuration import NORMALIZED_SIZE
from .datasets import Dataset
from .mlp import cost, predictive_entropy
from .optimizer_arithmetic import Momentum, Part
from .training_step import UNPACKED_PRODUCT, Networks, Workspace

__all__ = ["OptimizerWorkspace"]

Array = NDArray[Any]


class OptimizerWorkspace(Workspace):
    """Buffers and views for steps on mini-batches of one size, laid out as in `Workspace`."""

    def __init__(self, networks: Networks, data: Dataset, batch_size: int, shared: bool, probing: bool):
        config = networks.config
        assert networks.arithmetic is not None
        self.arithmetic = networks.arithmetic
        self.normalized = config.normalized_layers
        self.parts = networks.arithmetic.parts
        self.measuring = probing
        super().__init__(networks, data, batch_size, shared, probing=False)

    def run(
        self, order: NDArray[np.int64], lr: NDArray[np.float64], weight_decay: NDArray[np.float64]
    ) -> dict[str, Array]:
        """Take one step for each row of the two (n_steps, n_runs) arrays; return what the probes measured."""
        networks, config, n_steps = self.networks, self.config, len(lr)
        shrink = networks.scale_factors(lr, weight_decay)
        scales = networks.scale * np.cumprod(np.vstack([np.ones(self.n_runs), shrink]), axis=0)
        bias_scales = scales if config.decay_biases else np.ones_like(scales)
        stored = [scales] * config.n_layers
        if config.biases:
            stored = stored + [bias_scales / gain for gain in self.pre_gain]
        self.arithmetic.plan(lr, weight_decay, stored)
        self.looking = self.measuring or self.motion is not None
        self._reserve()
        self._tabulate(scales[:-1], bias_scales[:-1])
        self.found: dict[str, Array] = {}
        for start in range(0, n_steps, self.n_slots):
            stop = min(start + self.n_slots, n_steps)
            self.load(order[:, start * self.batch_size : stop * self.batch_size])
            for k in range(start, stop):
                self._take(k, k - start, n_steps)
                if self.motion is not None:
                    self.motion.finish(lr[k], weight_decay[k], scales[k], scales[k + 1])
        networks.scale = scales[-1]
        self.arithmetic.done(n_steps)
        return self.found

    def _tabulate(self, scales: NDArray[np.float64], bias_scales: NDArray[np.float64]) -> None:
        """Prepare the factors of every step: rows for the units of a layer, or single numbers where runs agree."""
        self.scales, self.bias_scales = scales, bias_scales
        self.error_scales = self._error_scales(scales)
        self.forward, self.update, self.bias_update, self.bias_forward = [], [], [], []
        self.direct: list[Array] = []
        for layer, normalized in enumerate(self.normalized):
            gain = self.pre_gain[layer] / self.unit_gain[layer]
            per_example = self.error_scales[layer] / self.batch_size
            self.forward.append(self._rows(np.full_like(scales, gain) if normalized else scales * gain, layer))
            slope = per_example / self.unit_gain[layer] / (scales if normalized else 1.0)
            self.update.append(self._rows(slope, layer))
            if isinstance(self.arithmetic, Momentum):
                self.direct.append(self._rows(slope * self.arithmetic.takes[layer], layer))
            self.bias_update.append(self._rows(per_example, layer))
            self.bias_forward.append(self._rows(bias_scales, layer))

    def _rows(self, values: NDArray[np.float64], layer: int) -> Array:
        if np.all(values == values[:, :1]):
            return values[:, :1].astype(self.config.dtype)
        return np.repeat(values.astype(self.config.dtype), self.config.layers[layer + 1], axis=1)

    def _error_scales(self, scales: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return what a stored error is to be multiplied by; errors that come down a normalized layer need no scale."""
        slope = 0.25 if self.config.activation == "sigmoid" else 1.0
        found = [np.full_like(scales, 0.5 if self.config.output == "sigmoid" else 1.0)]
        for normalized in reversed(self.normalized[1:]):
            found.insert(0, found[0] * slope * (1.0 if normalized else scales))
        return found

    def _single_step(self) -> Callable[..., None]:
        return self._stacked_step()

    def _stacked_step(self) -> Callable[..., None]:
        """Prepare buffers; the step itself is `_take`."""
        config, weights = self.config, self.networks.weights
        self.activations, self.slope_functions = self._activations(), self._slope_functions()
        self.units_by_run = [self.by_run(u) for u in self.units]
        self.errors_by_run = [self.by_run(e) for e in self.errors]
        self.scaled = [np.empty_like(e) for e in self.errors]  # errors times what makes gradients of them
        self.scaled_by_run = [self.by_run(e) for e in self.scaled]
        self.transposed = [e.swapaxes(1, 2) for e in self.scaled_by_run]
        self.products = [np.empty_like(e) for e in self.errors]  # V a of normalized layers
        self.bias_terms = [np.empty_like(b) for b in self.bias_rows]
        self.bias_sums = [np.empty_like(b) for b in self.bias_rows]
        self.logits = np.empty_like(self.units[-1])
        self.ones = np.ones(self.batch_size, config.dtype)
        self.weights_T = [w.swapaxes(1, 2) for w in weights]
        n_in, width = config.layers[:2]
        rows = self.n_runs * width
        block = width * max(1, UNPACKED_PRODUCT // (self.batch_size * n_in * width))
        wide = weights[0].reshape(rows, n_in)
        self.wide_products = [
            (wide[start : start + block].T, self.units[0][:, start : start + block]) for start in range(0, rows, block)
        ]
        self.gradients: list[Array] = []
        if isinstance(self.arithmetic, Momentum):
            self._prepare_products(self.arithmetic, block if self.shared else width)
        return self._take

    def _prepare_products(self, arithmetic: Momentum, block: int) -> None:
        """Prepare the products that add the first layer's gradient to where it goes, in place."""
        n_in, width = self.config.layers[:2]
        rows, parts = self.n_runs * width, self.parts[0]
        wide = arithmetic.targets[0].reshape(rows, n_in)
        self.groups: list[tuple[list[Part], list[tuple[slice, Array, Array, int]]]] = []
        for start in range(0, rows, block):
            stop = min(start + block, rows)
            piece = np.empty((self.batch_size, stop - start), wide.dtype)
            product = (slice(start, stop), piece, wide[start:stop].T, start // width)
            if len(parts) == 1 and self.groups:
                self.groups[0][1].append(product)
            else:
                mine = parts if len(parts) == 1 else parts[start // width : stop // width]
                self.groups.append((mine, [product]))
        self.gemm = get_blas_funcs("gemm", dtype=wide.dtype)
        self.stacked = [np.empty_like(w) for w in self.networks.weights[1:]]

    def _reserve(self) -> None:
        """Make room for the gradients: of all runs if they are looked at, else of those that step together."""
        if self.gradients or (self.arithmetic.linear and not self.looking):
            return
        self.gradients = [
            np.empty_like(w if self.looking else w[self.parts[layer][0].runs])
            for layer, w in enumerate(self.networks.weights)
        ]

    def _take(self, k: int, slot: int, n_steps: int) -> None:
        """Take the k-th planned step on the mini-batch in a slot."""
        weights, step, n_layers = self.networks.weights, self.arithmetic.step, self.config.n_layers
        row_gains = self._forward(k, slot)
        np.subtract(self.units[-1], self.targets[slot], self.units[-1])
        for layer in range(n_layers - 1, 0, -1):
            above, row_gain = self.errors_by_run[layer], row_gains[layer]
            if row_gain is not None:
                np.multiply(self.errors[layer], row_gain, self.scaled[layer])
                above = self.scaled_by_run[layer]
            np.matmul(above, weights[layer], self.errors_by_run[layer - 1])
            self.slope_functions[layer - 1]()
        if self.looking:
            self._look(k, slot, n_steps, row_gains)
        for layer in range(n_layers):
            if isinstance(self.arithmetic, Momentum):
                self._add_gradient(self.arithmetic, k, slot, layer, row_gains[layer])
                continue
            if not self.looking:
                along = self._scale_errors(self.update[layer][k], layer, row_gains[layer])
            for part in self.parts[layer]:
                gradient = self.gradients[layer]
                if self.looking:
                    gradient = gradient[part.runs]
                else:
                    self._differentiate(slot, layer, part.runs, gradient, along)
                step(k, part, part.flat(gradient))
        if self.config.biases:
            for layer, sums in enumerate(self.bias_sums):
                np.matmul(self.ones, self.errors[layer], sums)
                np.multiply(sums, self.bias_update[layer][k], sums)
                by_run = sums.reshape(self.n_runs, -1)
                for part in self.parts[n_layers + layer]:
                    step(k, part, part.flat(by_run[part.runs]))

    def _look(self, k: int, slot: int, n_steps: int, row_gains: list[Array | None]) -> None:
        """Compute the gradients of all layers before anything changes, and measure."""
        for layer, gradients in enumerate(self.gradients):
            along = self._scale_errors(self.update[layer][k], layer, row_gains[layer])
            for part in self.parts[layer]:
                self._differentiate(slot, layer, part.runs, gradients[part.runs], along)
        if self.measuring:
            self._measure(k, slot, n_steps)
        if self.motion is not None:
            self.motion.start(k, self.scales[k], self.gradients)

    def _add_gradient(self, arithmetic: Momentum, k: int, slot: int, layer: int, row_gains: Array | None) -> None:
        """Take a layer's step of momentum SGD, adding the gradient where it goes in place."""
        target, errors, factor = arithmetic.targets[layer], self.errors[layer], self.direct[layer][k]
        parts = self.parts[layer]
        along = None
        if layer or row_gains is not None:
            along = self._scale_errors(factor, layer, row_gains)
            errors, factor = self.scaled[layer], None
        if layer:
            radial = None if along is None else along * self.networks.weights[layer]
            for part in parts:
                arithmetic.begin(k, part)
            if radial is not None:
                target -= radial
            np.matmul(self.transposed[layer], self.units_by_run[layer - 1], self.stacked[layer - 1])
            np.add(target, self.stacked[layer - 1], target)
            for part in parts:
                arithmetic.end(k, part)
            return
        x, gemm = self.pixels[slot], self.gemm
        for mine, products in self.groups:
            for part in mine:
                radial = None if along is None else along[part.runs] * self.networks.weights[0][part.runs]
                arithmetic.begin(k, part)
                if radial is not None:
                    target[part.runs] -= radial
            for rows, piece, wide_T, run in products:
                if factor is None:
                    np.copyto(piece, errors[:, rows])
                else:
                    np.multiply(errors[:, rows], factor if len(factor) == 1 else factor[rows], piece)
                gemm(1.0, (x[0] if self.shared else x[run]).T, piece.T, 1.0, wide_T, 0, 1, 1)
            for part in mine:
                arithmetic.end(k, part)

    def _forward(self, k: int, slot: int) -> list[Array | None]:
        """Fill the units; return c/||V|| of the rows of normalized layers, (n_runs * width,)."""
        config, weights = self.config, self.networks.weights
        row_gains: list[Array | None] = []
        for layer, unit in enumerate(self.units):
            if layer == 0 and self.shared:
                x = self.pixels[slot, 0]
                for weight, product in self.wide_products:
                    np.matmul(x, weight, product)
            else:
                below = self.pixels[slot] if layer == 0 else self.units_by_run[layer - 1]
                np.matmul(below, self.weights_T[layer], self.units_by_run[layer])
            if self.normalized[layer]:
                np.copyto(self.products[layer], unit)
                power = np.vecdot(weights[layer], weights[layer]).reshape(-1)
                gains = NORMALIZED_SIZE / np.sqrt(np.maximum(power, np.finfo(power.dtype).tiny))
                np.multiply(unit, gains, unit)
                row_gains.append(gains)
            else:
                row_gains.append(None)
            np.multiply(unit, self.forward[layer][k], unit)
            if config.decay_biases:
                np.multiply(self.bias_rows[layer], self.bias_forward[layer][k], self.bias_terms[layer])
                np.add(unit, self.bias_terms[layer], unit)
            elif config.biases:
                np.add(unit, self.bias_rows[layer], unit)
            if self.measuring and layer == config.n_layers - 1:
                np.copyto(self.logits, unit)
            self.activations[layer]()
        return row_gains

    def _scale_errors(self, factor: Array, layer: int, row_gains: Array | None) -> Array | None:
        """Multiply a layer's errors by what makes gradients of them; return those's part along normalized weights."""
        scaled = self.scaled[layer]
        np.multiply(self.errors[layer], factor, scaled)
        if row_gains is None:
            return None
        np.multiply(scaled, row_gains, scaled)
        along = np.einsum("ej,ej->j", scaled, self.products[layer]) * (row_gains / NORMALIZED_SIZE) ** 2
        return np.asarray(along.reshape(self.n_runs, -1, 1))

    def _differentiate(self, slot: int, layer: int, runs: slice, gradient: Array, along: Array | None) -> None:
        """Write the mean gradient of some runs' weights of a layer, in true units."""
        if layer:
            below = self.units_by_run[layer - 1][runs]
        else:
            below = self.pixels[slot] if self.shared else self.pixels[slot, runs]
        np.matmul(self.transposed[layer][runs], below, gradient)
        if along is not None:
            gradient -= along[runs] * self.networks.weights[layer][runs]

    def _measure(self, k: int, slot: int, n_steps: int) -> None:
        """Write down what the mini-batch's gradient does at the weights before its step."""
        config, scale = self.config, self.scales[k]
        found: dict[str, Array] = {
            name: np.zeros((self.n_runs, config.n_layers))
            for name in ("mean_norm_squared", "radial_pull", "gradient_power", "bias_pull", "bias_gradient_power")
        }
        for layer, (weights, gradients) in enumerate(zip(self.networks.weights, self.gradients, strict=True)):
            w, g = weights.reshape(self.n_runs, -1), gradients.reshape(self.n_runs, -1)
            found["mean_norm_squared"][:, layer] = np.vecdot(w, w) * scale**2
            found["radial_pull"][:, layer] = -np.vecdot(w, g) * scale
            found["gradient_power"][:, layer] = np.vecdot(g, g)
            b, g = self.networks.biases[layer], self.errors[layer].sum(axis=0).reshape(self.n_runs, -1)
            g = g * (self.error_scales[layer][k] / self.batch_size)[:, None]
            found["bias_pull"][:, layer] = -np.vecdot(b, g) * self.bias_scales[k] / self.pre_gain[layer]
            found["bias_gradient_power"][:, layer] = np.vecdot(g, g)
        logits = self.by_run(self.logits).astype(np.float64) / self.pre_gain[-1]
        targets = (self.by_run(self.targets[slot]) > 0).astype(np.float64)
        found["cost"] = cost(config.output, logits, targets).mean(axis=1)
        found["predictive_entropy"] = predictive_entropy(config.output, logits).mean(axis=1)
        for name, values in found.items():
            if k == 0:
                self.found[name] = np.empty((n_steps, *values.shape))
            self.found[name][k] = values
