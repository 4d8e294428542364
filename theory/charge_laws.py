"""Derive what a symmetry conserves, and what finite steps and weight decay make of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import sympy as sp

from .charges import LINES, asymmetry_of, degree_of, denominator, part_of, potential, ranges, separable
from .conservation_steps import asymmetry_step, charge_step, conservation_steps, read_generator
from .derivation import Derivation
from .notation import symbols_of
from .proofs import definition, difference, equation, premise, proof
from .ranges import added, by_range, expanded, name_of
from .steps import Stability, Step
from .validity import KEEPS_PART

if TYPE_CHECKING:
    from .symmetry import Symmetry

__all__ = ["charge_steps", "finish"]

_lr, _weight_decay, _time = symbols_of("lr weight_decay time")
_EPS = _lr * _weight_decay
_LEFT = 1 - _EPS

_charge, _start, _next, _stationary, _factor, _rate, _of_gradient, _undecayed, _work, _ = (
    line.symbol for line in LINES
)


def charge_steps(symmetry: Symmetry) -> list[Step]:
    """Return the steps from the generator on: charge, conservation, one step with decay, flow, fixed point.

    Parameters
    ----------
    symmetry : Symmetry
        The family.

    Returns
    -------
    list of Step

    Raises
    ------
    InvalidInput
        If SymPy finds no closed form of the charge.

    Notes
    -----
    For a charge of degree d in the weights, Q' = (1 - lr weight_decay)^d Q, plus lr^2 times the same expression in the
    gradients for d = 2; exact for plain SGD with L2, at every learning rate. Without a charge, the step that says so.

    References
    ----------
    kunin2021, tanaka2021; the law per step is our own derivation

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> [step.key for step in charge_steps(rescale)][-4:], len(charge_steps(rescale))
    (['stationary', 'rate', 'flow', 'solution'], 14)
    """
    skew = asymmetry_of(symmetry)
    if skew is not None:
        return [asymmetry_step(symmetry, *skew)]
    potentials = [potential(symmetry, group) for group in symmetry.groups()]
    scale = denominator(potentials)
    terms = {group[0]: sp.expand(scale * part) for group, part in zip(symmetry.groups(), potentials, strict=True)}
    degree = degree_of(symmetry, terms)
    steps = [charge_step(symmetry, terms, scale), *conservation_steps(symmetry, terms, scale)]
    steps += _update_steps(symmetry, terms)
    if degree in (1, 2) and separable(symmetry, terms):
        return [*steps, *_closed_steps(symmetry, terms, int(degree), scale)]
    return [*steps, *_open_steps(symmetry, terms)]


def finish(symmetry: Symmetry, steps: list[Step]) -> Derivation:
    """Return the derivation with its equation, results, fixed points and stability, as far as the steps go.

    Parameters
    ----------
    symmetry : Symmetry
        The family.
    steps : list of Step
        All of them, those of `charge_steps` last.

    Returns
    -------
    Derivation

    Notes
    -----
    A charge that rests is stable: decay alone returns it, by (1 - lr weight_decay)^d per step.

    References
    ----------
    kunin2021, tanaka2021

    Examples
    --------
    >>> from weightdecay.theory import Symmetry
    >>> w1, w2, c = sp.symbols("w1 w2 c", positive=True)
    >>> rescale = Symmetry("rescale", family={w1: c * w1, w2: w2 / c}, parameter=c, identity=1)
    >>> law = rescale.derive()  # calls it
    >>> list(law.results), len(law.stability)
    (['charge_next', 'charge_stationary', 'rate', 'charge_factor', 'charge'], 1)
    """
    found = {step.key: step.expression for step in steps}
    names = ("charge_next", "charge_stationary", "rate", "charge_factor", "charge", "asymmetry")
    keys = ("step", "stationary", "rate", "factor", "solution", "asymmetry")
    results = {name: found[key].rhs for name, key in zip(names, keys, strict=True) if key in found}
    closed = "stationary" in found
    return Derivation(
        name=symmetry.name,
        title=symmetry.title or f"What the symmetry {symmetry.name} conserves",
        assumptions=(
            "The symmetry leaves the loss of every mini-batch as it is, so the identity holds for its gradient.",
            "The steps are those of plain SGD with L2 regularization; weights listed as undecayed have none.",
            "Stationary values speak of means over steps.",
        ),
        steps=tuple(steps),
        equation=found["step" if "step" in found else "identity"],
        results=results,
        fixed_points=({_charge: found["stationary"].rhs, _next: found["stationary"].rhs},) if closed else (),
        stability=(
            Stability(
                _charge,
                "map",
                0,
                found["factor"].rhs,
                sp.true,
                "A displaced charge returns, by the decay alone: the data cannot push against a symmetry.",
            ),
        )
        if closed
        else (),
        conditions=(KEEPS_PART,),
        zero_allowed=frozenset({"weight_decay"}),
        references=symmetry.references,
        quantities=(*LINES, *symmetry.own_quantities(_unnamed(symmetry))),
    )


def _unnamed(symmetry: Symmetry) -> set[str]:
    """Return the names of parameter, constants and lengths, for which the user may have given no meaning."""
    weights = {str(part) for weight in symmetry.family for part in weight.free_symbols}
    indices = {str(index) for index in symmetry.lengths}
    expressions = [*symmetry.family.values(), *symmetry.lengths.values(), *symmetry.invariants]
    symbols = {symbol for expression in expressions for symbol in expression.free_symbols}
    bases = {part.base.label for expression in expressions for part in expression.atoms(sp.Indexed)}
    known = {line.name for line in LINES}
    return {str(symbol) for symbol in symbols | bases if str(symbol) not in weights | indices | known}


def _kind(symmetry: Symmetry, weight: Any) -> str:
    return "without" if weight in symmetry.undecayed else "with"


def _update_steps(symmetry: Symmetry, terms: Mapping[Any, Any]) -> list[Step]:
    after, gradient = symmetry.companions("next"), symmetry.companions("gradient")
    return [
        *(
            Step(
                f"update-{name_of(weight)}",
                f"A step of SGD {_kind(symmetry, weight)} decay takes {name_of(weight)} to",
                equation(
                    after[weight],
                    (1 if weight in symmetry.undecayed else _LEFT) * weight - _lr * gradient[weight],
                ),
                premise(),
            )
            for weight in symmetry.family
        ),
        Step(
            "next",
            "The charge after the step is",
            equation(
                _next, symmetry.total({first: term.subs(after, simultaneous=True) for first, term in terms.items()})
            ),
            definition(),
        ),
    ]


def _open_steps(symmetry: Symmetry, terms: Mapping[Any, Any]) -> list[Step]:
    """Return the exact laws where the charge after the step, or its rate, is no function of the charge before."""
    gradient = symmetry.companions("gradient")
    stepped = {
        weight: (1 if weight in symmetry.undecayed else _LEFT) * weight - _lr * gradient[weight]
        for weight in symmetry.family
    }
    after = symmetry.companions("next")

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        updates = {after[weight]: earlier[f"update-{name_of(weight)}"].rhs for weight in symmetry.family}
        before = {new: weight for weight, new in after.items()}
        put_in = by_range(earlier["next"].rhs, updates)
        return (
            *added(put_in, by_range(expression.rhs), -1).values(),
            *expanded(added(by_range(earlier["next"].rhs, before), by_range(earlier["charge"].rhs), -1)),
            expression.lhs - _next,
        )

    def decays(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        charge, claimed = by_range(earlier["charge"].rhs), by_range(expression.rhs)
        chain = {
            limits: sum(-_weight_decay * weight * sp.diff(charge.get(limits, sp.S.Zero), weight) for weight in group)
            for group, limits in ranges(symmetry, symmetry.undecayed)
        }
        return (*expanded(added(claimed, chain, -1)), expression.lhs - _rate)

    decay = {
        group[0]: sp.expand(
            sum(
                -_weight_decay * weight * sp.diff(terms[group[0]], weight)
                for weight in group
                if weight not in symmetry.undecayed
            )
        )
        for group in symmetry.groups()
    }
    return [
        Step(
            "step",
            "Exactly, at every learning rate (no law in the charge alone follows here):",
            equation(
                _next, symmetry.total({first: term.subs(stepped, simultaneous=True) for first, term in terms.items()})
            ),
            proof("the updates put in", residual),
        ),
        Step(
            "rate",
            "In the flow only decay changes it, by",
            equation(_rate, symmetry.total(decay)),
            proof("chain rule with the velocity of decay; the rest is the identity of the gradient", decays),
        ),
    ]


def _closed_steps(symmetry: Symmetry, terms: Mapping[Any, Any], degree: int, scale: Any) -> list[Step]:
    gradient, generator = symmetry.companions("gradient"), symmetry.companions("generator")
    undecayed = part_of(symmetry.undecayed, symmetry, terms)
    some = any(term != 0 for term in undecayed.values()) if symmetry.undecayed else False
    steps = []
    if degree == 2:
        at_gradient = {first: term.subs(gradient, simultaneous=True) for first, term in terms.items()}
        steps.append(
            Step(
                "gradient-charge",
                "With the gradient in place of the weights the charge is",
                equation(_of_gradient, symmetry.total(at_gradient)),
                definition(),
            )
        )
    if some:
        steps.append(
            Step(
                "undecayed-charge",
                "Undecayed weights hold the part",
                equation(_undecayed, symmetry.total(undecayed)),
                definition(),
            )
        )
    if some and degree == 2:
        work = {weight: generator[weight] * gradient[weight] for weight in symmetry.undecayed}
        steps.append(
            Step(
                "undecayed-work",
                "and take, along the generator, the share",
                equation(_work, symmetry.total(work)),
                definition(),
            )
        )
    law = _LEFT**degree * _charge
    if some:
        law = _LEFT**degree * (_charge - _undecayed) + _undecayed
    if degree == 2:
        law += _lr**2 * _of_gradient - (scale * _lr * _EPS * _work if some else 0)
    own = {"gradient-charge", "undecayed-charge", "undecayed-work"}
    steps += [
        Step(
            "step",
            "One step of SGD with decay does this to the charge, exactly, at every learning rate.",
            equation(_next, law),
            proof(
                "definitions and updates put in, term by term: what is left is a multiple of the identity",
                _step_residual(symmetry, own, -scale * _lr * _LEFT ** (degree - 1)),
            ),
        ),
        *_consequences(degree, scale, some),
    ]
    return steps


def _step_residual(
    symmetry: Symmetry, own: set[str], multiple: Any
) -> Callable[[Any, Mapping[str, Any]], tuple[Any, ...]]:
    generator, after = symmetry.companions("generator"), symmetry.companions("next")

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        moves = {generator[weight]: move for weight, move in read_generator(symmetry, earlier).items()}
        whole = difference(expression)
        for key in ("next", "charge", *sorted(own & earlier.keys())):
            whole = whole.subs(earlier[key].lhs, earlier[key].rhs)
        updates = {after[weight]: earlier[f"update-{name_of(weight)}"].rhs for weight in symmetry.family}
        left = by_range(whole, updates, moves)
        identity = by_range(earlier["identity"].lhs, moves)
        return expanded(added(left, identity, -multiple))

    return residual


def _consequences(degree: int, scale: Any, some_undecayed: bool) -> list[Step]:
    """Return the factor of decay, the fixed point, the flow and its solution."""
    charge = sp.Function("charge", real=True)
    work = _work if some_undecayed else sp.S.Zero
    stationary = sp.S.Zero
    if degree == 2:
        stationary = _lr * (_of_gradient - scale * _weight_decay * work) / (_weight_decay * (2 - _EPS))
    stationary += _undecayed if some_undecayed else 0
    rest = _lr * _of_gradient / (2 * _weight_decay) if degree == 2 else sp.S.Zero
    flow = -degree * _weight_decay * (_charge - (_undecayed if some_undecayed else 0))
    flow += _lr * _of_gradient if degree == 2 else 0
    fall = sp.exp(-degree * _weight_decay * _time)

    def small_steps(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        per_time = sp.expand((earlier["step"].rhs - _charge) / _lr)
        noise = _of_gradient * per_time.coeff(_of_gradient)
        return (sp.limit(per_time - noise, _lr, 0) + noise - expression.rhs,)

    def in_time(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (
            expression.rhs - earlier["rate"].rhs.subs(_charge, charge(_time)),
            expression.lhs - sp.Derivative(charge(_time), _time),
        )

    def solves(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        put_back = difference(earlier["flow"]).subs(charge(_time), expression.rhs).doit()
        return (sp.expand(put_back), sp.expand(expression.rhs.subs(_time, 0) - _start))

    steps = [
        Step(
            "factor",
            "Decay leaves of the charge the part",
            equation(_factor, _LEFT**degree),
            proof(
                "slope of the law in the charge",
                lambda expression, earlier: (sp.diff(earlier["step"].rhs, _charge) - expression.rhs,),
            ),
        ),
        Step(
            "stationary",
            "It rests at",
            equation(_stationary, stationary),
            proof(
                "put back into the law of one step, with the same charge before and after",
                lambda expression, earlier: (
                    difference(earlier["step"]).subs(dict.fromkeys((_charge, _next), expression.rhs)),
                    expression.lhs - _stationary,
                ),
            ),
        ),
        Step(
            "rate",
            "With time counted as learning rate times steps, small steps give the rate of change"
            + (
                " (the part of the gradients is kept: it may be as large as one over the learning rate)."
                * (degree == 2)
            ),
            equation(_rate, flow),
            proof("limit of (Q' − Q)/lr for lr to 0, the part of the gradients held", small_steps),
        ),
    ]
    if some_undecayed:
        return steps
    return [
        *steps,
        Step(
            "flow",
            "That is a linear equation,",
            equation(sp.Derivative(charge(_time), _time), flow.subs(_charge, charge(_time))),
            proof("the rate, at the charge of the time", in_time),
        ),
        Step(
            "solution",
            "solved, while the part of the gradients stays, by",
            equation(charge(_time), rest + (_start - rest) * fall),
            proof("put back into its differential equation, which it fulfils, and right at the start", solves),
        ),
    ]
