"""Train a network without biases on the whole training set at once, until it is at rest.

Collapse and its thresholds are properties of minima of cost plus decay, so the noise of mini-batches must go: every
gradient here is that of all training examples, and the steps are those of L-BFGS, which reaches the minimum in tens of
gradients where plain descent needs thousands. Sums run over a thousand examples at a time, which stay in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from ..errors import InvalidInput, check_choice, check_count, check_positive
from .configuration import ACTIVATIONS
from .datasets import Dataset
from .mlp import activate, derivative

__all__ = [
    "AtRest",
    "Examples",
    "check_pixels",
    "come_to_rest",
    "cost_and_gradients",
    "draw_weights",
    "living_examples",
]

Array = NDArray[Any]

_BLOCK = 1000
_MEMORY = 20  # pairs of steps and gradients that L-BFGS keeps
_STILL = 1e-4
"""The network rests when the whole gradient is this small against the decay's part of it. A squared norm that vanishes
at the decay lambda_c is then off by less than 1e-4 lambda / (lambda_c - lambda) of itself: 0.5 % at 2 % from there."""
_GONE = 1e-8
"""Squared norm of all weights at which they count as zero: a thousandth of its root is far below any trained size."""
_FALL = 1e-10
"""Relative fall of the regularized cost in one step below which float32 arithmetic knows no better."""
_LINE_SEARCH = 8
_FIRST_STEP = 0.01
"""Length of the first step over the norm of the weights: a warm start is not to leave its basin before the curvature is
known. L-BFGS-B tries the length 1 first, so it is given weights in this unit."""


@dataclass(frozen=True, eq=False)
class Examples:
    """Hold the training set as numbers.

    Parameters
    ----------
    inputs : (n_examples, n_inputs) ndarray of float32
        Pixels that are not zero in every image, times the pixel scale.
    labels : (n_examples,) ndarray of int64
        Classes.
    n_classes : int
        Number of classes.
    """

    inputs: NDArray[np.float32]
    labels: NDArray[np.int64]
    n_classes: int

    @property
    def n_examples(self) -> int:
        """Number of examples."""
        return len(self.labels)

    def blocks(self) -> list[tuple[NDArray[np.float32], NDArray[np.int64]]]:
        """Return inputs, one example a column, and labels, some hundred examples at a time."""
        starts = range(0, self.n_examples, _BLOCK)
        return [(self.inputs[start : start + _BLOCK].T, self.labels[start : start + _BLOCK]) for start in starts]


def living_examples(data: Dataset) -> Examples:
    """Return the training set without its dead pixels: they feed weights that are zero at rest.

    Parameters
    ----------
    data : Dataset
        Its training part counts.

    Raises
    ------
    InvalidInput
        If every pixel is zero in every image.
    """
    check_pixels(data)
    alive = np.setdiff1d(np.arange(data.n_inputs), data.dead_pixels)
    inputs = data.train.images[:, alive] * np.float32(data.pixel_scale)
    return Examples(inputs, data.train.labels.astype(np.int64), data.n_classes)


def check_pixels(data: Dataset) -> None:
    """Raise InvalidInput if every training image is black: no weight would get a gradient."""
    if len(data.dead_pixels) == data.n_inputs:
        raise InvalidInput("every training image is black, so no weight is fed; give images with other pixels")


def draw_weights(widths: Sequence[int], rng: np.random.Generator, *, scale: float = 1.0) -> tuple[Array, ...]:
    """Draw weights N(0, scale^2 / fan_in), layer by layer.

    Examples
    --------
    >>> [layer.shape for layer in draw_weights([4, 3, 2], np.random.default_rng(0))]
    [(3, 4), (2, 3)]
    """
    return tuple(scale * rng.standard_normal((n_out, n_in)) / np.sqrt(n_in) for n_in, n_out in pairwise(widths))


def cost_and_gradients(weights: Sequence[Array], activation: str, examples: Examples) -> tuple[float, list[Array]]:
    """Return the mean cross-entropy of the softmax outputs over all examples and its gradients.

    Parameters
    ----------
    weights : sequence of (n_out, n_in) ndarray
        Weights of each layer, from the inputs to the outputs; there are no biases.
    activation : str
        Of the hidden units.
    examples : Examples
        What to average over.

    Returns
    -------
    cost : float
        In nats.
    gradients : list of (n_out, n_in) ndarray
        In float64; the products are those of float32.

    Notes
    -----
    The same as `Mlp.cost` and `Mlp.gradients` of a network without biases, in one pass for both.
    """
    layers = [np.asarray(w, dtype=np.float32) for w in weights]
    gradients, total = [np.zeros(w.shape) for w in layers], 0.0
    for x, labels in examples.blocks():
        inputs, columns = [x], np.arange(len(labels))
        for w in layers[:-1]:
            inputs.append(activate(activation, w @ inputs[-1]))
        logits = layers[-1] @ inputs[-1]
        logits -= logits.max(axis=0)
        delta = np.exp(logits)
        sums = delta.sum(axis=0)
        total += float(np.log(sums).sum(dtype=np.float64) - logits[labels, columns].sum(dtype=np.float64))
        delta /= sums
        delta[labels, columns] -= 1
        for layer in reversed(range(len(layers))):
            gradients[layer] += delta @ inputs[layer].T
            if layer:
                delta = (layers[layer].T @ delta) * derivative(activation, inputs[layer])
    return total / examples.n_examples, [gradient / examples.n_examples for gradient in gradients]


@dataclass(frozen=True, eq=False)
class AtRest:
    """Hold a network at a minimum of cost plus decay.

    Parameters
    ----------
    weights : tuple of (n_out, n_in) ndarray
        Weights of each layer.
    norms_squared : (n_layers,) ndarray, weight^2
        Squared norm of each layer.
    cost : float
        Mean cross-entropy without decay, in nats.
    unrest : float
        Norm of the whole gradient over the norm of its decay part; nan for weights that are zero.
    n_gradients : int
        Passes over the training set.
    """

    weights: tuple[Array, ...]
    norms_squared: NDArray[np.float64]
    cost: float
    unrest: float
    n_gradients: int


def come_to_rest(
    weights: Sequence[Array], activation: str, examples: Examples, weight_decay: float, *, most_steps: int = 400
) -> AtRest:
    """Train until cost + weight_decay/2 times the sum of all squared weights no longer falls.

    Parameters
    ----------
    weights : sequence of (n_out, n_in) ndarray
        Where to start.
    activation : {"sigmoid", "tanh", "relu", "linear"}
        Of the hidden units.
    examples : Examples
        Training set, all of which makes every step.
    weight_decay : float
        Decay coefficient in PyTorch's sense, above 0.
    most_steps : int, optional
        Steps after which to give up; `AtRest.unrest` tells.

    Returns
    -------
    AtRest
        The minimum in whose basin the start lies, as far as the first steps of L-BFGS are no longer than that.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Notes
    -----
    It stops when the gradient is below 1e-4 of its decay part, or the cost falls by no more than float32 arithmetic can
    tell, or the weights are gone.
    """
    check_choice("activation", activation, ACTIVATIONS)
    decay = check_positive("weight_decay", weight_decay)
    shapes = [w.shape for w in weights]
    cuts = np.cumsum([w.size for w in weights])[:-1]
    told: dict[str, Any] = {"n_gradients": 0}

    def layers_of(flat: Array) -> list[Array]:
        return [part.reshape(shape) for part, shape in zip(np.split(flat, cuts), shapes, strict=True)]

    start = np.concatenate([np.asarray(w, dtype=np.float64).ravel() for w in weights])
    unit = _FIRST_STEP * (float(np.linalg.norm(start)) or 1.0)

    def objective(scaled: Array) -> tuple[float, Array]:
        flat = unit * scaled
        cost, gradients = cost_and_gradients(layers_of(flat), activation, examples)
        gradient = np.concatenate([part.ravel() for part in gradients]) + decay * flat
        told.update(at=scaled.copy(), gradient=gradient, cost=cost, n_gradients=told["n_gradients"] + 1)
        return cost + decay / 2 * float(flat @ flat), unit * gradient

    def look(scaled: Array) -> None:
        norm = unit * float(np.linalg.norm(scaled))
        here = np.array_equal(scaled, told["at"]) and np.linalg.norm(told["gradient"]) < _STILL * decay * norm
        if here or norm**2 < _GONE:
            raise StopIteration

    options: Any = {
        "maxiter": check_count("most_steps", most_steps),
        "maxcor": _MEMORY,
        "maxls": _LINE_SEARCH,
        "gtol": 0.0,
        "ftol": _FALL,
    }
    scaled: Array = minimize(  # type: ignore[call-overload]  # the stubs miss callbacks of the point alone
        objective, start / unit, jac=True, method="L-BFGS-B", callback=look, options=options
    ).x
    objective(scaled)
    flat = unit * scaled
    found = tuple(layers_of(flat))
    norm = float(np.linalg.norm(flat))
    unrest = float(np.linalg.norm(told["gradient"])) / (decay * norm) if norm**2 >= _GONE else np.nan
    norms_squared = np.array([np.sum(w * w) for w in found])
    return AtRest(found, norms_squared, told["cost"], unrest, told["n_gradients"])
