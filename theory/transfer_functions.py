"""Check a transfer function that somebody gives, and take it apart into its coefficients."""

from __future__ import annotations

import keyword
from typing import Any

import sympy as sp

from ..errors import InvalidInput

__all__ = ["B", "checked_function", "coefficients_of"]

B = sp.Symbol("B")
"""The backshift: B times a sequence is the sequence one step earlier."""

_RESERVED = frozenset({"B", "lr", "weight_decay", "gradient_power", "n_weights", "eps"})


def checked_function(what: str, function: Any) -> tuple[Any, tuple[Any, ...]]:
    """Return a transfer function with exact numbers, and its symbols besides B by name; refuse what is none.

    Parameters
    ----------
    what : str
        What it is, for the message.
    function : sympy.Expr or number
        Rational in `B`.

    Returns
    -------
    function : sympy.Expr
    own : tuple of sympy.Symbol

    Raises
    ------
    InvalidInput
        If it is text, not real, or uses a symbol that would be taken for another or cannot be an argument.

    Notes
    -----
    Floats become the rational numbers that they are written as, 0.1 for one: 1/10.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> checked_function("the transfer function", 1 / (1 - 0.5 * B))
    (1/(1 - B/2), ())
    """
    if isinstance(function, (str, bytes, bool)) or not isinstance(function, (int, float, sp.Expr)):
        raise InvalidInput(f"{what} is {function!r}, but must be a rational function of theory.B (a SymPy expression)")
    exact = sp.nsimplify(sp.sympify(function), rational=True)
    if not exact.is_commutative or exact.has(sp.nan, sp.zoo, sp.oo, -sp.oo, sp.I):
        raise InvalidInput(f"{what} is {function}, but must have real, finite coefficients")
    own = tuple(sorted(exact.free_symbols - {B}, key=lambda symbol: str(symbol.name)))
    _check_symbols(what, own)
    return exact, own


def _check_symbols(what: str, own: tuple[Any, ...]) -> None:
    """Refuse symbols that would be taken for others, or cannot carry a real number."""
    for symbol in own:
        if symbol.name in _RESERVED:
            hint = "use theory.B for the backshift" if symbol.name == "B" else "give it another name"
            raise InvalidInput(f"{what} uses a symbol of its own named {symbol.name}, which is taken; {hint}")
        if keyword.iskeyword(symbol.name):
            raise InvalidInput(
                f"{what} uses a symbol of its own named {symbol.name}, which Python keeps for itself and numeric() "
                "could not take; give it another name"
            )
        if symbol.is_real is False or not symbol.name.isidentifier():
            raise InvalidInput(
                f"{what} uses the unknown symbol {symbol.name!r}; "
                "its own symbols must be real and named like an argument"
            )
    names = [symbol.name for symbol in own]
    if len(set(names)) < len(names):
        raise InvalidInput(f"{what} uses two symbols of the same name among {', '.join(names)}; use one of them")


def coefficients_of(what: str, function: Any, own: tuple[Any, ...]) -> tuple[list[Any], list[Any]]:
    """Return the coefficients of numerator and denominator, of rising powers of B.

    Parameters
    ----------
    what : str
        What it is, for the message.
    function : sympy.Expr
        As `checked_function` returns it.
    own : tuple of sympy.Symbol
        Its symbols besides B.

    Returns
    -------
    numerator, denominator : list of sympy.Expr
        In lowest terms, up to a common factor.

    Raises
    ------
    InvalidInput
        If it is not rational in B and its symbols, or 0.

    Notes
    -----
    H(B) = (n_0 + n_1 B + ...) / (d_0 + d_1 B + ...).

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> coefficients_of("the transfer function", 1 / (1 - B / 2), ())
    ([-2], [-2, 1])
    """
    field = sp.QQ.frac_field(*own) if own else sp.QQ
    try:
        sides = [sp.Poly(side, B, domain=field) for side in sp.fraction(sp.cancel(sp.together(function)))]
    except (sp.PolynomialError, sp.polys.polyerrors.CoercionFailed):
        raise InvalidInput(
            f"{what} is {function}, but must be a rational function of theory.B and its symbols"
        ) from None
    above, below = ([field.to_sympy(part) for part in side.rep.to_list()[::-1]] for side in sides)
    if above == [0] or not above:
        raise InvalidInput(f"{what} is 0, but must pass on some gradient")
    return above, below
