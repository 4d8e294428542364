"""Turn a declared symmetry of the loss into its conservation law, and into what weight decay does to that law.

A symmetry is a one-parameter family of maps of the weights that leaves the loss as it is. Differentiated, this
statement is an identity for the gradient; where the family's generator is itself a gradient, it gives a quantity, the
charge, that gradient flow conserves, and that decay and finite steps change by a law that knows nothing else of the
network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import sympy as sp

from ..errors import InvalidInput
from .charge_laws import charge_steps, finish
from .charges import LINES
from .companions import SUFFIXES, assumed, at_images, companion, companion_lines, made_up
from .derivation import Derivation
from .notation import Quantity
from .proofs import equation, premise, proof
from .ranges import index_of, name_of
from .steps import Step

__all__ = ["Symmetry"]


@dataclass(frozen=True)
class Symmetry:
    """A family of maps of the weights that leaves the loss as it is.

    Attributes
    ----------
    name : str
        Name of its derivation, in kebab-case.
    family : mapping
        Weight -> where the family takes it. A weight is a symbol, or an ``IndexedBase`` with one index, which stands
        for every entry of a block; its image may contain the weights that carry the same index.
    parameter : sympy.Symbol
        Parameter of the family.
    identity : number, optional
        Value of the parameter at which nothing moves.
    lengths : mapping, optional
        Index -> how many entries it runs over, from 1.
    undecayed : tuple, optional
        Weights of the family that weight decay leaves out, such as a bias.
    invariants : tuple, optional
        Expressions in the weights through which the loss depends on them; the family is proven to keep them.
    title : str, optional
        Title of the derivation.
    references : tuple of str, optional
        Keys into citation.bib.
    quantities : tuple of Quantity, optional
        Letters and meanings for the weights, the parameter, lengths and constants; made up where left out.

    Raises
    ------
    InvalidInput
        If something is no SymPy expression, an index has no length, weights with different indices mix, the family
        does nothing, or moves weights at its identity.

    Notes
    -----
    With the loss C(psi(w, s)) = C(w) for all s, generator v = dpsi/ds at the identity: <v, g> = 0, and
    (dpsi/dw)^T g(psi(w)) = g(w). A charge Q has the gradient c v, which exists where the Jacobian of v is symmetric; c
    is the number that makes the coefficients of Q whole. Gradient flow conserves it. For a charge of degree d in the
    weights (1: translation, 2: linear maps) a step of SGD with decay does Q' = (1 - lr weight_decay)^d Q, plus
    lr^2 times the same quantity of the gradient for d = 2: exact at every learning rate.

    References
    ----------
    kunin2021, tanaka2021

    Examples
    --------
    A unit with an absolute value: its two weights may be scaled against each other.

    >>> a, b = sp.symbols("a b", real=True)
    >>> c = sp.Symbol("c", positive=True)
    >>> law = Symmetry("two-weights", family={a: c * a, b: b / c}, parameter=c, identity=1).derive()
    >>> law.check()
    >>> law.step("charge").expression
    Eq(charge, a**2 - b**2)
    >>> law.equation
    Eq(charge_next, charge*(-lr*weight_decay + 1)**2 + gradient_charge*lr**2)
    >>> float(law.numeric("charge_next", lr=0.5, weight_decay=0.2, charge=1.0, gradient_charge=4.0))
    1.81
    """

    name: str
    family: Mapping[Any, Any]
    parameter: Any
    identity: Any = 0
    lengths: Mapping[Any, Any] = field(default_factory=dict)
    undecayed: tuple[Any, ...] = ()
    invariants: tuple[Any, ...] = ()
    title: str = ""
    references: tuple[str, ...] = ("kunin2021", "tanaka2021")
    quantities: tuple[Quantity, ...] = ()

    def __post_init__(self) -> None:
        """Freeze the mappings and refuse what is no family."""
        object.__setattr__(self, "family", MappingProxyType(dict(self.family)))
        object.__setattr__(self, "lengths", MappingProxyType({key: _exact(n) for key, n in self.lengths.items()}))
        object.__setattr__(self, "identity", _exact(self.identity))
        if not isinstance(self.parameter, sp.Symbol):
            raise InvalidInput(f"the parameter is {self.parameter!r}, but must be a sympy.Symbol")
        if not self.family:
            raise InvalidInput("the family moves no weight; give at least one weight and where it goes")
        for value in (self.identity, *self.family.values(), *self.lengths.values(), *self.invariants):
            if not isinstance(value, sp.Expr):
                raise InvalidInput(f"{value!r} belongs to the symmetry {self.name!r}, but is no SymPy expression")
        for weight, image in self.family.items():
            self._check_weight(weight, image)
        self._check_names()
        strangers = set(self.undecayed) - self.family.keys()
        if strangers:
            raise InvalidInput(f"undecayed has {_listed(strangers)}, but the family moves {_listed(self.family)}")
        if not any(self.parameter in image.free_symbols for image in self.family.values()):
            raise InvalidInput(f"no image depends on the parameter {self.parameter}; then there is no symmetry")

    def _check_weight(self, weight: Any, image: Any) -> None:
        if not isinstance(weight, (sp.Symbol, sp.Indexed)) or (isinstance(weight, sp.Indexed) and weight.rank != 1):
            raise InvalidInput(f"{weight!r} is moved, but a weight is a Symbol, or an IndexedBase with one index")
        index = index_of(weight)
        if index is not None and index not in self.lengths:
            raise InvalidInput(f"the index {index} of {weight} has no length; give lengths={{{index}: ...}}")
        others = [other for other in self.family if index_of(other) != index and image.has(other)]
        foreign = [part for part in image.atoms(sp.Indexed) if part not in self.family and part.indices != (index,)]
        if others or foreign:
            raise InvalidInput(
                f"the image of {weight} contains {_listed([*others, *foreign])}, but may contain only what has "
                "the same index"
            )
        if sp.simplify(image.subs(self.parameter, self.identity) - weight) != 0:
            raise InvalidInput(
                f"at {self.parameter} = {self.identity} the family takes {weight} to "
                f"{image.subs(self.parameter, self.identity)}, but must leave it where it is; set identity"
            )

    def _check_names(self) -> None:
        made = [name_of(weight) for weight in self.family]
        made += [f"{name}_{suffix}" for name in made for suffix in SUFFIXES]
        taken = {"lr", "weight_decay", "time", *(line.name for line in LINES)}
        clash = {name for name in made if name in taken or made.count(name) > 1}
        if str(self.parameter) in {*made, *taken}:
            clash.add(str(self.parameter))
        if clash:
            raise InvalidInput(f"the names {_listed(clash)} would mean two things in {self.name!r}; rename the weights")

    def derive(self) -> Derivation:
        """Return the derivation of the identity of the gradient, the charge, its step, its flow and its fixed point.

        Returns
        -------
        Derivation

        Raises
        ------
        InvalidInput
            If the family is none: it does not begin with the weights themselves.

        Notes
        -----
        Differentiating the invariance gives <generator, gradient> = 0, and where the generator is the gradient of a
        charge, the charge is conserved by the flow. Where it is no gradient there is no charge, and the derivation
        ends with the identity and with the part of the generator's Jacobian that is not symmetric.

        References
        ----------
        kunin2021, tanaka2021.

        Examples
        --------
        >>> import weightdecay.theory
        >>> float(weightdecay.theory.derive("scale-symmetry").numeric("charge_factor", lr=0.1, weight_decay=1).round(2))
        0.81
        """
        moved, generator, gradient = (self.companions(suffix) for suffix in ("moved", "generator", "gradient"))
        steps = [*self._family_steps(moved), *self._generator_steps(generator)]
        steps += [*self._transport_steps(gradient), self._identity_step(generator, gradient)]
        return finish(self, [*steps, *charge_steps(self)])

    def companions(self, suffix: str) -> dict[Any, Any]:
        """Return weight -> the symbol of the same shape whose name has the suffix.

        Parameters
        ----------
        suffix : str
            One of "moved", "generator", "gradient", "gradient_moved", "velocity", "next".

        Returns
        -------
        dict of sympy.Expr to sympy.Expr

        Notes
        -----
        Companions of a block are blocks over the same index.

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> w1, c = sp.Symbol("w1", real=True), sp.Symbol("c", positive=True)
        >>> Symmetry("grown", family={w1: c * w1}, parameter=c, identity=1).companions("gradient")
        {w1: w1_gradient}
        """
        return {weight: companion(weight, suffix) for weight in self.family}

    def total(self, terms: Mapping[Any, Any]) -> Any:
        """Return the sum over all entries of terms given by weight: plain symbols once, blocks over their index.

        Parameters
        ----------
        terms : mapping of sympy.Expr to sympy.Expr
            Term of each weight.

        Returns
        -------
        sympy.Expr

        Notes
        -----
        An entry of a block counts once for each value of its index; weights that share an index share a sum.

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> w, i = sp.IndexedBase("w", real=True), sp.Symbol("i", integer=True)
        >>> c = sp.Symbol("c", positive=True)
        >>> Symmetry("grown", family={w[i]: c * w[i]}, parameter=c, identity=1, lengths={i: 3}).total({w[i]: w[i] ** 2})
        Sum(w[i]**2, (i, 1, 3))
        """
        by_index: dict[Any, Any] = {}
        for weight, term in terms.items():
            by_index[index_of(weight)] = by_index.get(index_of(weight), sp.S.Zero) + term
        return sum(
            (
                term if index is None else sp.Sum(term, (index, 1, self.lengths[index]))
                for index, term in by_index.items()
                if term != 0
            ),
            sp.S.Zero,
        )

    def groups(self) -> list[list[Any]]:
        """Return the weights that share an index, list by list; those without an index are one list.

        Returns
        -------
        list of list of sympy.Expr

        Notes
        -----
        Only weights of one list can mix: an image contains what has the same index.

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
        >>> Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1).groups()
        [[w1, w2]]
        """
        found: dict[Any, list[Any]] = {}
        for weight in self.family:
            found.setdefault(index_of(weight), []).append(weight)
        return list(found.values())

    def own_quantities(self, names: Iterable[str]) -> tuple[Quantity, ...]:
        """Return lines of the glossary for weights, their companions, and further names.

        Parameters
        ----------
        names : iterable of str
            Names that need a line besides: the parameter, lengths, constants.

        Returns
        -------
        tuple of Quantity

        Notes
        -----
        Lines that the symmetry was given come first; letters for the rest are made from their names.

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> w1, c = sp.Symbol("w1", real=True), sp.Symbol("c", positive=True)
        >>> lines = Symmetry("grown", family={w1: c * w1}, parameter=c, identity=1).own_quantities(["c"])
        >>> [line.name for line in lines][:3], len(lines)
        (['w1', 'w1_moved', 'w1_generator'], 8)
        """
        given = {line.name: line for line in self.quantities}
        lines = dict(given)
        for weight in self.family:
            line = given.get(name_of(weight)) or made_up(name_of(weight))
            lines[line.name] = line
            lines |= {made.name: made for made in companion_lines(line)}
        for name in names:
            lines.setdefault(name, made_up(name))
        return tuple(lines.values())

    def _family_steps(self, moved: Mapping[Any, Any]) -> list[Step]:
        steps = [
            Step(
                f"family-{name_of(weight)}",
                f"The family takes {name_of(weight)} to",
                equation(moved[weight], image),
                premise(),
            )
            for weight, image in self.family.items()
        ]
        for place, invariant in enumerate(self.invariants, start=1):
            after = at_images(invariant, {weight: moved[weight] for weight in self.family})
            steps.append(
                Step(
                    f"invariant-{place}",
                    "The loss depends on the weights through this, which the family keeps.",
                    equation(after, invariant),
                    proof("the images put in; the difference vanishes", self._keeps(moved)),
                )
            )
        return steps

    def _keeps(self, moved: Mapping[Any, Any]) -> Callable[[Any, Mapping[str, Any]], tuple[Any, ...]]:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            images = {moved[weight]: earlier[f"family-{name_of(weight)}"].rhs for weight in self.family}
            back = at_images(expression.lhs, {after: weight for weight, after in moved.items()})
            return (at_images(expression.lhs, images) - expression.rhs, back - expression.rhs)

        return residual

    def _generator_steps(self, generator: Mapping[Any, Any]) -> list[Step]:
        def derivative_of(weight: Any) -> Callable[[Any, Mapping[str, Any]], tuple[Any, ...]]:
            def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
                image = earlier[f"family-{name_of(weight)}"].rhs
                at_identity = image.subs(self.parameter, self.identity)
                return (
                    expression.rhs - sp.diff(image, self.parameter).subs(self.parameter, self.identity),
                    at_identity - weight,
                )

            return residual

        return [
            Step(
                f"generator-{name_of(weight)}",
                f"At the identity {name_of(weight)} begins to move by",
                equation(
                    generator[weight],
                    sp.cancel(sp.diff(image, self.parameter).subs(self.parameter, self.identity)),
                ),
                proof("derivative of the image at the identity, where the image is the weight itself", residual),
            )
            for weight, image in self.family.items()
            for residual in (derivative_of(weight),)
        ]

    def _transport_steps(self, gradient: Mapping[Any, Any]) -> list[Step]:
        there = self.companions("gradient_moved")
        images = {weight: f"family-{name_of(weight)}" for weight in self.family}

        def chain_rule(weight: Any) -> Callable[[Any, Mapping[str, Any]], tuple[Any, ...]]:
            def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
                group = [other for other in self.family if index_of(other) == index_of(weight)]
                along = sum(sp.diff(earlier[images[other]].rhs, weight) * there[other] for other in group)
                return (expression.rhs - along, expression.lhs - gradient[weight])

            return residual

        return [
            Step(
                f"transport-{name_of(weight)}",
                "Since the loss is the same, the gradient at the moved weights gives back the gradient here:",
                equation(
                    gradient[weight],
                    sum(sp.diff(self.family[other], weight) * there[other] for other in group),
                ),
                proof("chain rule in the weights", chain_rule(weight)),
            )
            for group in self.groups()
            for weight in group
        ]

    def _identity_step(self, generator: Mapping[Any, Any], gradient: Mapping[Any, Any]) -> Step:
        claimed = self.total({weight: generator[weight] * gradient[weight] for weight in self.family})

        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            images = {weight: earlier[f"family-{name_of(weight)}"].rhs for weight in self.family}
            loss_stays = _derivative_along(images, self.parameter, self.identity)
            return (expression.lhs - claimed, expression.rhs, loss_stays)

        return Step(
            "identity",
            "The loss does not change along the family, so the gradient obeys",
            equation(claimed, 0),
            proof("derivative of the loss along the family by the chain rule, written out for two entries", residual),
        )


def _exact(number: Any) -> Any:
    return sp.Integer(number) if isinstance(number, int) and not isinstance(number, bool) else number


def _derivative_along(images: Mapping[Any, Any], parameter: Any, identity: Any) -> Any:
    """Return d/ds of an unspecified loss along the family, less the gradient times the generator, for two entries."""
    entries: list[Any] = []
    moved: list[Any] = []
    along: list[Any] = []
    for row in range(2):
        here = {
            weight: sp.Symbol(f"{name_of(weight)}_{row}", **assumed(weight))
            for weight in images
            if row == 0 or index_of(weight)
        }
        entries += here.values()
        moved += [images[weight].subs(here, simultaneous=True) for weight in here]
        along += [
            sp.diff(images[weight], parameter).subs(parameter, identity).subs(here, simultaneous=True)
            for weight in here
        ]
    loss = sp.Function("loss")
    slopes = [sp.diff(loss(*entries), entry) for entry in entries]
    chain = sp.diff(loss(*moved), parameter).subs(parameter, identity).doit()
    return sp.expand(chain - sum(slope * move for slope, move in zip(slopes, along, strict=True)))


def _listed(weights: Iterable[Any]) -> str:
    return ", ".join(sorted(map(str, weights)))
