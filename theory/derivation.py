"""Hold a derivation as one object, complete when you have it, that can prove itself again.

A derivation is a frozen value: sentences for its assumptions, steps that each carry their own proof, the equation
arrived at, named results, fixed points and their stability. `weightdecay.theory.registry` keeps all of them by name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import sympy as sp

from .. import errors
from . import exports
from .checking import check_from
from .evaluation import Condition, compiled, evaluate
from .formulas import formula
from .notation import Quantity, names_in, quantities_named
from .steps import Stability, Step

__all__ = ["Derivation"]


@dataclass(frozen=True, eq=False)
class Derivation:
    """A result, how it follows, and a way to numbers.

    Attributes
    ----------
    name, title : str
        Name in kebab-case, title as a phrase.
    assumptions : tuple of str
        What has to be true, one sentence each.
    steps : tuple of Step
        Premises and what follows from them.
    equation : sympy.Basic
        The equation that the derivation arrives at; one of the steps says the same.
    results : mapping of str to sympy.Expr
        Named expressions for numbers; the first is the default of `numeric`. Each is the right side of a step whose
        left side is the symbol of that name.
    fixed_points : tuple of mapping
        Each maps unknowns of the equation to their value, such as ``{R(t): P / weight_decay}``.
    stability : tuple of Stability
        Of the fixed points.
    conditions : tuple of Condition
        Relations that numbers must obey.
    zero_allowed : frozenset of str
        Arguments that may be 0 although their symbol is positive: the formulas hold there too.
    references : tuple of str
        Keys into citation.bib.
    quantities : tuple of Quantity
        Quantities of this derivation that the glossary does not have.
    symbols : mapping of str to Quantity
        All quantities that occur, by argument name (made from the above).

    Notes
    -----
    `check` proves every step again, from its own expression and those before it; then that the equation and every
    result are among the steps, that each fixed point fulfils the equation, that each stability is the Jacobian's, and
    the conditions that carry a proof.

    References
    ----------
    Each derivation names its own, as keys into citation.bib; without one it is our own.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> radial = derive("radial-step")
    >>> radial.check()
    >>> values = {"lr": 0.1, "weight_decay": 1e-4, "radial_pull": 0.1, "gradient_power": 0.01}
    >>> float(radial.numeric("norm_squared_stationary", **values))
    1004.99...
    """

    name: str
    title: str
    assumptions: tuple[str, ...]
    steps: tuple[Step, ...]
    equation: Any
    results: Mapping[str, Any]
    fixed_points: tuple[Mapping[Any, Any], ...] = ()
    stability: tuple[Stability, ...] = ()
    conditions: tuple[Condition, ...] = ()
    zero_allowed: frozenset[str] = frozenset()
    references: tuple[str, ...] = ()
    quantities: tuple[Quantity, ...] = ()

    def __post_init__(self) -> None:
        """Freeze the mappings and refuse an incomplete derivation."""
        object.__setattr__(self, "results", MappingProxyType(dict(self.results)))
        object.__setattr__(self, "fixed_points", tuple(MappingProxyType(dict(point)) for point in self.fixed_points))
        if not isinstance(self.name, str) or not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", self.name):
            raise errors.InvalidInput(f"a derivation is named {self.name!r}, but must have a name in kebab-case")
        for part in ("assumptions", "steps", "results", "references"):
            if not getattr(self, part):
                raise errors.InvalidInput(
                    f"derivation {self.name!r} has no {part}; a derivation is complete from the start"
                )
        for where, part in self._parts():
            if not isinstance(part, (sp.Basic, sp.MatrixBase, bool, int, float)):
                raise errors.InvalidInput(
                    f"{where} of derivation {self.name!r} is {part!r}, but must be a SymPy object, a bool or a number; "
                    "text is never evaluated"
                )
        keys = [step.key for step in self.steps]
        if len({*keys, "conditions"}) <= len(keys):
            raise errors.InvalidInput(
                f"derivation {self.name!r} uses a step key twice, or the key 'conditions', which is taken: "
                f"{', '.join(keys)}"
            )
        unnamed = {name for expression in self._expressions() for name in names_in(expression)} - self.symbols.keys()
        if unnamed:
            raise errors.InvalidInput(
                f"derivation {self.name!r} uses names that are neither in the glossary nor among its quantities: "
                f"{', '.join(sorted(unnamed))}"
            )

    def _parts(self) -> list[tuple[str, Any]]:
        """Return everything that SymPy gets to see, each with the words for where it stands."""
        return [
            *((f"the step {step.key!r}", step.expression) for step in self.steps),
            ("the equation", self.equation),
            *((f"the result {name!r}", result) for name, result in self.results.items()),
            *(("a fixed point", side) for point in self.fixed_points for item in point.items() for side in item),
            *(("a stability", side) for part in self.stability for side in (part.state, part.jacobian, part.stable)),
            *(("a condition", condition.relation) for condition in self.conditions),
            *(("a quantity", line.symbol) for line in self.quantities),
        ]

    def _expressions(self) -> list[Any]:
        return [sp.sympify(part, strict=True) for where, part in self._parts() if where != "a quantity"]

    @property
    def symbols(self) -> Mapping[str, Quantity]:
        """Return all quantities that occur, by argument name.

        Returns
        -------
        mapping of str to Quantity
            Letter, unit and meaning of each, in the glossary's order.

        Notes
        -----
        Found in the expressions themselves, so that none can be missing.

        References
        ----------
        The glossary, `weightdecay.theory.GLOSSARY`.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> derive("decay-floor").symbols["lr"].unit, len(derive("effective-learning-rate").symbols)
        ('weight² / loss', 12)
        """
        found = {name for expression in self._expressions() for name in names_in(expression)}
        return MappingProxyType(quantities_named(found, self.quantities))

    def step(self, key: str) -> Step:
        """Return the step with that key.

        Parameters
        ----------
        key : str
            Key of the step.

        Returns
        -------
        Step

        Raises
        ------
        InvalidInput
            If there is none; the message names those there are.

        Notes
        -----
        The step's expression assumes what the derivation assumes.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> derive("number-format-floor").step("floor").expression
        Eq(decay_floor, spacing/2)
        """
        keys = [step.key for step in self.steps]
        return self.steps[keys.index(errors.check_choice(f"step of {self.name!r}", key, keys))]

    def check(self) -> None:
        """Prove everything again.

        Raises
        ------
        ProofError
            At the first step that does not hold.

        Notes
        -----
        A step holds if every residual of its proof is zero identically, or true. Then the equation and the results
        have to be among the steps, fixed points put back into the equation have to fulfil it, stabilities have to be
        those of the Jacobian, and conditions have to be what they are needed for, neither more nor less.

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> from dataclasses import replace
        >>> floor = derive("number-format-floor")
        >>> floor.check()
        >>> len(floor.steps)
        10
        >>> replace(floor, results={"decay_floor": 2 * floor.results["decay_floor"]}).check()
        Traceback (most recent call last):
        weightdecay.errors.ProofError: derivation 'number-format-floor' does not hold at the step ...
        """
        check_from(self)

    def arguments(self, quantity: str | None = None) -> tuple[str, ...]:
        """Return the names of the arguments that `numeric` takes for a result, in alphabetical order.

        Parameters
        ----------
        quantity : str, optional
            Name of a result; the first one if left out.

        Returns
        -------
        tuple of str

        Raises
        ------
        InvalidInput
            If there is no such result.

        Notes
        -----
        The free symbols of the result's expression, no more and no fewer.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> derive("decay-floor").arguments("factor"), len(derive("decay-floor").arguments())
        (('lr', 'n_steps', 'weight_decay'), 4)
        """
        return tuple(sorted(str(symbol.name) for symbol in self.results[self._result(quantity)].free_symbols))

    def numeric(self, quantity: str | None = None, /, **values: Any) -> Any:
        """Return a result as numbers: the door to floats that checks what goes through.

        Parameters
        ----------
        quantity : str, optional
            Name of a result; the first one if left out.
        **values : float or array_like
            Value of every quantity that the result depends on, by name; arrays broadcast.

        Returns
        -------
        float64 or ndarray of float64

        Raises
        ------
        InvalidInput
            If a value is missing, superfluous, no number or outside the allowed range, which the message states.

        Notes
        -----
        The value of ``results[quantity]``, under the derivation's assumptions and within its conditions. Powers and
        logarithms near 1 are computed so that they keep their digits.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> float(derive("decay-floor").numeric("factor", lr=0.1, weight_decay=1e-4, n_steps=5000))
        0.95122...
        """
        name = self._result(quantity)
        return evaluate(
            f"{name} of {self.name}",
            self.results[name],
            values,
            conditions=tuple(part for part in self.conditions if not part.of or name in part.of),
            zero_allowed=self.zero_allowed,
        )

    def function(self, quantity: str | None = None) -> Callable[..., Any]:
        """Return a result as a bare NumPy function, for loops that call it a million times.

        Parameters
        ----------
        quantity : str, optional
            Name of a result; the first one if left out.

        Returns
        -------
        callable
            Takes the arguments that `arguments` names, by position and in that order, as numbers or arrays that
            broadcast. Nothing is checked: `numeric` is the form that names what is wrong.

        Raises
        ------
        InvalidInput
            If there is no such result.

        Notes
        -----
        The value of ``results[quantity]``, under the derivation's assumptions.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> flow = derive("norm-flow")
        >>> flow.arguments("rate")
        ('gradient_power', 'lr', 'norm_squared', 'radial_pull', 'weight_decay')
        >>> flow.function("rate")(0.0, 0.1, 1.0, 1.0, 0.5)
        1.0
        """
        return compiled(self.results[self._result(quantity)])

    def _result(self, quantity: str | None) -> str:
        if quantity is None:
            return next(iter(self.results))
        return errors.check_choice(f"quantity of {self.name!r}", quantity, self.results)

    def latex(self) -> str:
        r"""Return the derivation as a LaTeX section.

        Returns
        -------
        str

        Notes
        -----
        Title, assumptions, conditions, steps and how each is proven, results, references.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> r"\eta" in derive("decay-floor").latex(), derive("decay-floor").latex().count(r"\section*{")
        (True, 1)
        """
        return exports.latex(self)

    def markdown(self) -> str:
        """Return the derivation as Markdown with formulas between dollar signs.

        Returns
        -------
        str

        Notes
        -----
        Title, assumptions, conditions, steps and how each is proven, results, references.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> derive("decay-floor").markdown().count("# The floor of pure decay")
        1
        """
        return exports.markdown(self)

    def mathml(self) -> str:
        """Return the derivation as an XHTML section with its formulas in presentation MathML.

        Returns
        -------
        str

        Notes
        -----
        Title, assumptions, conditions, steps and how each is proven, results, references.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> derive("decay-floor").mathml().count("<section")
        1
        """
        return exports.mathml(self)

    def text(self) -> str:
        """Return the derivation as plain text.

        Returns
        -------
        str

        Notes
        -----
        Title, assumptions, conditions, steps and how each is proven, results, references.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> derive("decay-floor").text().count("The floor of pure decay")
        1
        """
        return exports.text(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the derivation as plain dicts, lists and strings, ready for JSON.

        Returns
        -------
        dict

        Notes
        -----
        Title, assumptions, conditions, steps and how each is proven, results, references.

        References
        ----------
        Those of the derivation.

        Examples
        --------
        >>> from weightdecay.theory import derive
        >>> len(derive("decay-floor").to_dict()["steps"]) == len(derive("decay-floor").steps)
        True
        >>> len(derive("number-format-floor").to_dict()["steps"])
        10
        """
        return exports.to_dict(self)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {formula(self.equation, self.symbols)}$"
