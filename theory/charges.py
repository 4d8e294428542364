"""Find what a symmetry conserves: the function of the weights whose gradient is the symmetry's generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sympy as sp

from ..errors import InvalidInput
from .notation import Quantity, quantity
from .proofs import equation, premise, proof
from .ranges import added, by_range, expanded, index_of, name_of
from .steps import Step

if TYPE_CHECKING:
    from .symmetry import Symmetry

__all__ = [
    "LINES",
    "asymmetry_of",
    "asymmetry_step",
    "charge_step",
    "conservation_steps",
    "degree_of",
    "denominator",
    "part_of",
    "potential",
    "ranges",
    "read_generator",
    "separable",
]

LINES: tuple[Quantity, ...] = (
    quantity("charge", "Q", "Q", "weight^d", "what gradient flow conserves (the charge)", real=True),
    quantity("charge_start", "Q_{0}", "Q_0", "weight^d", "the charge at the start", real=True),
    quantity("charge_next", "Q'", "Q'", "weight^d", "the charge after the step", real=True),
    quantity("charge_stationary", "Q_{*}", "Q_*", "weight^d", "charge where decay and steps balance", real=True),
    quantity("charge_factor", "q", "q", "1", "part of the charge that decay leaves in a step", positive=True),
    quantity("rate", "\\dot Q", "dQ/dt", "weight^d / time", "rate of change of the charge for small steps", real=True),
    quantity(
        "gradient_charge",
        "Q_{g}",
        "Q_g",
        "(loss/weight)²",
        "the charge formed with the gradient in place of the weights, mean over mini-batches",
        real=True,
    ),
    quantity("undecayed_charge", "Q_{u}", "Q_u", "weight^d", "part of the charge in undecayed weights", real=True),
    quantity("undecayed_work", "B", "B", "loss", "generator times gradient of the undecayed weights", real=True),
    quantity("asymmetry", "\\omega", "ω", "1", "antisymmetric part of the generator's Jacobian", real=True),
)
_charge, _asymmetry = LINES[0].symbol, LINES[-1].symbol


def _generator(symmetry: Symmetry) -> dict[Any, Any]:
    return {
        weight: sp.cancel(sp.diff(image, symmetry.parameter).subs(symmetry.parameter, symmetry.identity))
        for weight, image in symmetry.family.items()
    }


def read_generator(symmetry: Symmetry, earlier: Mapping[str, Any]) -> dict[Any, Any]:
    """Return the generator as the steps of a derivation have it."""
    return {weight: earlier[f"generator-{name_of(weight)}"].rhs for weight in symmetry.family}


def asymmetry_of(symmetry: Symmetry) -> tuple[Any, Any] | None:
    """Return the first two weights in which the generator's Jacobian is not symmetric."""
    generator = _generator(symmetry)
    for group in symmetry.groups():
        for place, one in enumerate(group):
            for other in group[place + 1 :]:
                if sp.simplify(sp.diff(generator[one], other) - sp.diff(generator[other], one)) != 0:
                    return one, other
    return None


def asymmetry_step(symmetry: Symmetry, one: Any, other: Any) -> Step:
    """Return the step that says that there is no charge, and why."""

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        generator = read_generator(symmetry, earlier)
        curl = sp.diff(generator[one], other) - sp.diff(generator[other], one)
        return (expression.rhs - curl, sp.false if curl == 0 else sp.true)

    generator = _generator(symmetry)
    return Step(
        "asymmetry",
        "The generator is no gradient, since its Jacobian is not symmetric: no charge has it for its gradient. "
        "(A multiple that varies from place to place may be one: for a rotation in a single plane, that of the angle.)",
        equation(_asymmetry, sp.diff(generator[one], other) - sp.diff(generator[other], one)),
        proof(f"derivatives of the generator in {name_of(one)} and {name_of(other)}, which differ", residual),
    )


def potential(symmetry: Symmetry, group: list[Any]) -> Any:
    """Return the function of one group of weights whose gradient is the generator."""
    generator = _generator(symmetry)
    plain = {weight: sp.Dummy(name_of(weight), real=True) for weight in group}
    total = sp.S.Zero
    for weight in group:
        missing = sp.cancel(generator[weight].subs(plain, simultaneous=True) - sp.diff(total, plain[weight]))
        total += sp.integrate(missing, plain[weight])
    if total.has(sp.Integral):
        raise InvalidInput(
            f"the charge of {symmetry.name!r} has no closed form that SymPy finds; choose another parametrization"
        )
    return total.subs({dummy: weight for weight, dummy in plain.items()}, simultaneous=True)


def denominator(potentials: list[Any]) -> Any:
    """Return the smallest factor that makes the coefficients whole."""
    parts = [part for potential in potentials for part in sp.Add.make_args(sp.expand(potential))]
    return sp.ilcm(*(part.as_coeff_Mul()[0].q for part in parts if part.as_coeff_Mul()[0].is_Rational), 1)


def degree_of(symmetry: Symmetry, terms: Mapping[Any, Any]) -> Any:
    """Return the degree if every term is a homogeneous polynomial of the same degree in the weights, otherwise None."""
    degrees = set()
    for term in terms.values():
        if term != 0:
            if not term.is_polynomial(*symmetry.family):
                return None
            degrees |= {sum(powers) for powers in sp.Poly(term, *symmetry.family).monoms()}
    return degrees.pop() if len(degrees) == 1 else None


def part_of(weights: tuple[Any, ...], symmetry: Symmetry, terms: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the terms with every weight but these left out."""
    rest = [weight for weight in symmetry.family if weight not in weights]
    return {first: term.subs(dict.fromkeys(rest, 0)) for first, term in terms.items()}


def separable(symmetry: Symmetry, terms: Mapping[Any, Any]) -> bool:
    """Tell whether no term of the charge mixes decayed with undecayed weights."""
    inside = part_of(symmetry.undecayed, symmetry, terms)
    return not any((terms[first] - inside[first]).has(*symmetry.undecayed) for first in terms if symmetry.undecayed)


def ranges(symmetry: Symmetry, without: tuple[Any, ...] = ()) -> list[tuple[list[Any], Any]]:
    """Return (weights, range) of every group."""
    found = []
    for group in symmetry.groups():
        index = index_of(group[0])
        limits = () if index is None else (sp.Tuple(index, 1, symmetry.lengths[index]),)
        found.append(([weight for weight in group if weight not in without], limits))
    return found


def charge_step(symmetry: Symmetry, terms: Mapping[Any, Any], scale: Any) -> Step:
    """Return the step that gives the charge."""

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
    """Return the steps that show that gradient flow conserves the charge."""
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
