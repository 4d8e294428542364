"""Bound the size of a block of weights, and take its size out of the learning rate."""

from __future__ import annotations

import math

from ..theory import derive
from .layers import Layer
from .optimizer_choice import OptimizerChoice

__all__ = ["effective_lr", "rms_bound"]

_UNIT_UPDATES = frozenset({"adamw", "sign-sgd", "signum", "lion", "muon"})
"""Optimizers whose updates are at most 1, in each weight or in spectral norm (adamw: while its gradients keep
direction and size)."""


def rms_bound(layer: Layer, choice: OptimizerChoice, weight_decay: float) -> float | None:
    """Return the largest root mean square that decoupled decay allows if gradients keep one direction; None if any.

    Parameters
    ----------
    layer : Layer
        The block.
    choice : OptimizerChoice
        The optimizer.
    weight_decay : float
        Decay coefficient.

    Returns
    -------
    float or None, weight

    Notes
    -----
    The derivation "steady-direction": every weight is bounded (AdamW, Lion, sign descent), or every singular value
    (Muon).

    Examples
    --------
    >>> from weightdecay.simulate import optimizer_choice
    >>> round(rms_bound(Layer("mlp", (768, 3072)), optimizer_choice("lion"), 0.1), 9)
    10.0
    """
    if choice.name not in _UNIT_UPDATES or weight_decay == 0 or (choice.name == "muon" and layer.fan_in is None):
        return None
    n_values = layer.n_singular if choice.name == "muon" else layer.n_weights
    values = {"update_bound": 1.0, "weight_decay": weight_decay, "n_values": n_values}
    return math.sqrt(float(derive("steady-direction").numeric("norm_squared_bound", **values)) / layer.n_weights)


def effective_lr(choice: OptimizerChoice, lr: float, norm_squared: float) -> float:
    """Return the learning rate that moves weights of norm 1 as `lr` moves those of a squared norm.

    >>> from weightdecay.simulate import optimizer_choice
    >>> effective_lr(optimizer_choice("sgd"), 0.1, 10.0), effective_lr(optimizer_choice("adamw"), 0.1, 100.0)
    (0.01, 0.01)
    """
    result = "effective_lr" if choice.linear else "effective_lr_normalized"
    return float(derive("effective-learning-rate").numeric(result, lr=lr, norm_squared=norm_squared))
