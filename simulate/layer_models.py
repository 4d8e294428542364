"""Pose equations of several layers: homogeneous networks with one margin, and deep linear networks."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInput, check_choice, check_count, check_nonnegative, check_positive
from ..theory import derive
from .derived import compiled
from .problem import FloatArray, Problem, check_initial_state

__all__ = ["deep_linear_modes", "homogeneous_layers", "product_flow"]


def homogeneous_layers(
    *, norms_squared_start: ArrayLike, weight_decay: float, margin: float = 1.0, loss: str = "logistic", time: float
) -> Problem:
    """Pose the squared norms of the layers of a homogeneous network with one margin, all coupled by their product.

    Parameters
    ----------
    norms_squared_start : (depth,) or (n_paths, depth) array_like, weight^2
        Squared norm of each layer at the start.
    weight_decay : float
        Decay coefficient.
    margin : float, optional
        Margin of the network whose layers all have norm 1.
    loss : {"logistic", "exponential"}, optional
        Loss as a function of the margin.
    time : float
        Time to integrate over, in learning rate times steps.

    Returns
    -------
    Problem
        Without exact solution; but every difference between two layers decays as exp(-2 weight_decay time).

    Notes
    -----
    With z = margin times the product of the layers' norms, all layers feel the pull of the derivation
    "one-margin-logistic" or "one-margin-exponential", -z loss'(z), and each follows "norm-flow" without noise.
    Directions are held fixed.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> layers = homogeneous_layers(norms_squared_start=[1.0, 1.0], weight_decay=0.1, time=10.0)
    >>> layers.drift(0.0, layers.rows()).round(6)  # 2 / (1 + e) - 0.2
    array([[0.337883, 0.337883]])
    """
    check_initial_state(norms_squared_start, positive=True, name="norms_squared_start")
    decay = check_nonnegative("weight_decay", weight_decay)
    size = check_positive("margin", margin)
    law = derive(f"one-margin-{check_choice('loss', loss, ('logistic', 'exponential'))}")
    pull, rate = compiled(law, "radial_pull"), compiled(derive("norm-flow"), "rate")

    def drift(_t: float, y: FloatArray) -> FloatArray:
        z = size * np.sqrt(np.prod(y, axis=1, keepdims=True))
        return np.asarray(
            rate(norm_squared=y, radial_pull=pull(scaled_margin=z), weight_decay=decay, lr=0.0, gradient_power=0.0)
        )

    return Problem(drift, y0=norms_squared_start, t_span=(0.0, check_positive("time", time)), positive=True)


def deep_linear_modes(
    *, strengths_start: ArrayLike, targets: ArrayLike, depth: int, weight_decay: float, time: float
) -> Problem:
    """Pose the modes of a balanced deep linear network with squared loss and whitened inputs.

    Parameters
    ----------
    strengths_start : (n_modes,) array_like
        Singular value of the product of all layers at the start, per mode.
    targets : (n_modes,) array_like
        Singular value of the correlation of outputs with inputs, per mode.
    depth : int
        Layers of weights.
    weight_decay : float
        Decay coefficient.
    time : float
        Time to integrate over, in learning rate times steps.

    Returns
    -------
    Problem
        With its exact solution for two layers, where each mode follows a logistic curve towards target - weight_decay.

    Raises
    ------
    InvalidInput
        If a value is outside its range, or the targets are not one per mode.

    Notes
    -----
    d sigma/dt = depth (sigma^(2 - 2/depth) (target - sigma) - weight_decay sigma), sigma being the mode's strength.

    References
    ----------
    saxe2014, arora2018

    Examples
    --------
    >>> modes = deep_linear_modes(strengths_start=[0.01], targets=[1.0], depth=2, weight_decay=0.3, time=20.0)
    >>> modes.exact(20.0).round(6)  # soft threshold: 1 - 0.3
    array([0.7])
    """
    start = check_initial_state(strengths_start, positive=True, name="strengths_start")
    goal = np.atleast_1d(np.asarray(targets, dtype=np.float64))
    if goal.shape != start.shape[-1:]:
        raise InvalidInput(f"targets have shape {goal.shape}, but must have shape {start.shape[-1:]}, one per mode")
    layers = check_count("depth", depth, least=2)
    decay = check_nonnegative("weight_decay", weight_decay)
    rate = compiled(derive("product-flow"), "mode_rate")
    two_layers, at_threshold = (compiled(derive("soft-threshold"), name) for name in ("mode", "mode_marginal"))

    def drift(_t: float, y: FloatArray) -> Any:
        return rate(mode=y, mode_slope=y - goal, depth=layers, weight_decay=decay)

    def logistic(t: float) -> FloatArray:
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            found = two_layers(mode_start=start, signal=goal, time=t, weight_decay=decay)
        # as the net gain vanishes the solution becomes 0/0: beyond here its limit has the smaller error
        marginal = np.abs(goal - decay) * (t + 1.0 / start) < 1e-8
        return np.asarray(np.where(marginal, at_threshold(mode_start=start, time=t), found))

    return Problem(
        drift,
        y0=strengths_start,
        t_span=(0.0, check_positive("time", time)),
        positive=True,
        exact=logistic if layers == 2 else None,
    )


def product_flow(
    *,
    product_start: ArrayLike,
    input_covariance: ArrayLike,
    correlation: ArrayLike,
    depth: int,
    weight_decay: float,
    time: float,
) -> Problem:
    """Pose the product of the layers of a balanced deep linear network on the statistics of a data set, squared loss.

    Parameters
    ----------
    product_start : (n_outputs, n_inputs) array_like
        Product of all layers at the start; its flow stays zero in directions in which it starts at zero.
    input_covariance : (n_inputs, n_inputs) array_like
        Mean of x x^T over the data.
    correlation : (n_outputs, n_inputs) array_like
        Mean of y x^T over the data.
    depth : int
        Layers of weights.
    weight_decay : float
        Decay coefficient of each layer.
    time : float
        Time to integrate over, in learning rate times steps.

    Returns
    -------
    Problem
        Its state is the product, row by row.

    Raises
    ------
    InvalidInput
        If a value is outside its range, or the shapes do not fit together; the message names those wanted.

    Notes
    -----
    dW/dt = -depth weight_decay W - sum over j of (W W^T)^((j-1)/depth) G (W^T W)^((depth-j)/depth), with the gradient
    G = W input_covariance - correlation. The powers come from one thin singular value decomposition of W. Of 10 x 784
    components, ``method="RK45"`` is the choice: an implicit solver would build a Jacobian of 7840 x 7840.

    References
    ----------
    arora2018

    Examples
    --------
    >>> flow = product_flow(
    ...     product_start=[[0.1, 0.0]], input_covariance=np.eye(2), correlation=[[1.0, 0.0]], depth=2, weight_decay=0.3,
    ...     time=1.0,
    ... )
    >>> flow.drift(0.0, flow.rows()).round(6)  # 2 times 0.1 times (1 - 0.1 - 0.3)
    array([[ 0.12, -0.  ]])
    """
    start, covariance, cross = (
        np.asarray(value, dtype=np.float64) for value in (product_start, input_covariance, correlation)
    )
    if start.ndim != 2 or cross.shape != start.shape or covariance.shape != (start.shape[1],) * 2:
        raise InvalidInput(
            f"product_start, correlation and input_covariance have shapes {start.shape}, {cross.shape} and "
            f"{covariance.shape}, but must have shapes (n_outputs, n_inputs) twice and (n_inputs, n_inputs)"
        )
    layers = check_count("depth", depth)
    decay = check_nonnegative("weight_decay", weight_decay)

    def drift(_t: float, y: FloatArray) -> FloatArray:
        return np.stack([_product_rate(row.reshape(start.shape), covariance, cross, layers, decay) for row in y])

    return Problem(drift, y0=start.ravel(), t_span=(0.0, check_positive("time", time)))


def _product_rate(
    W: FloatArray, covariance: FloatArray, cross: FloatArray, layers: int, decay: float
) -> NDArray[np.float64]:
    gradient = W @ covariance - cross
    U, S, V = np.linalg.svd(W, full_matrices=False)
    total = np.zeros_like(W)
    for j in range(1, layers + 1):
        term = gradient
        if j > 1:  # the power 0 is the identity, also where W vanishes
            term = (U * S ** (2.0 * (j - 1) / layers)) @ (U.T @ term)
        if j < layers:
            term = ((term @ V.T) * S ** (2.0 * (layers - j) / layers)) @ V
        total += term
    return np.asarray(-layers * decay * W - total).ravel()
