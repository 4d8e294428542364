"""Derive the exact recursions that heavy-ball momentum makes of conserved quantities, and where they oscillate."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, premise, proof
from .ranges import by_range
from .registry import derivation
from .steps import Step
from .validity import forgets

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _momentum, _n_weights = symbols_of("lr weight_decay momentum n_weights")
_EPS = _lr * _weight_decay
_i = sp.Symbol("i", integer=True)
_BLOCK = (_i, 1, _n_weights)
_KEPT = forgets(_momentum, "a buffer with momentum 1 or more never forgets")

_LINES = (
    quantity("weight", "w", "w", "weight", "a weight", real=True),
    quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True),
    quantity("buffer", "v", "v", "loss / weight", "momentum buffer before the step", real=True),
    quantity("buffer_next", "v'", "v'", "loss / weight", "the buffer of the step", real=True),
    quantity("gradient", "g", "g", "loss / weight", "gradient of the mini-batch's loss, without penalty", real=True),
    quantity("sign", "m", "m", "1", "coefficient of the weight in the charge", real=True),
    quantity("charge", "Q", "Q", "weight^d", "what gradient flow conserves (the charge)", real=True),
    quantity("charge_next", "Q'", "Q'", "weight^d", "the charge after the step", real=True),
    quantity("charge_before", "Q_{-}", "Q_-", "weight^d", "the charge one step earlier", real=True),
    quantity("charge_stationary", "Q_{*}", "Q_*", "weight²", "charge where decay and steps balance", real=True),
    quantity("overlap", "O", "O", "loss", "Σ m w v, weights with buffer", real=True),
    quantity("overlap_next", "O'", "O'", "loss", "overlap after the step", real=True),
    quantity("buffer_charge", "V", "V", "(loss/weight)²", "Σ m v², the charge of the buffer", real=True),
    quantity("buffer_charge_next", "V'", "V'", "(loss/weight)²", "charge of the buffer after the step", real=True),
    quantity("buffer_gradient", "D", "D", "(loss/weight)²", "Σ m v g, buffer with gradient", real=True),
    quantity("gradient_charge", "Q_{g}", "Q_g", "(loss/weight)²", "Σ m g²", real=True),
    quantity("along", "I", "I", "loss", "generator times gradient, which vanishes", real=True),
    quantity("root", "z", "z", "1", "factor per step of a solution", real=True),
    quantity("discriminant", "\\Delta", "Δ", "1", "discriminant of the characteristic equation", real=True),
    quantity(
        "critical_decay_per_step",
        "\\varepsilon_{c}",
        "ε_c",
        "1",
        "lr times weight_decay above which the charge oscillates",
        positive=True,
    ),
    quantity(
        "largest_decay_per_step", "\\varepsilon_{m}", "ε_m", "1", "lr times weight_decay at the limit of stability"
    ),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_charge, _charge_next, _charge_before = (_BY_NAME[name] for name in ("charge", "charge_next", "charge_before"))
_z, _discriminant, _critical, _largest = (
    _BY_NAME[name] for name in ("root", "discriminant", "critical_decay_per_step", "largest_decay_per_step")
)
_B = _momentum
_BORDER = (1 - sp.sqrt(_B)) ** 2
_CHARACTERISTIC = _z**2 - (1 + _B - _EPS) * _z + _B


def _indexed(*names: str) -> tuple[Any, ...]:
    return tuple(sp.IndexedBase(_BY_NAME[name])[_i] for name in names)


def _heavy_ball(w: Any, v: Any, g: Any, w_next: Any, v_next: Any) -> tuple[Step, Step]:
    return (
        Step(
            "buffer",
            "The buffer of heavy-ball SGD takes up the gradient with its L2 term,",
            equation(v_next, _B * v + g + _weight_decay * w),
            premise(),
        ),
        Step("update", "and the weights follow the buffer.", equation(w_next, w - _lr * v_next), premise()),
    )


def _sums(*keys: str) -> Any:
    """Return a residual: definitions of sums put in for their names, then the updates, term by term."""

    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        whole = difference(expression)
        for key in keys:
            whole = whole.subs(earlier[key].lhs, earlier[key].rhs)
        rules = [{earlier[key].lhs: earlier[key].rhs} for key in ("update", "buffer")]
        return tuple(sp.expand(part) for part in by_range(whole, *rules).values())

    return proof("definitions and updates put in, term by term: the difference expands to zero", residual)


@derivation("momentum-linear-charge")
def _momentum_linear_charge() -> Derivation:
    """Derive the exact recursion of a linear charge (translation) under heavy-ball SGD, and where it oscillates."""
    w, v, g, w_next, v_next = _indexed("weight", "buffer", "gradient", "weight_next", "buffer_next")
    along, overlap = _BY_NAME["along"], _BY_NAME["overlap"]
    closed = _charge * (1 + _B - _EPS) - _B * _charge_before

    def two_steps(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        stepped = earlier["step"].rhs.subs(earlier["identity"].lhs, earlier["identity"].rhs)
        buffer_before = sp.solve(difference(earlier["before"]), overlap)[0]
        return (expression.rhs - stepped.subs(overlap, buffer_before), expression.lhs - _charge_next)

    def characteristic(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        solution = {_charge_next: _z**2, _charge: _z, _charge_before: 1}
        return (difference(earlier["recursion"]).subs(solution) - expression.lhs, expression.rhs)

    def border(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        at_border = earlier["discriminant"].rhs.subs(_lr, expression.rhs / _weight_decay)
        below = earlier["discriminant"].rhs.subs(_lr, expression.rhs / _weight_decay / 2).subs(_B, sp.Rational(1, 4))
        return (sp.expand(at_border), sp.true if below.is_positive else sp.false)

    def largest(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        at_limit = earlier["characteristic"].lhs.subs(_lr, expression.rhs / _weight_decay)
        return (at_limit.subs(_z, -1),)

    steps = (
        *_heavy_ball(w, v, g, w_next, v_next),
        Step("charge", "A linear charge", equation(_charge, sp.Sum(w, _BLOCK)), definition()),
        Step("next", "after the step", equation(_charge_next, sp.Sum(w_next, _BLOCK)), definition()),
        Step("buffer-charge", "the same sum over the buffer,", equation(overlap, sp.Sum(v, _BLOCK)), definition()),
        Step("along", "and over the gradient,", equation(along, sp.Sum(g, _BLOCK)), definition()),
        Step(
            "identity",
            "which vanishes by the symmetry (derivation translation-symmetry).",
            equation(along, 0),
            premise(),
        ),
        Step(
            "step",
            "One step:",
            equation(_charge_next, _charge - _lr * (_B * overlap + along + _weight_decay * _charge)),
            _sums("next", "charge", "buffer-charge", "along"),
        ),
        Step(
            "before",
            "The buffer has brought the charge here from the step before:",
            equation(_charge, _charge_before - _lr * overlap),
            proof("the update, summed, one step earlier", _sums_one_step_earlier),
        ),
        Step(
            "recursion",
            "The buffer taken out, the charge goes its own way, whatever the data:",
            equation(_charge_next, closed),
            proof("the step, with the buffer solved from the step before and the identity put in", two_steps),
        ),
        Step(
            "characteristic",
            "Solutions that change by a factor z per step obey",
            equation(_CHARACTERISTIC, 0),
            proof("put into the recursion", characteristic),
        ),
        Step(
            "discriminant",
            "whose discriminant",
            equation(_discriminant, (_BORDER - _EPS) * ((1 + sp.sqrt(_B)) ** 2 - _EPS)),
            proof(
                "discriminant of the characteristic polynomial",
                lambda expression, earlier: (
                    sp.expand(sp.discriminant(earlier["characteristic"].lhs, _z) - expression.rhs),
                ),
            ),
        ),
        Step(
            "border",
            "vanishes at the border between creeping (below) and oscillating (above),",
            equation(_critical, _BORDER),
            proof("the discriminant vanishes there, and is positive below", border),
        ),
        Step(
            "largest",
            "and a factor of −1, the limit of stability, is reached at",
            equation(_largest, 2 * (1 + _B)),
            proof("put into the characteristic equation with z = −1", largest),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="momentum-linear-charge",
        title="Momentum and a linear charge: the exact recursion and the border of oscillation",
        assumptions=(
            "Heavy-ball SGD without dampening; the decay goes into the gradient before the buffer (coupled).",
            "A symmetry with a constant generator, such as translation; exact at every learning rate.",
        ),
        steps=steps,
        equation=found["recursion"],
        results={
            "charge_next": found["recursion"].rhs,
            "critical_decay_per_step": found["border"].rhs,
            "largest_decay_per_step": found["largest"].rhs,
            "discriminant": found["discriminant"].rhs,
        },
        fixed_points=({_charge: sp.S.Zero, _charge_next: sp.S.Zero, _charge_before: sp.S.Zero},),
        conditions=(_KEPT,),
        zero_allowed=frozenset({"momentum", "weight_decay"}),
        references=("kunin2021",),
        quantities=_LINES,
    )


def _sums_one_step_earlier(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    w, v, w_next, v_next = _indexed("weight", "buffer", "weight_next", "buffer_next")
    later = {_charge: earlier["next"].rhs, _charge_before: earlier["charge"].rhs}
    buffer = earlier["buffer-charge"]
    whole = difference(expression).subs(later, simultaneous=True).subs(buffer.lhs, buffer.rhs)
    parts = by_range(whole, {v: v_next}, {w_next: earlier["update"].rhs})
    return (*(sp.expand(part) for part in parts.values()), sp.true if w in whole.atoms(sp.Indexed) else sp.false)


@derivation("momentum-quadratic-charge")
def _momentum_quadratic_charge() -> Derivation:
    """Derive the exact recursion of a quadratic charge (scale, rescale) under heavy-ball SGD, its border and rest."""
    w, v, g, w_next, v_next, m = _indexed("weight", "buffer", "gradient", "weight_next", "buffer_next", "sign")
    names = ("overlap", "overlap_next", "buffer_charge", "buffer_charge_next", "buffer_gradient", "gradient_charge")
    overlap, overlap_next, power, power_next, cross, of_gradient = (_BY_NAME[name] for name in names)
    along, stationary = _BY_NAME["along"], _BY_NAME["charge_stationary"]
    new_power = _B**2 * power + 2 * _B * (cross + _weight_decay * overlap) + of_gradient + _weight_decay**2 * _charge
    middle = _B * overlap + _weight_decay * _charge
    factored = (_z - _B) * (_z**2 - ((1 + _B - _EPS) ** 2 - 2 * _B) * _z + _B**2)
    sums = ("next", "overlap-next", "power-next", "charge", "overlap", "power", "cross", "of-gradient", "along")

    def term_by_term(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # The names of the new sums that the right side uses are put in first.
        return tuple(_sums(*sums).residual(_with_identity(expression, earlier), earlier))

    def characteristic(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        state = (_charge, overlap, power)
        undriven = {cross: 0, of_gradient: 0}
        closed = {power_next: earlier["power-step"].rhs}
        right = [earlier[key].rhs.subs(closed).subs(undriven) for key in ("charge-step", "overlap-step", "power-step")]
        matrix = sp.Matrix([[sp.diff(line, part) for part in state] for line in right])
        return (sp.expand((_z * sp.eye(3) - matrix).det() - expression.lhs), expression.rhs)

    def border(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        pair = sp.cancel(earlier["characteristic"].lhs / (_z - _B))
        return (sp.expand(sp.discriminant(pair, _z).subs(_lr, expression.rhs / _weight_decay)),)

    def rest(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        same = {_charge_next: _charge, overlap_next: overlap}
        lines = [difference(earlier[key]).subs(same).subs(power_next, power) for key in ("charge-step", "overlap-step")]
        (found,) = sp.solve(lines, (_charge, overlap), dict=True)
        return (expression.rhs - found[_charge], expression.lhs - stationary)

    steps = (
        *_heavy_ball(w, v, g, w_next, v_next),
        Step("charge", "A quadratic charge", equation(_charge, sp.Sum(m * w**2, _BLOCK)), definition()),
        Step("next", "after the step,", equation(_charge_next, sp.Sum(m * w_next**2, _BLOCK)), definition()),
        Step("overlap", "its overlap with the buffer", equation(overlap, sp.Sum(m * w * v, _BLOCK)), definition()),
        Step(
            "overlap-next",
            "after the step,",
            equation(overlap_next, sp.Sum(m * w_next * v_next, _BLOCK)),
            definition(),
        ),
        Step("power", "the charge of the buffer", equation(power, sp.Sum(m * v**2, _BLOCK)), definition()),
        Step("power-next", "after the step,", equation(power_next, sp.Sum(m * v_next**2, _BLOCK)), definition()),
        Step("cross", "of buffer with gradient,", equation(cross, sp.Sum(m * v * g, _BLOCK)), definition()),
        Step("of-gradient", "and of the gradient.", equation(of_gradient, sp.Sum(m * g**2, _BLOCK)), definition()),
        Step("along", "The generator times the gradient", equation(along, sp.Sum(m * w * g, _BLOCK)), definition()),
        Step("identity", "vanishes by the symmetry (derivation scale-symmetry).", equation(along, 0), premise()),
        Step(
            "power-step",
            "One step makes of the buffer's charge",
            equation(power_next, new_power),
            proof("definitions and updates put in, term by term, less a multiple of the identity", term_by_term),
        ),
        Step(
            "charge-step",
            "of the charge",
            equation(_charge_next, _charge - 2 * _lr * middle + _lr**2 * power_next),
            proof("definitions and updates put in, term by term, less a multiple of the identity", term_by_term),
        ),
        Step(
            "overlap-step",
            "and of the overlap",
            equation(overlap_next, middle - _lr * power_next),
            proof("definitions and updates put in, term by term, less a multiple of the identity", term_by_term),
        ),
        Step(
            "characteristic",
            "Without the drive by the gradients, solutions that change by a factor z per step obey",
            equation(factored, 0),
            proof("characteristic polynomial of the three recursions", characteristic),
        ),
        Step(
            "border",
            "so that the border of oscillation is the one of a linear charge:",
            equation(_critical, _BORDER),
            proof("discriminant of the quadratic factor, which vanishes there", border),
        ),
        Step(
            "stationary",
            "At rest, decay balances the charge of the buffer:",
            equation(stationary, _lr * (1 + _B) * power / (2 * _weight_decay)),
            proof("both recursions with the same values before and after, solved for the charge", rest),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="momentum-quadratic-charge",
        title="Momentum and a quadratic charge: the exact recursions and their border of oscillation",
        assumptions=(
            "Heavy-ball SGD without dampening; the decay goes into the gradient before the buffer (coupled).",
            "A symmetry whose charge is a sum of squares with coefficients, such as scale and rescale; exact at every "
            "learning rate.",
            "The rest is one of means over steps.",
        ),
        steps=steps,
        equation=found["charge-step"],
        results={
            "charge_stationary": found["stationary"].rhs,
            "critical_decay_per_step": found["border"].rhs,
            "charge_next": found["charge-step"].rhs,
            "overlap_next": found["overlap-step"].rhs,
            "buffer_charge_next": found["power-step"].rhs,
        },
        conditions=(_KEPT,),
        zero_allowed=frozenset({"momentum", "weight_decay"}),
        references=("kunin2021", "yaida2018"),
        quantities=_LINES,
    )


def _with_identity(expression: Any, earlier: Mapping[str, Any]) -> Any:
    """Return the equation with the multiple of the vanishing sum added that its left side contains."""
    new = str(expression.lhs)
    w_part = {"charge_next": -2 * _lr, "overlap_next": sp.S.One, "buffer_charge_next": 2 * _weight_decay}[new]
    return equation(expression.lhs, expression.rhs + w_part * (earlier["identity"].lhs - earlier["identity"].rhs))
