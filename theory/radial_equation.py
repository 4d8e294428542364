"""Derive what one step does to the squared norm of a block of weights, exactly, and where it balances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sympy as sp

from .derivation import Derivation
from .evaluation import Condition
from .notation import quantity, symbols_of
from .proofs import (
    by_substitution,
    by_summation,
    definition,
    difference,
    equation,
    premise,
    proof,
)
from .registry import derivation
from .steps import Stability, Step
from .validity import KEEPS_PART, exactly_where

__all__: list[str] = []  # derivations are reached by name: theory.derive(name)

_lr, _weight_decay, _n_weights, _n_steps = symbols_of("lr weight_decay n_weights n_steps")
_norm_squared, _norm_squared_next, _norm_squared_start = symbols_of("norm_squared norm_squared_next norm_squared_start")
(_stationary,) = symbols_of("norm_squared_stationary")
_radial_pull, _gradient_power = symbols_of("radial_pull gradient_power")
_EPS = _lr * _weight_decay


@derivation("radial-step")
def _radial_step() -> Derivation:
    """Derive the squared norm after one step of SGD with L2, its balance, and the sum over many steps."""
    weight, gradient, after = (
        sp.IndexedBase(sp.Symbol(name, real=True)) for name in ("weight", "gradient", "weight_next")
    )
    index = sp.Symbol("i", integer=True)
    block = (index, 1, _n_weights)
    step = quantity("step", "k", "k", "1", "number of a step, counted from 0", nonnegative=True, integer=True)
    loss = quantity("loss_to_decay", "D", "D", "loss", "what decay takes, per unit of time", nonnegative=True)
    pull = quantity(
        "gain_by_pull", "P_{+}", "P_+", "loss", "what the pull of the data gives, per unit of time", real=True
    )
    noise = quantity("gain_by_noise", "N", "N", "loss", "what gradient noise gives, per unit of time", nonnegative=True)
    start_weight = quantity("start_weight", "c_{0}", "c_0", "1", "part of the start that is left", positive=True)
    pull_weight = quantity(
        "pull_weight", "c_{P}", "c_P", "weight² / loss", "part of an earlier pull in R", positive=True
    )
    noise_weight = quantity(
        "noise_weight", "c_{G}", "c_G", "weight⁴ / loss²", "part of earlier gradient power", positive=True
    )
    norm, pulls, powers = (sp.Function(name) for name in ("norm_squared", "radial_pull", "gradient_power"))
    k = step.symbol
    left = 1 - _EPS
    next_norm = left**2 * _norm_squared + 2 * _lr * left * _radial_pull + _lr**2 * _gradient_power
    term = left ** (2 * (_n_steps - 1 - k)) * (2 * _lr * left * pulls(k) + _lr**2 * powers(k))

    def induction(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
        (total,) = expression.rhs.atoms(sp.Sum)
        first = expression.rhs - total
        if first.has(sp.Sum):
            return (sp.false,)
        recursion = earlier["recursion"].rhs.subs(k, _n_steps)
        factor = recursion.coeff(norm(_n_steps))
        source = recursion - factor * norm(_n_steps)
        summand = total.function
        return (
            first.subs(_n_steps, 0) - _norm_squared_start,
            sp.powsimp(first.subs(_n_steps, _n_steps + 1) / first / factor) - 1,
            sp.powsimp(summand.subs(_n_steps, _n_steps + 1) / summand / factor) - 1,
            sp.expand(summand.subs(_n_steps, _n_steps + 1).subs(k, _n_steps) - source),
            *(bound - wanted for bound, wanted in zip(total.limits[0], (k, 0, _n_steps - 1), strict=True)),
        )

    def coefficient_of(function: Any) -> Any:
        def residual(expression: Any, earlier: Mapping[str, Any]) -> tuple[Any, ...]:
            (total,) = earlier["accumulated"].rhs.atoms(sp.Sum)
            return (sp.expand(total.function).coeff(function(k)) - sp.expand(expression.rhs),)

        return proof("read off from the sum", residual)

    steps = (
        Step(
            "update",
            "One step of SGD on a mini-batch with gradient g and L2 regularization (or decay; here both are the same).",
            equation(after[index], left * weight[index] - _lr * gradient[index]),
            premise(),
        ),
        Step(
            "norm",
            "The squared norm sums over the weights of the block,",
            equation(_norm_squared, sp.Sum(weight[index] ** 2, block)),
            definition(),
        ),
        Step(
            "pull",
            "the radial pull is minus the product of weights and gradient before the step,",
            equation(_radial_pull, sp.Sum(-weight[index] * gradient[index], block)),
            definition(),
        ),
        Step(
            "power",
            "the gradient power is the squared norm of the gradient,",
            equation(_gradient_power, sp.Sum(gradient[index] ** 2, block)),
            definition(),
        ),
        Step(
            "next",
            "and after the step the squared norm is again a sum.",
            equation(_norm_squared_next, sp.Sum(after[index] ** 2, block)),
            definition(),
        ),
        Step(
            "radial",
            "One step does this to the squared norm. Linear in all averages, it holds for means over steps too.",
            equation(_norm_squared_next, next_norm),
            by_summation("norm", "pull", "power", "next", "update"),
        ),
        Step(
            "loss",
            "In units of gradient times weight, decay takes",
            equation(loss.symbol, _weight_decay * (2 - _EPS) * _norm_squared / 2),
            definition(),
        ),
        Step("gain-pull", "the data give", equation(pull.symbol, left * _radial_pull), definition()),
        Step("gain-noise", "noise gives", equation(noise.symbol, _lr * _gradient_power / 2), definition()),
        Step(
            "budget",
            "and the books close: gains less loss is the change.",
            equation(
                (_norm_squared_next - _norm_squared) / (2 * _lr),
                pull.symbol + noise.symbol - loss.symbol,
            ),
            by_substitution("radial", "loss", "gain-pull", "gain-noise"),
        ),
        Step(
            "stationary",
            "Where the squared norm no longer changes, decay is balanced by pull and noise.",
            equation(
                _stationary,
                (2 * left * _radial_pull + _lr * _gradient_power) / (_weight_decay * (2 - _EPS)),
            ),
            proof(
                "put back into the equation of one step with the same norm before and after, which it fulfils",
                lambda expression, earlier: (
                    difference(earlier["radial"]).subs(
                        dict.fromkeys((_norm_squared_next, _norm_squared), expression.rhs)
                    ),
                ),
            ),
        ),
        Step(
            "recursion",
            "Along a run the pull and the power change from step to step.",
            equation(norm(k + 1), left**2 * norm(k) + 2 * _lr * left * pulls(k) + _lr**2 * powers(k)),
            proof(
                "the equation of one step, at step k",
                lambda expression, earlier: (
                    expression.rhs
                    - earlier["radial"].rhs.subs(
                        {_norm_squared: norm(k), _radial_pull: pulls(k), _gradient_power: powers(k)}
                    ),
                    *(() if expression.lhs == norm(k + 1) else (sp.false,)),
                ),
            ),
        ),
        Step(
            "accumulated",
            "Added up from the start, still exact:",
            equation(
                norm(_n_steps),
                left ** (2 * _n_steps) * _norm_squared_start + sp.Sum(term, (k, 0, _n_steps - 1)),
            ),
            proof(
                "induction: right at the start, and one more step multiplies every term and adds the newest",
                induction,
            ),
        ),
        Step(
            "start-weight",
            "The start counts with",
            equation(start_weight.symbol, left ** (2 * _n_steps)),
            proof(
                "read off from the sum",
                lambda expression, earlier: (earlier["accumulated"].rhs.coeff(_norm_squared_start) - expression.rhs,),
            ),
        ),
        Step(
            "pull-weight",
            "the pull of step k with",
            equation(pull_weight.symbol, 2 * _lr * left * left ** (2 * (_n_steps - 1 - k))),
            coefficient_of(pulls),
        ),
        Step(
            "noise-weight",
            "and the gradient power of step k with",
            equation(noise_weight.symbol, _lr**2 * left ** (2 * (_n_steps - 1 - k))),
            coefficient_of(powers),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="radial-step",
        title="The radial equation: what one step of SGD does to the squared norm",
        assumptions=(
            "Plain SGD with L2 regularization; the equation holds exactly for any network, loss and block of weights.",
            "The pull is that of the mini-batch that makes the step, at the weights before the step.",
            "The stationary size speaks of means over steps and needs a squared norm that has stopped to drift.",
        ),
        steps=steps,
        equation=found["radial"],
        results={
            "norm_squared_next": found["radial"].rhs,
            "norm_squared_stationary": found["stationary"].rhs,
            "loss_to_decay": found["loss"].rhs,
            "gain_by_pull": found["gain-pull"].rhs,
            "gain_by_noise": found["gain-noise"].rhs,
            "start_weight": found["start-weight"].rhs,
            "pull_weight": found["pull-weight"].rhs,
            "noise_weight": found["noise-weight"].rhs,
        },
        fixed_points=({_norm_squared: found["stationary"].rhs, _norm_squared_next: found["stationary"].rhs},),
        stability=(
            Stability(
                state=_norm_squared,
                kind="map",
                fixed_point=0,
                jacobian=left**2,
                stable=sp.true,
                sentence="A displaced squared norm returns by the factor (1 − ηλ)² per step while pull and noise stay.",
            ),
        ),
        conditions=(
            KEEPS_PART,
            Condition(
                k < _n_steps,
                "only steps already taken count",
                exactly_where("the number of steps from this one on", _n_steps - k),
            ),
        ),
        zero_allowed=frozenset({"weight_decay", "gradient_power", "norm_squared"}),
        references=("vanlaarhoven2017", "nielsen2015"),
        quantities=(
            step,
            quantity("weight", "w", "w", "weight", "a weight before the step", real=True),
            quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True),
            quantity(
                "gradient", "g", "g", "loss / weight", "gradient of the mini-batch's loss, without penalty", real=True
            ),
            loss,
            pull,
            noise,
            start_weight,
            pull_weight,
            noise_weight,
        ),
    )


@derivation("update-balance")
def _update_balance() -> Derivation:
    """Derive the stationary squared norm under decoupled decay and any update, from its power and overlap."""
    weight, after, update = (sp.IndexedBase(sp.Symbol(name, real=True)) for name in ("weight", "weight_next", "update"))
    index = sp.Symbol("i", integer=True)
    block = (index, 1, _n_weights)
    power = quantity(
        "update_power", "U^{2}", "U²", "(loss/weight)²", "second moment E‖u‖² of the update", positive=True
    )
    overlap = quantity("overlap", "O", "O", "loss", "E⟨w, u⟩: update with the weights before it", real=True)
    left = 1 - _EPS
    steps = (
        Step(
            "update",
            "Decoupled decay shrinks the weights and then adds the update u of any optimizer.",
            equation(after[index], left * weight[index] - _lr * update[index]),
            premise(),
        ),
        Step("norm", "With the squared norm", equation(_norm_squared, sp.Sum(weight[index] ** 2, block)), definition()),
        Step("next", "before and after,", equation(_norm_squared_next, sp.Sum(after[index] ** 2, block)), definition()),
        Step("power", "the update's power", equation(power.symbol, sp.Sum(update[index] ** 2, block)), definition()),
        Step(
            "overlap",
            "and its overlap with the weights,",
            equation(overlap.symbol, sp.Sum(weight[index] * update[index], block)),
            definition(),
        ),
        Step(
            "radial",
            "one step gives",
            equation(
                _norm_squared_next,
                left**2 * _norm_squared - 2 * _lr * left * overlap.symbol + _lr**2 * power.symbol,
            ),
            by_summation("norm", "next", "power", "overlap", "update"),
        ),
        Step(
            "stationary",
            "and where the squared norm is stationary on average",
            equation(
                _stationary,
                (_lr * power.symbol - 2 * left * overlap.symbol) / (_weight_decay * (2 - _EPS)),
            ),
            proof(
                "put back into the equation of one step with the same norm before and after, which it fulfils",
                lambda expression, earlier: (
                    difference(earlier["radial"]).subs(
                        dict.fromkeys((_norm_squared_next, _norm_squared), expression.rhs)
                    ),
                ),
            ),
        ),
    )
    found = {part.key: part.expression for part in steps}
    return Derivation(
        name="update-balance",
        title="The balance of any optimizer with decoupled decay",
        assumptions=(
            "Decoupled decay; the update may come from any optimizer and remember anything.",
            "Power and overlap are means over steps, in a run whose squared norm no longer drifts.",
        ),
        steps=steps,
        equation=found["radial"],
        results={"norm_squared_stationary": found["stationary"].rhs, "norm_squared_next": found["radial"].rhs},
        fixed_points=({_norm_squared: found["stationary"].rhs, _norm_squared_next: found["stationary"].rhs},),
        stability=(
            Stability(
                state=_norm_squared,
                kind="map",
                fixed_point=0,
                jacobian=left**2,
                stable=sp.true,
                sentence="While power and overlap stay, a displaced squared norm returns by (1 − ηλ)² per step.",
            ),
        ),
        conditions=(KEEPS_PART,),
        zero_allowed=frozenset({"weight_decay", "update_power", "norm_squared"}),
        references=("loshchilov2019", "wan2020"),
        quantities=(
            power,
            overlap,
            quantity("weight", "w", "w", "weight", "a weight before the step", real=True),
            quantity("weight_next", "w'", "w'", "weight", "the weight after the step", real=True),
            quantity("update", "u", "u", "loss / weight", "the optimizer's update of the weight, before lr", real=True),
        ),
    )
