"""Find where one block of weights comes to rest under an optimizer, and what feeds it on the way there."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from ..errors import InvalidInput
from ..theory import SGD, Equilibrium, derive, equilibrium
from .layers import Layer
from .optimizer_choice import OptimizerChoice

__all__ = ["LayerEquilibrium", "layer_equilibrium", "speed_of_decay"]


@dataclass(frozen=True)
class LayerEquilibrium:
    """Where a block of weights rests, and what feeds it on the way; None where that is not told by what is given.

    Each quantity is computed when it is first asked for.

    Parameters
    ----------
    layer : Layer
        The block.
    choice : OptimizerChoice
        The optimizer.
    lr, weight_decay : float
        Learning rate and decay coefficient.
    """

    layer: Layer
    choice: OptimizerChoice
    lr: float
    weight_decay: float

    @cached_property
    def norm_squared(self) -> float | None:
        """Squared norm at rest, weight²."""
        if self.layer.radial_pull:
            if self.feed is None:
                return None
            rest = float(derive("norm-flow").numeric("norm_squared_stationary", **self.feed, **self._decay))
            return rest if rest > 0 else None
        if self._at is None or not self._has_noise:
            return None
        return self.choice.numeric("norm_squared", self._form("exact"), **self._at)

    @cached_property
    def norm_squared_leading(self) -> float | None:
        """The same to leading order in lr*weight_decay, where noise alone feeds the weights."""
        if self._at is None or not self._has_noise or self.layer.radial_pull:
            return None
        return self._noise_leading

    @cached_property
    def angular_update(self) -> float | None:
        """Angle between consecutive weights at rest, rad per step, if noise alone feeds them."""
        if self._at is None or self.layer.radial_pull:
            return None
        return self.choice.numeric("angular_update", self._form("exact"), **self._at)

    @cached_property
    def speed(self) -> float | None:
        """How many times as fast as lr*weight_decay says the optimizer decays weights."""
        if self._at is None:
            return None
        if not self._has_noise:
            return speed_of_decay(self.choice)
        plain = equilibrium(SGD, order="leading", symmetry=self._symmetry)
        rate = float(plain.numeric("relaxation_rate", lr=self.lr, weight_decay=self.weight_decay))
        return self.choice.numeric("relaxation_rate", self._form("leading"), **self._at) / rate

    @cached_property
    def feed(self) -> dict[str, float] | None:
        """The pull and powers that make plain SGD, its decay so much faster, rest at the same place."""
        if self._at is None or not (self._has_noise or self.layer.radial_pull):
            return None
        flow = derive("scale-invariant-flow" if self._symmetry == "scale" else "norm-flow")
        if self._symmetry == "scale":
            at_one = flow.numeric("norm_squared_stationary", unit_gradient_power=1.0, **self._decay)
            return {"unit_gradient_power": float(self._noise_leading / at_one) ** 2}
        fed = {"radial_pull": 0.0, "gradient_power": 0.0}
        if self._has_noise:
            at_one = flow.numeric("norm_squared_stationary", radial_pull=0.0, gradient_power=1.0, **self._decay)
            fed["gradient_power"] = float(self._noise_leading / at_one)
        if self.layer.radial_pull:
            assert self.speed is not None
            fed["radial_pull"] = self.layer.radial_pull * _gain_of_pull(self.choice, self.speed)
        return fed

    @property
    def _symmetry(self) -> str:
        return "scale" if self.choice.linear and self.layer.unit_gradient_power is not None else "none"

    @property
    def _power(self) -> float | None:
        return self.layer.unit_gradient_power if self._symmetry == "scale" else self.layer.gradient_power

    @property
    def _has_noise(self) -> bool:
        """Whether the size of the gradient noise is told, or does not matter."""
        return bool(self._power) or not self.choice.needs_gradient_power

    @cached_property
    def _at(self) -> dict[str, Any] | None:
        """What the theory's forms depend on; None if nothing can be told."""
        muon, layer = self.choice.name == "muon", self.layer
        if self.lr == 0 or self.weight_decay == 0 or (muon and layer.fan_in is None):  # muon updates matrices only
            return None
        if not self._has_noise and not self.choice.linear:
            return None
        at: dict[str, Any] = {"lr": self.lr, "weight_decay": self.weight_decay, "n_weights": layer.n_weights}
        if muon:
            at |= {"n_rows": layer.shape[0], "n_columns": layer.fan_in}
        return at | ({"gradient_power": self._power} if self._power else {})

    @property
    def _decay(self) -> dict[str, float]:
        """The hyperparameters of plain SGD that decays as fast."""
        assert self.speed is not None
        return {"lr": self.lr, "weight_decay": self.weight_decay * self.speed}

    @cached_property
    def _noise_leading(self) -> float:
        """Squared norm at which noise alone would hold the weights, to leading order."""
        assert self._at is not None
        return self.choice.numeric("norm_squared", self._form("leading"), **self._at)

    def _form(self, order: str) -> Equilibrium:
        return self.choice.equilibrium(order, self._symmetry)


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
        If the block has a pull although the optimizer normalizes its gradients; a quantity, when it is asked for, also
        if the hyperparameters lie outside the region of stability.

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
    return LayerEquilibrium(layer, choice, lr, weight_decay)


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
