"""Solve for the equilibrium of optimizers that are no linear filter, from the autocorrelation of their updates."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..errors import InvalidInput
from .equilibria import Equilibrium
from .evaluation import Condition
from .lag_sums import LAG, lag_sums
from .notation import symbols_of
from .validity import STABLE

__all__ = ["CoupledLaw", "StationaryUpdates"]

_lr, _weight_decay, _gradient_power, _n_weights = symbols_of("lr weight_decay gradient_power n_weights")
_EPS = _lr * _weight_decay
_STATIONARY = "Updates are stationary and perpendicular to earlier weights but for their own autocorrelation."
_MANY = "There are many weights, so that squared norm and angle of a step are close to their means."


@dataclass(frozen=True)
class CoupledLaw:
    """How an optimizer that normalizes its gradients answers to decay in the gradient, weight by weight.

    With gradients of standard deviation sigma per weight, everything depends on s = lr * weight_decay / sigma.

    Attributes
    ----------
    size, turn : callable
        ``size(s)`` is (weight_decay / sigma)^2 E w^2, ``turn(s)`` one minus the cosine, exactly.
    size_terms, turn_terms : pair of sympy.Expr
        (a, b) in size = a s (1 + b s + ...), and in turn.
    drift : sympy.Expr
        Mean update over weight_decay * w / sigma, for small decay.
    root : callable
        ``root(x)`` solves s^4 = x size(s), which holds for scale-invariant weights.
    assumptions : tuple of str
        What the law assumes.

    Notes
    -----
    A weight of size a s sigma^2 / weight_decay^2, to leading order in s, has squared norm a lr sigma / weight_decay:
    larger gradients leave decay a smaller part of the normalized update.

    References
    ----------
    Our own derivation, ``optimizer-adam-coupled`` and ``optimizer-sign-coupled``.

    Examples
    --------
    >>> from weightdecay import theory
    >>> theory.SIGN_SGD.coupled.size_terms[0].evalf(5)
    0.62666
    """

    size: Callable[[Any], Any]
    turn: Callable[[Any], Any]
    size_terms: tuple[Any, Any]
    turn_terms: tuple[Any, Any]
    drift: Any
    root: Callable[[Any], Any]
    assumptions: tuple[str, ...]


@dataclass(frozen=True)
class StationaryUpdates:
    """An optimizer whose updates have a known power and autocorrelation on random gradients.

    Parameters
    ----------
    name : str
        Name, for messages.
    update_power : sympy.Expr
        E||u||^2 of the update of the whole block.
    autocorrelation : sympy.Expr
        E<u_t, u_(t+lag)> / E||u||^2, a function of `weightdecay.theory.LAG`; 0 if updates are uncorrelated.
    assumptions : tuple of str, optional
        What these formulas assume.
    conditions : tuple of Condition, optional
        What the optimizer's own hyperparameters must fulfil.
    coupled : CoupledLaw, optional
        Theory for decay in the gradient; without it only decoupled decay has one.

    Notes
    -----
    Green and Kubo's relation, exact for any stationary updates: with a = 1 - lr*weight_decay,

        E||w||^2 = lr^2 E||u||^2 / (1 - a^2) * (1 + 2 sum_k a^k rho_k),
        1 - cos = eps - (1 - a^2) sum_k a^(k-1) rho_k / (1 + 2 sum_k a^k rho_k),

    and to leading order theta^2 = 2 eps / tau, E||w||^2 = (lr / 2 weight_decay) E||u||^2 tau, tau = 1 + 2 sum_k rho_k.

    References
    ----------
    Our own derivation, ``green-kubo``.

    Examples
    --------
    >>> from weightdecay import theory
    >>> measured = StationaryUpdates("measured", 10, sp.Rational(1, 2) ** LAG)
    >>> leading = theory.equilibrium(measured, coupling="decoupled", order="leading")
    >>> leading.norm_squared, leading.angular_update
    (15*lr/weight_decay, sqrt(6)*sqrt(lr)*sqrt(weight_decay)/3)
    """

    name: str
    update_power: Any
    autocorrelation: Any
    assumptions: tuple[str, ...] = ()
    conditions: tuple[Condition, ...] = ()
    coupled: CoupledLaw | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInput(f"the name of an optimizer is {self.name!r}, but must be a non-empty string")
        for part in ("update_power", "autocorrelation"):
            value = getattr(self, part)
            if isinstance(value, (str, bytes, bool)) or not isinstance(value, (int, float, sp.Expr)):
                raise InvalidInput(f"the {part} of {self.name!r} is {value!r}, but must be a SymPy expression")
            object.__setattr__(self, part, sp.nsimplify(sp.sympify(value), rational=True))
        if self.coupled is not None and not isinstance(self.coupled, CoupledLaw):
            raise InvalidInput(f"coupled of {self.name!r} is {self.coupled!r}, but must be a CoupledLaw or None")
        if not isinstance(self.conditions, tuple) or not all(isinstance(part, Condition) for part in self.conditions):
            raise InvalidInput(
                f"conditions of {self.name!r} is {self.conditions!r}, but must be a tuple of theory.Condition"
            )
        if self.update_power.has(LAG):
            raise InvalidInput(f"the update_power of {self.name!r} depends on the lag, but is that of lag 0")
        taken = {"lr", "weight_decay"} & {symbol.name for symbol in self._own()}
        if taken:
            raise InvalidInput(
                f"{self.name!r} uses {', '.join(sorted(taken))}, "
                "but its updates must not depend on learning rate and decay"
            )

    def _own(self) -> set[Any]:
        return set(self.update_power.free_symbols | self.autocorrelation.free_symbols) - {LAG}

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
            If there is no theory for decay in the gradient.

        Notes
        -----
        Green and Kubo's relation, as in the class; coupled, what the optimizer's own `CoupledLaw` says.

        References
        ----------
        Our own derivation, ``green-kubo``.

        Examples
        --------
        >>> from weightdecay import theory
        >>> signs = theory.SIGN_SGD.equilibrium("decoupled", "none", "leading")
        >>> float(signs.numeric(lr=0.1, weight_decay=0.1, n_weights=100))
        50.0
        """
        if coupling == "coupled" and self.coupled is None:
            raise InvalidInput(
                f"there is no theory of {self.name!r} with decay in the gradient; use coupling='decoupled'"
            )
        return _coupled(self, symmetry, order) if coupling == "coupled" else _decoupled(self, symmetry, order)


@functools.lru_cache(maxsize=256)
def _decoupled(optimizer: StationaryUpdates, symmetry: str, order: str) -> Equilibrium:
    a, power = 1 - _EPS, optimizer.update_power
    total = lag_sums(f"{optimizer.name.replace('-', '_')}_lag_sum", optimizer.autocorrelation)
    first, slope = total(0, sp.S.One), total(1, sp.S.One)
    time = 1 + 2 * first
    if order == "exact":
        sums = total(0, a)
        size = _lr**2 * power * (1 + 2 * a * sums) / (_EPS * (2 - _EPS))
        turn = _EPS - _EPS * (2 - _EPS) * sums / (1 + 2 * a * sums)
    else:
        size = _lr * power * time / (2 * _weight_decay)
        turn = _EPS / time
    # expanding in eps: sum of a^(k-1) rho_k = first - eps * (slope - first), where slope is the sum of k rho_k
    size_next = sp.S.Half - 2 * slope / time
    turn_next = 2 * slope / time - first
    return Equilibrium(
        optimizer=optimizer,
        coupling="decoupled",
        symmetry=symmetry,
        order=order,
        norm_squared=size,
        one_minus_cosine=turn,
        angular_update=_angle(turn, order),
        relaxation_rate=-2 * sp.log(a) if order == "exact" else 2 * _EPS,
        first_correction={
            "norm_squared": _tidy(size_next) * _EPS,
            "one_minus_cosine": _tidy(turn_next) * _EPS,
            "angular_update": _tidy(turn_next / 2 + 1 / (12 * time)) * _EPS,
        },
        conditions=(*optimizer.conditions, STABLE),
        assumptions=(_STATIONARY, _MANY, *optimizer.assumptions),
        zero_allowed=frozenset(str(symbol.name) for symbol in optimizer._own() if symbol.name != "n_weights"),
    )


@functools.lru_cache(maxsize=256)
def _coupled(optimizer: StationaryUpdates, symmetry: str, order: str) -> Equilibrium:
    law = optimizer.coupled
    assert law is not None
    (size_1, size_2), (turn_1, turn_2) = law.size_terms, law.turn_terms
    if symmetry == "none":
        s_exact = s_leading = _EPS * sp.sqrt(_n_weights / _gradient_power)
        grown = {"norm_squared": size_2, "one_minus_cosine": turn_2}
    else:
        drive = _lr**4 * _weight_decay**2 * _n_weights**2 / _gradient_power
        s_exact, s_leading = law.root(drive), (drive * size_1) ** sp.Rational(1, 3)
        grown = {"norm_squared": size_2 * sp.Rational(2, 3), "one_minus_cosine": turn_2 + size_2 / 3}
    relative = law.size(s_exact) if order == "exact" else size_1 * s_leading
    turn = law.turn(s_exact) if order == "exact" else turn_1 * s_leading
    size = _gradient_power / _weight_decay**2 * relative
    corrections = {name: _tidy(part) * s_leading for name, part in grown.items()}
    corrections["angular_update"] = corrections["one_minus_cosine"] / 2 + turn_1 * s_leading / 12
    return Equilibrium(
        optimizer=optimizer,
        coupling="coupled",
        symmetry=symmetry,
        order=order,
        norm_squared=size if symmetry == "none" else sp.sqrt(size),
        one_minus_cosine=turn,
        angular_update=_angle(turn, order),
        relaxation_rate=(2 if symmetry == "none" else 3) * law.drift * s_leading,
        first_correction=corrections,
        conditions=optimizer.conditions,
        assumptions=(_MANY, *law.assumptions),
        zero_allowed=frozenset(
            str(symbol.name) for symbol in optimizer._own() if symbol.name not in ("n_weights", "gradient_power")
        ),
    )


def _angle(turn: Any, order: str) -> Any:
    return sp.sqrt(2 * turn) if order == "leading" else 2 * sp.asin(sp.sqrt(turn / 2))


def _tidy(expression: Any) -> Any:
    """Return a correction's coefficient factored, unless it contains functions that stand for sums."""
    return expression if expression.atoms(sp.core.function.AppliedUndef) else sp.factor(expression)
