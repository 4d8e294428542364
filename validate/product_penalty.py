"""Find the product of linear layers that decay leaves, from the data alone: no network is trained.

Decay on the layers of a linear network is a penalty on the singular values of their product (the derivation
"layer-split"): the nuclear norm for two layers, which makes a convex problem, and for more layers a quasi-norm that is
not convex, whose minima are followed from one decay to the next. Both are solved by proximal gradient steps with
Nesterov's momentum: a gradient step of the loss, then the penalty on each singular value by itself.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..errors import check_count, check_positive
from ..theory import derive
from .full_batch import Examples, cost_and_gradients

__all__ = ["Product", "least_product", "shrink"]

Array = NDArray[np.float64]

_STILL = 2e-4
"""The product rests when a step, over its length, is this small against the penalty's slope on all modes."""
_FORGET, _CAUTION = 0.95, 1.1  # how fast a large curvature is forgotten, and what is added to the measured one
_NEWTON = 60


@dataclass(frozen=True, eq=False)
class Product:
    """Hold the product of all layers at a minimum of cost plus penalty.

    Parameters
    ----------
    matrix : (n_classes, n_inputs) ndarray
        The product.
    modes : (n_modes,) ndarray
        Its singular values that are not zero, largest first.
    norm_squared : float, weight^2
        Squared norm of each layer.
    unrest : float
        What is left of the gradient, against the penalty's slope; nan for a product that is zero.
    n_gradients : int
        Passes over the training set.
    """

    matrix: Array
    modes: Array
    norm_squared: float
    unrest: float
    n_gradients: int


def shrink(values: Array, penalty: float, depth: int) -> Array:
    """Return the modes at which a penalty and a pull back to given values balance.

    Parameters
    ----------
    values : (n_modes,) ndarray
        Where each mode would be without the penalty, 0 or above.
    penalty : float
        Its strength: decay times length of the step.
    depth : int
        Layers of weights, at least 2.

    Returns
    -------
    (n_modes,) ndarray
        The stable one of the stationary modes; zero where there is none. These are the results of the derivations
        "soft-threshold" (two layers) and "depth-transition" (its branch, down to the fold).

    Examples
    --------
    >>> shrink(np.array([1.0, 0.2]), 0.3, 2)
    array([0.7, 0. ])
    >>> shrink(np.array([1.0, 0.7]), 0.3, 3).round(6)  # the fold is at 0.711312
    array([0.654465, 0.      ])
    """
    if depth == 2:
        modes: Array = derive("soft-threshold").numeric(
            "mode_stationary", signal=np.maximum(values, np.finfo(float).tiny), weight_decay=penalty
        )
        return modes
    law = derive("depth-transition")
    weakest = float(law.numeric("signal_fold", weight_decay=penalty, depth=depth))
    modes = np.zeros_like(values)
    alive = values > weakest
    if alive.any():
        modes[alive] = _branch(values[alive], penalty, depth)
    return modes


def _branch(values: Array, penalty: float, depth: int) -> Array:
    """Solve mode + slope of the penalty = value from above: the left side bends upwards, so Newton's steps descend."""
    slope, bend = (derive("layer-split").function(name) for name in ("penalty_slope", "penalty_bend"))
    modes = values.copy()
    for _ in range(_NEWTON):
        there = {"mode": modes, "weight_decay": penalty, "depth": depth}
        excess = modes + slope(**there) - values
        modes = modes - excess / (1 + bend(**there))
        if np.all(excess <= 1e-12 * values):
            break
    return modes


def least_product(
    examples: Examples, weight_decay: float, depth: int, start: Array | None = None, *, most_steps: int = 500
) -> Product:
    """Return the product of the layers of a linear network at a minimum of cost plus decay.

    Parameters
    ----------
    examples : Examples
        Training set; softmax outputs with cross-entropy.
    weight_decay : float
        Decay coefficient in PyTorch's sense, of every layer.
    depth : int
        Layers of weights, at least 2.
    start : (n_classes, n_inputs) ndarray, optional
        Product to start from, by default zero, which for three or more layers is a minimum itself.
    most_steps : int, optional
        Steps after which to give up; `Product.unrest` tells.

    Returns
    -------
    Product
        For two layers the minimum, otherwise the one in whose basin the start lies.

    Raises
    ------
    InvalidInput
        If a value is outside its range.
    """
    decay, layers = check_positive("weight_decay", weight_decay), check_count("depth", depth, least=2)
    size, slope = (derive("layer-split").function(name) for name in ("norm_squared_layer", "penalty_slope"))
    check_count("most_steps", most_steps)
    matrix = np.zeros((examples.n_classes, examples.inputs.shape[1])) if start is None else start
    at, weight, unrest, n_gradients = matrix, 1.0, np.nan, 1
    gradient = cost_and_gradients([at], "linear", examples)[1][0]
    # the curvature of the softmax's cost at zero: the covariance of its outputs has the largest eigenvalue 1/n_classes
    curvature = float(np.mean(np.sum(examples.inputs**2, axis=1))) / examples.n_classes
    while True:
        left, values, right = np.linalg.svd(at - gradient / curvature, full_matrices=False)
        modes = shrink(values, decay / curvature, layers)
        reached = (left * modes) @ right
        kept = modes[modes > 0]
        if kept.size:
            force = np.linalg.norm(slope(mode=kept, weight_decay=decay, depth=layers))
            unrest = float(np.linalg.norm(at - reached) * curvature / force)
        if (kept.size and unrest < _STILL) or not (kept.size or np.any(at)) or n_gradients >= most_steps:
            break
        if np.sum((at - reached) * (reached - matrix)) > 0:  # the momentum points uphill: begin anew
            weight = 1.0
        heavier = (1 + np.sqrt(1 + 4 * weight**2)) / 2
        ahead = reached + (weight - 1) / heavier * (reached - matrix)
        weight, matrix = heavier, reached
        gradient_there = cost_and_gradients([ahead], "linear", examples)[1][0]
        n_gradients += 1
        moved = np.linalg.norm(ahead - at)
        measured = float(np.linalg.norm(gradient_there - gradient) / moved) if moved else 0.0
        curvature = max(_FORGET * curvature, _CAUTION * measured)
        at, gradient = ahead, gradient_there
    kept = modes[modes > 0]
    norm = float(np.sum(size(mode=kept, depth=layers))) if kept.size else 0.0
    return Product(reached, kept, norm, unrest if kept.size else np.nan, n_gradients)
