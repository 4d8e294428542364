"""Derive what decay leaves of the modes of linear networks: the soft threshold, and by depth fold and jump."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import by_differentiation, difference, equation, premise, proof
from .registry import derivation
from .steps import Stability, Step
from .validity import exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_weight_decay, _depth, _time = symbols_of("weight_decay depth time")
_SIGNAL = quantity(
    "signal", "s", "s", "1", "strength of the mode in the data (singular value of the target map)", positive=True
)
_MODE = quantity(
    "mode", "\\sigma", "σ", "1", "strength of the mode in the network (singular value of the product)", positive=True
)
_s, _sigma = _SIGNAL.symbol, _MODE.symbol


@derivation("soft-threshold")
def _soft_threshold() -> Derivation:
    """Derive that each mode of a two-layer linear network settles at max(signal - weight_decay, 0), logistically."""
    start = quantity("mode_start", "\\sigma_{0}", "σ_0", "1", "strength of the mode at the start", positive=True)
    settled = quantity(
        "mode_stationary", "\\sigma_{*}", "σ_*", "1", "strength of the mode at the end", nonnegative=True
    )
    rate = quantity("relaxation_rate", "\\rho", "ρ", "loss / weight²", "rate of the final approach", nonnegative=True)
    marginal = quantity(
        "mode_marginal", "\\sigma_{=}", "σ_=", "1", "the mode at time t if the signal equals the decay", positive=True
    )
    above = quantity("excess", "x", "x", "1", "how far the signal is from the decay", positive=True)
    inner = quantity("inner", "u", "u", "weight", "weight of the mode in the first layer", real=True)
    outer = quantity("outer", "v", "v", "weight", "weight of the mode in the second layer", real=True)
    loss = quantity("loss", "C", "C", "loss", "regularized loss of the mode", real=True)
    t, lam = _time, _weight_decay
    u, v, mode = (sp.Function(name, real=True) for name in ("inner", "outer", "mode"))
    a, b = inner.symbol, outer.symbol
    rest = _s - lam
    logistic = rest / (1 + (rest / start.symbol - 1) * sp.exp(-2 * rest * t))

    def flow_of(variable: Any, own: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            force = -sp.diff(earlier["loss"].rhs, variable).subs({a: u(t), b: v(t)}, simultaneous=True)
            return (expression.rhs - force, expression.lhs - sp.Derivative(own(t), t))

        return proof("minus the derivative of the loss", residual)

    def product(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flows = [earlier[key] for key in ("flow-inner", "flow-outer")]
        moving = sp.diff(u(t) * v(t), t).subs({flow.lhs: flow.rhs for flow in flows})
        balanced = {v(t): u(t)}
        return (
            moving.subs(balanced) - expression.rhs.subs(mode(t), u(t) ** 2),
            expression.lhs - sp.Derivative(mode(t), t),
        )

    def unbalanced(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flows = {earlier[key].lhs: earlier[key].rhs for key in ("flow-inner", "flow-outer")}
        return (expression.lhs.doit().subs(flows) - expression.rhs,)

    def settles(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flow = earlier["flow"].rhs
        cases = []
        for signal in (lam + above.symbol, lam * above.symbol / (1 + above.symbol)):
            end = sp.simplify(expression.rhs.subs(_s, signal))
            cases += [flow.subs({mode(t): end, _s: signal})]
            slope = sp.diff(flow, mode(t)).subs({mode(t): end, _s: signal})
            cases += [sp.true if sp.factor(sp.cancel(slope)).is_negative else sp.false]
        return tuple(cases)

    def returns(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flow, end = earlier["flow"].rhs, earlier["settled"].rhs
        signals = (lam + above.symbol, lam * above.symbol / (1 + above.symbol))
        return tuple(
            sp.simplify((sp.diff(flow, mode(t)).subs(mode(t), end) + expression.rhs).subs(_s, signal))
            for signal in signals
        )

    def solves(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flow = difference(earlier["flow"]).subs(mode(t), expression.rhs).doit()
        return (sp.cancel(sp.together(flow)), sp.cancel(expression.rhs.subs(t, 0) - start.symbol))

    def at_equality(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flow = difference(earlier["flow"]).subs(mode(t), expression.rhs).doit()
        closer = earlier["solution"].rhs.subs(_s, lam + above.symbol)
        return (
            sp.cancel(flow.subs(_s, lam)),
            sp.cancel(expression.rhs.subs(t, 0) - start.symbol),
            sp.cancel(sp.limit(closer, above.symbol, 0) - expression.rhs),
        )

    steps = (
        Step(
            "loss",
            "With whitened inputs and squared error every mode stands alone:",
            equation(loss.symbol, (_s - a * b) ** 2 / 2 + lam * (a**2 + b**2) / 2),
            premise(),
        ),
        Step(
            "flow-inner",
            "Gradient flow of the first layer",
            equation(sp.Derivative(u(t), t), (_s - u(t) * v(t)) * v(t) - lam * u(t)),
            flow_of(a, u),
        ),
        Step(
            "flow-outer",
            "and of the second.",
            equation(sp.Derivative(v(t), t), (_s - u(t) * v(t)) * u(t) - lam * v(t)),
            flow_of(b, v),
        ),
        Step(
            "balance",
            "The difference of their squares only decays, so both layers become alike,",
            equation(sp.Derivative(u(t) ** 2 - v(t) ** 2, t), -2 * lam * (u(t) ** 2 - v(t) ** 2)),
            proof("chain rule, with both flows put in", unbalanced),
        ),
        Step(
            "flow",
            "and then their product grows logistically, its signal lowered by the decay.",
            equation(sp.Derivative(mode(t), t), 2 * mode(t) * (_s - lam - mode(t))),
            proof("product rule, with both flows and equal layers put in", product),
        ),
        Step(
            "solution",
            "Solved:",
            equation(mode(t), logistic),
            proof("put back into its differential equation, which it fulfils, and right at the start", solves),
        ),
        Step(
            "marginal",
            "At the threshold, where signal and decay are equal, it dies out as one over the time.",
            equation(marginal.symbol, start.symbol / (1 + 2 * start.symbol * t)),
            proof(
                "put into the differential equation at equality, right at the start, limit of the solution", at_equality
            ),
        ),
        Step(
            "settled",
            "In the end the mode is thresholded softly.",
            equation(settled.symbol, sp.Max(0, _s - lam)),
            proof("fixed point with a falling slope, for signals above and below the decay", settles),
        ),
        Step(
            "rate",
            "The last of the way goes at the rate",
            equation(rate.symbol, 2 * sp.Abs(_s - lam)),
            proof("minus the slope at the end, for signals above and below the decay", returns),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="soft-threshold",
        title="Two-layer linear networks: every mode is thresholded softly",
        assumptions=(
            "Two linear layers, squared error, whitened inputs; both layers start aligned with the modes of the data.",
            "Gradient flow, and layers that are balanced (they become so: see the step on their difference).",
        ),
        steps=steps,
        equation=found["flow"],
        results={
            "mode_stationary": found["settled"].rhs,
            "mode": found["solution"].rhs,
            "mode_marginal": found["marginal"].rhs,
            "relaxation_rate": found["rate"].rhs,
        },
        fixed_points=({mode(t): sp.S.Zero}, {mode(t): rest}),
        stability=(
            Stability(mode(t), "flow", 0, 2 * rest, _s < lam, "A mode weaker than the decay dies out."),
            Stability(
                mode(t), "flow", 1, -2 * rest, _s > lam, "A mode stronger than the decay settles at the difference."
            ),
        ),
        zero_allowed=frozenset({"weight_decay"}),
        references=("saxe2014", "srebro2004"),
        quantities=(_SIGNAL, _MODE, start, settled, marginal, rate, above, inner, outer, loss),
    )


@derivation("depth-transition")
def _depth_transition() -> Derivation:
    """Derive the fold and the first-order transition of a mode of a linear network with three or more layers."""
    names = ("signal_fold", "mode_fold", "signal_transition", "mode_transition")
    letters = ("s_{c}", "\\sigma_{c}", "s_{t}", "\\sigma_{t}")
    told = (
        "weakest signal for which a non-zero mode exists",
        "strength of the mode there",
        "weakest signal for which a non-zero mode has the lower loss",
        "strength of the mode there",
    )
    marks = [
        quantity(
            name, letter, letter.replace("\\sigma", "σ").replace("{", "").replace("}", ""), "1", meaning, positive=True
        )
        for name, letter, meaning in zip(names, letters, told, strict=True)
    ]
    s_fold, m_fold, s_jump, m_jump = (mark.symbol for mark in marks)
    loss = quantity("loss", "F", "F", "loss", "regularized loss of the mode", real=True)
    at_zero = quantity("loss_at_zero", "F_{0}", "F_0", "loss", "loss with all weights zero", positive=True)
    factor = quantity("layer_factor", "a", "a", "weight", "weight of the mode in each layer", nonnegative=True)
    beyond = quantity(
        "hidden_beyond_one",
        "h",
        "h",
        "1",
        "hidden layers beyond the first: depth less two",
        positive=True,
        integer=True,
    )
    curve_slope = quantity("signal_slope", "s'", "s'", "1", "slope of signal against mode", real=True)
    bend = quantity("signal_bend", "s''", "s''", "1", "bend of signal against mode", positive=True)
    lam, L, h, t = _weight_decay, _depth, beyond.symbol, _time
    a = sp.Function("layer_factor", nonnegative=True)
    exponent = L / (2 * (L - 1))
    fold, jump = (lam * (L - 2) / L) ** exponent, (lam * (L - 2)) ** exponent
    deeper = {L: h + 2}

    def deep(*residuals: Any) -> tuple[Any, ...]:
        tidy = (
            residual.subs(deeper).replace(sp.Pow, lambda base, exp: base ** sp.cancel(exp)) for residual in residuals
        )
        return tuple(sp.powsimp(sp.expand(part), force=False) for part in tidy)

    def stationary(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        force = sp.diff(earlier["loss"].rhs, _sigma)
        return (force.subs(_s, expression.rhs), sp.diff(force, _s) + 1)

    def at_fold(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return deep(earlier["slope"].rhs.subs(_sigma, expression.rhs))

    def fold_signal(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        over_mode = sp.powsimp(sp.expand(earlier["branch"].rhs / _sigma))
        return deep(over_mode.subs(_sigma, earlier["fold"].rhs) - expression.rhs / earlier["fold"].rhs)

    def at_jump(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        gain = (earlier["loss"].rhs - earlier["zero"].rhs).subs(_s, earlier["branch"].rhs)
        over_square = sp.powsimp(sp.expand(sp.powsimp(sp.expand(gain)) / _sigma**2))
        return deep(over_square.subs(_sigma, expression.rhs))

    def jump_signal(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        over_mode = sp.powsimp(sp.expand(earlier["branch"].rhs / _sigma))
        return deep(over_mode.subs(_sigma, earlier["jump"].rhs) - expression.rhs / earlier["jump"].rhs)

    def flow(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        x = factor.symbol
        alike = earlier["loss"].rhs.subs(_sigma, x**L)
        force = sp.powsimp(sp.expand(-sp.diff(alike, x) / L).subs(deeper))
        return (sp.powsimp(sp.expand(expression.rhs.subs(a(t), x))) - force, expression.lhs - sp.Derivative(a(t), t))

    steps = (
        Step(
            "loss",
            "With all layers alike, a mode of strength σ has the squared size σ^(2/L) in each of the L layers.",
            equation(loss.symbol, (_s - _sigma) ** 2 / 2 + lam * L * _sigma ** (2 / L) / 2),
            premise(),
        ),
        Step(
            "zero",
            "With all weights zero the loss is",
            equation(at_zero.symbol, _s**2 / 2),
            proof(
                "limit of the loss for the mode to zero",
                lambda expression, earlier: (sp.limit(earlier["loss"].rhs.subs(L, 3), _sigma, 0) - expression.rhs,),
            ),
        ),
        Step(
            "branch",
            "It is stationary where the signal is",
            equation(_s, _sigma + lam * _sigma ** (2 / L - 1)),
            proof("derivative of the loss, which vanishes there and is linear in the signal", stationary),
        ),
        Step(
            "slope",
            "Along this branch the signal has the slope",
            equation(curve_slope.symbol, 1 - lam * (1 - 2 / L) * _sigma ** (2 / L - 2)),
            by_differentiation("branch", _sigma),
        ),
        Step(
            "bend",
            "and bends upwards for three or more layers: there is a weakest signal.",
            equation(bend.symbol, lam * (1 - 2 / L) * (2 - 2 / L) * _sigma ** (2 / L - 3)),
            proof(
                "derivative of the slope; positive for every depth from three on",
                lambda expression, earlier: (
                    sp.diff(earlier["slope"].rhs, _sigma) - expression.rhs,
                    sp.true if sp.factor(expression.rhs.subs(deeper)).is_positive else sp.false,
                ),
            ),
        ),
        Step(
            "fold",
            "It lies where the slope vanishes,",
            equation(m_fold, fold),
            proof("put back into the slope, which vanishes there", at_fold),
        ),
        Step(
            "fold-signal",
            "at the signal",
            equation(s_fold, (2 * L - 2) / (L - 2) * fold),
            proof("the branch at the fold", fold_signal),
        ),
        Step(
            "jump",
            "The loss equals that of all weights zero at the mode",
            equation(m_jump, jump),
            proof("put back into the difference of both losses along the branch, which vanishes there", at_jump),
        ),
        Step(
            "jump-signal",
            "and the signal",
            equation(s_jump, (L - 1) / (L - 2) * jump),
            proof("the branch at the jump", jump_signal),
        ),
        Step(
            "flow",
            "Gradient flow of equal layers",
            equation(sp.Derivative(a(t), t), (_s - a(t) ** (h + 2)) * a(t) ** (h + 1) - lam * a(t)),
            proof("minus the derivative of the loss with respect to one layer of L = h + 2", flow),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="depth-transition",
        title="Deep linear networks: fold and first-order transition by depth",
        assumptions=(
            "Linear layers, squared error, whitened inputs, all layers alike in the mode.",
            "At least three layers of weights; all have the same decay.",
        ),
        steps=steps,
        equation=found["flow"],
        results={
            "signal_transition": found["jump-signal"].rhs,
            "mode_transition": found["jump"].rhs,
            "signal_fold": found["fold-signal"].rhs,
            "mode_fold": found["fold"].rhs,
            "signal": found["branch"].rhs,
            "loss": found["loss"].rhs,
        },
        fixed_points=({a(t): sp.S.Zero},),
        stability=(
            Stability(
                a(t),
                "flow",
                0,
                -lam,
                sp.true,
                "With two or more hidden layers, zero weights are stable for every decay above zero.",
            ),
        ),
        conditions=(
            Condition(
                _depth >= 3,
                "with two layers the transition is continuous: see the derivation soft-threshold",
                exactly_where("the power of the mode by which decay is less at large modes, 1 − 2/L,", 1 - 2 / _depth),
            ),
        ),
        references=("ziyin2022", "ziyinueda2022", "saxe2014"),
        quantities=(_SIGNAL, _MODE, *marks, loss, at_zero, factor, beyond, curve_slope, bend),
    )
