"""Write the steps that show what a symmetry conserves under gradient flow, or why it conserves nothing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sympy as sp

from .charges import LINES, generator_of, ranges
from .proofs import equation, premise, proof
from .ranges import added, by_range, expanded, name_of
from .steps import Step

if TYPE_CHECKING:
    from .symmetry import Symmetry

__all__ = ["asymmetry_step", "charge_step", "conservation_steps", "read_generator"]

_charge, _asymmetry = LINES[0].symbol, LINES[-1].symbol


def read_generator(symmetry: Symmetry, earlier: Mapping[str, Any]) -> dict[Any, Any]:
    """Return the generator as the steps of a derivation have it.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    earlier : mapping of str to sympy.Basic
        Steps by key; those named generator-(weight) are read.

    Returns
    -------
    dict of sympy.Expr to sympy.Expr

    Notes
    -----
    So that a proof sees the formula that is printed, not one that was remembered.

    References
    ----------
    kunin2021, tanaka2021

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> law = rescale.derive()
    >>> read_generator(rescale, {step.key: step.expression for step in law.steps})
    {w1: w1, w2: -w2}
    """
    return {weight: earlier[f"generator-{name_of(weight)}"].rhs for weight in symmetry.family}


def asymmetry_step(symmetry: Symmetry, one: Any, other: Any) -> Step:
    """Return the step that says that there is no charge, and why.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    one, other : sympy.Expr
        Weights in which the Jacobian is not symmetric.

    Returns
    -------
    Step

    Notes
    -----
    omega = dv_one/dw_other - dv_other/dw_one, which would be 0 of a gradient.

    References
    ----------
    kunin2021, tanaka2021

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, turn = sp.symbols("w1 w2 turn", real=True)
    >>> image = {w1: w1 * sp.cos(turn) - w2 * sp.sin(turn), w2: w1 * sp.sin(turn) + w2 * sp.cos(turn)}
    >>> asymmetry_step(Symmetry("rotation", family=image, parameter=turn), w1, w2).expression
    Eq(asymmetry, -2)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        generator = read_generator(symmetry, earlier)
        curl = sp.diff(generator[one], other) - sp.diff(generator[other], one)
        return (expression.rhs - curl, sp.false if curl == 0 else sp.true)

    generator = generator_of(symmetry)
    return Step(
        "asymmetry",
        "The generator is no gradient, since its Jacobian is not symmetric: no charge has it for its gradient. "
        "(A multiple that varies from place to place may be one: for a rotation in a single plane, that of the angle.)",
        equation(_asymmetry, sp.diff(generator[one], other) - sp.diff(generator[other], one)),
        proof(f"derivatives of the generator in {name_of(one)} and {name_of(other)}, which differ", residual),
    )


def charge_step(symmetry: Symmetry, terms: Mapping[Any, Any], scale: Any) -> Step:
    """Return the step that gives the charge.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    terms : mapping of sympy.Expr to sympy.Expr
        First weight of a group -> the part of the charge that is summed over the group's range.
    scale : number
        What the generator is multiplied by, so that the charge has whole coefficients.

    Returns
    -------
    Step

    Notes
    -----
    dQ/dw = scale times the generator, proven weight by weight by differentiation.

    References
    ----------
    kunin2021, tanaka2021

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> charge_step(rescale, {w1: w1**2 - w2**2}, 2).expression
    Eq(charge, w1**2 - w2**2)
    """

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        generator, parts = read_generator(symmetry, earlier), by_range(expression.rhs)
        slopes = [
            sp.diff(parts.get(limits, sp.S.Zero), weight) - scale * generator[weight]
            for group, limits in ranges(symmetry)
            for weight in group
        ]
        known = {limits for _, limits in ranges(symmetry)}
        return (*slopes, *(part for limits, part in parts.items() if limits not in known), expression.lhs - _charge)

    times = "" if scale == 1 else f", times {scale},"
    return Step(
        "charge",
        f"The generator{times} is the gradient of the charge",
        equation(_charge, symmetry.total(terms)),
        proof("its derivative in every weight is the generator", residual),
    )


def conservation_steps(symmetry: Symmetry, terms: Mapping[Any, Any], scale: Any) -> list[Step]:
    """Return the steps that show that gradient flow conserves the charge.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    terms : mapping of sympy.Expr to sympy.Expr
        First weight of a group -> the part of the charge that is summed over the group's range.
    scale : number
        As in `charge_step`.

    Returns
    -------
    list of Step

    Notes
    -----
    Along dw/dt = -g, without decay, dQ/dt = <dQ/dw, -g> = -scale <generator, g>, which is 0 by the identity of the
    gradient.

    References
    ----------
    kunin2021, tanaka2021; du2018 for rectified units, arora2018 for linear layers

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> conservation_steps(rescale, {w1: w1**2 - w2**2}, 2)[-1].expression
    Eq(2*w1*w1_velocity - 2*w2*w2_velocity, 0)
    """
    velocity, gradient, generator = (symmetry.companions(name) for name in ("velocity", "gradient", "generator"))

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        charge, change = by_range(earlier["charge"].rhs), by_range(expression.lhs)
        chain = {
            limits: sum(sp.diff(charge.get(limits, 0), weight) * velocity[weight] for weight in group)
            for group, limits in ranges(symmetry)
        }
        descents = {velocity[weight]: earlier[f"descent-{name_of(weight)}"].rhs for weight in symmetry.family}
        moves = {generator[weight]: move for weight, move in read_generator(symmetry, earlier).items()}
        descent = by_range(expression.lhs, descents)
        along = by_range(scale * earlier["identity"].lhs, moves)
        return (
            *expanded(added(change, chain, -1)),
            *expanded(added(descent, along, 1)),
            expression.rhs,
        )

    chain_rule = {
        weight: sum(sp.diff(terms[group[0]], weight) * velocity[weight] for weight in group)
        for group in symmetry.groups()
        for weight in group[:1]
    }
    return [
        *(
            Step(
                f"descent-{name_of(weight)}",
                f"Gradient flow without decay moves {name_of(weight)} with the velocity",
                equation(velocity[weight], -gradient[weight]),
                premise(),
            )
            for weight in symmetry.family
        ),
        Step(
            "conserved",
            "and conserves the charge: its rate of change, gradient of the charge times velocity, vanishes.",
            equation(symmetry.total(chain_rule), 0),
            proof("chain rule; with the velocities put in it is minus the identity of the gradient", residual),
        ),
    ]
