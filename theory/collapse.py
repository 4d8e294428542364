"""Derive the decay above which a two-layer network collapses: the stability of all weights zero."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import definition, equation, premise, proof
from .registry import derivation
from .steps import Stability, Step

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

(_weight_decay,) = symbols_of("weight_decay")


@derivation("collapse-threshold")
def _collapse_threshold() -> Derivation:
    """Derive that zero weights are stable for weight_decay > |phi'(0)| sigma_max(E[(y - p0) x^T])."""
    inner = quantity("inner", "u", "u", "weight", "size of the first layer along a direction of the inputs", real=True)
    outer = quantity(
        "outer", "v", "v", "weight", "size of the second layer along a direction of the outputs", real=True
    )
    slope = quantity("slope", "\\varphi'(0)", "φ'(0)", "1", "slope of the activation at zero", real=True)
    signal = quantity("signal", "\\sigma", "σ", "loss / weight²", "a singular value of E[(y − p0) xᵀ]", positive=True)
    largest = quantity(
        "signal_max",
        "\\sigma_{\\max}",
        "σ_max",
        "loss / weight²",
        "the largest singular value of E[(y − p0) xᵀ]",
        positive=True,
    )
    threshold = quantity(
        "weight_decay_threshold",
        "\\lambda_{c}",
        "λ_c",
        "loss / weight²",
        "decay above which zero is stable",
        positive=True,
    )
    stretch = quantity("input", "z", "z", "1", "input along the direction", real=True)
    answer = quantity("residual", "e", "e", "loss", "label less output at zero weights, along the direction", real=True)
    symmetric = quantity("aligned", "q", "q", "weight", "both layers displaced alike, v = u = q/√2", real=True)
    opposed = quantity("opposed", "q_{-}", "q_-", "weight", "layers displaced oppositely, v = −u", real=True)
    rate = quantity("growth_rate", "\\rho", "ρ", "loss / weight²", "growth rate of the aligned displacement", real=True)
    whole = quantity(
        "loss_change_total", "\\Delta F", "ΔF", "loss", "change for any displacement of both layers", real=True
    )
    n_values = quantity("n_values", "r", "r", "1", "singular values of E[(y − p0) xᵀ]", positive=True, integer=True)
    n_hidden = quantity("n_hidden", "H", "H", "1", "hidden units", positive=True, integer=True)
    signals, inners, outers = (sp.IndexedBase(name) for name in ("signal", "inner", "outer"))
    k, h = sp.symbols("k h", integer=True)
    t = sp.Symbol("time", nonnegative=True)
    phi = sp.Function("activation")
    u, v, z, e = inner.symbol, outer.symbol, stretch.symbol, answer.symbol
    moving_u, moving_v, moving_q, moving_o = (
        sp.Function(name, real=True) for name in ("inner", "outer", "aligned", "opposed")
    )
    loss = -slope.symbol * signal.symbol * u * v + _weight_decay * (u**2 + v**2) / 2
    flow_u = slope.symbol * signal.symbol * moving_v(t) - _weight_decay * moving_u(t)
    flow_v = slope.symbol * signal.symbol * moving_u(t) - _weight_decay * moving_v(t)

    def second_order(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        small = sp.Symbol("small", positive=True)
        change = earlier["first-order"].rhs.subs({u: small * u, v: small * v}, simultaneous=True)
        series = sum(sp.diff(change, small, order).subs(small, 0).doit() / sp.factorial(order) for order in range(3))
        known = {phi(0): 0, sp.Subs(sp.Derivative(phi(z), z), z, 0): slope.symbol}
        series = series.subs(known).doit().replace(lambda part: isinstance(part, sp.Subs), lambda _: slope.symbol)
        averaged = sp.expand(series.subs(phi(0), 0)).subs(e * z, earlier["singular"].rhs)
        return (averaged - expression.rhs,)

    def gradient_flow(variable: Any, own: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            force = -sp.diff(earlier["loss"].rhs, variable).subs({u: moving_u(t), v: moving_v(t)}, simultaneous=True)
            return (expression.rhs - force, expression.lhs - sp.Derivative(own(t), t))

        return proof("minus the derivative of the loss", residual)

    def along(sign: int, own: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            combined = earlier["flow-outer"].rhs + sign * earlier["flow-inner"].rhs
            shape = {moving_v(t): own(t), moving_u(t): sign * own(t)}
            return (
                combined.subs(shape, simultaneous=True) / 2 - expression.rhs,
                expression.lhs - sp.Derivative(own(t), t),
            )

        return proof("sum or difference of both flows, with the layers displaced alike or oppositely", residual)

    steps = (
        Step(
            "first-order",
            "Along one direction of the inputs and one of the outputs, with one hidden unit, the loss changes by minus "
            "the residual times the output, plus the penalty (the output's own square is of fourth order).",
            equation(
                sp.Symbol("loss_change", real=True),
                -e * v * phi(u * z) + _weight_decay * (u**2 + v**2) / 2,
            ),
            premise(),
        ),
        Step(
            "singular",
            "Averaged over the data, residual times input along a pair of singular directions is the singular value;",
            equation(e * z, signal.symbol),
            definition(),
        ),
        Step(
            "loss",
            "to second order in the weights, with φ(0) = 0:",
            equation(sp.Symbol("loss_change", real=True), loss),
            proof("Taylor series to second order, its mean over the data put in", second_order),
        ),
        Step(
            "modes",
            "Every displacement of both layers is a sum of such pairs, over singular values k and hidden units h.",
            equation(
                whole.symbol,
                sp.Sum(
                    -slope.symbol * signals[k] * outers[k, h] * inners[k, h]
                    + _weight_decay * (inners[k, h] ** 2 + outers[k, h] ** 2) / 2,
                    (k, 1, n_values.symbol),
                    (h, 1, n_hidden.symbol),
                ),
            ),
            proof("written out for two inputs, outputs and hidden units, with any singular directions", _mode_by_mode),
        ),
        Step(
            "flow-inner",
            "Gradient flow of the first layer",
            equation(sp.Derivative(moving_u(t), t), flow_u),
            gradient_flow(u, moving_u),
        ),
        Step(
            "flow-outer",
            "and of the second",
            equation(sp.Derivative(moving_v(t), t), flow_v),
            gradient_flow(v, moving_v),
        ),
        Step(
            "aligned",
            "decouple: layers displaced alike move by",
            equation(sp.Derivative(moving_q(t), t), (slope.symbol * signal.symbol - _weight_decay) * moving_q(t)),
            along(1, moving_q),
        ),
        Step(
            "opposed",
            "layers displaced oppositely by",
            equation(sp.Derivative(moving_o(t), t), (-slope.symbol * signal.symbol - _weight_decay) * moving_o(t)),
            along(-1, moving_o),
        ),
        Step(
            "growth",
            "One of the two grows at the rate (the other with the opposite sign of the slope)",
            equation(rate.symbol, sp.Abs(slope.symbol) * largest.symbol - _weight_decay),
            proof(
                "the larger of both rates, for the largest singular value and either sign of the slope",
                _larger_rate(slope.symbol, signal.symbol, largest.symbol),
            ),
        ),
        Step(
            "threshold",
            "which vanishes at the threshold: zero is stable above it and unstable below.",
            equation(threshold.symbol, sp.Abs(slope.symbol) * largest.symbol),
            proof(
                "put back into the growth rate, which vanishes there",
                lambda expression, earlier: (earlier["growth"].rhs.subs(_weight_decay, expression.rhs),),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="collapse-threshold",
        title="The collapse threshold: above which decay a two-layer network stays at zero",
        assumptions=(
            "Two layers of weights, no hidden biases, an activation with φ(0) = 0 and a slope there (not ReLU).",
            "p0 is the output at zero weights: 1/K for softmax without output bias, else the class frequencies.",
            "Both layers have the same decay.",
        ),
        steps=steps,
        equation=found["aligned"],
        results={"weight_decay_threshold": found["threshold"].rhs, "growth_rate": found["growth"].rhs},
        fixed_points=({moving_q(t): sp.S.Zero},),
        stability=(
            Stability(
                state=moving_q(t),
                kind="flow",
                fixed_point=0,
                jacobian=slope.symbol * signal.symbol - _weight_decay,
                stable=slope.symbol * signal.symbol < _weight_decay,
                sentence="Zero weights are stable where the decay exceeds slope times singular value.",
            ),
        ),
        references=("ziyinueda2022", "ziyin2022", "saxe2014"),
        quantities=(
            inner,
            outer,
            slope,
            signal,
            largest,
            threshold,
            stretch,
            answer,
            symmetric,
            opposed,
            rate,
            whole,
            n_values,
            n_hidden,
            quantity("loss_change", "\\Delta F", "ΔF", "loss", "change of the regularized loss", real=True),
            quantity("activation", "\\varphi", "φ", "1", "activation of the hidden units"),
        ),
    )


def _mode_by_mode(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the loss change of two full layers less its sum over modes, for rotations by any angles."""

    def rotation(half_tangent: Any) -> Any:
        cosine, sine = (1 - half_tangent**2) / (1 + half_tangent**2), 2 * half_tangent / (1 + half_tangent**2)
        return sp.Matrix([[cosine, -sine], [sine, cosine]])

    left, right = (rotation(sp.Dummy(real=True)) for _ in range(2))
    strengths = sp.symbols("first second", positive=True)
    outer, inner = (sp.Matrix(2, 2, lambda _row, _column: sp.Dummy(real=True)) for _ in range(2))
    signal = left * sp.diag(*strengths) * right.T
    one = earlier["loss"].rhs
    scalars = {name: sp.Symbol(name, real=True) for name in ("inner", "outer")} | {
        "signal": sp.Symbol("signal", positive=True)
    }
    pairing = one.coeff(scalars["outer"] * scalars["inner"] * scalars["signal"])
    penalty = one.subs(scalars["inner"], 0).coeff(scalars["outer"] ** 2)
    full = pairing * (outer.T * signal * inner.T).trace() + penalty * sum(part**2 for part in (*outer, *inner))
    along_outer, along_inner = left.T * outer, (inner * right).T
    total = sp.S.Zero
    for value in range(2):
        for unit in range(2):
            known = {
                sp.IndexedBase("signal"): strengths[value],
                sp.IndexedBase("outer"): along_outer[value, unit],
                sp.IndexedBase("inner"): along_inner[value, unit],
            }
            total += expression.rhs.function.replace(
                lambda part: isinstance(part, sp.Indexed), lambda part, known=known: known[part.base]
            )
    limits = tuple((limit[0].name, limit[1], limit[2].name) for limit in expression.rhs.limits)
    over_all = limits == (("k", 1, "n_values"), ("h", 1, "n_hidden"))
    return (sp.cancel(sp.together(sp.expand(full - total))), sp.true if over_all else sp.false)


def _larger_rate(slope: Any, signal: Any, largest: Any) -> Any:
    def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        rates = [
            next(iter(earlier[key].rhs.as_independent(*earlier[key].rhs.atoms(sp.core.function.AppliedUndef))))
            for key in ("aligned", "opposed")
        ]
        steep = sp.Symbol("steep", positive=True)
        return tuple(
            rates[place].subs({slope: sign * steep, signal: largest}) - expression.rhs.subs(slope, sign * steep)
            for place, sign in ((0, 1), (1, -1))
        )

    return residual


@derivation("collapse-threshold-relu")
def _collapse_threshold_relu() -> Derivation:
    """Derive that zero weights of a ReLU network are stable for weight_decay > max_u |E[(y - p0) relu(u.x)]|."""
    change = quantity("loss_change", "\\Delta F", "ΔF", "loss", "change of the regularized loss", real=True)
    size = quantity(
        "aligned", "q", "q", "weight", "norm of the in-weights and of the out-weights of a unit", positive=True
    )
    along = quantity(
        "relu_signal",
        "\\tau_{u}",
        "τ_u",
        "loss / weight²",
        "‖E[(y − p0) relu(u·x)]‖ for a unit vector u",
        nonnegative=True,
    )
    largest = quantity(
        "relu_signal_max", "\\tau", "τ", "loss / weight²", "maximum of that norm over unit vectors u", positive=True
    )
    rate = quantity(
        "growth_rate", "\\rho", "ρ", "loss / weight²", "growth rate of a unit along its best direction", real=True
    )
    threshold = quantity(
        "weight_decay_threshold",
        "\\lambda_{c}",
        "λ_c",
        "loss / weight²",
        "decay above which zero is stable",
        positive=True,
    )
    inner = quantity("inner", "u", "u", "weight", "norm of the in-weights of a unit", positive=True)
    outer = quantity("outer", "v", "v", "weight", "norm of its out-weights", positive=True)
    q, u, v = size.symbol, inner.symbol, outer.symbol
    t = sp.Symbol("time", nonnegative=True)
    moving = sp.Function("aligned", positive=True)
    steps = (
        Step(
            "loss",
            "With in-weights u along a unit vector and out-weights v along the mean residual they meet, relu(u x) is u "
            "times its value at the unit vector, whatever the size, and the loss changes to second order by",
            equation(change.symbol, -along.symbol * u * v + _weight_decay * (u**2 + v**2) / 2),
            premise(),
        ),
        Step(
            "balanced",
            "At a given product of both the penalty is least when they are equal:",
            equation(change.symbol, (_weight_decay - along.symbol) * q**2),
            proof(
                "both put equal; at fixed product the derivative of the penalty vanishes there",
                lambda expression, earlier: (
                    expression.rhs - earlier["loss"].rhs.subs({u: q, v: q}),
                    sp.diff(earlier["loss"].rhs.subs(v, q**2 / u), u).subs(u, q),
                ),
            ),
        ),
        Step(
            "flow",
            "Gradient flow of either then is",
            equation(sp.Derivative(moving(t), t), (along.symbol - _weight_decay) * moving(t)),
            proof(
                "minus the derivative of the loss with respect to one of them, with both equal",
                lambda expression, earlier: (
                    expression.rhs.subs(moving(t), q) + sp.diff(earlier["loss"].rhs, u).subs({u: q, v: q}),
                    expression.lhs - sp.Derivative(moving(t), t),
                ),
            ),
        ),
        Step(
            "growth",
            "The best direction grows at the rate",
            equation(rate.symbol, largest.symbol - _weight_decay),
            proof(
                "slope of the flow for the largest signal",
                lambda expression, earlier: (
                    sp.diff(earlier["flow"].rhs, moving(t)).subs(along.symbol, largest.symbol) - expression.rhs,
                ),
            ),
        ),
        Step(
            "threshold",
            "which vanishes at the threshold.",
            equation(threshold.symbol, largest.symbol),
            proof(
                "put back into the growth rate, which vanishes there",
                lambda expression, earlier: (earlier["growth"].rhs.subs(_weight_decay, expression.rhs),),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="collapse-threshold-relu",
        title="The collapse threshold of a two-layer ReLU network",
        assumptions=(
            "Two layers of weights with ReLU between, no hidden biases; p0 is the output at zero weights.",
            "Units add up to this order, so that the best single unit decides.",
            "Finding the best unit vector is a small non-convex maximization, which is left to whoever has the data.",
        ),
        steps=steps,
        equation=found["flow"],
        results={"weight_decay_threshold": found["threshold"].rhs, "growth_rate": found["growth"].rhs},
        fixed_points=({moving(t): sp.S.Zero},),
        stability=(
            Stability(
                state=moving(t),
                kind="flow",
                fixed_point=0,
                jacobian=along.symbol - _weight_decay,
                stable=along.symbol < _weight_decay,
                sentence="Zero weights are stable where the decay exceeds the signal of every direction.",
            ),
        ),
        references=("ziyinueda2022", "du2018"),
        quantities=(change, size, along, largest, rate, threshold, inner, outer),
    )
