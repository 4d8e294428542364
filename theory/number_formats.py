"""Derive what a number format leaves of weight decay: which decays round to nothing, and what others become."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import by_putting_back, by_substitution, definition, equation, premise, proof
from .registry import derivation
from .steps import Step
from .vanishing import rational_points

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay = symbols_of("lr weight_decay")
_EPS = _lr * _weight_decay
_SPACING = quantity(
    "spacing", "u", "u", "1", "distance of the format's numbers just below 1, NumPy's finfo.epsneg", positive=True
)
_u = _SPACING.symbol
_REACHES = tuple(sp.Rational(k, 16) for k in (3, 8, 9, 11, 16, 23, 40))
"""Decays in spacings at which the share of moving weights is compared: below, within and above the range it changes."""


@derivation("number-format-floor")
def _number_format_floor() -> Derivation:
    """Derive the decay below which a number format keeps weights where they are, and how it rounds a larger one."""
    stored = quantity("decay_stored", r"\varepsilon_{u}", "ε_u", "1", "decay per step of the rounded factor", real=True)
    floor = quantity("decay_floor", r"\varepsilon_{0}", "ε_0", "1", "largest decay that moves no weight", positive=True)
    whole = quantity(
        "decay_of_all", r"\varepsilon_{1}", "ε_1", "1", "decay above which all weights move", positive=True
    )
    share = quantity("share_moving", r"\varsigma", "ς", "1", "share of weights that move", nonnegative=True)
    digits = quantity("mantissa", "d", "d", "1", "a weight over the power of 2 below it, from 1 to 2", positive=True)
    binade = quantity("binade", "p", "p", "weight", "power of 2 at or below a weight's size", positive=True)
    gap = quantity("gap", r"\delta", "δ", "weight", "distance of the format's numbers from there to 2p", positive=True)
    change = quantity("change", "c", "c", "weight", "what decay takes off a weight, before rounding", positive=True)
    error = quantity(
        "relative_error", r"e_{\varepsilon}", "e_ε", "1", "error of the rounded decay, relative", real=True
    )
    d, p = digits.symbol, binade.symbol

    def nearest(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        """Tell at rational points whether a whole number of spacings comes out, none of which lies nearer."""
        verdicts = []
        for point in rational_points(expression.free_symbols - {stored.symbol}, 12):
            near = {**point, _u: point[_u] / 30}
            put, true = expression.rhs.subs(near), _EPS.subs(near)
            verdicts += [put / near[_u] % 1 == 0, abs(put - true) <= near[_u] / 2]
        return tuple(sp.true if holds else sp.false for holds in verdicts)

    def last_lost(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        """Put the floor in for the decay, and a little more."""
        ratio = sp.cancel(expression.rhs / _u)
        kept = earlier["stored"].rhs.subs(_lr, ratio * _u / _weight_decay)
        above = earlier["stored"].rhs.subs(_lr, (ratio + sp.Rational(1, 100)) * _u / _weight_decay)
        return (sp.true if ratio.is_Rational else sp.false, kept, above - _u)

    def of_all(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        """Put mantissa 1, the smallest, in for the border; at mantissa 2 the border is the floor."""
        rest = earlier["border"].rhs
        return (
            rest.subs(_lr, expression.rhs / _weight_decay) - 1,
            rest.subs(_lr, earlier["floor"].rhs / _weight_decay) - 2,
        )

    def integrated(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        """Integrate the logarithmic law 1/(d ln 2) over the mantissas above the border."""
        residuals = []
        for reach in _REACHES:
            at = {_lr: reach * _u / _weight_decay}
            least = sp.Min(2, sp.Max(1, sp.cancel(earlier["border"].rhs.subs(at))))
            part = sp.integrate(1 / (d * sp.log(2)), (d, least, 2))
            residuals.append(sp.simplify(sp.expand_log(part - expression.rhs.subs(at), force=True)))
        return tuple(residuals)

    steps = (
        Step(
            "stored",
            "Below 1 a format has the numbers 1 − k·spacing. The factor 1 − lr·weight_decay is rounded to the nearest, "
            "and what it then takes off is",
            equation(stored.symbol, _u * sp.ceiling(_EPS / _u - sp.S.Half)),
            proof("a whole number of spacings, at most half a one away, at 12 rational points", nearest),
        ),
        Step(
            "error",
            "so that decay is too fast or too slow by",
            equation(error.symbol, _u * sp.ceiling(_EPS / _u - sp.S.Half) / _EPS - 1),
            proof(
                "the rounded decay over the true one, less 1",
                lambda expression, earlier: (expression.rhs - earlier["stored"].rhs / _EPS + 1,),
            ),
        ),
        Step(
            "floor",
            "Half a spacing is the largest decay that is lost: the factor is then 1.",
            equation(floor.symbol, _u / 2),
            proof("put in for the decay nothing is left of it, and a spacing of a little more", last_lost),
        ),
        Step(
            "gap",
            "If instead the product itself is computed exactly and then rounded, it matters how far apart numbers lie "
            "at the weight. From 1/2 to 1 they lie a spacing apart, and from p to 2p",
            equation(gap.symbol, 2 * _u * p),
            premise(),
        ),
        Step("change", "Decay takes off a weight of size d·p", equation(change.symbol, _EPS * d * p), definition()),
        Step(
            "half",
            "and moves it only if that is more than half a step; the border is",
            equation(change.symbol, gap.symbol / 2),
            premise(),
        ),
        Step(
            "reached",
            "in the format's terms",
            equation(change.symbol, _u * p),
            by_substitution("half", "gap"),
        ),
        Step(
            "border",
            "and so at the mantissa",
            equation(d, _u / _EPS),
            by_putting_back("change", "reached"),
        ),
        Step(
            "all",
            "Mantissas lie from 1 to 2. At 2 the border is the floor from before; at 1 it is passed by all weights:",
            equation(whole.symbol, _u),
            proof("the border is 1 at this decay and 2 at the floor", of_all),
        ),
        Step(
            "share",
            "Between them, with mantissas spread evenly on a logarithmic scale, the share of moving weights is",
            equation(share.symbol, sp.Max(0, sp.Min(1, sp.log(2 * _EPS / _u) / sp.log(2)))),
            proof(
                f"integral of the law of mantissas above the border, at {len(_REACHES)} decays around both ends",
                integrated,
            ),
        ),
    )
    found = {one.key: one.expression for one in steps}
    return Derivation(
        name="number-format-floor",
        title="What a number format leaves of weight decay",
        assumptions=(
            "Weights are multiplied by a factor of their own, as in decoupled decay; decay that is added to the "
            "gradient before a step (L2) is rounded with it.",
            "Numbers are binary and rounded to the nearest; a decay halfway between two counts as the smaller. Weights "
            "are not so small that the format loses digits (denormal).",
            "decay_stored is for a factor rounded to the format; share_moving for a product computed more precisely "
            "and then rounded, with mantissas d distributed as 1/(d ln 2).",
        ),
        steps=steps,
        equation=found["stored"],
        results={
            "decay_floor": found["floor"].rhs,
            "decay_stored": found["stored"].rhs,
            "relative_error": found["error"].rhs,
            "decay_of_all": found["all"].rhs,
            "share_moving": found["share"].rhs,
        },
        references=("weightdecay",),
        quantities=(_SPACING, stored, floor, whole, share, digits, binade, gap, change, error),
    )
