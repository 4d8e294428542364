"""Hold the parts of a derivation: a step with its proof, and what a displacement from a fixed point does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from .proofs import Proof

__all__ = ["Stability", "Step"]


@dataclass(frozen=True)
class Step:
    """One step: what it says, the expression, and how that is verified.

    Attributes
    ----------
    key : str
        Short name by which later steps refer to this one.
    sentence : str
        What the step does, in words.
    expression : sympy.Basic
        Usually an equation; left and right side unevaluated.
    proof : Proof
        How the step is verified (see `weightdecay.theory.proofs`).

    Notes
    -----
    A step is proven from its own expression and those of the steps before it.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> derive("radial-step").step("radial").proof.how
    'sums compared term by term: the difference expands to zero'
    >>> len(derive("radial-step").steps)
    16
    """

    key: str
    sentence: str
    expression: Any
    proof: Proof


@dataclass(frozen=True)
class Stability:
    """What a small displacement from a fixed point does.

    Attributes
    ----------
    state : sympy.Expr
        The quantity displaced, as it stands in the equation: ``R(t)``, or ``R`` of a recursion.
    kind : str
        "flow" if the equation's right side is a rate of change, "map" if it is the next value.
    fixed_point : int
        Which of the derivation's fixed points.
    jacobian : sympy.Expr
        Derivative of the right side with respect to the state there.
    stable : sympy relation or bool
        When the displacement dies out.
    sentence : str
        The same in words.

    Notes
    -----
    A displacement d from the fixed point obeys d' = jacobian * d (flow) or d_next = jacobian * d (map): it dies out
    where jacobian < 0, or jacobian^2 < 1.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> part = derive("ornstein-uhlenbeck-covariance").stability[0]
    >>> part.jacobian.subs({symbol: 1 for symbol in part.jacobian.free_symbols})
    -4
    """

    state: Any
    kind: str
    fixed_point: int
    jacobian: Any
    stable: Any
    sentence: str
