"""Step any linear optimizer of the theory: its transfer function is all that is needed."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass

import numpy as np

from ..errors import InvalidInput
from ..theory import LinearOptimizer
from .problem import check_array
from .update_rules import Array, Decaying, State

__all__ = ["FilteredGradient", "filtered_gradient"]


@dataclass(frozen=True)
class FilteredGradient(Decaying):
    """The rule of a linear optimizer: the update is a rational filter of the gradients, its memory empty at first.

    Parameters
    ----------
    lr, weight_decay, coupling
        As in `SGD`.
    numerator, denominator : tuple of float
        Coefficients of the transfer function, of rising powers of the backshift; the denominator begins with 1.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> average = FilteredGradient(1.0, numerator=(0.5,), denominator=(1.0, -0.5))
    >>> average.step(np.array([1.0]), np.array([1.0]))
    (array([0.5]), (array([0.25]),))
    """

    _: KW_ONLY
    numerator: tuple[float, ...] = (1.0,)
    denominator: tuple[float, ...] = (1.0,)

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("numerator", "denominator"):
            values = check_array(name, getattr(self, name), "finite coefficients, such as (1.0, -0.9)", ndim=1)
            object.__setattr__(self, name, tuple(values.tolist()))
        if not self.numerator or not self.denominator or self.denominator[0] != 1.0:
            raise InvalidInput(
                f"the filter has numerator {self.numerator} and denominator {self.denominator}, "
                "but needs coefficients in both, the first of the denominator being 1"
            )

    def step(self, weights: Array, gradient: Array, state: State = ()) -> tuple[Array, State]:
        """Return weights and state (what the filter still owes to later updates) after a step."""
        fed = self._fed(weights, gradient)
        order = max(len(self.numerator), len(self.denominator)) - 1
        above, below = ((*part, *([0.0] * (order + 1 - len(part)))) for part in (self.numerator, self.denominator))
        owed = (*(state or (np.zeros_like(fed),) * order), np.zeros(()))
        update = above[0] * fed + owed[0]
        state = tuple(np.asarray(above[k] * fed - below[k] * update + owed[k]) for k in range(1, order + 1))
        return self._moved(weights, self.lr * update), state


def filtered_gradient(
    optimizer: LinearOptimizer,
    lr: float,
    *,
    weight_decay: float = 0.0,
    coupling: str = "coupled",
    **hyperparameters: float,
) -> FilteredGradient:
    """Return the rule of any linear optimizer of the theory.

    Parameters
    ----------
    optimizer : LinearOptimizer
        Its transfer function is all that is needed.
    lr, weight_decay, coupling
        As in `SGD`.
    **hyperparameters : float
        The optimizer's own, by name.

    Returns
    -------
    FilteredGradient

    Raises
    ------
    InvalidInput
        If a hyperparameter is missing, superfluous, or makes the filter unstable.

    Examples
    --------
    >>> from weightdecay import theory
    >>> filtered_gradient(theory.NESTEROV, 0.1, momentum=0.5).numerator
    (1.5, -0.5)
    """
    if not isinstance(optimizer, LinearOptimizer):
        raise InvalidInput(f"optimizer is {optimizer!r}, but must be a LinearOptimizer, such as theory.NESTEROV")
    above, below = optimizer.coefficients(**hyperparameters)
    return FilteredGradient(lr, weight_decay=weight_decay, coupling=coupling, numerator=above, denominator=below)
