"""Derive by how much short formulas for sign momentum, Lion and Muon miss the autocorrelation time of their updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity
from .proofs import by_putting_back, equation, proof
from .registry import derivation, derive
from .steps import Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_B = quantity("memory", "b", "b", "1", "correlation of the averaged gradients a step apart", positive=True)
_T = quantity("lag_time", "t", "t", "1", "lag over the memory 1/(1 − b)", nonnegative=True)
_FIRST = quantity("first_correlation", "c", "c", "1", "correlation at lag 1 of a mean of long memory", positive=True)
_ASPECT = quantity("aspect", "a", "a", "1", "smaller over larger side of a matrix", positive=True)
_b, _t, _c, _a = _B.symbol, _T.symbol, _FIRST.symbol, _ASPECT.symbol
_j = sp.Symbol("index", nonnegative=True, integer=True)


@derivation("published-approximations")
def _published_approximations() -> Derivation:
    """Derive the ratio of published to exact autocorrelation times, for long and for short memory."""
    phi = quantity("direction", "\\varphi", "φ", "rad", "an angle", nonnegative=True)
    signs = quantity("sign_correlation", "q", "q", "1", "correlation of the signs at lag 1")
    published = quantity("published_time", "\\tau_{p}", "τ_p", "steps", "autocorrelation time taken as that of b^k")
    short = quantity(
        "published_memory", "M_{p}", "M_p", "1", "half of the published time, times 1 − b, for b to 1", positive=True
    )
    memory = quantity(
        "sign_memory",
        "M_{s}",
        "M_s",
        "1",
        "half of the autocorrelation time of signs, times 1 − b, for b to 1",
        positive=True,
    )
    linear = quantity("linear_memory", "M_{l}", "M_l", "1", "that of signs with arcsin(ρ) put as ρ", positive=True)
    polar = quantity(
        "polar_memory",
        "M_{m}",
        "M_m",
        "1",
        "half of the autocorrelation time of polar factors, times 1 − b, for b to 1",
        positive=True,
    )
    ratios = (
        quantity("sign_momentum_ratio", "r_{s}", "r_s", "1", "published over exact time of sign momentum, b to 1"),
        quantity(
            "sign_momentum_ratio_short",
            "r_{s,0}",
            "r_s,0",
            "1",
            "published over exact time of sign momentum, both less 1, b to 0",
        ),
        quantity("linear_sign_ratio", "r_{l}", "r_l", "1", "linearized over exact time, long memory, c to 1"),
        quantity(
            "linear_sign_ratio_series", "r_{l,c}", "r_l,c", "1", "linearized over exact time, long memory, to order c²"
        ),
        quantity("polar_momentum_ratio", "r_{m}", "r_m", "1", "published over exact time of Muon, b to 1"),
        quantity(
            "polar_momentum_ratio_short",
            "r_{m,0}",
            "r_m,0",
            "1",
            "published over exact time of Muon, both less 1, b to 0",
        ),
        quantity(
            "polar_momentum_ratio_oblong",
            "r_{m,a}",
            "r_m,a",
            "1",
            "published over exact time of Muon, both less 1, b to 0, for oblong matrices to order a²",
        ),
    )
    long_sign, short_sign, long_linear, series_linear, long_polar, short_polar, oblong_polar = (
        line.symbol for line in ratios
    )
    angle, M = phi.symbol, memory.symbol
    quarter = (angle, 0, sp.pi / 2)
    coefficient = 4 * (-1) ** _j * (2 * _j + 2) / (sp.pi * (2 * _j + 1) * (2 * _j + 3))

    def of_signs(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (integral,) = expression.rhs.atoms(sp.Integral)
        wanted = earlier["signs"].rhs.subs(_b, sp.exp(-_t))
        return (
            expression.rhs / integral * integral.function - wanted,
            sp.true if integral.limits == (sp.Tuple(_t, 0, sp.oo),) else sp.false,
        )

    def turned(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (before,), (after,) = earlier["sign-memory"].rhs.atoms(sp.Integral), expression.rhs.atoms(sp.Integral)
        height = -after.function  # of the same area, seen from the other axis: t as a function of the angle
        return (
            sp.sin(before.function.subs(_t, height)) - sp.sin(angle),
            earlier["sign-memory"].rhs / before + expression.rhs / after,
            sp.true if after.limits == (sp.Tuple(*quarter),) else sp.false,
        )

    def doubled(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (integral,) = earlier["turned"].rhs.atoms(sp.Integral)
        front, inside = earlier["turned"].rhs / integral, integral.function
        same = sp.exp(inside + inside.subs(angle, sp.pi / 2 - angle) - inside.subs(angle, 2 * angle))
        constant = sp.log(sp.simplify(sp.expand_trig(same)))
        return (expression.rhs - M - front * sp.integrate(constant, quarter),)

    def one_over(key: str, below: str) -> Any:
        return proof(
            "both memories divided",
            lambda expression, earlier: (expression.rhs - earlier[key].rhs / earlier[below].rhs,),
        )

    def first_order(slope: Any) -> Any:
        """Prove a ratio of times less 1 at first order in b, where lag 1 alone counts, twice."""

        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            return (expression.rhs - sp.diff(earlier["published"].rhs, _b).subs(_b, 0) / (2 * slope(earlier)),)

        return proof("slopes at b = 0 of both times, in which lag 1 alone counts, divided", residual)

    def low(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        law = sp.series(earlier["signs"].rhs.subs(_b, _c * sp.exp(-_t)), _c, 0, 5).removeO()
        exact = sp.integrate(sp.expand(law), (_t, 0, sp.oo))
        straight = earlier["linear-memory"].rhs * _c
        return (sp.series(straight / exact, _c, 0, 4).removeO() - expression.rhs,)

    def of_terms(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        muon = derive("optimizer-muon").results["coefficient"]
        (number,) = muon.free_symbols
        power = sp.integrate(sp.exp(-(2 * _j + 1) * _t), (_t, 0, sp.oo))
        return (
            sp.simplify(expression.rhs.function - muon.subs(number, _j) ** 2 * power),
            sp.true if expression.rhs.limits == (sp.Tuple(_j, 0, sp.oo),) else sp.false,
        )

    def of_oblong(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        root, cosine, z = sp.symbols("root cosine z")  # root of the aspect; z is exp(i phi)
        one_over_size = (1 + root**2 + 2 * root * cosine) ** -sp.S.Half
        terms = sp.expand(sp.series(one_over_size, root, 0, 5).removeO().subs(cosine, (z + 1 / z) / 2))
        first = sp.expand(terms * (1 - (z**2 + z**-2) / 2)).coeff(z, 0)  # its mean over the density 2 sin^2 phi
        slopes = sp.diff(earlier["published"].rhs, _b).subs(_b, 0) / 2 / first**2
        return (sp.series(slopes, root, 0, 6).removeO() - expression.rhs.subs(_a, root**2),)

    def by_fractions(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        odd, next_odd = 2 * _j + 1, 2 * _j + 3
        whole = sp.simplify(earlier["polar-terms"].rhs.function * sp.pi**2 / 16)
        parts = 1 / (4 * odd**2) + 1 / (4 * odd**3) - 1 / (8 * next_odd**2) - (1 / odd - 1 / next_odd) / 16
        squares, cubes = ((1 - sp.Rational(1, 2**power)) * sp.zeta(power) for power in (2, 3))  # all less the even ones
        total = squares / 4 + cubes / 4 - (squares - 1) / 8 - sp.Rational(1, 16)  # the last part telescopes
        return (sp.cancel(whole - parts), sp.expand(expression.rhs - 16 / sp.pi**2 * total))

    steps = (
        Step(
            "published",
            "If updates were correlated as the averaged gradients, b^k at lag k, their autocorrelation time would be",
            equation(published.symbol, (1 + _b) / (1 - _b)),
            proof(
                "1 and twice the geometric series",
                lambda expression, _earlier: (sp.cancel(expression.rhs - 1 - 2 * _b / (1 - _b)),),
            ),
        ),
        Step(
            "published-memory",
            "of which half, times 1 − b, goes for long memory to",
            equation(short.symbol, 1),
            proof(
                "limit for b to 1",
                lambda expression, earlier: (
                    expression.rhs - sp.limit(earlier["published"].rhs * (1 - _b) / 2, _b, 1, "-"),
                ),
            ),
        ),
        Step(
            "signs",
            "But signs are correlated by the arcsine law,",
            equation(signs.symbol, 2 / sp.pi * sp.asin(_b)),
            proof(
                "proven in the derivation arcsine-law",
                lambda expression, _earlier: (
                    expression.rhs
                    - derive("arcsine-law")
                    .results["sign_correlation"]
                    .replace(lambda part: part.is_Symbol, lambda _part: _b),
                ),
            ),
        ),
        Step(
            "sign-memory",
            "and the sum over lags, times 1 − b, is for long memory the integral over t = k (1 − b), since the summand "
            "falls steadily and sum and integral differ by less than its first value:",
            equation(M, 2 / sp.pi * sp.Integral(sp.asin(sp.exp(-_t)), (_t, 0, sp.oo))),
            proof("the integrand is the arcsine law at b^k = exp(−t)", of_signs),
        ),
        Step(
            "turned",
            "The same area, seen from the other axis, with exp(−t) = sin φ, is",
            equation(M, -2 / sp.pi * sp.Integral(sp.log(sp.sin(angle)), quarter)),
            proof("the inverse function put back into the integrand, over the same area", turned),
        ),
        Step(
            "doubled",
            "The sine of twice the angle has the same mean logarithm, as has the cosine, so that",
            equation(2 * M, M + sp.log(2)),
            proof("sin φ cos φ = sin(2φ)/2 under the integral", doubled),
        ),
        Step("closed", "and therefore", equation(M, sp.log(2)), by_putting_back("doubled")),
        Step(
            "long-sign",
            "The published formula for sign momentum is for long memory too high by the factor",
            equation(long_sign, 1 / sp.log(2)),
            one_over("published-memory", "closed"),
        ),
        Step(
            "short-sign",
            "and for short memory, in what goes beyond 1, by",
            equation(short_sign, sp.pi / 2),
            first_order(lambda earlier: sp.diff(earlier["signs"].rhs, _b).subs(_b, 0)),
        ),
        Step(
            "linear-memory",
            "The linearized formula, (2/π)(1 + 2 Σ ρ), has for long memory",
            equation(linear.symbol, 2 / sp.pi),
            proof(
                "the slope of the arcsine law times the published memory",
                lambda expression, earlier: (
                    expression.rhs - sp.diff(earlier["signs"].rhs, _b).subs(_b, 0) * earlier["published-memory"].rhs,
                ),
            ),
        ),
        Step(
            "long-linear",
            "which is too low by the factor",
            equation(long_linear, 2 / (sp.pi * sp.log(2))),
            one_over("linear-memory", "closed"),
        ),
        Step(
            "series-linear",
            "at most; where the newest gradient lowers the correlation at lag 1 to c, as in Lion, by",
            equation(series_linear, 1 - _c**2 / 18),
            proof("series in c of both memories, divided", low),
        ),
        Step(
            "polar-terms",
            "Polar factors of large square matrices overlap as in the derivation optimizer-muon, which gives",
            equation(polar.symbol, sp.Sum(coefficient**2 / (2 * _j + 1), (_j, 0, sp.oo))),
            proof("each term of the overlap integrated over t", of_terms),
        ),
        Step(
            "polar-memory",
            "or, in closed form,",
            equation(polar.symbol, 7 * sp.zeta(3) / (2 * sp.pi**2) + sp.Rational(1, 4) + 1 / sp.pi**2),
            proof("partial fractions, each summed", by_fractions),
        ),
        Step(
            "long-polar",
            "Taking b^k for them is for long memory too high by the factor",
            equation(long_polar, 1 / (7 * sp.zeta(3) / (2 * sp.pi**2) + sp.Rational(1, 4) + 1 / sp.pi**2)),
            one_over("published-memory", "polar-memory"),
        ),
        Step(
            "short-polar",
            "and for short memory, in what goes beyond 1, by",
            equation(short_polar, (3 * sp.pi / 8) ** 2),
            first_order(lambda _earlier: derive("optimizer-muon").results["overlap_slope"]),
        ),
        Step(
            "oblong-polar",
            "while for oblong matrices, whose squared singular values follow Marchenko and Pastur's law with the "
            "smaller side over the larger a, it is",
            equation(oblong_polar, 1 + _a / 4 + 5 * _a**2 / 64),
            proof("series in a of the first component under the semicircle, squared, and its inverse", of_oblong),
        ),
    )
    found = {part.key: part.expression for part in steps}
    keys = ("long-sign", "short-sign", "long-linear", "series-linear", "long-polar", "short-polar", "oblong-polar")
    more = ("closed", "polar-memory")
    return Derivation(
        name="published-approximations",
        title="Short formulas for sign momentum, Lion and Muon, and by how much they miss",
        assumptions=(
            "Gradients are Gaussian white noise; decay is decoupled and slow against the memory, so that the squared "
            "norm goes as the autocorrelation time: a ratio of times is one of squared norms.",
            "Long memory means momentum b to 1; at b = 0.9 the ratios are within 2 % of their limits.",
            "For Muon: large matrices with an exact polar factor, square but for the last ratio; what Newton-Schulz "
            "steps change is in the derivation newton-schulz-power.",
        ),
        steps=steps,
        equation=found["closed"],
        results={str(found[key].lhs): found[key].rhs for key in (*keys, *more)},
        conditions=(
            Condition(
                _c <= 1,
                "a correlation is at most 1",
                exactly_where("the determinant of the covariances of two such numbers", 1 - _c**2, zero=True),
            ),
            Condition(
                _a <= 1,
                "the smaller side is at most the larger",
                exactly_where("larger less smaller side, over the larger,", 1 - _a, zero=True),
            ),
        ),
        references=("bernstein2018", "chen2023lion", "jordan2024muon", "kosson2023", "price1958"),
        quantities=(
            *(_B, _T, _FIRST, _ASPECT, phi, signs, published, short, memory, linear, polar, *ratios),
            quantity("index", "j", "j", "1", "number of an odd polynomial, from 0", nonnegative=True, integer=True),
        ),
    )
