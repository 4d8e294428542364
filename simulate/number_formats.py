"""Round as number formats do: what is left of a small decay where weights are multiplied by one minus it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ..errors import InvalidInput, check_choice, check_nonnegative

__all__ = ["NUMBER_FORMATS", "RoundedDecay", "rounded_decay"]

NUMBER_FORMATS: Mapping[str, int] = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
"""Number formats and the bits of their significands, the leading one counted."""
_SINGLE = 24
_SAMPLES = 4096
"""Weights that stand for all: spaced evenly in their logarithm over a factor of two, after which rounding repeats."""


@dataclass(frozen=True)
class RoundedDecay:
    """What a number format makes of a decay per step.

    Attributes
    ----------
    number_format : str
        One of `NUMBER_FORMATS`.
    decay_per_step : float
        The decay meant.
    decay_stored : float
        One minus the factor as it is stored.
    decay_mean : float
        The decay of weights on average, after the product is rounded too.
    share_moving : float
        Share of the weights that the product changes at all.
    """

    number_format: str
    decay_per_step: float
    decay_stored: float
    decay_mean: float
    share_moving: float


def rounded_decay(decay_per_step: float, number_format: str) -> RoundedDecay:
    """Return what is left of a decay where weights in a number format are multiplied by one minus it.

    Parameters
    ----------
    decay_per_step : float, dimensionless
        Part of every weight that a step is to take.
    number_format : {"float64", "float32", "float16", "bfloat16"}
        Format of the weights.

    Returns
    -------
    RoundedDecay

    Raises
    ------
    InvalidInput
        If the decay is 1 or more, or the format unknown.

    Notes
    -----
    The factor is stored in the format of the weights, at least in float32 as programs do with numbers beside
    tensors of half precision; the product is rounded to the weights' format, half to even. Exact arithmetic of the
    rounding, no bound: it is done for weights that cover one binade evenly in their logarithm. Decay that is part of
    the gradient (L2 regularization), and kernels that keep sum and product in higher precision, round differently.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> print(f"{rounded_decay(1e-5, 'float32').decay_stored:.5e}")
    1.00136e-05
    >>> rounded_decay(1e-5, "bfloat16").share_moving
    0.0
    """
    decay = check_nonnegative("decay_per_step", decay_per_step)
    if decay >= 1:
        raise InvalidInput(f"decay_per_step is {decay:g}, but must be below 1")
    bits = NUMBER_FORMATS[check_choice("number_format", number_format, NUMBER_FORMATS)]
    factor = float(_rounded(1.0 - decay, max(bits, _SINGLE)))
    weights = _rounded(2.0 ** (np.arange(_SAMPLES) / _SAMPLES), bits)
    moved = _rounded(weights * factor, bits)
    return RoundedDecay(
        number_format,
        decay,
        1.0 - factor,
        float(np.mean((weights - moved) / weights)),
        float(np.mean(moved != weights)),
    )


def share_of_steps_lost(decays_per_step: ArrayLike, number_format: str) -> float:
    """Return the share of steps whose decay, though not 0, moves no weight of a number format at all."""
    decays = np.asarray(decays_per_step, dtype=np.float64)
    bits = NUMBER_FORMATS[check_choice("number_format", number_format, NUMBER_FORMATS)]
    most_sensitive = 2.0 - 2.0 ** (1 - bits)  # the largest below a power of two has the finest relative spacing
    factor = _rounded(1.0 - decays, max(bits, _SINGLE))
    return float(np.mean((_rounded(most_sensitive * factor, bits) == most_sensitive) & (decays > 0)))


def _rounded(values: ArrayLike, bits: int) -> NDArray[np.float64]:
    """Return values rounded to a significand of so many bits, half to even."""
    significand, exponent = np.frexp(np.asarray(values, dtype=np.float64))
    return np.asarray(np.ldexp(np.rint(np.ldexp(significand, bits)), exponent - bits))
