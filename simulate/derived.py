"""Take results of derivations as bare functions, for integrators that call them a million times."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..theory import Derivation

__all__ = ["compiled"]


def compiled(derivation: Derivation, result: str) -> Callable[..., Any]:
    """Return a result of a derivation as a function of its arguments by name, compiled once and unchecked.

    Parameters
    ----------
    derivation : Derivation
        Where the formula comes from.
    result : str
        Name of the result.

    Returns
    -------
    callable
        Takes the arguments that ``derivation.arguments(result)`` names; `Derivation.numeric` is the checked form.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> rate = compiled(derive("norm-flow"), "rate")
    >>> rate(lr=0.1, weight_decay=0.5, norm_squared=1.0, radial_pull=1.0, gradient_power=0.0)
    1.0
    """
    names = derivation.arguments(result)
    function = derivation.function(result)
    return lambda **values: function(*(values[name] for name in names))
