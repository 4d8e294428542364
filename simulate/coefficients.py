"""Coefficients of the common form, which the fastest method takes apart instead of calling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import InvalidInput
from .problem import FloatArray

__all__ = ["Affine", "Power"]


@dataclass(frozen=True)
class Affine:
    """Drift ``intercept + slope * y``.

    Parameters
    ----------
    intercept, slope : float
        Its two numbers.

    Examples
    --------
    >>> Affine(1.0, -2.0)(0.0, np.array([[3.0]]))
    array([[-5.]])
    """

    intercept: float
    slope: float

    def __call__(self, t: float, y: FloatArray) -> FloatArray:
        """Return the drift at the states y."""
        del t
        return self.intercept + self.slope * y


@dataclass(frozen=True)
class Power:
    """Diffusion ``scale * y**exponent``.

    Parameters
    ----------
    scale : float
        Factor.
    exponent : {0, 0.5, 1}
        Additive noise, square-root noise, or noise proportional to the state.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> Power(2.0, 0.5)(0.0, np.array([[9.0]]))
    array([[6.]])
    """

    scale: float
    exponent: float

    def __post_init__(self) -> None:
        if self.exponent not in (0.0, 0.5, 1.0):
            raise InvalidInput(f"exponent is {self.exponent!r}, but must be 0, 0.5 or 1")

    def __call__(self, t: float, y: FloatArray) -> Any:
        """Return the diffusion at the states y; one number if it is the same for all."""
        del t
        if self.exponent == 0:
            return self.scale
        return self.scale * (np.sqrt(y) if self.exponent == 0.5 else y)

    def derivative(self, t: float, y: FloatArray) -> Any:
        """Return the derivative of the diffusion with respect to the state."""
        del t
        if self.exponent == 0.5:
            return 0.5 * self.scale / np.sqrt(y)
        return self.scale * self.exponent
