"""Derive where a block comes to rest when it is rescaled: pull and noise that go as powers of its size, and decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .notation import quantity, symbols_of
from .proofs import definition, difference, equation, premise, proof
from .registry import derivation, derive
from .steps import Stability, Step
from .vanishing import rational_points

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _time, _norm_squared, _start = symbols_of("lr weight_decay time norm_squared norm_squared_start")
_pull, _power, _stationary = symbols_of("radial_pull gradient_power norm_squared_stationary")
_EPS = _lr * _weight_decay

_LINES = (
    quantity("factor", "\\alpha", "α", "1", "factor on the weights of the block", positive=True),
    quantity("pull_exponent", "p", "p", "1", "exponent of the pull: P(αW) = α^p P(W)", real=True),
    quantity("power_exponent", "q", "q", "1", "exponent of the gradient power: G²(αW) = α^q G²(W)", real=True),
    quantity("pull_rescaled", "P_{\\alpha}", "P_α", "loss", "pull on the rescaled block", real=True),
    quantity(
        "power_rescaled", "G_{\\alpha}^{2}", "G_α²", "(loss/weight)²", "power on the rescaled block", positive=True
    ),
    quantity("rate", "r", "r", "loss", "rate of change of the squared norm, per unit of time", real=True),
    quantity("pull_share", "s", "s", "1", "part of what feeds the norm that comes from the pull", real=True),
    quantity("relaxation_rate", "\\rho", "ρ", "loss / weight²", "rate at which a displacement dies out, per time"),
    quantity(
        "excess",
        "h",
        "h",
        "1",
        "h = 1 − κ/2, where the source goes with the exponent κ of the norm (decay goes with 2)",
        real=True,
        nonzero=True,
    ),
    quantity("source_exponent", "\\kappa", "κ", "1", "exponent of the source", real=True),
    quantity("source", "S", "S", "loss", "what feeds the squared norm at size 1, per time", positive=True),
    quantity("factor_fold", "\\alpha_{c}", "α_c", "1", "factor at the fold, where two rests meet", positive=True),
    quantity("decay_fold", "\\lambda_{c}", "λ_c", "loss / weight²", "decay at the fold", positive=True),
    quantity("decay_at_factor", "\\lambda(\\alpha)", "λ(α)", "loss / weight²", "decay at which the block rests at α"),
    quantity("decay_slope", "\\lambda'", "λ'", "loss / weight²", "derivative of the decay at rest in log α", real=True),
    quantity(
        "decay_bend",
        "\\lambda''",
        "λ''",
        "loss / weight²",
        "second derivative of the decay at rest in log α",
        real=True,
    ),
    quantity("power_of_norm", "y", "y", "weight^2h", "R^h, which obeys a linear equation", positive=True),
    quantity(
        "relaxation_per_step", "\\rho_{k}", "ρ_k", "1", "rate at which a displacement dies out, per step", real=True
    ),
)
_BY_NAME = {line.name: line.symbol for line in _LINES}
_a, _p, _q, _rate = (_BY_NAME[name] for name in ("factor", "pull_exponent", "power_exponent", "rate"))
_share, _relaxation, _h, _source = (_BY_NAME[name] for name in ("pull_share", "relaxation_rate", "excess", "source"))


@derivation("rescaling-balance")
def _rescaling_balance() -> Derivation:
    """Derive the rest of a rescaled block with pull ~ alpha^p and noise ~ alpha^q: stability, rate, fold."""
    pull_rescaled, power_rescaled = _BY_NAME["pull_rescaled"], _BY_NAME["power_rescaled"]
    fold, decay_fold, decay_at, slope, bend = (
        _BY_NAME[name] for name in ("factor_fold", "decay_fold", "decay_at_factor", "decay_slope", "decay_bend")
    )
    factor = sp.Function("factor", positive=True)
    flow = -_weight_decay * _a + (_pull * _a ** (_p - 1) + _lr * _power * _a ** (_q - 1) / 2) / _norm_squared
    at = (_pull * _a ** (_p - 2) + _lr * _power * _a ** (_q - 2) / 2) / _norm_squared
    log_slope = ((_p - 2) * _pull * _a ** (_p - 2) + (_q - 2) * _lr * _power * _a ** (_q - 2) / 2) / _norm_squared
    rate = _weight_decay * (2 - _share * _p - (1 - _share) * _q)
    meet = ((2 - _q) * _lr * _power / (2 * (_p - 2) * _pull)) ** (1 / (_p - _q))

    def scaled_flow(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        norm = _a**2 * _norm_squared
        feeds = {_pull: earlier["pull"].rhs, _power: earlier["power"].rhs, _norm_squared: norm}
        of_norm = derive("norm-flow").results["rate"].subs(feeds, simultaneous=True)
        change = of_norm / sp.diff(norm, _a)
        return (
            sp.powsimp(sp.expand(expression.rhs.subs(factor(_time), _a) - change)),
            expression.lhs - sp.Derivative(factor(_time), _time),
        )

    def rests(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        flow_there = earlier["flow"].rhs.subs(factor(_time), _a).subs(_weight_decay, expression.rhs)
        return (sp.powsimp(sp.expand(flow_there)), expression.lhs - decay_at)

    def log_derivative(of: str) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            return (sp.powsimp(sp.expand(_a * sp.diff(earlier[of].rhs, _a) - expression.rhs)),)

        return proof("derivative of an earlier step in log α", residual)

    def jacobian(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # At rest, rescaled so that the block rests at factor 1.
        flow_of = earlier["flow"].rhs.subs(factor(_time), _a)
        slope_at_one = sp.diff(flow_of, _a).subs(_a, 1)
        fed = sp.solve(difference(earlier["share"]), _pull)[0]
        noise = sp.solve(flow_of.subs(_a, 1).subs(_pull, fed), _power)[0]
        left = (slope_at_one + expression.rhs).subs(_pull, fed).subs(_power, noise)
        (point,) = rational_points(left.free_symbols, 1)
        value = left.subs(point).evalf(30)
        return (sp.cancel(left) if abs(value) < sp.Rational(1, 10**20) else value,)  # what is wrong need not be simple

    def meets(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        more, less, pulled = sp.symbols("more less pulled", positive=True)
        sides = {_p: 2 + more, _q: 2 - less, _pull: pulled}
        at_place, over_noise = expression.rhs.subs(sides), (earlier["slope"].rhs / _a ** (_q - 2)).subs(sides)
        return (sp.expand(sp.powsimp(sp.expand(over_noise)).subs(_a ** (more + less), at_place ** (more + less))),)

    def at_fold(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (
            sp.powsimp(sp.expand(earlier["decay"].rhs.subs(_a, fold) - expression.rhs)),
            expression.lhs - decay_fold,
        )

    steps = (
        Step(
            "pull",
            "Weights times α: the pull goes as a power of α (0 without pull),",
            equation(pull_rescaled, _a**_p * _pull),
            premise(),
        ),
        Step("power", "the gradient power as another.", equation(power_rescaled, _a**_q * _power), premise()),
        Step(
            "flow",
            "Put into the flow of the squared norm (derivation norm-flow), the factor moves as",
            equation(sp.Derivative(factor(_time), _time), flow.subs(_a, factor(_time))),
            proof("the norm's flow at the rescaled weights, by the chain rule for R α²", scaled_flow),
        ),
        Step("decay", "It rests where the decay is", equation(decay_at, at), proof("put back into the flow", rests)),
        Step(
            "slope",
            "This decay changes with the logarithm of the factor by (below 0: this rest is stable)",
            equation(slope, log_slope),
            log_derivative("decay"),
        ),
        Step(
            "bend",
            "and bends by",
            equation(
                bend,
                ((_p - 2) ** 2 * _pull * _a ** (_p - 2) + (_q - 2) ** 2 * _lr * _power * _a ** (_q - 2) / 2)
                / _norm_squared,
            ),
            log_derivative("slope"),
        ),
        Step(
            "share",
            "With the share of the pull in what feeds the norm",
            equation(_share, _pull / (_pull + _lr * _power / 2)),
            definition(),
        ),
        Step(
            "rate",
            "a displacement of a block at rest dies out at the rate (stable where it is above 0)",
            equation(_relaxation, rate),
            proof("minus the slope of the flow at rest, the share put in", jacobian),
        ),
        Step(
            "fold",
            "If the pull grows faster than decay, p > 2, and the noise slower, q < 2, there is a weakest decay at the "
            "factor",
            equation(fold, meet),
            proof("put back into the slope of the decay, which vanishes there", meets),
        ),
        Step(
            "decay-fold",
            "namely the following: below it the block does not rest, above it there are two rests, of which the "
            "smaller is stable.",
            equation(decay_fold, at.subs(_a, fold)),
            proof("the decay at the fold", at_fold),
        ),
    )
    found = {part.key: part.expression for part in steps}
    rest_now = {_weight_decay: at}
    return Derivation(
        name="rescaling-balance",
        title="A block rescaled: where radial pull, noise and decay balance",
        assumptions=(
            "SGD with L2 and small steps; the direction of the weights is held, only their size moves.",
            "Pull and gradient power are homogeneous in the weights of the block, with any real exponents: fixed "
            "gradient (p, q) = (1, 0), noise of fixed power q = 0, scale-invariant P = 0 and q = −2.",
        ),
        steps=steps,
        equation=found["flow"],
        results={
            "relaxation_rate": found["rate"].rhs,
            "decay_at_factor": found["decay"].rhs,
            "decay_slope": found["slope"].rhs,
            "factor_fold": found["fold"].rhs,
            "pull_share": found["share"].rhs,
        },
        fixed_points=({factor(_time): _a, **rest_now},),
        stability=(
            Stability(
                factor(_time),
                "flow",
                0,
                log_slope,
                log_slope < 0,
                "A rest is stable where a larger block would rest only at a smaller decay.",
            ),
        ),
        zero_allowed=frozenset({"gradient_power", "weight_decay"}),
        references=("vanlaarhoven2017", "wan2020"),
        quantities=_LINES,
    )


@derivation("bernoulli-flow")
def _bernoulli_flow() -> Derivation:
    """Derive the closed form of a squared norm with one homogeneous source: its power h obeys a linear equation."""
    norm = sp.Function("norm_squared", positive=True)
    t, lam = _time, _weight_decay
    kappa = _BY_NAME["source_exponent"]
    y, per_step = _BY_NAME["power_of_norm"], _BY_NAME["relaxation_per_step"]
    linear = sp.Function("power_of_norm", positive=True)
    rate = _source * _norm_squared ** (1 - _h) - 2 * lam * _norm_squared
    rest = _source / (2 * lam)
    solution = (rest + (_start**_h - rest) * sp.exp(-2 * lam * _h * t)) ** (1 / _h)

    def fed(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        of_norm = derive("norm-flow").results["rate"]
        source = earlier["source"].rhs
        # The pull alone, or the noise alone, is the source.
        pull = of_norm.subs({_pull: source / 2, _power: 0}, simultaneous=True)
        noise = of_norm.subs({_pull: 0, _power: source / _lr}, simultaneous=True)
        return (expression.rhs - pull, expression.rhs - noise)

    def in_time(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        return (
            expression.rhs - earlier["rate"].rhs.subs(_norm_squared, norm(t)),
            expression.lhs - sp.Derivative(norm(t), t),
        )

    def is_linear(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        new = earlier["new"].rhs
        change = sp.diff(new, _norm_squared) * earlier["rate"].rhs
        return (
            sp.powsimp(sp.expand(change - expression.rhs.subs(linear(t), new))),
            expression.lhs - sp.Derivative(linear(t), t),
        )

    def solves(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        # Both sides of R^h = ..., the sum inside the root being positive between start and rest.
        between = sp.Dummy("between", positive=True)
        inside = expression.rhs.base
        root = expression.rhs.exp * _h
        put_back = difference(earlier["linear"]).subs(linear(t), inside).doit()
        new = earlier["new"].rhs.subs(_norm_squared, between**expression.rhs.exp)
        return (sp.expand(put_back), inside.subs(t, 0) - _start**_h, root - 1, new - between)

    steps = (
        Step(
            "source",
            "Pull or noise, whichever there is, feeds the squared norm with",
            equation(sp.Function("source")(_norm_squared), _source * _norm_squared ** (1 - _h)),
            premise(),
        ),
        Step(
            "rate",
            "so that it changes at the rate (derivation norm-flow)",
            equation(_rate, rate),
            proof("the rate of the norm with that pull and no noise, and with that noise and no pull", fed),
        ),
        Step(
            "flow",
            "This is an equation of Bernoulli's:",
            equation(sp.Derivative(norm(t), t), rate.subs(_norm_squared, norm(t))),
            proof("the rate, at the squared norm of the time", in_time),
        ),
        Step(
            "exponent",
            "(of the norm itself the source goes with the exponent)",
            equation(kappa, 2 - 2 * _h),
            proof(
                "logarithmic derivative of the source in the norm",
                lambda expression, earlier: (
                    sp.powsimp(
                        sp.expand(
                            2 * _norm_squared * sp.diff(earlier["source"].rhs, _norm_squared) / earlier["source"].rhs
                        )
                    )
                    - expression.rhs,
                ),
            ),
        ),
        Step("new", "The power", equation(y, _norm_squared**_h), definition()),
        Step(
            "linear",
            "obeys a linear equation,",
            equation(sp.Derivative(linear(t), t), _h * (_source - 2 * lam * linear(t))),
            proof("chain rule", is_linear),
        ),
        Step(
            "solution",
            "so the squared norm is",
            equation(norm(t), solution),
            proof("its power put back into the linear equation, which it fulfils, and right at the start", solves),
        ),
        Step(
            "stationary",
            "It rests at",
            equation(_stationary, rest ** (1 / _h)),
            proof(
                "put back into the rate, divided by the norm, which vanishes there",
                lambda expression, earlier: (
                    sp.powsimp(sp.expand((earlier["rate"].rhs / _norm_squared).subs(_norm_squared, expression.rhs))),
                ),
            ),
        ),
        Step(
            "relaxation",
            "and a displacement dies out at the rate (grows, for h < 0)",
            equation(_relaxation, 2 * lam * _h),
            proof(
                "minus the slope of the rate, with the source solved from rest",
                lambda expression, earlier: (
                    sp.powsimp(
                        sp.expand(
                            (sp.diff(earlier["rate"].rhs, _norm_squared) + expression.rhs).subs(
                                _source, sp.solve(earlier["rate"].rhs, _source)[0]
                            )
                        )
                    ),
                ),
            ),
        ),
        Step(
            "relaxation-per-step",
            "per step",
            equation(per_step, 2 * _EPS * _h),
            proof(
                "the rate times the learning rate",
                lambda expression, earlier: (expression.rhs - _lr * earlier["relaxation"].rhs,),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="bernoulli-flow",
        title="One homogeneous source against decay: Bernoulli's equation for the squared norm",
        assumptions=(
            "Small steps; the squared norm is fed by pull or by noise, not both, or both with the same exponent.",
            "The source is S at norm 1 and goes with the exponent κ = 2 − 2h of the norm: h = 1 for noise of fixed "
            "power, 1/2 for a fixed gradient, 2 for the noise of a scale-invariant block; with h = 0 source and decay "
            "grow alike and nothing is at rest.",
        ),
        steps=steps,
        equation=found["flow"],
        results={
            "norm_squared": found["solution"].rhs,
            "norm_squared_stationary": found["stationary"].rhs,
            "relaxation_rate": found["relaxation"].rhs,
            "relaxation_per_step": found["relaxation-per-step"].rhs,
            "rate": found["rate"].rhs,
        },
        fixed_points=({norm(t): rest ** (1 / _h)},),
        stability=(
            Stability(
                norm(t),
                "flow",
                0,
                -2 * lam * _h,
                _h > 0,
                "The size at rest is stable if the source grows more slowly than decay.",
            ),
        ),
        references=("vanlaarhoven2017", "wan2020"),
        quantities=_LINES,
    )
