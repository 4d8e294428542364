"""Prove a derivation again: its steps, that they arrive at what it states, and the conditions under which it holds."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import sympy as sp

from ..errors import ProofError
from .proofs import Proof, difference
from .steps import Stability
from .vanishing import rational_points, vanishes

if TYPE_CHECKING:
    from .derivation import Derivation

__all__ = ["check_from"]

_NOT_OF_THE_FORM = (ArithmeticError, AttributeError, LookupError, NotImplementedError, TypeError, ValueError)
"""What a residual raises when an expression does not have the form that the proof takes apart."""


def check_from(claim: Derivation, start: int = 0) -> None:
    """Prove everything of a derivation from one of its steps on.

    Parameters
    ----------
    claim : Derivation
        What is proven.
    start : int, optional
        Place of the first step to prove; those before it are taken as proven.

    Raises
    ------
    ProofError
        At the first step that does not hold.

    Notes
    -----
    After the steps: that they arrive at the equation and at every result, that fixed points fulfil the equation, that
    each stability is the Jacobian's, and the conditions.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> floor = derive("number-format-floor")
    >>> check_from(floor, start=len(floor.steps) - 1)
    >>> len(floor.steps)
    10
    """
    earlier = _check_steps(claim, start)
    _check_statements(claim, tuple(earlier.values()))
    for point in claim.fixed_points:
        values = ", ".join(f"{unknown} = {value}" for unknown, value in point.items())
        put_back = difference(claim.equation).subs(point).doit()
        _require(claim, f"{values} is a fixed point of the equation", put_back)
    for part in claim.stability:
        _check_stability(claim, part)
    earlier["conditions"] = sp.And(*(condition.relation for condition in claim.conditions))
    for condition in claim.conditions:
        if condition.proof:
            sentence = f"{condition.relation}: {condition.sentence}"
            _prove(claim, sentence, condition.proof, condition.relation, earlier)


def _check_steps(claim: Derivation, start: int) -> dict[str, Any]:
    """Prove the steps, and return their expressions by key."""
    earlier: dict[str, Any] = {}
    for place, step in enumerate(claim.steps):
        if place >= start:
            _prove(claim, step.sentence, step.proof, step.expression, earlier)
        earlier[step.key] = step.expression
    return earlier


def _check_statements(claim: Derivation, proven: tuple[Any, ...]) -> None:
    """Require that steps arrive at the equation and at every result."""
    if not any(claim.equation == other for other in proven):
        _require(claim, "the equation is what a step arrives at", sp.false)
    for name, result in claim.results.items():
        if not any(_stands_for(part, name) and result == part.rhs for part in proven):
            _require(claim, f"the result {name} is what a step arrives at for it", sp.false)


def _check_stability(claim: Derivation, part: Stability) -> None:
    """Require that a stability is the Jacobian's, and holds exactly where it is said to."""
    point = claim.fixed_points[part.fixed_point]
    slope = sp.powsimp(sp.expand(sp.diff(claim.equation.rhs, part.state))).subs(point)
    _require(claim, f"the Jacobian at the fixed point is {part.jacobian}", slope - part.jacobian)
    stable = sp.sympify(part.stable, strict=True)
    jacobian = sp.sympify(part.jacobian, strict=True)
    symbols = jacobian.free_symbols | stable.free_symbols
    region = [condition.relation for condition in claim.conditions if condition.relation.free_symbols <= symbols]
    tried = 0
    for values in rational_points(symbols, 20):
        if all(relation.xreplace(values) == sp.true for relation in region):
            tried += 1
            slope = jacobian.xreplace(values)
            dies_out = sp.sympify(slope < 0 if part.kind == "flow" else slope**2 < 1, strict=True)
            _require(claim, part.sentence, sp.true if dies_out == stable.xreplace(values) else sp.false)
    _require(claim, part.sentence, sp.true if tried else sp.false)


def _prove(claim: Derivation, sentence: str, proof: Proof, expression: Any, earlier: Mapping[str, Any]) -> None:
    try:
        residuals = tuple(proof.residual(expression, MappingProxyType(earlier)))
    except _NOT_OF_THE_FORM as error:
        raise ProofError(claim.name, sentence, f"{type(error).__name__}: {error}") from error
    for residual in residuals:
        _require(claim, sentence, residual)


def _require(claim: Derivation, sentence: str, residual: Any) -> None:
    if not vanishes(residual):
        raise ProofError(claim.name, sentence, residual)


def _stands_for(expression: Any, name: str) -> bool:
    """Tell whether an equation's left side is the quantity of that name, or a function of that name."""
    if not isinstance(expression, sp.Eq):
        return False
    left = expression.lhs.func.__name__ if expression.lhs.is_Function else str(expression.lhs)
    return bool(left == name)
