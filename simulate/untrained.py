"""Predict how the weights of a two-layer sigmoid network grow and shrink, from the data's moments, without training."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import IntegrationError, InvalidInput, check_count, check_nonnegative, check_positive, check_rng
from .moment_closure import ClassMoments, closed_loss
from .problem import FloatArray, Problem
from .solve import solve

__all__ = ["Untrained", "untrained"]

_TOLERANCE = 1e-4
"""Of the integration, relative and in units of a weight: ten times less changes no squared norm by more than 0.1 %."""


@dataclass(frozen=True, eq=False)
class Untrained:
    """Hold what is predicted of a network, at the end of every epoch.

    Parameters
    ----------
    epochs : (n_epochs + 1,) ndarray
        0 is the start.
    norm_squared, mean : (n_epochs + 1, 2) ndarray, weight^2 and weight
        Squared norm and mean of the weights, of the hidden and of the output layer.
    n_weights : (int, int)
        Numbers of weights of both.
    radial_pull : (n_epochs + 1, 2) ndarray, loss
        What feeds each layer beside decay, averaged over the epoch that ends there: lr times it is half of what the
        squared norm gains in a step. Row 0 is nan.
    loss : (n_epochs + 1,) ndarray, nat
        Mean cross-entropy, averaged in the same way.
    slope : (n_epochs + 1,) ndarray
        Mean slope of the hidden units over the largest of a sigmoid: near 0 where units are saturated.
    n_evaluations : int
        How often the closed system was evaluated.
    """

    epochs: FloatArray
    norm_squared: FloatArray
    mean: FloatArray
    n_weights: tuple[int, int]
    radial_pull: FloatArray
    loss: FloatArray
    slope: FloatArray
    n_evaluations: int

    @property
    def variance(self) -> FloatArray:
        """Variance of the weights of each layer about their mean, (n_epochs + 1, 2), weight^2."""
        return self.norm_squared / self.n_weights - self.mean**2


def untrained(
    moments: ClassMoments,
    *,
    n_hidden: int,
    lr: float,
    weight_decay: float,
    n_train: int,
    batch_size: int,
    epochs: int,
    start_std: tuple[float, float] = (1.0, 1.0),
    rng: np.random.Generator | int = 0,
) -> Untrained:
    """Find squared norms, pulls, saturation and loss of a two-layer sigmoid network from moments of the data.

    Parameters
    ----------
    moments : ClassMoments
        Share, mean and covariance of the inputs of every class.
    n_hidden : int
        Hidden units.
    lr, weight_decay : float
        Learning rate and decay coefficient; weights decay, biases do not.
    n_train, batch_size : int
        Training-set size and mini-batch size.
    epochs : int
        How long.
    start_std : (float, float), optional
        Standard deviation of the weights that the hidden and the output layer start from; biases have 1.
    rng : Generator or int, optional
        Source of the start: Gaussian, then scaled so that each layer has the squared norm that is expected of it.

    Returns
    -------
    Untrained

    Raises
    ------
    InvalidInput
        If a value is outside its range.
    IntegrationError
        If the closed system cannot be integrated to the end.

    Notes
    -----
    In the time t = lr * steps, with L the `closed_loss` of the weights W along the leading directions of the inputs,
    of biases b, c, of the output weights V, and of energies C + u^2:

        dW/dt = -dL/dW - lambda W,  dV/dt = -dL/dV - lambda V,  db/dt = -dL/db,  dc/dt = -dL/dc,
        dC/dt = -2 (lambda + 2 dL/dC) C,
        du/dt = -(lambda + 2 dL/dC) u + sqrt(D / n_train).

    C holds the squares of the start along all other directions: 2 dL/dC is the loss's curvature there, averaged over
    weights of either sign. u holds what the weights learn of this training set alone: the mean gradient of n_train
    examples differs from that of all by sqrt(D / n_train), D = `ClosedLoss.gradient_power`, the same way in every
    epoch. Gradient noise does not appear: examples are drawn without replacement, so at given weights the gradients
    of an epoch add up to that of the training set, and what noise displaces is taken back before the epoch ends. So
    neither does the batch size, except by the number of steps.

    Assumed: steps are small, epochs are short against the time in which the weights change, and what u follows keeps
    its direction (where it turns, u is too large). `closed_loss` tells what else is neglected.

    It is an ordinary differential equation without a fitted number. It is no small one: n_hidden times (directions and
    twice the inputs) numbers, for the units do not stay alike; squared norms, pulls, saturation and loss are sums over
    them. `solve` integrates it by the method RK23.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> data = ClassMoments([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]], [np.eye(2), np.eye(2)], 2)
    >>> found = untrained(
    ...     data, n_hidden=3, lr=0.1, weight_decay=0.01, n_train=1000, batch_size=10, epochs=2, rng=1
    ... )
    >>> found.norm_squared.round(2)
    array([[6.  , 6.  ],
           [7.24, 5.83],
           [8.21, 8.71]])
    """
    check_count("n_hidden", n_hidden)
    lr, weight_decay = check_positive("lr", lr), check_nonnegative("weight_decay", weight_decay)
    n_train = check_count("n_train", n_train)
    batch_size = check_count("batch_size", batch_size, most=n_train)
    epochs = check_count("epochs", epochs)
    if len(start_std) != 2:
        raise InvalidInput(f"start_std is {start_std!r}, but must be two numbers: of the hidden and the output layer")
    stds = [check_positive("start_std", std) for std in start_std]
    n_classes, n_inputs = moments.powers.shape
    n_leading = moments.leading_means.shape[1]
    rng = check_rng(rng)

    def weights(n_rows: int, n_columns: int, std: float) -> FloatArray:
        drawn = rng.normal(size=(n_rows, n_columns))
        return np.asarray(drawn * (std / np.sqrt(np.mean(drawn**2))))

    hidden = weights(n_hidden, n_inputs, stds[0])
    energies = hidden**2
    energies[:, :n_leading] = 0.0  # the draw is taken along the principal directions: it is the same along all axes
    parts: list[FloatArray] = [
        hidden[:, :n_leading],
        rng.normal(size=n_hidden),
        weights(n_classes, n_hidden, stds[1]),
        np.asarray(rng.normal(size=n_classes)),
        energies,
        np.zeros((n_hidden, n_inputs)),
        np.zeros(3),
    ]
    ends = np.cumsum([part.size for part in parts])[:-1]

    def split(state: FloatArray) -> list[FloatArray]:
        return [piece.reshape(part.shape) for piece, part in zip(np.split(state, ends), parts, strict=True)]

    n_evaluations = 0

    def drift(_t: float, y: FloatArray) -> FloatArray:
        nonlocal n_evaluations
        n_evaluations += 1
        w, b, v, c, others, memory, _ = split(y[0])
        beside = others + memory**2
        found = closed_loss(w, b, v, c, beside, moments)
        force = np.sqrt(found.gradient_power / n_train)
        fed = -np.sum(found.hidden * w) - 2 * np.sum(found.energies * beside) + np.sum(memory * force)
        back = weight_decay + 2 * found.energies
        rates = [
            -found.hidden - weight_decay * w,
            -found.hidden_biases,
            -found.output - weight_decay * v,
            -found.output_biases,
            -2 * back * others,
            force - back * memory,
            np.array([fed, -np.sum(found.output * v), found.loss]),
        ]
        return np.concatenate([rate.ravel() for rate in rates])[None]

    times = np.arange(epochs + 1) * (lr * n_train / batch_size)
    problem = Problem(drift, y0=np.concatenate([part.ravel() for part in parts]), t_span=(0.0, float(times[-1])))
    solution = solve(problem, times, method="RK23", rtol=_TOLERANCE, atol=_TOLERANCE, max_steps=10**6)
    if not solution.success:
        raise IntegrationError(f"the closed system could not be integrated to the end: {solution.status.value}")
    rows = []
    for state in solution.y:
        w, b, v, c, others, memory, sums = split(state)
        beside = others + memory**2
        slope = closed_loss(w, b, v, c, beside, moments).slope
        mean = np.mean(w @ moments.axes[:, :n_leading].T), np.mean(v)
        rows.append([np.sum(w**2) + np.sum(beside), np.sum(v**2), *mean, slope, *sums])
    table = np.array(rows)
    averages = np.diff(table[:, 5:], axis=0, prepend=np.nan) / times[1]
    return Untrained(
        epochs=np.arange(epochs + 1.0),
        norm_squared=table[:, :2],
        mean=table[:, 2:4],
        n_weights=(hidden.size, n_classes * n_hidden),
        radial_pull=averages[:, :2],
        loss=averages[:, 2],
        slope=table[:, 4],
        n_evaluations=n_evaluations,
    )
