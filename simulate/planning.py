"""Find the hyperparameters for what is wanted of the weights, and carry them from one setting to another."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

from ..errors import InvalidInput, check_choice, check_positive
from .layer_equilibria import LayerEquilibrium, layer_equilibrium, speed_of_decay
from .layers import Layer
from .optimizer_choice import OptimizerChoice, optimizer_choice
from .prediction import steps_per_epoch, time_constant

__all__ = ["KEPT", "WANTED", "Carried", "Plan", "Setting", "carry", "plan"]

WANTED = ("time-constant-steps", "time-constant-epochs", "rms", "angular-update")
"""What `plan` can aim at."""
KEPT = ("time-constant", "angular-update", "equilibrium", "activation")
"""What `carry` can keep: the time constant (in epochs where both settings have them), the angle per step, the size per
weight, and the size per weight times the root of the fan-in."""
_LEAST, _MOST = 1e-15, 0.999  # decay per step
_STRIDE = 30.0
_ROOT = 1e-14
_SAME = 1e-3  # relative changes below it are none
_WORDS = {
    "time-constant-steps": "the time constant in steps",
    "time-constant-epochs": "the time constant in epochs",
    "angular-update": "the angular update, rad per step,",
    "rms": "the equilibrium rms",
    "activation": "rms times the root of the fan-in",
}


@dataclass(frozen=True)
class Setting:
    """Hold what decides where weights rest: optimizer, hyperparameters and the block of weights.

    Parameters
    ----------
    lr, weight_decay : float or None
        Learning rate (the peak of a schedule) and decay coefficient; None where it is to be found.
    optimizer : str, optional
        One of `OPTIMIZERS`.
    layer : Layer, optional
        The block whose size and rotation are wanted.
    n_train, batch_size : int, optional
        What makes an epoch.
    coefficients : mapping, optional
        The optimizer's own.

    Raises
    ------
    InvalidInput
        If a value is outside its range.

    Examples
    --------
    >>> resnet = Setting(0.1, 1e-4, "momentum", n_train=1281167, batch_size=256)
    >>> found = resnet.quantities()
    >>> print(f"{found['time-constant-epochs']:.3f} epochs")
    1.998 epochs
    """

    lr: float | None
    weight_decay: float | None
    optimizer: str = "sgd"
    layer: Layer = field(default_factory=lambda: Layer("layer", (1024, 1024)))
    n_train: int | None = None
    batch_size: int | None = None
    coefficients: Mapping[str, float | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("lr", "weight_decay"):
            if getattr(self, name) is not None:
                check_positive(name, getattr(self, name))
        if not isinstance(self.layer, Layer):
            raise InvalidInput(f"layer is {self.layer!r}, but must be a simulate.Layer")
        object.__setattr__(self, "coefficients", MappingProxyType(dict(self.coefficients)))
        steps_per_epoch(self.n_train, self.batch_size)
        optimizer_choice(self.optimizer, **self.coefficients)

    @property
    def choice(self) -> OptimizerChoice:
        """The optimizer."""
        return optimizer_choice(self.optimizer, **self.coefficients)

    @cached_property
    def _rest(self) -> LayerEquilibrium:
        assert self.lr is not None
        assert self.weight_decay is not None
        return layer_equilibrium(self.layer, self.choice, lr=self.lr, weight_decay=self.weight_decay)

    def quantities(self) -> dict[str, float | None]:
        """Return what the setting makes of the weights, by the names of `WANTED` and "activation".

        Each is None where it depends on what the setting does not hold: epochs on n_train and batch_size, the size
        of weights under SGD on the layer's gradient power.
        """
        return {name: self.quantity(name) for name in _WORDS}

    def quantity(self, name: str) -> float | None:
        """Return one of the `quantities`."""
        if self.lr is None or self.weight_decay is None:
            raise InvalidInput("lr and weight_decay are both needed to tell what a setting makes of the weights")
        choice = self.choice
        through_normalizer = choice.coupling == "coupled" and not choice.linear
        if name.startswith("time-constant") and not through_normalizer:
            return self._in_time(time_constant(self.lr, self.weight_decay * speed_of_decay(choice)), name)
        rest = self._rest
        if name.startswith("time-constant"):
            steps = None if rest.speed is None else time_constant(self.lr, self.weight_decay * rest.speed)
            return self._in_time(steps, name)
        if name == "angular-update":
            return rest.angular_update
        rms = None if rest.norm_squared is None else math.sqrt(rest.norm_squared / self.layer.n_weights)
        if name == "rms" or rms is None:
            return rms
        return None if self.layer.fan_in is None else rms * math.sqrt(self.layer.fan_in)

    def _in_time(self, steps: float | None, name: str) -> float | None:
        """Return a time in the unit that the name ends with."""
        if steps is None or name.endswith("steps"):
            return steps
        per_epoch = steps_per_epoch(self.n_train, self.batch_size)
        return None if per_epoch is None else steps / per_epoch


@dataclass(frozen=True)
class Plan:
    """The hyperparameters for what was wanted.

    Attributes
    ----------
    wanted : str
        One of `WANTED`.
    value : float
        Its value.
    solved_for : {"weight_decay", "lr"}
        What was found.
    lr, weight_decay : float
        Both.
    quantities : dict
        What they make of the weights, as `Setting.quantities` tells it.
    """

    wanted: str
    value: float
    solved_for: str
    lr: float
    weight_decay: float
    quantities: Mapping[str, float | None]

    def to_dict(self) -> dict[str, Any]:
        """Return the plan as a dict, ready for JSON."""
        return asdict(self)


def plan(setting: Setting, wanted: str, value: float) -> Plan:
    """Return the weight decay or learning rate, whichever the setting leaves open, for a wanted quantity.

    Parameters
    ----------
    setting : Setting
        Exactly one of its lr and weight_decay is None: that one is found.
    wanted : str
        One of `WANTED`.
    value : float
        What it is to be: steps, epochs, weight, or rad per step.

    Returns
    -------
    Plan

    Raises
    ------
    InvalidInput
        If both or none are open, the quantity is not told by the setting, or no value reaches it.

    Notes
    -----
    The root of what `predict` computes, to rounding; a quantity that takes the same value twice gets the smaller decay
    per step.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> found = plan(Setting(3e-4, None, "adamw"), "rms", 0.02)
    >>> print(f"{found.weight_decay:.4f}, {found.quantities['time-constant-steps']:.0f} steps")
    0.3743, 8907 steps
    """
    name = check_choice("wanted", wanted, WANTED)
    aim = check_positive(f"the wanted {name}", value)
    if (setting.lr is None) == (setting.weight_decay is None):
        raise InvalidInput("exactly one of lr and weight_decay must be left open (None): that one is found")
    found = _solved(setting, name, aim)
    assert found.lr is not None
    assert found.weight_decay is not None
    open_one = "lr" if setting.lr is None else "weight_decay"
    return Plan(name, aim, open_one, found.lr, found.weight_decay, found.quantities())


def _solved(setting: Setting, wanted: str, aim: float) -> Setting:
    """Return the setting with its open hyperparameter such that the quantity has the value."""
    open_one, held = ("lr", setting.weight_decay) if setting.lr is None else ("weight_decay", setting.lr)
    assert held is not None

    def at(log_decay: float) -> Setting:
        value = math.exp(log_decay) / held
        return replace(setting, lr=value) if open_one == "lr" else replace(setting, weight_decay=value)

    def distance(log_decay: float) -> float:
        try:
            reached = at(log_decay).quantity(wanted)
        except InvalidInput:  # outside the region of stability
            return math.nan
        if reached is None:
            raise InvalidInput(_untold(setting, wanted))
        return math.log(reached / aim)

    (low, below), (high, above) = _bracket(distance, wanted, aim, open_one)
    straight = low if low == high else low + (high - low) * below / (below - above)
    if abs(distance(straight)) <= _ROOT:  # a power law, as most are: a straight line in logarithms
        return at(straight)
    from scipy.optimize import brentq  # here, since it takes long to import

    return at(float(brentq(distance, low, high, xtol=_ROOT, rtol=_ROOT)))


Point = tuple[float, float]


def _bracket(distance: Callable[[float], float], wanted: str, aim: float, open_one: str) -> tuple[Point, Point]:
    """Return two logarithms of decay with the distances there, which differ in sign: the smallest such."""
    stride, edge = math.log(_STRIDE), math.log(_MOST)
    log_decays = [math.log(_LEAST)]
    while log_decays[-1] + stride < edge:
        log_decays.append(log_decays[-1] + stride)
    log_decays += [math.log(0.1), math.log(0.5), edge]
    log_decays.sort()
    reached: list[float] = []
    before: Point | None = None
    for log_decay in log_decays:
        gap = distance(log_decay)
        if math.isnan(gap):
            continue
        if gap == 0:
            return (log_decay, gap), (log_decay, gap)
        if before is not None and (gap > 0) != (before[1] > 0):
            return before, (log_decay, gap)
        before = (log_decay, gap)
        reached.append(aim * math.exp(gap))
    if not reached:
        raise InvalidInput(f"no {open_one} gives a stable equilibrium here; change the optimizer's coefficients")
    raise InvalidInput(
        f"no {open_one} makes {wanted} {aim:.4g}: with a decay per step from {_LEAST:g} to {_MOST:g} it goes from "
        f"{min(reached):.4g} to {max(reached):.4g}"
    )


def _untold(setting: Setting, wanted: str) -> str:
    if setting.optimizer == "muon" and setting.layer.fan_in is None:
        return f"muon updates matrices only, but {setting.layer.name} is a bias or gain; give it another shape"
    if wanted == "time-constant-epochs":
        return "a time constant in epochs also needs n_train and batch_size; give them, or steps"
    needs = "unit_gradient_power or gradient_power (power= of the layer)"
    return f"{wanted} under {setting.optimizer} depends on the size of the gradients; give the layer's {needs}"


@dataclass(frozen=True)
class Carried:
    """The hyperparameters that keep one thing from setting to setting, and what they do not keep.

    Attributes
    ----------
    kept : str
        One of `KEPT`.
    lr, weight_decay : float or None
        Hyperparameters of the new setting; the decay is None if there is no solution.
    before, after : dict
        What both settings make of the weights, as `Setting.quantities` tells it; `after` is empty without a solution.
    not_kept : tuple of str
        What changes, one sentence each.
    problem : str or None
        Why there is no solution.
    """

    kept: str
    lr: float
    weight_decay: float | None
    before: Mapping[str, float | None]
    after: Mapping[str, float | None]
    not_kept: tuple[str, ...]
    problem: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dict, ready for JSON."""
        return asdict(self)


def carry(old: Setting, new: Setting) -> tuple[Carried, ...]:
    """Return, for each thing that could be kept, the weight decay that keeps it in a new setting.

    Parameters
    ----------
    old : Setting
        With lr and weight_decay.
    new : Setting
        With lr; its weight_decay is found, once for each thing that can be kept.

    Returns
    -------
    tuple of Carried
        In the order of `KEPT`: time constant and angular update, then the size per weight where the old setting tells
        it, and, where the fan-in changes, the size of activations.

    Raises
    ------
    InvalidInput
        If a hyperparameter is missing, or one is given that is to be found.

    Notes
    -----
    The time constant is kept in epochs (wangaitchison2024) if both settings know theirs, otherwise in steps. Changing
    the batch size changes the gradient's power: the new layer's is given by the user, and nothing is assumed.

    References
    ----------
    wangaitchison2024, bergsma2025, kosson2023

    Examples
    --------
    >>> old = Setting(3e-4, 0.1, "adamw", n_train=10**6, batch_size=100)
    >>> new = Setting(3e-4, None, "adamw", n_train=10**6, batch_size=400)
    >>> for way in carry(old, new)[:2]:
    ...     print(f"{way.kept}: {way.weight_decay:.3g}")
    time-constant: 0.4
    angular-update: 0.1
    """
    if new.lr is None:
        raise InvalidInput("lr of the new setting is needed: only its weight decay is found")
    if new.weight_decay is not None:
        raise InvalidInput("weight_decay of the new setting is given, but it is what is to be found; leave it out")
    before = old.quantities()
    epochs = before["time-constant-epochs"] is not None and None not in (new.n_train, new.batch_size)
    if not epochs and (old.n_train, old.batch_size) != (new.n_train, new.batch_size):
        raise InvalidInput("to carry a time constant to another epoch, n_train and batch_size of both are needed")
    names = {
        "time-constant": "time-constant-epochs" if epochs else "time-constant-steps",
        "angular-update": "angular-update",
        "equilibrium": "rms",
        "activation": "activation",
    }
    same_fan_in = old.layer.fan_in == new.layer.fan_in
    return tuple(
        _carried(kept, names[kept], new, before)
        for kept in KEPT
        if before[names[kept]] is not None and not (kept == "activation" and same_fan_in)
    )


def _carried(kept: str, name: str, new: Setting, before: Mapping[str, float | None]) -> Carried:
    assert new.lr is not None
    aim = before[name]
    assert aim is not None
    try:
        found = _solved_for_activation(new, aim) if name == "activation" else _solved(new, name, aim)
    except InvalidInput as problem:
        return Carried(kept, new.lr, None, before, {}, (), str(problem))
    after = found.quantities()
    changed = []
    for other, was in before.items():
        now = after[other]
        if was is not None and now is not None and abs(now / was - 1.0) > _SAME:
            changed.append(f"{_WORDS[other]} goes from {was:.4g} to {now:.4g} ({now / was:.3g} times)")
    return Carried(kept, new.lr, found.weight_decay, before, after, tuple(changed))


def _solved_for_activation(setting: Setting, aim: float) -> Setting:
    if setting.layer.fan_in is None:
        raise InvalidInput(f"{setting.layer.name} is a bias or gain, which has no fan-in")
    return _solved(setting, "rms", aim / math.sqrt(setting.layer.fan_in))
