"""Solve for the equilibrium of any optimizer that is a rational filter of its gradients.

`LinearOptimizer` holds the filter as a function of the backshift `B` (``B * g[t] = g[t-1]``); `equilibrium` finds the
stationary size and rotation of weights on random gradients, exactly or to leading order in lr*weight_decay.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from ..errors import InvalidInput, check_choice
from .equilibria import COUPLINGS, Equilibrium
from .evaluation import Condition, evaluate
from .filter_moments import autocovariances, leading_terms, schur_conditions
from .notation import symbols_of
from .positive_factors import positive_factors
from .stability_region import EPS, conditions, follows
from .transfer_functions import B, checked_function, coefficients_of

__all__ = ["B", "LinearOptimizer", "equilibrium"]

SYMMETRIES = ("none", "scale")
ORDERS = ("exact", "leading")
_lr, _weight_decay, _gradient_power = symbols_of("lr weight_decay gradient_power")
_WHITE = (
    "Gradients are white noise: mean zero, independent from step to step, and perpendicular to the weights on average."
)
_MANY = "There are many weights, so that squared norm and angle of a step are close to their means."


@dataclass(frozen=True)
class LinearOptimizer:
    """An optimizer whose update is a rational filter of its gradients, update = transfer_function(B) gradient.

    Parameters
    ----------
    name : str
        Name, for messages.
    transfer_function : sympy.Expr
        Rational function of the backshift `B`; its other symbols are the optimizer's own hyperparameters.

    Attributes
    ----------
    numerator, denominator : tuple of sympy.Expr
        Its coefficients, of rising powers of B; the denominator begins with 1.
    hyperparameters : tuple of sympy.Symbol
        Its symbols besides B, by name.

    Raises
    ------
    InvalidInput
        If the function is not rational in B, needs future gradients (improper), is unstable for all values of its
        symbols, or uses a symbol that is not available to it.

    Notes
    -----
    update_t = sum_k h_k gradient_(t-k), where H(B) = sum_k h_k B^k is the transfer function. Its poles have to lie
    outside the unit circle.

    References
    ----------
    Our own derivation; the criteria of stability are Schur's, Cohn's and Jury's.

    Examples
    --------
    >>> look = sp.Symbol("look", positive=True)
    >>> optimistic = LinearOptimizer("optimistic", 1 + look - look * B)
    >>> round(float(equilibrium(optimistic).numeric(lr=0.1, weight_decay=0.1, gradient_power=1, look=1)), 5)
    0.51767
    """

    name: str
    transfer_function: Any
    numerator: tuple[Any, ...] = field(init=False, repr=False)
    denominator: tuple[Any, ...] = field(init=False, repr=False)
    hyperparameters: tuple[Any, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInput(f"the name of an optimizer is {self.name!r}, but must be a non-empty string")
        what = f"the transfer function of {self.name!r}"
        function, own = checked_function(what, self.transfer_function)
        above, below = coefficients_of(what, function, own)
        if below[0] == 0:
            raise InvalidInput(
                f"{what} is improper: it has a pole at B = 0, so an update would need gradients of later steps; "
                "multiply it by a power of B"
            )
        values = {
            "transfer_function": function,
            "numerator": tuple(sp.cancel(part / below[0]) for part in above),
            "denominator": tuple(sp.cancel(part / below[0]) for part in below),
            "hyperparameters": own,
        }
        for attribute, value in values.items():
            object.__setattr__(self, attribute, value)
        try:
            self.stability()
        except InvalidInput as error:
            raise InvalidInput(f"{error}; {_poles(self)}") from None

    def stability(self) -> tuple[Condition, ...]:
        """Return the conditions under which the filter forgets: its poles lie outside the unit circle of B.

        Returns
        -------
        tuple of Condition

        Raises
        ------
        InvalidInput
            If they cannot be met.

        Notes
        -----
        |B| > 1 for every root of the denominator, by Schur's and Cohn's recursion down to Jury's
        conditions for a quadratic.

        References
        ----------
        Our own derivation; `weightdecay.theory.filter_moments.schur_conditions`.

        Examples
        --------
        >>> from weightdecay import theory
        >>> [str(condition.relation) for condition in theory.NESTEROV.stability()]
        ['momentum < 1']
        """
        return conditions(
            f"the filter of {self.name!r} is unstable",
            schur_conditions(self.denominator, self.hyperparameters),
            "otherwise the filter never forgets a gradient, and its updates grow without bound",
        )

    def coefficients(self, **values: float) -> tuple[tuple[float, ...], tuple[float, ...]]:
        """Return numerator and denominator of the filter as numbers, of rising powers of the backshift.

        Parameters
        ----------
        **values : float
            Value of each of the optimizer's own hyperparameters, by name.

        Returns
        -------
        tuple of two tuples of float
            Numerator and denominator; the latter begins with 1.

        Raises
        ------
        InvalidInput
            If a value is missing, superfluous, no number, or makes the filter unstable.

        Notes
        -----
        H(B) = (n_0 + n_1 B + ...) / (1 + d_1 B + ...), as scipy.signal.lfilter takes them.

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> from weightdecay import theory
        >>> theory.NESTEROV.coefficients(momentum=0.5)
        ((1.5, -0.5), (1.0, -0.5))
        """
        label = f"the filter of {self.name}"
        names = {str(symbol.name) for symbol in self.hyperparameters}
        evaluate(label, sp.Add(*self.hyperparameters), values, conditions=self.stability(), zero_allowed=names)

        def number(part: Any) -> float:
            of_it = {str(symbol.name): values[symbol.name] for symbol in part.free_symbols}
            return float(evaluate(label, part, of_it, zero_allowed=names))

        return tuple(map(number, self.numerator)), tuple(map(number, self.denominator))

    def equilibrium(self, coupling: str, symmetry: str, order: str) -> Equilibrium:
        """Return the equilibrium; the function `equilibrium` calls this after checking its arguments.

        Parameters
        ----------
        coupling : {"coupled", "decoupled"}
        symmetry : {"none", "scale"}
        order : {"exact", "leading"}

        Returns
        -------
        Equilibrium

        Raises
        ------
        InvalidInput
            If there is none.

        Notes
        -----
        E||w||^2 = lr^2 G^2 r_0, with r_0 the variance of white noise of power 1 behind the closed loop.

        References
        ----------
        wan2020, kosson2023; the general filter is our own derivation.

        Examples
        --------
        >>> from weightdecay import theory
        >>> sgd = theory.SGD.equilibrium("decoupled", "none", "leading")
        >>> float(sgd.numeric(lr=0.1, weight_decay=0.1, gradient_power=1))
        0.5
        """
        return _linear_equilibrium(self, coupling, symmetry, order)

    def closed_loop(self, coupling: str, decay_per_step: Any) -> tuple[tuple[Any, ...], tuple[Any, ...]]:
        """Return numerator and denominator of the filter T in w = -lr B T(B) gradient, of rising powers of B.

        Parameters
        ----------
        coupling : {"coupled", "decoupled"}
            Where the decay acts.
        decay_per_step : sympy.Expr
            lr * weight_decay.

        Returns
        -------
        tuple of two tuples of sympy.Expr

        Notes
        -----
        Decoupled, (1 - (1 - lr lambda) B) w = -lr B H g. Coupled, the filter is fed g + lambda w, and
        (1 - B) w = -lr B H (g + lambda w).

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> from weightdecay import theory
        >>> theory.SGD.closed_loop("coupled", sp.Rational(1, 10))
        ((1,), (1, -9/10))
        """
        above, below = self.numerator, self.denominator
        order = max(len(above), len(below))
        rising = [(*part, *([sp.S.Zero] * (order + 1 - len(part)))) for part in (above, below)]
        left = sp.S.One if coupling == "coupled" else 1 - decay_per_step
        fed_back = decay_per_step if coupling == "coupled" else sp.S.Zero
        closed = [
            rising[1][k] + (fed_back * rising[0][k - 1] - left * rising[1][k - 1] if k else 0) for k in range(order + 1)
        ]
        return above, tuple(map(sp.expand, closed))


def equilibrium(
    optimizer: Any, *, coupling: str = "coupled", symmetry: str = "none", order: str = "exact"
) -> Equilibrium:
    """Return the stationary size and rotation of weights that an optimizer with weight decay moves on random gradients.

    Parameters
    ----------
    optimizer : LinearOptimizer or StationaryUpdates
        Any rational filter of the gradients, or a stationary sequence of updates with a known autocorrelation.
    coupling : {"coupled", "decoupled"}, optional
        Whether lambda*w goes into the gradient (L2 regularization) or the weights are multiplied by 1 - lr*lambda.
    symmetry : {"none", "scale"}, optional
        Whether gradients are independent of the weights, or perpendicular to them and inversely proportional to their
        norm.
    order : {"exact", "leading"}, optional
        Exact in lr*weight_decay, or the leading term with the first correction beside it.

    Returns
    -------
    Equilibrium

    Raises
    ------
    InvalidInput
        If an argument is none of these, the optimizer has no theory for that coupling, or is unstable whatever the
        values.

    Notes
    -----
    With decay per step eps = lr*weight_decay, the weights are white noise behind the filter
    T = H / (1 - B + eps B H) (coupled) or H / (1 - (1 - eps) B) (decoupled), so that

        E||w||^2 = lr^2 G^2 r_0,    E<w, w'> = lr^2 G^2 r_1,    sum_k r_k B^k = T(B) T(1/B).

    Under the scale symmetry G^2 is that of unit norm over E||w||^2, and the squared norm is the root of the same.

    References
    ----------
    wan2020 for SGD and heavy ball, kosson2023 for leading orders; the general filter is our own derivation.

    Examples
    --------
    >>> from weightdecay import theory
    >>> theory.equilibrium(theory.HEAVY_BALL, order="leading").norm_squared
    gradient_power*lr*(1 - dampening)/(2*weight_decay*(1 - momentum))
    """
    check_choice("coupling", coupling, COUPLINGS)
    check_choice("symmetry", symmetry, SYMMETRIES)
    check_choice("order", order, ORDERS)
    if isinstance(optimizer, type) or not hasattr(optimizer, "equilibrium"):
        raise InvalidInput(
            f"optimizer is {optimizer!r}, but must be a LinearOptimizer or StationaryUpdates, such as theory.SGD"
        )
    found: Equilibrium = optimizer.equilibrium(coupling, symmetry, order)
    return found


@functools.lru_cache(maxsize=256)
def _linear_equilibrium(optimizer: LinearOptimizer, coupling: str, symmetry: str, order: str) -> Equilibrium:
    if coupling == "coupled" and sp.cancel(sum(optimizer.numerator)) == 0:
        raise InvalidInput(
            f"{optimizer.name!r} with coupled decay has no equilibrium, since its transfer function vanishes at B = 1: "
            "it passes on nothing that is constant, so decay never pulls the weights back; use coupling='decoupled'"
        )
    above, below = optimizer.closed_loop(coupling, EPS)
    region = _region(optimizer, coupling)
    r_0, rotation, (size, size_next), (turn, turn_next) = _second_moments(optimizer, coupling)
    if order == "leading":
        r_0, rotation = size, turn
    squared_angle_next = turn_next * EPS + turn / 6  # theta^2 = 2 x (1 + x/6 + ...) with x = 1 - cos
    root = sp.S.Half if symmetry == "scale" else sp.S.One
    at_one = sp.factor(sum(optimizer.numerator) / sum(optimizer.denominator))
    rate = (4 if symmetry == "scale" else 2) * EPS * (at_one if coupling == "coupled" else 1)
    angle = sp.sqrt(2 * rotation) if order == "leading" else 2 * sp.asin(sp.sqrt(rotation / 2))
    parts = {
        "norm_squared": (_lr**2 * _gradient_power * r_0) ** root,
        "one_minus_cosine": rotation,
        "angular_update": angle,
        "relaxation_rate": rate,
    }
    corrections = {
        "norm_squared": sp.factor(root * size_next) * EPS,
        "one_minus_cosine": turn_next * EPS,
        "angular_update": sp.factor(squared_angle_next / 2),
    }
    eps = {EPS: _lr * _weight_decay}
    return Equilibrium(
        optimizer=optimizer,
        coupling=coupling,
        symmetry=symmetry,
        order=order,
        **{name: positive_factors(part.subs(eps)) for name, part in parts.items()},
        first_correction={name: positive_factors(part.subs(eps)) for name, part in corrections.items()},
        conditions=region,
        assumptions=(_WHITE, _MANY),
        modes=tuple(part.subs(eps) for part in below),
        drive=above,
        zero_allowed=frozenset({"gradient_power", *(str(symbol.name) for symbol in optimizer.hyperparameters)}),
    )


@functools.lru_cache(maxsize=256)
def _second_moments(optimizer: LinearOptimizer, coupling: str) -> tuple[Any, Any, tuple[Any, Any], tuple[Any, Any]]:
    """Return the variance behind the closed loop, one minus the cosine, and the leading terms of both."""
    above, below = optimizer.closed_loop(coupling, EPS)
    r_0, r_1, _ = autocovariances(above, below, (EPS, *optimizer.hyperparameters))
    rotation = sp.factor(1 - r_1 / r_0)
    return r_0, rotation, leading_terms(r_0, EPS), leading_terms(rotation, EPS)


@functools.lru_cache(maxsize=256)
def _region(optimizer: LinearOptimizer, coupling: str) -> tuple[Condition, ...]:
    """Return the conditions on lr*weight_decay and those of the filter."""
    _, below = optimizer.closed_loop(coupling, EPS)
    positive = [2 - EPS] if coupling == "decoupled" else schur_conditions(below, (EPS, *optimizer.hyperparameters))
    forgets = schur_conditions(optimizer.denominator, optimizer.hyperparameters)
    on_decay = conditions(
        f"{optimizer.name!r} with {coupling} decay is unstable",
        [part for part in positive if not follows(part, forgets)],
        "outside this region of stability the weights grow without bound",
    )
    both = (*on_decay, *optimizer.stability())
    return tuple({condition.relation: condition for condition in both}.values())  # of the same, the filter's


def _poles(optimizer: LinearOptimizer) -> str:
    """Return the words for where the poles of an unstable filter lie, and what to do."""
    poles = sp.roots(sp.Poly(optimizer.denominator[::-1], B)) if not optimizer.hyperparameters else {}
    inside = [str(pole) for pole in poles if abs(pole.evalf()) <= 1]
    found = f"it has a pole at B = {', '.join(inside)}" if inside else "it has poles"
    return f"{found}, on or inside the unit circle; use a denominator whose roots in B are all larger than 1 in size"
