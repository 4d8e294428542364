"""Derive size and rotation of a scale-invariant block, such as weights before a normalization, under SGD with decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import by_series, by_summation, definition, difference, equation, premise, proof
from .registry import derivation, derive
from .steps import Stability, Step
from .validity import KEEPS_PART

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _time, _n_weights = symbols_of("lr weight_decay time n_weights")
_norm_squared, _start, _next = symbols_of("norm_squared norm_squared_start norm_squared_next")
_power, _unit_power, _stationary, _angle = symbols_of(
    "gradient_power unit_gradient_power norm_squared_stationary angular_update"
)
_EPS = _lr * _weight_decay

_LINES = (
    quantity("weight", "w", "w", "weight", "a weight of the block", real=True),
    quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True),
    quantity("gradient", "g", "g", "loss / weight", "gradient of the mini-batch's loss, without penalty", real=True),
    quantity("decay_per_step", "\\varepsilon", "ε", "1", "lr times weight_decay", positive=True),
    quantity("overlap", "O", "O", "weight²", "⟨w, w'⟩ of the weights before and after a step", real=True),
    quantity(
        "one_minus_cosine", "1 - \\cos\\theta", "1 − cos θ", "1", "one minus the cosine between consecutive weights"
    ),
    quantity("angular_update_leading", "\\theta_{1}", "θ_1", "rad", "angular update for small decay", positive=True),
    quantity(
        "norm_squared_leading", "R_{1}", "R_1", "weight²", "stationary squared norm for small decay", positive=True
    ),
    quantity(
        "relaxation_per_step", "\\rho_{k}", "ρ_k", "1", "part of a displacement that a step takes away", real=True
    ),
    quantity(
        "relaxation_leading",
        "\\rho_{1}",
        "ρ_1",
        "1",
        "part of a displacement that a step takes away, for small decay",
        positive=True,
    ),
    quantity("rate", "r", "r", "loss", "rate of change of the squared norm, per unit of time", real=True),
    quantity("norm_fourth", "x", "x", "weight⁴", "fourth power of the norm, x = R²", positive=True),
    quantity(
        "norm_fourth_rate", "r_{x}", "r_x", "weight² loss", "rate of change of norm⁴, per unit of time", real=True
    ),
    quantity("relaxation_rate", "\\rho", "ρ", "loss / weight²", "rate at which norm⁴ relaxes, per time", positive=True),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_rate = _BY_NAME["rate"]


def _power_step() -> Step:
    """Return the step that says how the gradient shrinks with the size, read off from the symmetry."""

    def residual(expression: Any, _earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        transport = derive("scale-symmetry").step("transport-weight").expression.rhs
        ((moved, stretch),) = [(part, sp.diff(transport, part)) for part in transport.atoms(sp.Indexed)]
        shrink = (moved / transport).subs(next(iter(stretch.free_symbols)), sp.sqrt(_norm_squared))
        return (expression.rhs - _unit_power * shrink**2, expression.lhs - _power)

    return Step(
        "power",
        "A block of norm √R is √R times one of norm 1, where the gradient is √R times as large (derivation "
        "scale-symmetry), so that",
        equation(_power, _unit_power / _norm_squared),
        proof("the gradient at the stretched weights, as the symmetry has it", residual),
    )


@derivation("scale-invariant-step")
def _scale_invariant_step() -> Derivation:
    """Derive the exact stationary norm and rotation of a scale-invariant block: 1 - cos = lr weight_decay."""
    w, g, after = (sp.IndexedBase(_BY_NAME[name]) for name in ("weight", "gradient", "weight_next"))
    i = sp.Symbol("i", integer=True)
    block = (i, 1, _n_weights)
    (pull,) = symbols_of("radial_pull")
    names = ("decay_per_step", "overlap", "one_minus_cosine", "angular_update_leading", "norm_squared_leading")
    eps, overlap, cosine, leading_angle, leading_norm = (_BY_NAME[name] for name in names)
    relaxation, leading_relaxation = _BY_NAME["relaxation_per_step"], _BY_NAME["relaxation_leading"]
    left = 1 - _EPS
    rest = sp.sqrt(_lr * _unit_power / (_weight_decay * (2 - _EPS)))
    in_eps = {_lr: eps / _weight_decay}

    def radial(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        there = derive("radial-step").results["norm_squared_next"]
        return (
            expression.rhs
            - there.subs(earlier["no-pull"].lhs, earlier["no-pull"].rhs).subs(_power, earlier["power"].rhs),
            expression.lhs - _next,
        )

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (difference(earlier["step"]).subs(dict.fromkeys((_norm_squared, _next), expression.rhs)),)

    def cosine_of(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        same = earlier["overlap"].rhs.subs(earlier["no-pull"].lhs, earlier["no-pull"].rhs) / _norm_squared
        return (expression.rhs - (1 - same), expression.lhs - cosine)

    def angle_of(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (1 - sp.cos(expression.rhs) - earlier["cosine"].rhs, expression.lhs - _angle)

    def leading(key: str) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            ratio = (expression.rhs / earlier[key].rhs).subs(in_eps)
            # acos(1 - e) becomes 2 asin(sqrt(e/2)), whose series SymPy knows.
            ratio = ratio.replace(sp.acos, lambda part: 2 * sp.asin(sp.sqrt((1 - part) / 2)))
            return (sp.limit(sp.powsimp(ratio), eps, 0, "+") - 1,)

        return proof("its ratio to the exact value tends to 1 as lr times weight_decay goes to 0", residual)

    steps = (
        Step("update", "A step of SGD with decay:", equation(after[i], left * w[i] - _lr * g[i]), premise()),
        Step("norm", "The squared norm,", equation(_norm_squared, sp.Sum(w[i] ** 2, block)), definition()),
        Step("pull", "the pull", equation(pull, sp.Sum(-w[i] * g[i], block)), definition()),
        Step(
            "no-pull",
            "(which vanishes: the identity of the gradient in the derivation scale-symmetry),",
            equation(pull, 0),
            proof("the generator of the scaling is the weight itself", _no_pull),
        ),
        Step("overlaps", "and the overlap", equation(overlap, sp.Sum(w[i] * after[i], block)), definition()),
        Step(
            "overlap",
            "make the overlap with the weights a step earlier",
            equation(overlap, left * _norm_squared + _lr * pull),
            by_summation("norm", "pull", "overlaps", "update"),
        ),
        _power_step(),
        Step(
            "step",
            "One step does this to the squared norm (derivation radial-step, without pull).",
            equation(_next, left**2 * _norm_squared + _lr**2 * _unit_power / _norm_squared),
            proof("proven in the derivation radial-step, with no pull and the power put in", radial),
        ),
        Step(
            "stationary",
            "It rests at",
            equation(_stationary, rest),
            proof("put back into the equation of one step, with the same norm before and after", rests),
        ),
        Step(
            "leading",
            "or, for small decay,",
            equation(leading_norm, sp.sqrt(_lr * _unit_power / (2 * _weight_decay))),
            leading("stationary"),
        ),
        Step(
            "relaxation",
            "Of a displacement a step takes away the part",
            equation(relaxation, 2 * _EPS * (2 - _EPS)),
            proof(
                "one less the slope of the step at rest",
                lambda expression, earlier: (
                    1
                    - sp.diff(earlier["step"].rhs, _norm_squared).subs(_norm_squared, earlier["stationary"].rhs)
                    - expression.rhs,
                ),
            ),
        ),
        Step(
            "relaxation-leading",
            "which is, for small decay,",
            equation(leading_relaxation, 4 * _EPS),
            by_series("relaxation", eps, 2, in_eps),
        ),
        Step(
            "cosine",
            "At rest both norms are the same, so the cosine is the overlap over the squared norm: exactly",
            equation(cosine, _EPS),
            proof("the overlap without pull, divided by the squared norm", cosine_of),
        ),
        Step("angle", "The angle", equation(_angle, sp.acos(1 - _EPS)), proof("put back into the cosine", angle_of)),
        Step("angle-leading", "is, for small decay,", equation(leading_angle, sp.sqrt(2 * _EPS)), leading("angle")),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="scale-invariant-step",
        title="A scale-invariant block under SGD: size, rotation and return, exact per step",
        assumptions=(
            "The loss does not change when the block is scaled; plain SGD with L2.",
            "The squared gradient at unit norm is the same at every step (see norm-fourth-fluctuation for what its "
            "fluctuation does).",
        ),
        steps=steps,
        equation=found["step"],
        results={
            "norm_squared_stationary": found["stationary"].rhs,
            "norm_squared_next": found["step"].rhs,
            "norm_squared_leading": found["leading"].rhs,
            "one_minus_cosine": found["cosine"].rhs,
            "angular_update": found["angle"].rhs,
            "angular_update_leading": found["angle-leading"].rhs,
            "relaxation_per_step": found["relaxation"].rhs,
            "gradient_power": found["power"].rhs,
        },
        fixed_points=({_norm_squared: rest, _next: rest},),
        stability=(
            Stability(
                _norm_squared,
                "map",
                0,
                1 - 2 * _EPS * (2 - _EPS),
                sp.true,
                "The size at rest is stable for every learning rate and decay whose product is below 1.",
            ),
        ),
        conditions=(KEEPS_PART,),
        references=("vanlaarhoven2017", "wan2020"),
        quantities=_LINES,
    )


def _no_pull(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
    symmetry = derive("scale-symmetry")
    generator = symmetry.step("generator-weight").expression
    identity = symmetry.step("identity").expression
    (w,) = generator.rhs.atoms(sp.Indexed)
    same = sp.true if generator.rhs == w and identity.lhs.function.has(generator.lhs) else sp.false
    return (expression.rhs - identity.rhs, expression.lhs - earlier["pull"].lhs, same)


@derivation("scale-invariant-flow")
def _scale_invariant_flow() -> Derivation:
    """Derive the flow of a scale-invariant block's squared norm: its square relaxes at the rate 4 weight_decay."""
    t, lam = _time, _weight_decay
    norm, fourth = sp.Function("norm_squared", positive=True), sp.Function("norm_fourth", positive=True)
    x, x_rate, relaxation = _BY_NAME["norm_fourth"], _BY_NAME["norm_fourth_rate"], _BY_NAME["relaxation_rate"]
    rate = _lr * _unit_power / _norm_squared - 2 * lam * _norm_squared
    rest = _lr * _unit_power / (2 * lam)
    solution = rest + (_start**2 - rest) * sp.exp(-4 * lam * t)

    def from_norm_flow(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (pull,) = symbols_of("radial_pull")
        return (expression.rhs - derive("norm-flow").results["rate"].subs({pull: 0, _power: earlier["power"].rhs}),)

    def in_time(of: str, symbol: Any, function: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            return (
                expression.rhs - earlier[of].rhs.subs(symbol, function(t)),
                expression.lhs - sp.Derivative(function(t), t),
            )

        return proof("the rate, at the size of the time", residual)

    def squared(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        power = earlier["fourth"].rhs
        change = sp.diff(power, _norm_squared) * earlier["rate"].rhs
        return (sp.expand(change - expression.rhs.subs(x, power)), expression.lhs - x_rate)

    def solves(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        put_back = difference(earlier["fourth-flow"]).subs(fourth(t), expression.rhs).doit()
        return (sp.expand(put_back), sp.expand(expression.rhs.subs(t, 0)) - _start**2, expression.lhs - fourth(t))

    def root(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (sp.expand(expression.rhs**2 - earlier["fourth-solution"].rhs), expression.lhs - norm(t))

    steps = (
        _power_step(),
        Step(
            "rate",
            "The squared norm changes at the rate (derivation norm-flow, without pull)",
            equation(_rate, rate),
            proof("proven in the derivation norm-flow, with no pull and the power put in", from_norm_flow),
        ),
        Step(
            "flow",
            "There is no diffusion: the noise is at right angles to the weights.",
            equation(sp.Derivative(norm(t), t), rate.subs(_norm_squared, norm(t))),
            in_time("rate", _norm_squared, norm),
        ),
        Step("fourth", "Its square", equation(x, _norm_squared**2), definition()),
        Step(
            "fourth-rate",
            "changes at a rate that is linear,",
            equation(x_rate, 2 * _lr * _unit_power - 4 * lam * x),
            proof("chain rule", squared),
        ),
        Step(
            "fourth-flow",
            "so it obeys",
            equation(sp.Derivative(fourth(t), t), 2 * _lr * _unit_power - 4 * lam * fourth(t)),
            in_time("fourth-rate", x, fourth),
        ),
        Step(
            "fourth-solution",
            "with the solution",
            equation(fourth(t), solution),
            proof("put back into its differential equation, which it fulfils, and right at the start", solves),
        ),
        Step(
            "solution",
            "The squared norm is its root.",
            equation(norm(t), sp.sqrt(solution)),
            proof("its square is the solution for the fourth power", root),
        ),
        Step(
            "stationary",
            "In the end",
            equation(_stationary, sp.sqrt(rest)),
            proof(
                "put back into the rate, which vanishes there",
                lambda expression, earlier: (earlier["rate"].rhs.subs(_norm_squared, expression.rhs),),
            ),
        ),
        Step(
            "relaxation",
            "to which the fourth power of the norm relaxes at the rate",
            equation(relaxation, 4 * lam),
            proof(
                "minus the slope of its rate",
                lambda expression, earlier: (expression.rhs + sp.diff(earlier["fourth-rate"].rhs, x),),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="scale-invariant-flow",
        title="A scale-invariant block in continuous time: the fourth power of the norm is linear",
        assumptions=(
            "The loss does not change when the block is scaled; SGD with small steps.",
            "The squared gradient at unit norm is constant, or slow against the relaxation.",
        ),
        steps=steps,
        equation=found["fourth-flow"],
        results={
            "norm_squared": found["solution"].rhs,
            "norm_squared_stationary": found["stationary"].rhs,
            "rate": found["rate"].rhs,
            "norm_fourth": found["fourth-solution"].rhs,
            "norm_fourth_rate": found["fourth-rate"].rhs,
            "relaxation_rate": found["relaxation"].rhs,
        },
        fixed_points=({fourth(t): rest},),
        stability=(
            Stability(fourth(t), "flow", 0, -4 * lam, sp.true, "The size at rest is stable for every decay above 0."),
        ),
        references=("vanlaarhoven2017", "wan2020", "lilyuarora2020"),
        quantities=_LINES,
    )
