"""Find from the data alone the decay above which a two-layer network collapses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..theory import derive
from .full_batch import Examples

__all__ = ["relu_threshold", "smooth_threshold"]

Array = NDArray[np.float64]

_STARTS = 24  # random unit vectors beside the singular ones
_LAST_STARTS = 4  # as many climb to the end
_CLIMBS = 60
_SHIFT = 1.0  # of the power iteration, in units of the signal; grows where the signal falls
_STEEP = 1e-3
"""The climb ends where the best direction's gradient turns by less than this from it: the signal, stationary there, is
then right to the square of it."""


def smooth_threshold(examples: Examples, slope: float = 1.0) -> float:
    """Return the collapse threshold of a network whose activation has phi(0) = 0 and a slope there.

    Parameters
    ----------
    examples : Examples
        Training set.
    slope : float, optional
        phi'(0); 1 for linear and tanh.

    Notes
    -----
    The derivation "collapse-threshold" at the largest singular value of E[(y - p0) x^T], with the outputs at zero
    weights p0 = 1/n_classes of a softmax without biases.

    Examples
    --------
    >>> inputs = np.array([[1, 0], [0, 1]], dtype=np.float32)
    >>> round(smooth_threshold(Examples(inputs, np.array([0, 1]), 2)), 6)
    0.5
    """
    largest = float(np.linalg.svd(_correlation(examples), compute_uv=False)[0])
    return float(derive("collapse-threshold").numeric("weight_decay_threshold", slope=slope, signal_max=largest))


def relu_threshold(examples: Examples, rng: np.random.Generator) -> float:
    """Return the collapse threshold of a ReLU network: the largest signal of any unit, over many starts.

    Parameters
    ----------
    examples : Examples
        Training set.
    rng : Generator
        Draws the starts that are not singular vectors of the linear problem.

    Notes
    -----
    The derivation "collapse-threshold-relu" at the maximum over unit vectors u of the norm of E[(y - p0) relu(u x)]. It
    climbs by power iteration with a shift: u becomes the unit vector along g + c u, with g the gradient over the
    signal; where the signal falls, the step is taken back and its shift c doubled. The signal is homogeneous, so at a
    maximum g = u.

    Examples
    --------
    >>> inputs = np.array([[1, 0], [0, 1]], dtype=np.float32)
    >>> round(relu_threshold(Examples(inputs, np.array([0, 1]), 2), np.random.default_rng(0)), 6)
    0.353553
    """
    rows = np.linalg.svd(_correlation(examples), full_matrices=False)[2]
    starts = np.concatenate([rows, -rows, rng.standard_normal((_STARTS, rows.shape[1]))])
    directions = starts / np.linalg.norm(starts, axis=1, keepdims=True)
    shifts = np.full(len(directions), _SHIFT)
    signals, gradients = _relu_signals(directions, examples)
    for _ in range(_CLIMBS):
        best = int(np.argmax(signals))
        turn = gradients[best] / signals[best] - directions[best]
        if np.linalg.norm(turn) < _STEEP:
            break
        tried = gradients / np.maximum(signals, np.finfo(float).tiny)[:, None] + shifts[:, None] * directions
        tried /= np.linalg.norm(tried, axis=1, keepdims=True)
        signals_there, gradients_there = _relu_signals(tried, examples)
        up = signals_there >= signals
        directions, gradients = (
            np.where(up[:, None], tried, directions),
            np.where(up[:, None], gradients_there, gradients),
        )
        signals, shifts = np.where(up, signals_there, signals), np.where(up, 0.8 * shifts, 2.0 * shifts)
        # The lower half of the starts goes: what is left climbs at half the price.
        if len(signals) > 4:
            keep = np.argsort(signals)[len(signals) // 4 :]
            directions, gradients, signals, shifts = (part[keep] for part in (directions, gradients, signals, shifts))
    largest = float(signals.max())
    return float(derive("collapse-threshold-relu").numeric("weight_decay_threshold", relu_signal_max=largest))


def _correlation(examples: Examples) -> Array:
    """Return E[(y - p0) x^T]."""
    total = np.zeros((examples.n_classes, examples.inputs.shape[1]))
    for x, labels in examples.blocks():
        total += _residuals(labels, examples.n_classes) @ x.T
    return total / examples.n_examples


def _residuals(labels: NDArray[np.int64], n_classes: int) -> NDArray[np.float32]:
    """Return y - p0 of some examples, one a column."""
    residuals = np.full((n_classes, len(labels)), np.float32(-1 / n_classes))
    residuals[labels, np.arange(len(labels))] += 1
    return residuals


def _relu_signals(directions: Array, examples: Examples) -> tuple[Array, Array]:
    """Return the norm of E[(y - p0) relu(u x)] for each direction u, and its gradient."""
    units = directions.astype(np.float32)
    means = np.zeros((examples.n_classes, len(units)))
    for x, labels in examples.blocks():
        means += _residuals(labels, examples.n_classes) @ np.maximum(units @ x, 0).T
    means /= examples.n_examples
    signals = np.linalg.norm(means, axis=0)
    answers = (means / np.maximum(signals, np.finfo(float).tiny)).astype(np.float32)
    gradients = np.zeros_like(directions)
    for x, labels in examples.blocks():
        back = (answers.T @ _residuals(labels, examples.n_classes)) * (units @ x > 0)
        gradients += back @ x.T
    return signals, gradients / examples.n_examples
