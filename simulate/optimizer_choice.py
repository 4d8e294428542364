"""Choose an optimizer by the name its users know, with its coupling to decay and its own coefficients."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import InvalidInput, check_choice, check_nonnegative
from ..theory import ADAM, HEAVY_BALL, LION, MUON, NESTEROV, RMSPROP, SGD, SIGN_SGD, SIGNUM, Equilibrium, equilibrium

__all__ = ["OPTIMIZERS", "OptimizerChoice", "optimizer_choice"]

_COEFFICIENTS = ("momentum", "dampening", "beta1", "beta2", "smoothing")
_OF_LAYER = ("n_weights", "n_rows", "n_columns", "gradient_power")

OPTIMIZERS: Mapping[str, tuple[Any, str, Mapping[str, float]]] = {
    "sgd": (SGD, "coupled", {}),
    "momentum": (HEAVY_BALL, "coupled", {"momentum": 0.9, "dampening": 0.0}),
    "nesterov": (NESTEROV, "coupled", {"momentum": 0.9}),
    "sgdw": (HEAVY_BALL, "decoupled", {"momentum": 0.9, "dampening": 0.0}),
    "adam": (ADAM, "coupled", {"beta1": 0.9, "beta2": 0.999}),
    "adamw": (ADAM, "decoupled", {"beta1": 0.9, "beta2": 0.999}),
    "rmsprop": (RMSPROP, "coupled", {"smoothing": 0.99}),
    "sign-sgd": (SIGN_SGD, "decoupled", {}),
    "signum": (SIGNUM, "decoupled", {"momentum": 0.9}),
    "lion": (LION, "decoupled", {"beta1": 0.9, "beta2": 0.99}),
    "muon": (MUON, "decoupled", {"momentum": 0.95}),
}
"""What each name stands for: the optimizer, how decay enters, and its coefficients by default."""


@dataclass(frozen=True)
class OptimizerChoice:
    """An optimizer, how decay enters, and its coefficients.

    Attributes
    ----------
    name : str
        One of `OPTIMIZERS`.
    coupling : {"coupled", "decoupled"}
        Whether decay goes through the gradient, or multiplies the weights.
    coefficients : dict of str to float
        Its own hyperparameters.
    linear : bool
        Whether updates are proportional to gradients, so that the size of weights depends on that of gradients.
    """

    name: str
    coupling: str
    coefficients: Mapping[str, float]
    linear: bool

    @property
    def needs_gradient_power(self) -> bool:
        """Whether the size of the weights depends on the size of the gradients."""
        return self.linear or self.coupling == "coupled"

    def equilibrium(self, order: str = "exact", symmetry: str = "none") -> Equilibrium:
        """Return the theory's equilibrium of weights on random gradients."""
        return equilibrium(OPTIMIZERS[self.name][0], coupling=self.coupling, symmetry=symmetry, order=order)

    def numeric(self, quantity: str, form: Equilibrium, **values: Any) -> float:
        """Return a quantity of an equilibrium, given at least what it depends on besides the coefficients."""
        given = {**self.coefficients, **values}
        return float(form.numeric(quantity, **{name: given[name] for name in form.arguments(quantity)}))


def optimizer_choice(name: str, **coefficients: float | None) -> OptimizerChoice:
    """Return an optimizer by name.

    Parameters
    ----------
    name : str
        One of `OPTIMIZERS`.
    **coefficients : float or None
        Of momentum, dampening, beta1, beta2 and smoothing those that the optimizer has; None is the default.

    Returns
    -------
    OptimizerChoice

    Raises
    ------
    InvalidInput
        If the name is unknown, or a coefficient is not its own or outside 0 to 1.

    Examples
    --------
    >>> choice = optimizer_choice("adamw", beta2=0.95)
    >>> print(choice.coupling, choice.coefficients)
    decoupled {'beta1': 0.9, 'beta2': 0.95}
    """
    rule, coupling, defaults = OPTIMIZERS[check_choice("optimizer", name, OPTIMIZERS)]
    given = {key: value for key, value in coefficients.items() if value is not None}
    for key, value in given.items():
        check_choice("coefficient", key, _COEFFICIENTS)
        if key not in defaults:
            takes = ", ".join(defaults) or "no coefficient"
            raise InvalidInput(f"{name} has no {key}; it takes {takes}")
        if check_nonnegative(key, value) >= 1:
            raise InvalidInput(f"{key} is {value:g}, but must be at least 0 and below 1")
    return OptimizerChoice(name, coupling, {**defaults, **given}, hasattr(rule, "transfer_function"))
