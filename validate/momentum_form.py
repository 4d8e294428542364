"""Split stochastic gradient descent with momentum into a buffer that does not feel the weights, and their decay.

Coupled decay is linear in (w, v), weights and buffer, and its matrix can be made triangular: with b = v - rho w and
the right rho, the buffer b no longer feels the weights, and the weights decay by a factor q, which needs no rounding
because it can be carried as a scale. With e = lr * weight_decay, mu the momentum, x = lr * rho, heavy ball (in
PyTorch's form, dampening tau, e and g times 1 - tau) is

    b' = mu (1 + x) b + (1 + x) g,                w' = (w - lr b') / (1 + x),             mu x^2 - (1-mu-e) x + e = 0

and Nesterov's momentum is

    b' = mu (1 + mu x) b + (1 + (1+mu) x) g,      w' = ((1-e) w - lr (g + mu b')) / (1 + mu x),
                                                            mu^2 x^2 - (1-mu-(1+mu)e) x + e = 0.

When a schedule changes rho, b takes up the difference times w. Where the roots are complex (underdamped: weights and
buffer turn around each other) the decay is so strong that rounding it does no harm, and it is added to the gradient.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["MomentumForm", "momentum_form"]

Table = NDArray[np.float64]  # (n_steps, n_runs)


@dataclass(frozen=True)
class MomentumForm:
    """Hold the coefficients of b' = remember b + take g + explicit w and of what then happens to the weights.

    Parameters
    ----------
    remember, take, explicit : (n_steps, n_runs) ndarray
        As above; `explicit` is 0 unless momentum is underdamped.
    shrink : (n_steps, n_runs) ndarray
        Factor q by which the weights decay.
    inner : (n_steps, n_runs) ndarray
        What is left of the weights in the sum that contains the update: w' = (q / inner) (inner w - lr update).
    rho : (n_steps, n_runs) ndarray
        Share of the weights in the buffer, v = b + rho w.
    """

    remember: Table
    take: Table
    explicit: Table
    shrink: Table
    inner: Table
    rho: Table


def momentum_form(
    lr: Table, weight_decay: Table, *, momentum: Table, kept: Table, nesterov: bool, coupled: bool
) -> MomentumForm:
    """Return the triangular form where it is real, and else the plain one.

    Parameters
    ----------
    lr, weight_decay : (n_steps, n_runs) ndarray
        Hyperparameters of each step.
    momentum : (n_runs,) ndarray
        mu.
    kept : (n_steps, n_runs) ndarray
        1 - tau, the share of the gradient that goes into the buffer.
    nesterov, coupled : bool
        Which rule.

    Examples
    --------
    >>> form = momentum_form(*np.array([[[0.1]], [[0.01]]]), momentum=np.array([0.9]), kept=np.ones((1, 1)),
    ...                      nesterov=False, coupled=True)
    >>> form.shrink.round(6), form.remember.round(6)  # slower and faster mode of heavy ball; they multiply to mu
    (array([[0.988873]]), array([[0.910127]]))
    """
    e = lr * weight_decay * kept
    ones, nothing = np.ones_like(e), np.zeros_like(e)
    if not coupled:
        left = 1 - lr * weight_decay
        return MomentumForm(momentum * ones, kept, nothing, left, left, nothing)
    linear, square = (1 - momentum - (1 + momentum) * e, momentum**2) if nesterov else (1 - momentum - e, momentum)
    under_root = linear**2 - 4 * square * e
    real = (linear > 0) & (under_root >= 0)
    ratio = np.where(real, 2 / np.where(real, linear + np.sqrt(np.maximum(under_root, 0)), 1.0), 0.0)  # x / e
    x = ratio * e
    rho, explicit = kept * weight_decay * ratio, np.where(real, 0.0, kept * weight_decay)
    if nesterov:
        shrink = (1 - e) / (1 + momentum * x)
        return MomentumForm(momentum * (1 + momentum * x), 1 + (1 + momentum) * x, explicit, shrink, 1 - e, rho)
    return MomentumForm(momentum * (1 + x), kept * (1 + x), explicit, 1 / (1 + x), ones, rho)
