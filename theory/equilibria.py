"""Hold the equilibrium of weights on random gradients: its size, its rotation, and how fast it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from ..errors import InvalidInput, check_choice
from .evaluation import Condition, evaluate
from .notation import symbols_of

__all__ = ["COUPLINGS", "QUANTITIES", "Equilibrium"]

COUPLINGS = ("coupled", "decoupled")
QUANTITIES = ("norm_squared", "one_minus_cosine", "angular_update", "relaxation_rate")
_COMPARED = ("norm_squared", "angular_update")
_TOLERANCE = 0.01
_LOG_EPS = np.arange(-18.0, 1.5, 0.25)


@dataclass(frozen=True)
class Equilibrium:
    """The stationary state of weights under an optimizer with weight decay, on random gradients.

    Attributes
    ----------
    optimizer : LinearOptimizer or StationaryUpdates
        What makes the steps.
    coupling : str
        "coupled": the decay lambda*w goes into the gradient; "decoupled": the weights are multiplied by 1 - lr*lambda.
    symmetry : str
        "none": gradients do not depend on the weights; "scale": they are perpendicular to the weights and inversely
        proportional to their norm, as before a normalization.
    order : str
        "exact" or "leading" order in lr*weight_decay.
    norm_squared : sympy.Expr, weight²
        Mean squared norm. `gradient_power` in it is the second moment of the gradient; under the symmetry "scale",
        that of the gradient at unit norm.
    one_minus_cosine : sympy.Expr
        One minus the cosine between consecutive weights, E<w, w'> / E||w||².
    angular_update : sympy.Expr, rad
        The angle that has this cosine; that of a step too, if there are many weights.
    relaxation_rate : sympy.Expr, per step
        Rate at which a perturbation of the squared norm dies out, exp(-rate * steps), to leading order.
    first_correction : mapping of str to sympy.Expr
        For norm_squared, one_minus_cosine and angular_update, c in exact = leading * (1 + c + ...), where c is
        proportional to lr*weight_decay.
    conditions : tuple of Condition
        Where the stationary state exists.
    assumptions : tuple of str
        What the formulas assume, one sentence each.
    modes, drive : tuple of sympy.Expr
        Of a linear optimizer, the coefficients of denominator and numerator of the filter from gradients to weights,
        of rising powers of the backshift; otherwise empty.
    zero_allowed : frozenset of str
        Arguments that may be 0 although their symbol is positive.

    Notes
    -----
    Exact for white gradients of power G^2 perpendicular to the weights; see `weightdecay.theory.equilibrium` for the
    equations. To leading order, with H the optimizer's filter at B = 1, R = lr G^2 H / (2 weight_decay) coupled, and
    H^2 in place of H decoupled.

    References
    ----------
    wan2020, kosson2023; the general filter is our own derivation.

    Examples
    --------
    >>> from weightdecay import theory
    >>> sgd = theory.equilibrium(theory.SGD)
    >>> sgd.norm_squared
    gradient_power*lr/(weight_decay*(-lr*weight_decay + 2))
    >>> round(float(sgd.numeric("angular_update", lr=0.1, weight_decay=0.01)), 6)
    0.044725
    """

    optimizer: Any
    coupling: str
    symmetry: str
    order: str
    norm_squared: Any
    one_minus_cosine: Any
    angular_update: Any
    relaxation_rate: Any
    first_correction: Mapping[str, Any]
    conditions: tuple[Condition, ...]
    assumptions: tuple[str, ...]
    modes: tuple[Any, ...] = ()
    drive: tuple[Any, ...] = ()
    zero_allowed: frozenset[str] = field(default=frozenset(), repr=False)

    def __post_init__(self) -> None:
        """Freeze the mapping."""
        object.__setattr__(self, "first_correction", MappingProxyType(dict(self.first_correction)))

    def arguments(self, quantity: str | None = None) -> tuple[str, ...]:
        """Return the names of the arguments that `numeric` takes for a quantity, in alphabetical order.

        Parameters
        ----------
        quantity : str, optional
            As in `numeric`.

        Returns
        -------
        tuple of str

        Raises
        ------
        InvalidInput
            If there is no such quantity.

        Notes
        -----
        The free symbols of its expression; of an exact relaxation rate, those of the linearized recursion.

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> from weightdecay import theory
        >>> theory.equilibrium(theory.HEAVY_BALL).arguments("angular_update")
        ('dampening', 'lr', 'momentum', 'weight_decay')
        >>> len(theory.equilibrium(theory.HEAVY_BALL).arguments())
        5
        """
        name = self._quantity(quantity)
        symbols = getattr(self, name).free_symbols
        if name == "relaxation_rate" and self.modes and self.order == "exact":
            symbols = self._mode_symbols()
        return tuple(sorted(str(symbol.name) for symbol in symbols))

    def numeric(self, quantity: str | None = None, /, **values: Any) -> Any:
        """Return a quantity as numbers.

        Parameters
        ----------
        quantity : str, optional
            "norm_squared" (the default), "one_minus_cosine", "angular_update" or "relaxation_rate".
        **values : float or array_like
            Value of every argument, by name; arrays broadcast.

        Returns
        -------
        float64 or ndarray of float64

        Raises
        ------
        InvalidInput
            If a value is missing, superfluous, no number, or outside the region of stability, which the message states.

        Notes
        -----
        Of an exact equilibrium, the relaxation rate is that of the slowest mode of the linearized second moments, found
        from their eigenvalues, where the optimizer is linear. Everywhere else it is the expression's value.

        References
        ----------
        wan2020 for SGD and heavy ball; otherwise our own derivation.

        Examples
        --------
        >>> from weightdecay import theory
        >>> momentum = theory.equilibrium(theory.HEAVY_BALL)
        >>> round(float(momentum.numeric("relaxation_rate", lr=0.1, weight_decay=0.1, momentum=0.9, dampening=0)), 6)
        0.105361
        """
        name = self._quantity(quantity)
        label = f"{name} of {self.optimizer.name}"
        if name != "relaxation_rate" or not self.modes or self.order == "leading":
            return self._evaluate(label, getattr(self, name), values)
        every = sp.Add(*sorted(self._mode_symbols(), key=str))
        shape = np.shape(self._evaluate(label, every, values))  # also checks all values
        polynomial, drive = (
            np.stack(
                [np.broadcast_to(self._evaluate(label, part, _only(values, part)), shape) for part in parts], axis=-1
            )
            for parts in (self.modes, self.drive)
        )
        return _slowest_rate(polynomial, drive if self.symmetry == "scale" else None)[()]

    def _quantity(self, quantity: str | None) -> str:
        return check_choice("quantity of an equilibrium", quantity or QUANTITIES[0], QUANTITIES)

    def _mode_symbols(self) -> set[Any]:
        return {symbol for part in (*self.modes, *self.drive) for symbol in part.free_symbols}

    def _evaluate(self, label: str, expression: Any, values: Mapping[str, Any]) -> Any:
        return evaluate(label, expression, values, conditions=self.conditions, zero_allowed=self.zero_allowed)

    def valid_range(self, **values: Any) -> float:
        """Return the largest lr*weight_decay at which the leading form is within 1 % of the exact one.

        Parameters
        ----------
        **values : float
            What the ratios of leading to exact depend on besides the product lr*weight_decay, by name. That never
            includes `gradient_power` of a linear optimizer or `n_weights` of decoupled decay, of which both forms of
            the squared norm are multiples. Decay in a normalized gradient needs both, since lr*weight_decay counts
            there against the gradient per weight, and with the symmetry "scale" `weight_decay` too.

        Returns
        -------
        float
            From 0 up to it, norm_squared and angular_update of leading order are both within 1 %.

        Raises
        ------
        InvalidInput
            If a value is missing, superfluous or no number.

        Notes
        -----
        The smallest positive root of max(|R_leading / R - 1|, |theta_leading / theta - 1|) = 0.01, or the upper end of
        the range searched, lr*weight_decay from exp(-18) to exp(1.25).

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> from weightdecay import theory
        >>> round(theory.equilibrium(theory.SGD).valid_range(), 5)  # the squared norm is off by lr*weight_decay / 2
        0.02
        >>> round(theory.equilibrium(theory.LION, coupling="decoupled").valid_range(beta1=0.9, beta2=0.99), 7)
        0.0001033
        """
        from scipy.optimize import brentq  # here, since it takes long to import

        exact, leading = (
            self.optimizer.equilibrium(self.coupling, self.symmetry, order) for order in ("exact", "leading")
        )
        ratios = [getattr(leading, part) / getattr(exact, part) for part in _COMPARED]
        wanted = set.union(*map(_beyond_decay_per_step, ratios))
        missing, extra = sorted(wanted - values.keys()), sorted(values.keys() - wanted)
        takes = f"the valid range of {self.optimizer.name} takes {', '.join(sorted(wanted)) or 'no argument'}"
        if missing:
            raise InvalidInput(f"{takes}; missing: {', '.join(missing)}")
        if extra:
            raise InvalidInput(f"{takes}; it does not depend on {', '.join(extra)}: leave that out")
        scalars = {name: _scalar(name, value) for name, value in values.items()}

        def value(ratio: Any, log_eps: float) -> float:
            at = {"weight_decay": 1.0} | scalars
            at["lr"] = float(np.exp(log_eps)) / at["weight_decay"]
            return float(exact._evaluate(f"the valid range of {self.optimizer.name}", ratio, _only(at, ratio)))

        def excess(log_eps: float) -> float:
            try:
                return max(abs(value(ratio, log_eps) - 1.0) for ratio in ratios) - _TOLERANCE
            except InvalidInput:  # beyond the region of stability
                return 1.0

        for ratio in ratios:
            value(ratio, _LOG_EPS[0])  # complains about values that are wrong at any lr*weight_decay
        for low, high in pairwise(_LOG_EPS):
            if excess(high) > 0:
                return float(np.exp(brentq(excess, low, high, xtol=1e-13))) if excess(low) < 0 else 0.0
        return float(np.exp(_LOG_EPS[-1]))


def _beyond_decay_per_step(ratio: Any) -> set[str]:
    """Return the names of what a ratio of two forms depends on besides lr*weight_decay: common factors cancel."""
    lr, weight_decay = symbols_of("lr weight_decay")
    decay_per_step = sp.Dummy("decay_per_step", positive=True)
    left = ratio.subs(lr, decay_per_step / weight_decay).free_symbols - {decay_per_step}
    return {str(symbol.name) for symbol in left}


def _slowest_rate(polynomial: NDArray[np.float64], drive: NDArray[np.float64] | None = None) -> NDArray[np.float64]:
    """Return the decay rate of the slowest mode of the second moments of a linear recursion.

    Parameters
    ----------
    polynomial : (..., order + 1) ndarray, dimensionless
        Coefficients of the characteristic polynomial in the backshift, of rising powers.
    drive : (..., n) ndarray, optional
        Coefficients of the filter's numerator, of rising powers; given if the noise has a power inversely proportional
        to the squared norm.

    Returns
    -------
    (...,) ndarray, per step

    Notes
    -----
    With companion matrix A the second moments M follow M' = A M A^T + noise, whose slowest mode is the square of A's
    largest eigenvalue. Noise of power 1/R, R = M_00, linearized at the fixed point, adds a term to the map on M.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> float(_slowest_rate(np.array([1.0, -0.9])).round(6))  # -2 log(0.9)
    0.210721
    """
    order = polynomial.shape[-1] - 1
    companion = np.zeros((*polynomial.shape[:-1], order, order))
    companion[..., :, 0] = -polynomial[..., 1:] / polynomial[..., :1]
    companion[..., np.arange(order - 1), np.arange(1, order)] = 1.0
    if drive is None:
        return np.asarray(-2.0 * np.log(np.abs(np.linalg.eigvals(companion)).max(axis=-1)))
    noise = np.zeros((*polynomial.shape[:-1], order))
    noise[..., : drive.shape[-1]] = drive / polynomial[..., :1]
    step = np.einsum("...ij,...kl->...ikjl", companion, companion).reshape(*companion.shape[:-2], order**2, order**2)
    power = np.einsum("...i,...j->...ij", noise, noise).reshape(*noise.shape[:-1], order**2)
    moments = np.linalg.solve(np.eye(order**2) - step, power[..., None])[..., 0]
    step[..., :, 0] -= power / moments[..., :1]
    return np.asarray(-np.log(np.abs(np.linalg.eigvals(step)).max(axis=-1)))


def _only(values: Mapping[str, Any], expression: Any) -> dict[str, Any]:
    return {str(symbol.name): values[symbol.name] for symbol in expression.free_symbols}


def _scalar(name: str, value: Any) -> float:
    array = np.asarray(value)
    if array.shape or array.dtype.kind not in "iuf":
        raise InvalidInput(f"{name} is {value!r}, but must be one number")
    return float(array)
