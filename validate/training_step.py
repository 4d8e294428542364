"""Take steps of mini-batch SGD with L2 regularization, many networks at a time, close to the speed of bare products.

One step on a mini-batch of m examples with mean gradient g is, for weights and undecayed biases,

    W <- (1 - lr*weight_decay) W - lr g_W,        b <- b - lr g_b.

How the arithmetic is arranged, and why:

* Weights are kept as W = s V with one float64 scale s per run. Decay multiplies s alone, so it costs nothing and its
  factor is never rounded to float32. The scale rides into BLAS as a factor of the products, gradient step and all.
  When s has become small its power of two moves into V, which is exact.
* A unit is stored in the form that is cheapest to compute: a sigmoid as 1 + tanh(z/2) = 2a from the halved
  pre-activation (which also keeps denormal numbers out: its smallest non-zero value is of the order of the rounding of
  1), a pixel as its integer. `GAINS` holds the factors, and the products undo them.
* Runs of an ensemble lie along the first axis. If they share mini-batches, their first layers are one wide matrix.
* Pixels become floats a few mini-batches at a time, so that the float copy stays in the processor's cache.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import get_blas_funcs

from .configuration import TrainingConfig
from .datasets import Dataset
from .mlp import Mlp, cost, predictive_entropy
from .optimizer_arithmetic import Arithmetic, arithmetic_of
from .optimizers import SGD

if TYPE_CHECKING:
    from .motion import Motion

__all__ = ["Networks", "Workspace", "plain"]

Array = NDArray[Any]

# activation: (factor of the pre-activation, factor of the unit) in which a unit is stored
GAINS = {"sigmoid": (0.5, 2.0), "tanh": (1.0, 1.0), "relu": (1.0, 1.0), "linear": (1.0, 1.0), "softmax": (1.0, 1.0)}
CHUNK_BYTES = 2**21  # float pixels of the mini-batches fetched at once: they stay in the processor's cache
UNPACKED_PRODUCT = 10**6  # multiply-adds up to which OpenBLAS multiplies without packing its operands


@dataclass
class Networks:
    """The weights of all runs while they train: W = scale * weights, b = biases / gain (times scale if they decay)."""

    config: TrainingConfig
    weights: list[Array]  # (n_runs, n_out, n_in) each
    biases: list[Array]  # (n_runs, n_out) each
    scale: NDArray[np.float64]  # (n_runs,)
    arithmetic: Arithmetic | None = None  # of the optimizer; plain SGD needs none

    @classmethod
    def start(cls, configs: Sequence[TrainingConfig], initial: Sequence[Mlp]) -> Networks:
        """Return the networks before their first step."""
        config = configs[0]
        layers = range(config.n_layers)
        weights = [np.stack([net.weights[layer] for net in initial]).astype(config.dtype) for layer in layers]
        biases = [np.stack([net.biases[layer] for net in initial]).astype(config.dtype) for layer in layers]
        networks = cls(config, weights, biases, np.ones(len(initial)))
        for layer, bias in enumerate(biases):
            bias *= networks.gain(layer)
        if not plain(configs):
            arrays = weights + (biases if config.biases else [])
            decayed = [True] * len(weights) + [config.decay_biases] * (len(arrays) - len(weights))
            networks.arithmetic = arithmetic_of([each.optimizer for each in configs], arrays, decayed)
        return networks

    def fold(self) -> None:
        """Move the scale's power of two into the weights, which rounds nothing."""
        mantissa, exponent = np.frexp(self.scale)
        if not exponent.any():
            return
        for weights in self.weights:
            np.ldexp(weights, exponent[:, None, None], out=weights)
        if self.config.decay_biases:
            for biases in self.biases:
                np.ldexp(biases, exponent[:, None], out=biases)
        self.scale = mantissa

    def snapshot(self) -> tuple[list[Array], NDArray[np.float64], Any]:
        """Return a copy of everything that a step changes."""
        state = None if self.arithmetic is None else self.arithmetic.snapshot()
        return [array.copy() for array in self.weights + self.biases], self.scale.copy(), state

    def restore(self, saved: tuple[list[Array], NDArray[np.float64], Any]) -> None:
        """Go back to a snapshot."""
        for mine, old in zip(self.weights + self.biases, saved[0], strict=True):
            mine[...] = old
        self.scale = saved[1].copy()
        if self.arithmetic is not None:
            self.arithmetic.restore(saved[2])

    def scale_factors(self, lr: NDArray[np.float64], weight_decay: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what each step multiplies the scale by, (n_steps, n_runs)."""
        return 1 - lr * weight_decay if self.arithmetic is None else self.arithmetic.scale_factors(lr, weight_decay)

    def bias_scale(self) -> NDArray[np.float64]:
        """Return the scale of each run's biases."""
        return self.scale if self.config.decay_biases else np.ones_like(self.scale)

    def gain(self, layer: int) -> float:
        """Return the factor in which the pre-activations of a layer, and its biases, are stored."""
        config = self.config
        return GAINS[config.output if layer == config.n_layers - 1 else config.activation][0]

    def finite(self) -> NDArray[np.bool_]:
        """Return whether the weights of each run and layer, (n_runs, n_layers), are finite."""
        sums: Array = np.stack([w.reshape(len(w), -1).sum(axis=1) for w in self.weights], axis=1)
        return np.isfinite(sums)

    def network(self, run: int) -> Mlp:
        """Return one run's network as it stands, in float64."""
        bias_scale = self.bias_scale()[run]
        return Mlp(
            tuple(w[run].astype(np.float64) * self.scale[run] for w in self.weights),
            tuple(b[run].astype(np.float64) * (bias_scale / self.gain(layer)) for layer, b in enumerate(self.biases)),
            self.config.activation,
            self.config.output,
            self.config.normalized,
        )


def plain(configs: Sequence[TrainingConfig]) -> bool:
    """Return whether the step is that of plain SGD without normalized layers."""
    optimizers = [config.optimizer for config in configs]
    return not configs[0].normalized and all(isinstance(each, SGD) and not each.momentum for each in optimizers)


def _gram(rows: Array) -> Array:
    """Return the products of all pairs of rows, by halves: NumPy gives A A^T to BLAS's syrk, four times slower here."""
    half = rows.shape[-2] // 2
    columns = rows.swapaxes(-1, -2)
    return np.concatenate([rows[..., :half, :] @ columns, rows[..., half:, :] @ columns], axis=-2)


class _Probes:
    """Copies of what the steps of one chunk computed, and the averages that are made of them."""

    def __init__(self, workspace: Workspace, n_slots: int) -> None:
        self.workspace = workspace
        widths, dtype = workspace.config.layers[1:], workspace.config.dtype
        rows = [(n_slots, workspace.batch_size, workspace.n_runs * width) for width in widths]
        self.pre_activations = [np.empty(shape, dtype) for shape in rows]
        self.units = [np.empty(shape, dtype) for shape in rows[:-1]]
        self.errors = [np.empty(shape, dtype) for shape in rows]
        self.biases = [np.empty((n_slots, workspace.n_runs, width), dtype) for width in widths]
        self.norm_squared = np.empty((n_slots, workspace.n_runs, len(widths)))

    def keep_forward(self, k: int, layer: int, pre_activation: Array) -> None:
        np.copyto(self.pre_activations[layer][k], pre_activation)

    def keep(self, k: int) -> None:
        """Copy what a step needs before its weights change."""
        space = self.workspace
        for layer, errors in enumerate(space.errors):
            np.copyto(self.errors[layer][k], errors)
            np.copyto(self.biases[layer][k], space.networks.biases[layer])
            for run, flat in enumerate(space.flat_weights[layer]):
                self.norm_squared[k, run, layer] = np.dot(flat, flat)
        for layer, units in enumerate(self.units):
            np.copyto(units[k], space.units[layer])

    def measure(
        self,
        scale: NDArray[np.float64],
        bias_scale: NDArray[np.float64],
        error_scales: Sequence[NDArray[np.float64]],
    ) -> dict[str, Array]:
        """Return each quantity of the first steps, (n_steps, n_runs, n_layers) or (n_steps, n_runs).

        The scales of weights, biases and each layer's errors before each step are (n_steps, n_runs).
        """
        n_steps = len(scale)
        space, config = self.workspace, self.workspace.config
        m, shape = space.batch_size, (n_steps, space.n_runs, config.n_layers)
        names = ("radial_pull", "gradient_power", "bias_pull", "bias_gradient_power")
        found: dict[str, Array] = {name: np.empty(shape) for name in names}
        found["mean_norm_squared"] = self.norm_squared[:n_steps] * scale[:, :, None] ** 2
        for layer in range(config.n_layers):
            gain = space.pre_gain[layer]
            errors = space.by_run(self.errors[layer][:n_steps]) * error_scales[layer][:, :, None, None]
            # a bias as it was at its step, in the units of the stored pre-activations
            biases = self.biases[layer][:n_steps] * bias_scale[:, :, None]
            driven = space.by_run(self.pre_activations[layer][:n_steps]) - biases[:, :, None, :]
            found["radial_pull"][..., layer] = -np.einsum("krmo,krmo->kr", errors, driven) / (gain * m)
            bias_gradient = errors.sum(axis=2) / m
            found["bias_pull"][..., layer] = -np.einsum("kro,kro->kr", bias_gradient, biases) / gain
            found["bias_gradient_power"][..., layer] = np.einsum("kro,kro->kr", bias_gradient, bias_gradient)
            inputs = space.by_run(self.units[layer - 1][:n_steps]) if layer else space.pixels_by_run(n_steps)
            # ||D^T A||^2 = <D D^T, A A^T> needs no gradient matrix
            overlap = np.einsum("krij,krij->kr", _gram(inputs), _gram(errors))
            found["gradient_power"][..., layer] = overlap / (m * space.unit_gain[layer]) ** 2
        logits = space.by_run(self.pre_activations[-1][:n_steps]).astype(np.float64) / space.pre_gain[-1]
        found["cost"] = cost(config.output, logits, space.targets_by_run(n_steps)).mean(axis=2)
        found["predictive_entropy"] = predictive_entropy(config.output, logits).mean(axis=2)
        return found


class Workspace:
    """Buffers and prepared views for steps on mini-batches of one size.

    The units of a layer lie in memory as (example, run, unit): a two-dimensional array (batch_size, n_runs * width) for
    everything that works unit by unit, seen as (n_runs, batch_size, width) by the products.
    """

    motion: Motion | None = None  # looks at every step, if set

    def __init__(self, networks: Networks, data: Dataset, batch_size: int, shared: bool, probing: bool):
        self.networks, self.config, self.batch_size, self.shared = networks, networks.config, batch_size, shared
        self.examples = data.train
        config, dtype = networks.config, np.dtype(networks.config.dtype)
        self.n_runs = len(networks.scale)
        n_sets = 1 if shared else self.n_runs  # of mini-batches
        self.n_slots = n_slots = max(1, CHUNK_BYTES // (n_sets * batch_size * config.layers[0] * dtype.itemsize))
        self.unit_gain = [
            GAINS[config.activation][1] if layer else 1 / data.pixel_scale for layer in range(config.n_layers)
        ]
        self.pre_gain = [networks.gain(layer) for layer in range(config.n_layers)]

        self.bytes = np.empty((n_slots * n_sets * batch_size, config.layers[0]), np.uint8)
        self.pixels = np.empty((n_slots, n_sets, batch_size, config.layers[0]), dtype)
        # twice the error of a sigmoid output is tanh(f/2) - (2y - 1)
        doubled = config.output == "sigmoid"
        self.target_table = np.eye(config.layers[-1], dtype=dtype) * (1 + doubled) - dtype.type(doubled)
        self.targets = np.empty((n_slots, batch_size, self.n_runs * config.layers[-1]), dtype)

        def rows(width: int) -> Array:
            return np.empty((batch_size, self.n_runs * width), dtype)

        self.units = [rows(width) for width in config.layers[1:]]  # the last become the errors of the outputs
        self.errors = [rows(width) for width in config.layers[1:-1]] + self.units[-1:]
        self.slopes = [rows(width) for width in config.layers[1:-1]]
        self.bias_rows = [b.reshape(-1) for b in networks.biases]
        self.flat_weights = [[w[run].reshape(-1) for run in range(self.n_runs)] for w in networks.weights]
        self.probes = _Probes(self, n_slots) if probing else None
        self.step = self._single_step() if self.n_runs == 1 else self._stacked_step()

    def by_run(self, rows: Array) -> Array:
        """Return the units of a layer, (..., batch_size, n_runs * width), seen as (..., n_runs, batch_size, width)."""
        return rows.reshape(*rows.shape[:-1], self.n_runs, -1).swapaxes(-3, -2)

    def pixels_by_run(self, n_steps: int) -> Array:
        """Return the pixels of the first steps, (n_steps, n_runs, batch_size, n_inputs)."""
        pixels = self.pixels[:n_steps]
        return np.broadcast_to(pixels, (n_steps, self.n_runs, *pixels.shape[2:]))

    def targets_by_run(self, n_steps: int) -> Array:
        """Return the targets y of the first steps, (n_steps, n_runs, batch_size, n_outputs)."""
        return (self.by_run(self.targets[:n_steps]) > 0).astype(np.float64)

    def load(self, order: NDArray[np.int64]) -> None:
        """Fetch the examples `order`, (n_sets, n_steps * batch_size), into the first slots."""
        n_steps = order.shape[1] // self.batch_size
        index = order.reshape(len(order), n_steps, self.batch_size).swapaxes(0, 1)
        fetched = self.bytes[: index.size]
        np.take(self.examples.images, index.reshape(-1), axis=0, out=fetched, mode="clip")
        self.pixels[:n_steps].reshape(fetched.shape)[...] = fetched
        labels = self.examples.labels[index.swapaxes(1, 2)]
        by_run = self.targets[:n_steps].reshape(n_steps, self.batch_size, self.n_runs, -1)
        by_run[...] = self.target_table[labels]  # one set for all runs, or one for each

    def run(
        self, order: NDArray[np.int64], lr: NDArray[np.float64], weight_decay: NDArray[np.float64]
    ) -> dict[str, Array]:
        """Take one step for each row of the two (n_steps, n_runs) arrays; return what the probes measured.

        The examples are `order`, (n_sets, n_steps * batch_size).
        """
        networks, config = self.networks, self.config
        shrink = networks.scale_factors(lr, weight_decay)
        scales = networks.scale * np.cumprod(np.vstack([np.ones(self.n_runs), shrink]), axis=0)
        bias_scales = scales if config.decay_biases else np.ones_like(scales)
        rate = -lr / self.batch_size
        error_scales = self._error_scales(scales[:-1])
        unused = [None] * len(lr)
        factors = [
            [
                self._factors(scales[:-1] * (self.pre_gain[layer] / self.unit_gain[layer]), layer),
                self._factors(rate * error_scales[layer] / scales[1:] / self.unit_gain[layer], layer),
                self._factors(rate * error_scales[layer] * self.pre_gain[layer] / bias_scales[1:], layer),
                self._factors(bias_scales[:-1], layer) if config.decay_biases else unused,
            ]
            for layer in range(config.n_layers)
        ]
        rows = list(zip(*(zip(*kind, strict=True) for kind in zip(*factors, strict=True)), strict=True))
        measured: list[dict[str, Array]] = []
        for start in range(0, len(rows), self.n_slots):
            here = slice(start, start + self.n_slots)
            self.load(order[:, start * self.batch_size : (start + self.n_slots) * self.batch_size])
            if self.motion is None:
                for k, row in enumerate(rows[here]):
                    self.step(k, *row)
            else:
                for k, row in enumerate(rows[here]):
                    n = start + k
                    self.motion.start(n, scales[n], None)
                    self.step(k, *row)
                    self.motion.finish(lr[n], weight_decay[n], scales[n], scales[n + 1])
            if self.probes is not None:
                measured.append(
                    self.probes.measure(scales[:-1][here], bias_scales[:-1][here], [e[here] for e in error_scales])
                )
        networks.scale = scales[-1]
        return {name: np.concatenate([part[name] for part in measured]) for name in (measured[0] if measured else ())}

    def _error_scales(self, scales: NDArray[np.float64]) -> list[NDArray[np.float64]]:
        """Return, layer by layer and (n_steps, n_runs), what a stored error is to be multiplied by.

        The errors of sigmoid outputs are stored doubled; going down a layer leaves out the scale of the weights, and of
        a sigmoid's slope U(2-U)/4 the quarter.
        """
        slope = 0.25 if self.config.activation == "sigmoid" else 1.0
        found = [np.full_like(scales, 0.5 if self.config.output == "sigmoid" else 1.0)]
        for _ in range(self.config.n_layers - 1):
            found.insert(0, found[0] * scales * slope)
        return found

    def _factors(self, values: NDArray[np.float64], layer: int) -> Any:
        """Return one factor a step, from (n_steps, n_runs): a float for one run, else a row for the layer's units."""
        if self.n_runs == 1:
            return values[:, 0].tolist()
        if np.all(values == values[:, :1]):
            return values[:, :1].astype(self.config.dtype)
        return np.repeat(values.astype(self.config.dtype), self.config.layers[layer + 1], axis=1)

    def _activations(self) -> list[Callable[[], None]]:
        """Return what turns each layer's stored pre-activations into its stored units, the outputs into errors."""
        config = self.config
        one = np.dtype(config.dtype).type(1.0)
        lowest = np.dtype(config.dtype).type(math.log(np.finfo(config.dtype).tiny) / 2)

        add, subtract, tanh = np.add, np.subtract, np.tanh

        def hidden(a: Array) -> Callable[[], None]:
            def sigmoid() -> None:
                tanh(a, a)
                add(a, one, a)

            def tangent() -> None:
                tanh(a, a)

            def relu() -> None:
                np.maximum(a, 0, out=a)

            return {"sigmoid": sigmoid, "tanh": tangent, "relu": relu, "linear": lambda: None}[config.activation]

        def outputs(a: Array) -> Callable[[], None]:
            def sigmoid() -> None:
                tanh(a, a)

            classes = a.reshape(len(a), self.n_runs, -1)

            def softmax() -> None:
                subtract(classes, classes.max(axis=-1, keepdims=True), classes)
                np.maximum(a, lowest, out=a)  # e^lowest squared is still no denormal number
                np.exp(a, a)
                np.divide(classes, classes.sum(axis=-1, keepdims=True), classes)

            return {"sigmoid": sigmoid, "softmax": softmax, "linear": lambda: None}[config.output]

        return [hidden(a) for a in self.units[:-1]] + [outputs(self.units[-1])]

    def _slope_functions(self) -> list[Callable[[], None]]:
        """Return what multiplies each hidden layer's errors by phi', up to the factor in the products."""
        config = self.config
        one, two = (np.dtype(config.dtype).type(value) for value in (1.0, 2.0))
        multiply, subtract = np.multiply, np.subtract

        def function(u: Array, slope: Array, error: Array) -> Callable[[], None]:
            def sigmoid() -> None:
                subtract(two, u, slope)
                multiply(slope, u, slope)
                multiply(error, slope, error)

            def tangent() -> None:
                multiply(u, u, slope)
                subtract(one, slope, slope)
                multiply(error, slope, error)

            def relu() -> None:
                np.greater(u, 0, slope)
                multiply(error, slope, error)

            return {"sigmoid": sigmoid, "tanh": tangent, "relu": relu, "linear": lambda: None}[config.activation]

        return [function(*arrays) for arrays in zip(self.units, self.slopes, self.errors, strict=False)]

    def _single_step(self) -> Callable[..., None]:
        """Return the step of one run: every product is one BLAS call that takes scale and learning rate as factors."""
        config, networks, probes = self.config, self.networks, self.probes
        gemm, gemv = get_blas_funcs(("gemm", "gemv"), dtype=np.dtype(config.dtype))
        copyto, multiply, subtract = np.copyto, np.multiply, np.subtract
        pixels = [p.T for p in self.pixels[:, 0]]
        targets = list(self.targets)
        weights = [w[0].T for w in networks.weights]  # BLAS counts columns first: the transpose is what it sees
        biases = self.bias_rows
        units = [u.T for u in self.units]
        errors = [e.T for e in self.errors]
        output = self.units[-1]
        layers = list(zip(range(config.n_layers), weights, biases, self.units, units, self._activations(), strict=True))
        slopes = self._slope_functions()
        hidden = [
            (weights[layer], errors[layer], errors[layer - 1], slopes[layer - 1])
            for layer in range(config.n_layers - 1, 0, -1)
        ]
        ones = np.ones(self.batch_size, config.dtype)
        updates = list(zip(range(config.n_layers), weights, biases, errors, strict=True))
        decay_biases, with_biases = config.decay_biases, config.biases
        beta = 1.0 if with_biases else 0.0

        def step(k: int, forward: Any, update: Any, bias_update: Any, bias_forward: Any) -> None:
            below = pixels[k]
            for layer, weight, bias, unit, unit_T, activate in layers:
                if decay_biases:
                    multiply(bias, bias_forward[layer], unit)
                elif with_biases:
                    copyto(unit, bias)
                gemm(forward[layer], weight, below, beta, unit_T, 1, 0, 1)
                if probes is not None:
                    probes.keep_forward(k, layer, unit)
                activate()
                below = unit_T
            subtract(output, targets[k], output)
            for weight, error_above, error, slope in hidden:
                gemm(1.0, weight, error_above, 0.0, error, 0, 0, 1)
                slope()
            if probes is not None:
                probes.keep(k)
            below = pixels[k]
            for layer, weight, bias, error in updates:
                gemm(update[layer], below, error, 1.0, weight, 0, 1, 1)
                if with_biases:
                    gemv(bias_update[layer], error, ones, 1.0, bias, 0, 1, 0, 1, 0, 1)
                below = units[layer]

        return step

    def _stacked_step(self) -> Callable[..., None]:
        """Return the step of several runs: stacked products, and a wide or repeated one in the first layer."""
        config, probes = self.config, self.probes
        gemm, gemv = get_blas_funcs(("gemm", "gemv"), dtype=np.dtype(config.dtype))
        matmul, add, multiply, subtract = np.matmul, np.add, np.multiply, np.subtract
        weights, biases, units, errors = self.networks.weights, self.bias_rows, self.units, self.errors
        n_in, width = config.layers[:2]
        units_by_run, errors_by_run = [self.by_run(u) for u in units], [self.by_run(e) for e in errors]
        weights_T = [w.swapaxes(1, 2) for w in weights]
        output, activations, slopes = units[-1], self._activations(), self._slope_functions()
        layers = [
            (layer, units_by_run[layer - 1], weights_T[layer], units_by_run[layer], units[layer], biases[layer],
             np.empty_like(biases[layer]), activations[layer])
            for layer in range(len(units))
        ]  # fmt: skip
        hidden = [
            (errors_by_run[layer], weights[layer], errors_by_run[layer - 1], slopes[layer - 1])
            for layer in range(len(units) - 1, 0, -1)
        ]
        updates = []
        for layer in range(1, len(units)):
            scaled = np.empty_like(errors[layer])
            scaled_T, gradient = self.by_run(scaled).swapaxes(1, 2), np.empty_like(weights[layer])
            updates.append((layer, errors[layer], scaled, scaled_T, units_by_run[layer - 1], gradient, weights[layer]))
        bias_products = [(b, e.T, np.empty_like(b)) for b, e in zip(biases, errors, strict=True)]
        ones = np.ones(self.batch_size, config.dtype)
        pixels = list(self.pixels[:, 0] if self.shared else self.pixels)
        targets = list(self.targets)
        decay_biases, with_biases, shared = config.decay_biases, config.biases, self.shared

        # the first layer's errors, scaled by the learning rate, in pieces that BLAS can take as they are
        rows = self.n_runs * width
        block = width * max(1, UNPACKED_PRODUCT // (self.batch_size * n_in * width)) if shared else width
        blocks = [slice(start, min(start + block, rows)) for start in range(0, rows, block)]
        pieces = [np.empty((self.batch_size, b.stop - b.start), config.dtype) for b in blocks]
        wide = weights[0].reshape(rows, n_in)
        forward_products = [(wide[b].T, units[0][:, b]) for b in blocks]
        update_products = [
            (b, errors[0][:, b], piece, piece.T, wide[b].T) for b, piece in zip(blocks, pieces, strict=True)
        ]

        def step(k: int, forward: Any, update: Any, bias_update: Any, bias_forward: Any) -> None:
            x = pixels[k]
            if shared:
                for weight, product in forward_products:
                    matmul(x, weight, product)
            else:
                matmul(x, weights_T[0], units_by_run[0])
            for layer, below, weight, unit_by_run, unit, bias, scaled_bias, activate in layers:
                if layer:
                    matmul(below, weight, unit_by_run)
                multiply(unit, forward[layer], unit)
                if decay_biases:
                    add(unit, multiply(bias, bias_forward[layer], scaled_bias), unit)
                elif with_biases:
                    add(unit, bias, unit)
                if probes is not None:
                    probes.keep_forward(k, layer, unit)
                activate()
            subtract(output, targets[k], output)
            for above, weight, error_by_run, slope in hidden:
                matmul(above, weight, error_by_run)
                slope()
            if probes is not None:
                probes.keep(k)
            factor = update[0]
            for run, (b, error, piece, piece_T, weight) in enumerate(update_products):
                multiply(error, factor if len(factor) == 1 else factor[b], piece)
                gemm(1.0, x.T if shared else x[run].T, piece_T, 1.0, weight, 0, 1, 1)
            for layer, error, scaled, scaled_T, below, gradient, weight in updates:
                multiply(error, update[layer], scaled)
                matmul(scaled_T, below, gradient)
                add(weight, gradient, weight)
            if with_biases:
                for (bias, error_T, gradient), factor in zip(bias_products, bias_update, strict=True):
                    if len(factor) == 1:
                        gemv(factor[0], error_T, ones, 1.0, bias, 0, 1, 0, 1, 0, 1)
                    else:
                        gemv(1.0, error_T, ones, 0.0, gradient, 0, 1, 0, 1, 0, 1)
                        multiply(gradient, factor, gradient)
                        add(bias, gradient, bias)

        return step
