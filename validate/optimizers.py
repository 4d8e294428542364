"""Say which optimizer trains: frozen values without learning rate and decay, which are the training's own schedules.

The rules, their parameters' ranges and their textbook steps are those of `simulate.update_rules`; `Optimizer.rule`
hands them out. How the trainer does the same steps fast is in `optimizer_arithmetic`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

from ..errors import InvalidInput, check_choice
from ..simulate.update_rules import RULES, Rule

__all__ = ["OPTIMIZERS", "SGD", "Adam", "Lion", "Muon", "Optimizer", "RMSprop", "SignSGD", "optimizer_from_dict"]


@dataclass(frozen=True)
class Optimizer:
    """Hold what all optimizers share.

    Parameters
    ----------
    coupling : {"coupled", "decoupled"}
        Whether the decay goes into the gradient (L2 regularization) or multiplies the weights by 1 - lr*weight_decay.
    """

    name: ClassVar[str] = ""
    coupling: str = field(default="coupled", kw_only=True)

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidInput("Optimizer is what optimizers share, and trains nothing; take SGD() or another of them")
        for each in fields(self):
            value = getattr(self, each.name)
            if isinstance(each.default, bool):
                if not isinstance(value, bool):
                    raise InvalidInput(f"{each.name} is {value!r}, but must be True or False")
            elif isinstance(each.default, float) and isinstance(value, int) and not isinstance(value, bool):
                object.__setattr__(self, each.name, float(value))
        self.rule(1.0)  # checks the ranges

    def parameters(self) -> dict[str, Any]:
        """Return all parameters by name."""
        return {each.name: getattr(self, each.name) for each in fields(self)}

    def rule(self, lr: float, weight_decay: float = 0.0) -> Rule:
        """Return the textbook rule with these parameters at a learning rate and decay coefficient.

        >>> type(Adam(beta1=0.8).rule(1e-3, weight_decay=0.1)).__module__
        'weightdecay.simulate.update_rules'
        """
        return RULES[self.name](lr, weight_decay=weight_decay, **self.parameters())  # type: ignore[no-any-return]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values.

        >>> SGD(momentum=0.9).to_dict()
        {'name': 'sgd', 'coupling': 'coupled', 'momentum': 0.9, 'dampening': 0.0, 'nesterov': False}
        """
        return {"name": self.name, **self.parameters()}


@dataclass(frozen=True)
class SGD(Optimizer):
    """Stochastic gradient descent, with momentum if that is above 0; coupled unless said otherwise.

    Parameters
    ----------
    momentum, dampening : float, optional
        buffer = momentum * buffer + (1 - dampening) * gradient; the first buffer is the gradient itself.
    nesterov : bool, optional
        Whether the update is gradient + momentum * buffer; needs momentum and no dampening.
    coupling : {"coupled", "decoupled"}, optional
        Where the decay acts; without momentum it is the same.

    Examples
    --------
    >>> SGD(momentum=1.0)
    Traceback (most recent call last):
    weightdecay.errors.InvalidInput: momentum is 1.0, but must be a number from 0 to below 1, or it never forgets
    """

    name: ClassVar[str] = "sgd"
    momentum: float = 0.0
    dampening: float = 0.0
    nesterov: bool = False


@dataclass(frozen=True)
class RMSprop(Optimizer):
    """RMSprop: the gradient over the root of a running mean of its square; coupled unless said otherwise.

    Parameters
    ----------
    smoothing : float, optional
        Coefficient of the running mean (PyTorch's alpha).
    eps : float, optional
        Small constant added to the denominator.
    coupling : {"coupled", "decoupled"}, optional
        Where the decay acts.
    """

    name: ClassVar[str] = "rmsprop"
    smoothing: float = 0.99
    eps: float = 1e-8


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam with L2 regularization if coupled (unless said otherwise), AdamW if decoupled.

    Parameters
    ----------
    beta1, beta2 : float, optional
        Coefficients of the running means of gradients and of their squares.
    eps : float, optional
        Small constant added to the denominator.
    coupling : {"coupled", "decoupled"}, optional
        Where the decay acts.
    """

    name: ClassVar[str] = "adam"
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class SignSGD(Optimizer):
    """Sign descent, and Signum with momentum: the update is the sign of the momentum; coupled unless said otherwise.

    Parameters
    ----------
    momentum : float, optional
        buffer = momentum * buffer + (1 - momentum) * gradient.
    coupling : {"coupled", "decoupled"}, optional
        Where the decay acts.
    """

    name: ClassVar[str] = "sign-sgd"
    momentum: float = 0.0


@dataclass(frozen=True)
class Lion(Optimizer):
    """Lion: the sign of a mean of gradient and momentum; decoupled unless said otherwise.

    Parameters
    ----------
    beta1, beta2 : float, optional
        update = sign(beta1 * buffer + (1 - beta1) * gradient); then buffer = beta2 * buffer + (1 - beta2) * gradient.
    coupling : {"coupled", "decoupled"}, optional
        Where the decay acts.
    """

    name: ClassVar[str] = "lion"
    coupling: str = field(default="decoupled", kw_only=True)
    beta1: float = 0.9
    beta2: float = 0.99


@dataclass(frozen=True)
class Muon(Optimizer):
    """Muon: the polar factor of the momentum; decoupled unless said otherwise.

    Biases are matrices of one column, whose polar factor has norm 1.

    Parameters
    ----------
    momentum : float, optional
        buffer = momentum * buffer + gradient.
    newton_schulz_steps : int, optional
        0 for the exact polar factor; 5 for the iteration that Muon is used with.
    coupling : {"coupled", "decoupled"}, optional
        Where the decay acts.
    """

    name: ClassVar[str] = "muon"
    coupling: str = field(default="decoupled", kw_only=True)
    momentum: float = 0.95
    newton_schulz_steps: int = 0


OPTIMIZERS: dict[str, type[Optimizer]] = {each.name: each for each in (SGD, RMSprop, Adam, SignSGD, Lion, Muon)}
"""The optimizers by name."""


def optimizer_from_dict(told: Any) -> Optimizer:
    """Return the optimizer that `to_dict` described.

    Parameters
    ----------
    told : mapping
        Name and parameters.

    Raises
    ------
    InvalidInput
        If the name or the parameters are none.

    Examples
    --------
    >>> optimizer_from_dict(Lion(beta1=0.5).to_dict()) == Lion(beta1=0.5)
    True
    """
    if not isinstance(told, Mapping) or "name" not in told:
        raise InvalidInput(f"an optimizer is told by its name and parameters, but this is {told!r}")
    kind = OPTIMIZERS[check_choice("optimizer", told["name"], OPTIMIZERS)]
    wanted = {each.name for each in fields(kind)}
    given = {key: value for key, value in told.items() if key != "name"}
    if set(given) != wanted:
        raise InvalidInput(f"the optimizer {kind.name!r} is told by {sorted(wanted)}, but this is {told!r}")
    return kind(**given)
