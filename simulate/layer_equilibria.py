"""Find where one block of weights comes to rest under an optimizer, and what feeds it on the way there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput
from ..theory import SGD, derive, equilibrium
from .layers import Layer
from .optimizer_choice import OptimizerChoice

__all__ = ["LayerEquilibrium", "layer_equilibrium", "speed_of_decay"]


@dataclass(frozen=True)
class LayerEquilibrium:
    """Where a block of weights rests, and what feeds it on the way; None where that is not told by what is given.

    Attributes
    ----------
    norm_squared : float or None, weight²
        Squared norm at rest.
    norm_squared_leading : float or None, weight²
        The same to leading order in lr*weight_decay.
    angular_update : float or None, rad per step
        Angle between consecutive weights at rest, if noise alone feeds them.
    speed : float or None
        How many times as fast as lr*weight_decay says the optimizer decays weights.
    feed : dict or None
        The pull and powers that make plain SGD, its decay so much faster, rest at the same place.
    """

    norm_squared: float | None
    norm_squared_leading: float | None
    angular_update: float | None
    speed: float | None
    feed: dict[str, float] | None


_UNKNOWN = LayerEquilibrium(None, None, None, None, None)


def layer_equilibrium(layer: Layer, choice: OptimizerChoice, *, lr: float, weight_decay: float) -> LayerEquilibrium:
    """Return where a block rests under an optimizer at constant hyperparameters.

    Parameters
    ----------
    layer : Layer
        The block.
    choice : OptimizerChoice
        The optimizer.
    lr, weight_decay : float
        Learning rate and decay coefficient.

    Returns
    -------
    LayerEquilibrium

    Raises
    ------
    InvalidInput
        If the block has a pull although the optimizer normalizes its gradients.

    Notes
    -----
    To leading order every optimizer relaxes and rests like plain SGD whose decay and feed are scaled: the scales are
    ratios of the theory's leading forms, so that nothing about an optimizer is repeated here.

    References
    ----------
    kosson2023; otherwise our own derivation.

    Examples
    --------
    >>> from weightdecay.simulate import optimizer_choice
    >>> rest = layer_equilibrium(Layer("mlp", (10, 10)), optimizer_choice("adamw"), lr=1e-3, weight_decay=0.1)
    >>> print(f"{rest.norm_squared:.3f} {rest.angular_update:.5f}")
    0.499 0.00324
    """
    if layer.radial_pull is not None and not choice.linear:
        raise InvalidInput(
            f"{layer.name} has a pull, but {choice.name} normalizes its gradients, so that no pull in units of loss "
            "acts on the weights; leave it out"
        )
    if lr == 0 or weight_decay == 0:
        return _UNKNOWN
    at: dict[str, Any] = {"lr": lr, "weight_decay": weight_decay, "n_weights": layer.n_weights}
    if choice.name == "muon":
        if layer.fan_in is None:
            return _UNKNOWN  # it updates matrices only
        at |= {"n_rows": layer.shape[0], "n_columns": layer.fan_in}
    scale = choice.linear and layer.unit_gradient_power is not None
    symmetry = "scale" if scale else "none"
    power = layer.unit_gradient_power if scale else layer.gradient_power
    exact, leading = (choice.equilibrium(order, symmetry) for order in ("exact", "leading"))
    if choice.needs_gradient_power and not power:
        if not choice.linear:
            return _UNKNOWN
        angle = None if layer.radial_pull else choice.numeric("angular_update", exact, **at)
        speed = speed_of_decay(choice)
        if not layer.radial_pull:
            return LayerEquilibrium(None, None, angle, speed, None)
        power = 0.0
    else:
        if power:
            at["gradient_power"] = power
        angle = choice.numeric("angular_update", exact, **at)
        plain = equilibrium(SGD, order="leading", symmetry=symmetry)
        rate = float(plain.numeric("relaxation_rate", lr=lr, weight_decay=weight_decay))
        speed = choice.numeric("relaxation_rate", leading, **at) / rate
    decay = {"lr": lr, "weight_decay": weight_decay * speed}
    if scale:
        at_one = derive("scale-invariant-flow").numeric("norm_squared_stationary", unit_gradient_power=1.0, **decay)
        leads = choice.numeric("norm_squared", leading, **at)
        feed = {"unit_gradient_power": float(leads / at_one) ** 2}
        return LayerEquilibrium(choice.numeric("norm_squared", exact, **at), leads, angle, speed, feed)
    rests = derive("norm-flow")
    at_one = rests.numeric("norm_squared_stationary", radial_pull=0.0, gradient_power=1.0, **decay)
    noisy = bool(power) or not choice.needs_gradient_power
    leads = choice.numeric("norm_squared", leading, **at) if noisy else 0.0
    feed = {"radial_pull": 0.0, "gradient_power": float(leads / at_one)}
    if not layer.radial_pull:
        return LayerEquilibrium(choice.numeric("norm_squared", exact, **at), leads, angle, speed, feed)
    feed["radial_pull"] = layer.radial_pull * _gain_of_pull(choice, speed)
    at_rest = float(rests.numeric("norm_squared_stationary", **feed, **decay))
    return LayerEquilibrium(at_rest if at_rest > 0 else None, None, None, speed, feed)


def speed_of_decay(choice: OptimizerChoice) -> float:
    """Return how many times as fast as lr*weight_decay says the optimizer decays weights, if gradients do not matter.

    Parameters
    ----------
    choice : OptimizerChoice
        The optimizer with its coupling and coefficients.

    Returns
    -------
    float
        1 where decay is decoupled, or its gradient is normalized away.

    Notes
    -----
    With decay in the gradient a linear optimizer decays weights at the relaxation rate of its equilibrium to leading
    order, here over that of plain SGD.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.simulate import optimizer_choice
    >>> round(speed_of_decay(optimizer_choice("momentum")), 9)
    10.0
    """
    if choice.coupling == "decoupled" or not choice.linear:
        return 1.0
    at = {"lr": 1.0, "weight_decay": 1e-6}  # the ratio does not depend on them
    plain = equilibrium(SGD, order="leading").numeric("relaxation_rate", **at)
    return choice.numeric("relaxation_rate", choice.equilibrium("leading"), **at) / float(plain)


def _gain_of_pull(choice: OptimizerChoice, speed: float) -> float:
    """Return how many times as much as under plain SGD a steady gradient moves the weights."""
    if choice.coupling == "coupled":
        return speed  # decay is such a gradient
    at = {"lr": 1.0, "weight_decay": 1e-6, "gradient_power": 1.0}
    plain = equilibrium(SGD, order="leading").numeric("norm_squared", **at)
    return math.sqrt(choice.numeric("norm_squared", choice.equilibrium("leading"), **at) / float(plain))
