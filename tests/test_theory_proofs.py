"""Every way to prove accepts a true step and refuses a false one."""

import pytest
import sympy as sp

from weightdecay.theory import proofs, vanishing
from weightdecay.theory.proofs import equation

x, y, z = sp.symbols("x y z", positive=True)
k, n = sp.symbols("k n", integer=True, positive=True)
i = sp.Symbol("i", integer=True)
a, b = sp.IndexedBase("a", real=True), sp.IndexedBase("b", real=True)
f = sp.Function("f")
block = (i, 1, n)

EARLIER = {
    "square": equation(y, x**2),
    "inverse": equation(y, 1 / (1 + x)),
    "root": equation(y**2, 4 * x**2),
    "recursion": equation(f(k + 1), 2 * f(k)),
    "rule": equation(a[i], 2 * b[i]),
    "sum of a": equation(y, sp.Sum(a[i] ** 2, block)),
    "sum of b": equation(z, sp.Sum(b[i] ** 2, block)),
    "other sum": equation(z, sp.Sum(b[i] ** 2, (i, 1, n + 1))),
}
CASES = {
    "substitution": (proofs.by_substitution("square"), equation(y * x, x**3), equation(y * x, x**2)),
    "summation": (
        proofs.by_summation("sum of a", "sum of b", "rule"),
        equation(y, 4 * z),
        equation(y, 2 * z),
    ),
    "summation over different ranges": (
        proofs.by_summation("sum of a", "sum of b", "rule"),
        equation(y - 4 * z, 0),
        equation(y - 4 * z, 1),
    ),
    "putting back": (proofs.by_putting_back("root"), equation(y, 2 * x), equation(y, 3 * x)),
    "recursion": (proofs.by_recursion("recursion", k, x), equation(f(k), 2**k * x), equation(f(k), 3**k * x)),
    "recursion from the right start": (
        proofs.by_recursion("recursion", k, x),
        equation(f(k), 2**k * x),
        equation(f(k), 2 ** (k + 1) * x),
    ),
    "growth": (
        proofs.by_growth(x),
        sp.Le(sp.log(1 + x), x, evaluate=False),
        sp.Le(x, sp.log(1 + x), evaluate=False),
    ),
    "differentiation": (proofs.by_differentiation("square", x), equation(z, 2 * x), equation(z, x)),
    "limit": (proofs.by_limit("inverse", x, 0), equation(z, 1), equation(z, 2)),
    "series": (proofs.by_series("inverse", x, 2), equation(z, 1 - x), equation(z, 1 + x)),
    "rational points": (
        proofs.by_rational_points("square"),
        equation((x + z) ** 2, y + 2 * x * z + z**2),
        equation((x + z) ** 2, y + x * z + z**2),
    ),
}


def holds(way, step):
    return all(vanishing.vanishes(residual) for residual in way.residual(step, EARLIER))


@pytest.mark.parametrize("case", CASES)
def test_a_true_step_is_accepted_and_a_false_one_refused(case):
    way, true, false = CASES[case]
    assert holds(way, true)
    assert not holds(way, false)


def test_sums_over_different_ranges_are_not_compared_term_by_term():
    assert not holds(proofs.by_summation("sum of a", "other sum", "rule"), equation(y, 4 * z))


def test_rational_points_are_exact_and_inside_the_assumptions():
    real = sp.Symbol("r", real=True)
    points = vanishing.rational_points([x, n, real], 40)
    assert 40 == len(points)
    assert all(0 < point[x] < 1 and point[x].is_Rational for point in points)
    assert all(point[n].is_Integer and point[n] >= 2 for point in points)
    assert {True, False} == {bool(point[real] > 0) for point in points}


@pytest.mark.parametrize(
    ("residual", "expected"),
    [
        (sp.Integer(0), True),
        (sp.nan, False),
        (sp.zoo, False),
        (sp.true, True),
        (sp.false, False),
        (x < y, False),
        (sp.sqrt(2) * sp.sqrt(3) - sp.sqrt(6), True),
        (x**y - sp.exp(y * sp.log(x)), True),
        (f(x) ** 2 - f(x) * f(x), True),
        (f(x) - f(y), False),
        (sp.Matrix([0, x - x]), True),
        (sp.Matrix([0, x]), False),
        (sp.Rational(1, 10**15), False),
    ],
)
def test_what_vanishes_is_told_from_what_does_not(residual, expected):
    assert expected == vanishing.vanishes(residual)
