"""A multi-layer perceptron that reads like the textbook: outputs, cost, gradients.

With W_l, b_l the weights and biases of layer l and phi the activation, an input x gives a_0 = x,
a_l = phi(W_l a_{l-1} + b_l) in the hidden layers, logits f = W_L a_{L-1} + b_L, and outputs p = sigmoid(f),
softmax(f) or f. Each output goes with the cost for which the error at the logits is p - y. In a normalized layer every
row w of W_l acts as 2w / ||w||.

What it leaves out: convolutions, normalization over a batch, dropout, any optimizer. The training loop in `training`
does the same arithmetic in fused BLAS calls for many networks at a time; tests hold the two against each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, softmax

from ..errors import InvalidInput, check_choice, check_rng
from .configuration import ACTIVATIONS, NORMALIZED_SIZE, OUTPUTS, TrainingConfig, check_normalized

__all__ = ["Evaluation", "Mlp", "activate", "cost", "derivative", "evaluate", "predict", "predictive_entropy"]

Array = NDArray[Any]


def activate(name: str, z: Array) -> Array:
    """Return the activations phi(z) of hidden units.

    Parameters
    ----------
    name : {"sigmoid", "tanh", "relu", "linear"}
        Activation: 1/(1 + exp(-z)), tanh(z), max(z, 0), or z itself.
    z : (...) ndarray
        Pre-activations, dimensionless.

    Returns
    -------
    (...) ndarray
        phi(z), unit by unit.

    Raises
    ------
    InvalidInput
        If there is no such activation.

    Examples
    --------
    >>> activate("sigmoid", np.array([0.0, 2.0])).round(4)
    array([0.5   , 0.8808])
    """
    check_choice("activation", name, ACTIVATIONS)
    if name == "sigmoid":
        return expit(z)
    if name == "tanh":
        return np.tanh(z)
    return z if name == "linear" else z * (z > 0)


def derivative(name: str, a: Array) -> Array:
    """Return the slopes phi'(z) of hidden units from their activations a = phi(z).

    Parameters
    ----------
    name : {"sigmoid", "tanh", "relu", "linear"}
        Activation, with the slopes a (1 - a), 1 - a^2, 1 where a > 0 and else 0, or 1.
    a : (...) ndarray
        Activations, dimensionless.

    Returns
    -------
    (...) ndarray
        phi'(z), unit by unit.

    Raises
    ------
    InvalidInput
        If there is no such activation.

    Examples
    --------
    >>> float(derivative("sigmoid", np.array(0.5)))
    0.25
    """
    check_choice("activation", name, ACTIVATIONS)
    slope: Array = np.ones_like(a)
    if name == "sigmoid":
        slope = a * (1 - a)
    elif name == "tanh":
        slope = 1 - a * a
    elif name == "relu":
        slope = slope * (a > 0)
    return slope


def predict(name: str, logits: Array) -> Array:
    """Return the outputs p for the logits f.

    Parameters
    ----------
    name : {"sigmoid", "softmax", "linear"}
        Output units: p_i = 1/(1 + exp(-f_i)), p_i = exp(f_i) / sum_j exp(f_j), or p = f.
    logits : (..., n_outputs) ndarray
        Logits f.

    Returns
    -------
    (..., n_outputs) ndarray
        Outputs; probabilities, but for linear outputs.

    Raises
    ------
    InvalidInput
        If there are no such output units.

    Examples
    --------
    >>> predict("softmax", np.array([0.0, np.log(3.0)]))
    array([0.25, 0.75])
    """
    check_choice("output", name, OUTPUTS)
    if name == "sigmoid":
        return expit(logits)
    return softmax(logits, axis=-1) if name == "softmax" else logits


def cost(name: str, logits: Array, targets: Array) -> Array:
    """Return the cost of each example.

    Parameters
    ----------
    name : {"sigmoid", "softmax", "linear"}
        Output units: cross-entropy summed over independent sigmoids, cross-entropy of the softmax, or half the squared
        error summed over linear outputs.
    logits, targets : (..., n_outputs) ndarray
        Logits f and targets y.

    Returns
    -------
    (...) ndarray
        Cost per example, in nats for the cross-entropies.

    Raises
    ------
    InvalidInput
        If there are no such output units.

    Examples
    --------
    >>> round(float(cost("softmax", np.zeros(10), np.eye(10)[3])), 4)  # ln 10
    2.3026
    """
    check_choice("output", name, OUTPUTS)
    if name == "sigmoid":
        terms = np.logaddexp(0, logits) - targets * logits
    elif name == "softmax":
        terms = -targets * log_softmax(logits, axis=-1)
    else:
        terms = (logits - targets) ** 2 / 2
    total: Array = terms.sum(axis=-1)
    return total


def predictive_entropy(name: str, logits: Array) -> Array:
    """Return the entropy of the predicted distribution of each example; nan for linear outputs, which predict none.

    Parameters
    ----------
    name : {"sigmoid", "softmax", "linear"}
        Output units.
    logits : (..., n_outputs) ndarray
        Logits f.

    Returns
    -------
    (...) ndarray
        Entropy per example in nats, summed over independent sigmoids.

    Raises
    ------
    InvalidInput
        If there are no such output units.

    Examples
    --------
    >>> round(float(predictive_entropy("sigmoid", np.zeros(10))), 4)  # 10 ln 2
    6.9315
    """
    check_choice("output", name, OUTPUTS)
    if name == "linear":
        return np.full(logits.shape[:-1], np.nan)
    if name == "sigmoid":
        log_p = -np.logaddexp(0, -logits)
        log_q = log_p - logits
        terms = np.exp(log_p) * log_p + np.exp(log_q) * log_q
    else:
        log_p = log_softmax(logits, axis=-1)
        terms = np.exp(log_p) * log_p
    total: Array = -terms.sum(axis=-1)
    return total


def _row_norms(w: Array) -> Array:
    """Return the norms of the rows, (n_out, 1), and something above 0 for a row of zeros."""
    norms = np.linalg.norm(w, axis=1, keepdims=True)
    floored: Array = np.maximum(norms, np.sqrt(np.finfo(norms.dtype).tiny))
    return floored


@dataclass(frozen=True)
class Mlp:
    """Hold the weights of a multi-layer perceptron.

    Parameters
    ----------
    weights : tuple of (n_out, n_in) ndarray
        Weights of each layer, from the inputs to the outputs.
    biases : tuple of (n_out,) ndarray
        Biases of each layer; zeros in a network without biases.
    activation, output : str
        Hidden activation and output units, as in `TrainingConfig`.
    normalized : {False, True, "all"}, optional
        Whether the neurons of the hidden layers, or of all layers, are normalized, as in `TrainingConfig`.

    Raises
    ------
    InvalidInput
        If the shapes of neighbouring layers do not fit, or a name is unknown.

    Examples
    --------
    >>> network = Mlp((np.ones((2, 3)), np.ones((2, 2))), (np.zeros(2), np.zeros(2)), "linear", "linear")
    >>> network.logits(np.ones((1, 3)))
    array([[6., 6.]])
    """

    weights: tuple[Array, ...]
    biases: tuple[Array, ...]
    activation: str = "sigmoid"
    output: str = "sigmoid"
    normalized: bool | str = False

    def __post_init__(self) -> None:
        check_choice("activation", self.activation, ACTIVATIONS)
        check_choice("output", self.output, OUTPUTS)
        check_normalized(self.normalized)
        shapes = [np.shape(w) for w in self.weights]
        fits = bool(shapes) and all(len(shape) == 2 for shape in shapes)
        fits = fits and all(above[1] == below[0] for below, above in pairwise(shapes))
        if not fits or [np.shape(b) for b in self.biases] != [shape[:1] for shape in shapes]:
            raise InvalidInput(
                f"weights have the shapes {shapes} and biases {[np.shape(b) for b in self.biases]}, but must be "
                "(n_1, n_0), (n_2, n_1), ... and (n_1,), (n_2,), ..."
            )

    @classmethod
    def initialize(cls, config: TrainingConfig, rng: np.random.Generator | int) -> Mlp:
        """Draw a network as the configuration says, layer by layer, biases before weights.

        Parameters
        ----------
        config : TrainingConfig
            Widths, initialization, activation, output.
        rng : Generator or int
            Source of the Gaussian numbers.

        Returns
        -------
        Mlp
            In float64; values are those of config.dtype.
        """
        rng = check_rng(rng)
        drawn = config.biases and config.initialization in ("large", "fan_in")
        weights, biases = [], []
        for layer, (n_in, n_out) in enumerate(pairwise(config.layers)):
            bias = rng.standard_normal(n_out) if drawn else np.zeros(n_out)
            weight = config.standard_deviation(layer) * rng.standard_normal((n_out, n_in))
            biases.append(bias.astype(config.dtype).astype(np.float64))
            weights.append(weight.astype(config.dtype).astype(np.float64))
        return cls(tuple(weights), tuple(biases), config.activation, config.output, config.normalized)

    def acting_weights(self) -> tuple[Array, ...]:
        """Return the matrices that multiply: the weights, with every row of a normalized layer brought to norm 2.

        A row of zeros, which has no direction, stays one.

        Returns
        -------
        tuple of (n_out, n_in) ndarray
            One for each layer.

        Examples
        --------
        >>> Mlp((np.array([[3.0, 4.0], [0.0, 0.0]]),), (np.zeros(2),), normalized="all").acting_weights()[0]
        array([[1.2, 1.6],
               [0. , 0. ]])
        """
        normalized = [bool(self.normalized)] * (len(self.weights) - 1) + [self.normalized == "all"]
        return tuple(
            w * (NORMALIZED_SIZE / _row_norms(w)).astype(w.dtype) if normalize else w
            for w, normalize in zip(self.weights, normalized, strict=True)
        )

    def forward(self, x: Array) -> tuple[list[Array], Array]:
        """Return the inputs of every layer and the logits.

        Parameters
        ----------
        x : (n_examples, n_0) ndarray
            Inputs.

        Returns
        -------
        inputs : list of (n_examples, n_in) ndarray
            a_0, ..., a_{L-1}.
        logits : (n_examples, n_L) ndarray
            f.
        """
        inputs, weights = [x], self.acting_weights()
        for w, b in zip(weights[:-1], self.biases[:-1], strict=True):
            inputs.append(activate(self.activation, inputs[-1] @ w.T + b))
        return inputs, inputs[-1] @ weights[-1].T + self.biases[-1]

    def logits(self, x: Array) -> Array:
        """Return the logits f of each example.

        Parameters
        ----------
        x : (n_examples, n_0) ndarray
            Inputs.

        Returns
        -------
        (n_examples, n_L) ndarray
            Logits.
        """
        return self.forward(x)[1]

    def cost(self, x: Array, y: Array) -> float:
        """Return the mean cost over the examples, without regularization.

        Parameters
        ----------
        x : (n_examples, n_0) ndarray
            Inputs.
        y : (n_examples, n_L) ndarray
            Targets.
        """
        return float(np.mean(cost(self.output, self.logits(x), y)))

    def gradients(self, x: Array, y: Array) -> tuple[list[Array], list[Array]]:
        """Return the gradients of the mean cost, by backpropagation.

        Parameters
        ----------
        x : (n_examples, n_0) ndarray
            Inputs.
        y : (n_examples, n_L) ndarray
            Targets.

        Returns
        -------
        weights : list of (n_out, n_in) ndarray
            Gradient of each layer's weights.
        biases : list of (n_out,) ndarray
            Gradient of each layer's biases.
        """
        inputs, logits = self.forward(x)
        acting = self.acting_weights()
        delta = (predict(self.output, logits) - y) / len(x)
        weights, biases = [], []
        for layer in reversed(range(len(self.weights))):
            gradient = delta.T @ inputs[layer]
            if acting[layer] is not self.weights[layer]:  # only what turns w changes 2w/||w||
                norm = _row_norms(self.weights[layer])
                direction = self.weights[layer] / norm
                along = np.sum(gradient * direction, axis=1, keepdims=True) * direction
                gradient = (gradient - along) * (NORMALIZED_SIZE / norm)
            weights.append(gradient)
            biases.append(delta.sum(axis=0))
            if layer:
                delta = (delta @ acting[layer]) * derivative(self.activation, inputs[layer])
        return weights[::-1], biases[::-1]


@dataclass(frozen=True)
class Evaluation:
    """Hold how a network does on one part of a data set: means over its examples.

    Parameters
    ----------
    accuracy : float
        Share of the examples whose largest logit is that of their label.
    cost : float
        Mean cost per example.
    predictive_entropy : float
        Mean entropy of the predicted distribution, in nats.
    """

    accuracy: float
    cost: float
    predictive_entropy: float


def evaluate(
    networks: Sequence[Mlp],
    images: NDArray[np.uint8],
    labels: NDArray[np.uint8],
    *,
    pixel_scale: float,
    dtype: str = "float32",
) -> list[Evaluation]:
    """Return how networks of one shape do on a set of images, converting a thousand images at a time.

    Parameters
    ----------
    networks : sequence of Mlp
        Networks with the same numbers of inputs and outputs.
    images : (n_examples, n_inputs) ndarray of uint8
        Pixel values.
    labels : (n_examples,) ndarray of uint8
        Classes.
    pixel_scale : float
        What a pixel value is multiplied by.
    dtype : {"float32", "float64"}, optional
        Number format of the products.

    Returns
    -------
    list of Evaluation
        One for each network.
    """
    lowered = [
        Mlp(
            tuple(w.astype(dtype) for w in net.weights),
            tuple(b.astype(dtype) for b in net.biases),
            net.activation,
            net.output,
            net.normalized,
        )
        for net in networks
    ]
    sums = np.zeros((len(networks), 3))
    identity = np.eye(networks[0].weights[-1].shape[0])
    for start in range(0, len(images), 1000):
        x = images[start : start + 1000] * np.dtype(dtype).type(pixel_scale)
        y = labels[start : start + 1000]
        for total, network in zip(sums, lowered, strict=True):
            logits = network.logits(x).astype(np.float64)
            total += [
                np.sum(np.argmax(logits, axis=1) == y),
                np.sum(cost(network.output, logits, identity[y])),
                np.sum(predictive_entropy(network.output, logits)),
            ]
    return [Evaluation(*map(float, total)) for total in sums / max(len(images), 1)]
