"""Change any formula of any derivation, and its proof has to fail."""

import re
from dataclasses import replace
from pathlib import Path

import pytest
import sympy as sp

from weightdecay import theory
from weightdecay.errors import ProofError
from weightdecay.theory.checking import check_from

PAGE = (Path(__file__).parent.parent / "theory" / "DERIVATIONS.md").read_text("utf-8")


def _coefficient(side):
    first, *rest = sp.Add.make_args(side)
    return sp.Add(2 * first, *rest)


def _sign(side):
    first, *rest = sp.Add.make_args(side)
    return sp.Add(-first, *rest)


def _exponent(side):
    powers = sorted((part for part in side.atoms(sp.Pow) if part.base.free_symbols), key=sp.default_sort_key)
    if powers:
        return side.xreplace({powers[0]: powers[0] * powers[0].base})
    symbols = sorted(_plain_symbols(side), key=sp.default_sort_key)
    return side.subs(symbols[0], symbols[0] ** 2) if symbols else side + 1


def _swapped(side):
    symbols = sorted(_plain_symbols(side), key=sp.default_sort_key)
    return side.subs(symbols[0], symbols[1]) if len(symbols) > 1 else side


def _plain_symbols(side):
    bases = {base for part in side.atoms(sp.Indexed) for base in part.base.free_symbols}
    indices = {index for part in side.atoms(sp.Indexed) for index in part.free_symbols}
    variables = {variable for part in side.atoms(sp.Derivative) for variable in part.variables}
    return side.free_symbols - bases - indices - variables


def _last_term(side):
    *rest, last = sp.Add.make_args(side)
    return sp.Add(*rest, 3 * last)


def _lost_term(side):
    *rest, _ = sp.Add.make_args(side)
    return sp.Add(*rest) if rest else side


KINDS = {
    "coefficient": _coefficient,
    "sign": _sign,
    "exponent": _exponent,
    "symbol": _swapped,
    "last term": _last_term,
    "lost term": _lost_term,
}


EDGE = {
    sp.StrictLessThan: sp.LessThan,
    sp.LessThan: sp.StrictLessThan,
    sp.StrictGreaterThan: sp.GreaterThan,
    sp.GreaterThan: sp.StrictGreaterThan,
}


def mutants(expression):
    """Yield (kind, changed expression): the right side changed, or the left where the right is zero."""
    if isinstance(expression, sp.core.relational.Relational):
        left, right = expression.args
        for kind, mutate in KINDS.items():
            if right != 0:
                changed = expression.func(left, mutate(right), evaluate=False)
            elif kind in ("exponent", "symbol") or left.is_Add:  # a factor on all of what vanishes changes nothing
                changed = expression.func(mutate(left), right, evaluate=False)
            else:
                continue
            if changed != expression:
                yield kind, changed
    elif isinstance(expression, sp.Expr):
        for kind, mutate in KINDS.items():
            changed = mutate(expression)
            if changed != expression:
                yield kind, changed


def _survivors(original):
    for place, step in enumerate(original.steps):
        for kind, changed in mutants(step.expression):
            steps = list(original.steps)
            steps[place] = replace(step, expression=changed)
            yield f"step {step.key}, {kind}: {changed}", replace(original, steps=tuple(steps)), place
    unproven = len(original.steps)
    for kind, changed in mutants(original.equation):
        yield f"equation, {kind}: {changed}", replace(original, equation=changed), unproven
    for name, result in original.results.items():
        for kind, changed in mutants(result):
            yield (
                f"result {name}, {kind}: {changed}",
                replace(original, results={**original.results, name: changed}),
                unproven,
            )
    for place, point in enumerate(original.fixed_points):
        for unknown, value in point.items():
            for kind, changed in mutants(value):
                points = list(original.fixed_points)
                points[place] = {**point, unknown: changed}
                yield (
                    f"fixed point {unknown}, {kind}: {changed}",
                    replace(original, fixed_points=tuple(points)),
                    unproven,
                )
    for place, part in enumerate(original.stability):
        for kind, changed in mutants(part.jacobian):
            parts = list(original.stability)
            parts[place] = replace(part, jacobian=changed)
            yield f"Jacobian, {kind}: {changed}", replace(original, stability=tuple(parts)), unproven
        parts = list(original.stability)
        parts[place] = replace(part, stable=sp.Not(part.stable))
        yield "stability reversed", replace(original, stability=tuple(parts)), unproven
    for place, condition in enumerate(original.conditions):
        for kind, changed in (
            *mutants(condition.relation),
            ("edge", EDGE[condition.relation.func](*condition.relation.args)),
        ):
            conditions = list(original.conditions)
            conditions[place] = replace(condition, relation=changed)
            yield f"condition, {kind}: {changed}", replace(original, conditions=tuple(conditions)), unproven


@pytest.mark.parametrize("name", theory.names())
def test_every_derivation_proves_itself(name):
    theory.derive(name).check()


@pytest.mark.parametrize("name", theory.names())
def test_the_equation_is_proven_and_not_assumed(name):
    claim = theory.derive(name)
    ways = {step.proof.how for step in claim.steps if step.expression == claim.equation}
    assert ways - {"premise", "definition"}


@pytest.mark.parametrize("name", theory.names())
def test_every_condition_is_proven_and_none_can_be_lost(name):
    claim = theory.derive(name)
    assert all(condition.proof for condition in claim.conditions)
    entry = PAGE.split(f'<a id="{name}"></a>')[1].split("| result |")[0]
    listed = re.findall(r"^- (?!\$)(.*)$|^- \$[^$]+\$: (.*)\.$", entry, flags=re.MULTILINE)
    assert [sentence for _, sentence in listed if sentence] == [part.sentence for part in claim.conditions]


@pytest.mark.parametrize("name", theory.names())
def test_every_change_of_a_formula_fails_the_proof(name):
    survived = []
    for told, mutant, start in _survivors(theory.derive(name)):
        try:
            check_from(mutant, start)  # the steps before the change are those of the original
        except ProofError:
            continue
        survived.append(told)
    assert [] == survived
