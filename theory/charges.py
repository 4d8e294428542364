"""Find what a symmetry conserves: the function of the weights whose gradient is the symmetry's generator."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import sympy as sp

from ..errors import InvalidInput
from .notation import Quantity, quantity
from .ranges import index_of, name_of

if TYPE_CHECKING:
    from .symmetry import Symmetry

__all__ = [
    "LINES",
    "asymmetry_of",
    "degree_of",
    "denominator",
    "generator_of",
    "part_of",
    "potential",
    "ranges",
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


def generator_of(symmetry: Symmetry) -> dict[Any, Any]:
    """Return how the family begins to move every weight.

    Parameters
    ----------
    symmetry : Symmetry
        The family.

    Returns
    -------
    dict of sympy.Expr to sympy.Expr

    Notes
    -----
    v = d psi / d s at the identity, for the family psi(w, s).

    References
    ----------
    kunin2021, tanaka2021

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> generator_of(Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1))
    {w1: w1, w2: -w2}
    """
    return {
        weight: sp.cancel(sp.diff(image, symmetry.parameter).subs(symmetry.parameter, symmetry.identity))
        for weight, image in symmetry.family.items()
    }


def asymmetry_of(symmetry: Symmetry) -> tuple[Any, Any] | None:
    """Return the first two weights in which the generator's Jacobian is not symmetric.

    Parameters
    ----------
    symmetry : Symmetry
        The family.

    Returns
    -------
    tuple of two sympy.Expr, or None

    Notes
    -----
    A generator v is the gradient of a function of the weights if and only if dv_i/dw_j = dv_j/dw_i for all pairs.

    References
    ----------
    kunin2021, tanaka2021

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, turn = sp.symbols("w1 w2 turn", real=True)
    >>> image = {w1: w1 * sp.cos(turn) - w2 * sp.sin(turn), w2: w1 * sp.sin(turn) + w2 * sp.cos(turn)}
    >>> asymmetry_of(Symmetry("rotation", family=image, parameter=turn))
    (w1, w2)
    """
    generator = generator_of(symmetry)
    for group in symmetry.groups():
        for place, one in enumerate(group):
            for other in group[place + 1 :]:
                if sp.simplify(sp.diff(generator[one], other) - sp.diff(generator[other], one)) != 0:
                    return one, other
    return None


def potential(symmetry: Symmetry, group: list[Any]) -> Any:
    """Return the function of one group of weights whose gradient is the generator.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    group : list of sympy.Expr
        Weights that share an index.

    Returns
    -------
    sympy.Expr

    Raises
    ------
    InvalidInput
        If SymPy finds no closed form.

    Notes
    -----
    The line integral of the generator along the axes; it depends on no path where the Jacobian is symmetric.

    References
    ----------
    kunin2021, tanaka2021

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> potential(rescale, [w1, w2])
    w1**2/2 - w2**2/2
    """
    generator = generator_of(symmetry)
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
    """Return the smallest factor that makes the coefficients whole.

    Parameters
    ----------
    potentials : list of sympy.Expr
        Parts of a charge.

    Returns
    -------
    sympy.Integer

    Notes
    -----
    The least common multiple of the denominators of all numerical coefficients.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> w1 = sp.Symbol("w1")
    >>> denominator([w1**2 / 2, w1 / 3])
    6
    """
    parts = [part for potential in potentials for part in sp.Add.make_args(sp.expand(potential))]
    return sp.ilcm(*(part.as_coeff_Mul()[0].q for part in parts if part.as_coeff_Mul()[0].is_Rational), 1)


def degree_of(symmetry: Symmetry, terms: Mapping[Any, Any]) -> Any:
    """Return the degree if every term is a homogeneous polynomial of the same degree in the weights, otherwise None.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    terms : mapping of sympy.Expr to sympy.Expr
        First weight of a group -> the part of the charge that is summed over the group's range.

    Returns
    -------
    int or None

    Notes
    -----
    A charge of degree 1 or 2 gets a law of its own under decay; other charges do not.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> degree_of(rescale, {w1: w1**2 - w2**2})
    2
    """
    degrees = set()
    for term in terms.values():
        if term != 0:
            if not term.is_polynomial(*symmetry.family):
                return None
            degrees |= {sum(powers) for powers in sp.Poly(term, *symmetry.family).monoms()}
    return degrees.pop() if len(degrees) == 1 else None


def part_of(weights: tuple[Any, ...], symmetry: Symmetry, terms: Mapping[Any, Any]) -> dict[Any, Any]:
    """Return the terms with every weight but these left out.

    Parameters
    ----------
    weights : tuple of sympy.Expr
        Weights that are kept.
    symmetry : Symmetry
        The family.
    terms : mapping of sympy.Expr to sympy.Expr
        First weight of a group -> the part of the charge that is summed over the group's range.

    Returns
    -------
    dict of sympy.Expr to sympy.Expr

    Notes
    -----
    The other weights are set to 0: meant for terms that do not mix the two kinds, see `separable`.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> part_of((w2,), rescale, {w1: w1**2 - w2**2})
    {w1: -w2**2}
    """
    rest = [weight for weight in symmetry.family if weight not in weights]
    return {first: term.subs(dict.fromkeys(rest, 0)) for first, term in terms.items()}


def separable(symmetry: Symmetry, terms: Mapping[Any, Any]) -> bool:
    """Tell whether no term of the charge mixes decayed with undecayed weights.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    terms : mapping of sympy.Expr to sympy.Expr
        First weight of a group -> the part of the charge that is summed over the group's range.

    Returns
    -------
    bool

    Notes
    -----
    Only then is Q = Q_decayed + Q_undecayed, and decay multiplies the first by a factor.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> separable(rescale, {w1: w1**2 - w2**2})  # nothing is undecayed here
    True
    >>> len(rescale.undecayed)
    0
    """
    inside = part_of(symmetry.undecayed, symmetry, terms)
    return not any((terms[first] - inside[first]).has(*symmetry.undecayed) for first in terms if symmetry.undecayed)


def ranges(symmetry: Symmetry, without: tuple[Any, ...] = ()) -> list[tuple[list[Any], Any]]:
    """Return the weights and the range of every group.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    without : tuple of sympy.Expr, optional
        Weights that are left out.

    Returns
    -------
    list of (list of sympy.Expr, tuple)

    Notes
    -----
    The range is (index, 1, length) in a tuple, or an empty tuple for weights without an index: the keys of `by_range`.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> ranges(rescale), ranges(rescale, without=(w1,))
    ([([w1, w2], ())], [([w2], ())])
    """
    found = []
    for group in symmetry.groups():
        index = index_of(group[0])
        limits = () if index is None else (sp.Tuple(index, 1, symmetry.lengths[index]),)
        found.append(([weight for weight in group if weight not in without], limits))
    return found
