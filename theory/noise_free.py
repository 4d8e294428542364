"""Derive the equilibrium of descent with decay on a scale-invariant loss without noise, and when it is stable."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, premise, proof
from .registry import derivation
from .steps import Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _norm_squared, _next = symbols_of("lr weight_decay norm_squared norm_squared_next")
_EPS = _lr * _weight_decay
_LINES = (
    quantity("angle", "\\theta", "θ", "rad", "angle of the weights from the minimum", positive=True),
    quantity("angle_next", "\\theta'", "θ'", "rad", "the angle after the step", real=True),
    quantity("slope", "f", "f", "loss", "derivative of the loss in the angle", positive=True),
    quantity("slope_of_slope", "f'", "f'", "loss", "second derivative of the loss in the angle", real=True),
    quantity("decay_per_step", "\\varepsilon", "ε", "1", "lr times weight_decay", positive=True),
    quantity("left", "a", "a", "1", "part of the weights that a step of decay leaves, 1 − ηλ", positive=True),
    quantity("along", "r_{\\parallel}", "r_p", "weight", "part of the new weights along the old ones", positive=True),
    quantity("across", "r_{\\perp}", "r_a", "weight", "part across them, towards the minimum", positive=True),
    quantity("turn", "X", "X", "1", "tangent of the angle that a step turns", positive=True),
    quantity("turn_at_rest", "X_{*}", "X_*", "1", "step over norm at equilibrium", positive=True),
    quantity("decay_at_rest", "\\varepsilon_{*}", "ε_*", "1", "lr times weight_decay at which this angle is kept"),
    quantity(
        "determinant", "\\det J", "det J", "1", "determinant of the Jacobian of a step at the equilibrium", real=True
    ),
    quantity("trace", "\\mathrm{tr} J", "tr J", "1", "trace of the Jacobian of a step at the equilibrium", real=True),
    quantity("softening", "q", "q", "1 / rad²", "the slope of the loss goes as θ − q θ³", real=True),
    quantity("determinant_leading", "\\det J_{1}", "det J_1", "1", "determinant for small decay", real=True),
    quantity("determinant_rayleigh", "\\det J_{r}", "det J_r", "1", "determinant for a loss sin² θ", real=True),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
(
    _angle,
    _angle_next,
    _slope,
    _curve,
    _eps,
    _a,
    _along,
    _across,
    _turn,
    _turn_rest,
    _decay_rest,
    _det,
    _trace,
    _q,
    _det_leading,
    _det_rayleigh,
) = (line.symbol for line in _LINES)
_f = sp.Function("slope")


@derivation("noise-free-equilibrium")
def _noise_free_equilibrium() -> Derivation:
    """Derive the Jacobian of noise-free descent at its equilibrium: its determinant decides whether it is stable."""
    turn = _lr * _f(_angle) / (_a * _norm_squared)
    det = sp.sin(4 * _angle) * _curve / (2 * _slope) - sp.cos(4 * _angle)
    trace = sp.sin(4 * _angle) * _curve / (2 * _slope) - 1 + sp.cos(4 * _angle)
    leading = 1 + (sp.Rational(4, 3) - 2 * _q) * _eps

    def swung(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # The angle changes sign at every step: theta' = -theta, so the step turns by twice the angle.
        back = earlier["angle"].rhs.subs(_turn, expression.rhs) + _angle
        return (
            back.subs(_angle, sp.Rational(1, 5)).evalf(30).round(25),
            expression.lhs - _turn_rest,
            _is_tan(expression),
        )

    def kept(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        same = difference(earlier["norm"]).subs(_next, _norm_squared) / _norm_squared
        there = same.subs(_turn, earlier["turn-at-rest"].rhs).subs(
            _a, earlier["left"].rhs.subs(_lr, expression.rhs / _weight_decay)
        )
        return (sp.simplify(there), expression.lhs - _decay_rest)

    def jacobian(earlier: Mapping[str, Any]) -> Any:
        """Return the Jacobian of (angle, squared norm) -> (minus next angle, next squared norm) at equilibrium."""
        put_in = earlier["turn"].rhs
        angle = -earlier["angle"].rhs.subs(_turn, put_in)
        norm = earlier["norm"].rhs.subs(_turn, put_in)
        matrix = sp.Matrix([[sp.diff(line, part) for part in (_angle, _norm_squared)] for line in (angle, norm)]).doit()
        tangent = earlier["turn-at-rest"].rhs
        rate = sp.solve(sp.Eq(put_in, tangent), _lr)[0]
        named = matrix.subs(sp.diff(_f(_angle), _angle), _curve).subs(_lr, rate).subs(_f(_angle), _slope)
        return named.subs(_a, earlier["left"].rhs.subs(_lr, earlier["decay-at-rest"].rhs / _weight_decay))

    def is_determinant(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.simplify(_double_angles(jacobian(earlier).det() - expression.rhs)), expression.lhs - _det)

    def is_trace(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.simplify(_double_angles(jacobian(earlier).trace() - expression.rhs)), expression.lhs - _trace)

    def small(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        force = _angle - _q * _angle**3
        exact = earlier["determinant"].rhs.subs({_slope: force, _curve: sp.diff(force, _angle)})
        claimed = expression.rhs.subs(_eps, earlier["decay-at-rest"].rhs)
        return (sp.series(exact - claimed, _angle, 0, 3).removeO(), expression.lhs - _det_leading)

    def rayleigh(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        force = sp.diff(sp.sin(_angle) ** 2, _angle)
        exact = earlier["determinant"].rhs.subs({_slope: force, _curve: sp.diff(force, _angle)})
        return (sp.simplify(_double_angles(exact) - expression.rhs), expression.lhs - _det_rayleigh)

    steps = (
        Step("left", "Decay leaves of the weights", equation(_a, 1 - _EPS), definition()),
        Step("along", "and a step keeps that of their norm.", equation(_along, _a * sp.sqrt(_norm_squared)), premise()),
        Step(
            "across",
            "The gradient is at right angles to them, f(θ) over their norm in size, so a step moves them across by",
            equation(_across, _lr * _f(_angle) / sp.sqrt(_norm_squared)),
            premise(),
        ),
        Step(
            "turn",
            "This turns them by an angle of tangent",
            equation(_turn, turn),
            proof(
                "the part across over the part along",
                lambda expression, earlier: (
                    expression.rhs - earlier["across"].rhs / earlier["along"].rhs,
                    expression.lhs - _turn,
                ),
            ),
        ),
        Step(
            "angle",
            "towards the minimum and beyond it,",
            equation(_angle_next, _angle - sp.atan(_turn)),
            premise(),
        ),
        Step(
            "norm",
            "and makes the squared norm",
            equation(_next, _a**2 * _norm_squared * (1 + _turn**2)),
            proof(
                "Pythagoras, with the turn put in",
                lambda expression, earlier: (
                    sp.expand(
                        expression.rhs.subs(_turn, earlier["turn"].rhs)
                        - earlier["along"].rhs ** 2
                        - earlier["across"].rhs ** 2
                    ),
                    expression.lhs - _next,
                ),
            ),
        ),
        Step(
            "turn-at-rest",
            "Equilibrium without noise needs a gradient, so the weights swing from one side of the minimum to the "
            "other: a step turns by twice the angle,",
            equation(_turn_rest, sp.tan(2 * _angle)),
            proof("put into the step, which then takes the angle to minus itself", swung),
        ),
        Step(
            "decay-at-rest",
            "and the norm is kept at the decay per step (1 − cos of the turn, as with noise)",
            equation(_decay_rest, 1 - sp.cos(2 * _angle)),
            proof("put into the squared norm after the step, which is then the one before", kept),
        ),
        Step(
            "determinant",
            "A displacement is multiplied, per step and up to the swing, by a Jacobian of determinant",
            equation(_det, det),
            proof("derivatives of the step in angle and squared norm, at equilibrium", is_determinant),
        ),
        Step(
            "trace",
            "and trace",
            equation(_trace, trace),
            proof("derivatives of the step in angle and squared norm, at equilibrium", is_trace),
        ),
        Step(
            "leading",
            "Above 1 the determinant means growth. For small decay and a slope of the loss like θ − q θ³ it is",
            equation(_det_leading, leading),
            proof("agrees with the determinant up to the second power of the angle", small),
        ),
        Step(
            "rayleigh",
            "so the equilibrium is unstable for q < 2/3, stable for q > 2/3, and for a Rayleigh quotient, sin² θ, "
            "exactly at the border at every decay.",
            equation(_det_rayleigh, 1),
            proof("the slope of sin² θ put into the determinant", rayleigh),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="noise-free-equilibrium",
        title="Descent with decay on a scale-invariant loss without noise: equilibrium and its stability",
        assumptions=(
            "Full-batch gradient descent with L2 on a loss that does not change when the weights are scaled; no noise.",
            "The direction moves in one plane, near a minimum that is symmetric in the angle.",
        ),
        steps=steps,
        equation=found["determinant"],
        results={
            "determinant": found["determinant"].rhs,
            "trace": found["trace"].rhs,
            "decay_at_rest": found["decay-at-rest"].rhs,
            "turn_at_rest": found["turn-at-rest"].rhs,
            "determinant_leading": found["leading"].rhs,
        },
        conditions=(
            Condition(
                _angle < sp.pi / 4,
                "a step turns by less than a right angle",
                exactly_where("what is left to a right angle of the turn 2θ", sp.pi / 2 - 2 * _angle),
            ),
        ),
        references=("lilyuarora2020", "wan2020"),
        quantities=_LINES,
    )


def _is_tan(expression: Any) -> Any:
    """Tell exactly whether the right side is the tangent of twice the angle, up to SymPy's rewriting."""
    return sp.simplify(sp.expand_trig(expression.rhs) - 2 * sp.tan(_angle) / (1 - sp.tan(_angle) ** 2))


def _double_angles(expression: Any) -> Any:
    """Write everything in the tangent of the angle, as a rational function of it."""
    t = sp.Dummy("t", positive=True)
    expanded = sp.expand_trig(expression)
    sine = {sp.sin(_angle): t / sp.sqrt(1 + t**2), sp.cos(_angle): 1 / sp.sqrt(1 + t**2), sp.tan(_angle): t}
    return sp.cancel(sp.together(expanded.subs(sine, simultaneous=True)))
