"""Look derivations up by name; each is built on first use.

A module registers a builder under a name, and `derive` hands out what it builds::

    @derivation("dead-weight")
    def dead_weight() -> Derivation: ...

    derive("dead-weight").check()
"""

from __future__ import annotations

import copyreg
from collections.abc import Callable, Mapping
from typing import Any

from .. import errors
from .derivation import Derivation
from .proofs import Proof

__all__ = ["by_derivation", "derivation", "derive", "names"]


_BUILDERS: dict[str, Callable[[], Derivation]] = {}
_BUILT: dict[str, Derivation] = {}


def derivation(name: str) -> Callable[[Callable[[], Derivation]], Callable[[], Derivation]]:
    """Register the decorated builder under a name; nothing is built yet.

    Parameters
    ----------
    name : str
        Name of the derivation, in kebab-case.

    Returns
    -------
    callable
        The decorator; it returns the builder itself.

    Raises
    ------
    InvalidInput
        If the name is taken.

    Notes
    -----
    The builder takes no argument and returns a `Derivation` of that name.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> @derivation("my-floor")
    ... def my_floor() -> Derivation:
    ...     from dataclasses import replace
    ...     return replace(derive("number-format-floor"), name="my-floor")
    >>> float(derive("my-floor").numeric(spacing=0.5))
    0.25
    >>> del _BUILDERS["my-floor"], _BUILT["my-floor"]
    """

    def register(builder: Callable[[], Derivation]) -> Callable[[], Derivation]:
        if _BUILDERS.get(name, builder) is not builder:
            raise errors.InvalidInput(f"the derivation name {name!r} is taken; choose another")
        _BUILDERS[name] = builder
        return builder

    return register


def derive(name: str) -> Derivation:
    """Return the derivation of that name, built on first use.

    Parameters
    ----------
    name : str
        One of `names`.

    Returns
    -------
    Derivation

    Raises
    ------
    InvalidInput
        If there is none; the message names near ones.

    Notes
    -----
    Equation, assumptions and sources are in the derivation: ``.equation``, ``.assumptions``, ``.references``.

    References
    ----------
    Those of the derivation.

    Examples
    --------
    >>> derive("decay-per-epoch").title
    'Decay per epoch: the product of the steps against the exponential'
    >>> float(derive("equal-pull").numeric(entropy_loss_gap=0.1, weight_decay=1e-4, n_weights=23520).round(4))
    0.2062
    """
    if not isinstance(name, str):
        raise errors.InvalidInput(f"derivation is {name!r}, but must be a name, such as one of theory.names()")
    return _built(errors.check_choice("derivation", name, names()))


def _built(name: str) -> Derivation:
    if name not in _BUILT:
        built = _BUILDERS[name]()
        if built.name != name:
            raise errors.InvalidInput(f"the builder of {name!r} made a derivation named {built.name!r}")
        _BUILT[name] = built
    return _BUILT[name]


def names() -> tuple[str, ...]:
    """Return the names of all derivations, in alphabetical order.

    Returns
    -------
    tuple of str

    Notes
    -----
    `derive` takes each of them.

    References
    ----------
    The page of `derivations_markdown` lists all with their sources.

    Examples
    --------
    >>> "radial-step" in names(), len(names()) > 80
    (True, True)
    >>> sum(name.startswith("convention-") for name in names())
    7
    """
    return tuple(sorted(_BUILDERS))


def by_derivation(name: str, result: str, *keys: str, put_in: Mapping[Any, Any] | None = None) -> Proof:
    """Return a proof that the right side is a result of another derivation.

    Parameters
    ----------
    name, result : str
        The derivation and its result.
    *keys : str
        Keys of earlier steps, put in for their left sides.
    put_in : mapping of sympy.Expr to sympy.Expr, optional
        The result's symbols and what stands for them here.

    Returns
    -------
    Proof

    Notes
    -----
    The other derivation proves its result itself; `check` of this one compares the formulas.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> import sympy as sp
    >>> floor = derive("number-format-floor").step("floor").expression
    >>> by_derivation("number-format-floor", "decay_floor").residual(floor, {})
    (0,)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        there = _built(name).results[result].subs(put_in or {}, simultaneous=True)
        for key in keys:
            there = there.subs(earlier[key].lhs, earlier[key].rhs)
        return (expression.rhs - there,)

    return Proof(f"proven in the derivation {name}" + (", with earlier steps put in" if keys else ""), residual)


def _by_name(claim: Derivation) -> tuple[Callable[[str], Derivation], tuple[str]]:
    """Let a derivation travel to another process by name; proofs are functions and stay at home."""
    if _BUILT.get(claim.name) is not claim:
        raise errors.InvalidInput(
            f"derivation {claim.name!r} was changed by hand, and only registered ones can be pickled"
        )
    return (derive, (claim.name,))


copyreg.pickle(Derivation, _by_name)
