"""Describe what weight decay does in a user's optimizer, from its parameter groups alone."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InvalidInput, check_count, check_nonnegative
from ..simulate import (
    Layer,
    OptimizerChoice,
    layer_equilibrium,
    optimizer_choice,
    rounded_decay,
    speed_of_decay,
)
from ..simulate.number_formats import NUMBER_FORMATS
from ..theory import derive
from .comparison import plain

__all__ = ["Description", "GroupDescription", "describe"]

_KNOWN = {
    "SGD": "sgd",
    "Adam": "adam",
    "AdamW": "adamw",
    "RMSprop": "rmsprop",
    "Lion": "lion",
    "Muon": "muon",
    "SignSGD": "sign-sgd",
    "Signum": "signum",
}
_DECOUPLED_FLAGS = ("decoupled_weight_decay", "decoupled_decay", "decouple_wd")


@dataclass(frozen=True)
class GroupDescription:
    """What decay does in one group of parameters.

    Attributes
    ----------
    index : int
        Place of the group.
    n_tensors, n_vectors : int
        Parameters, and those of one dimension or none: biases and gains.
    n_weights : int or None
        Numbers in them; None if shapes are not told.
    lr, weight_decay : float
        Hyperparameters.
    convention : str
        How the decay enters.
    decay_per_step : float
        Part of a weight that decay takes in a step.
    time_constant_steps, time_constant_epochs : float or None
        Time in which decay takes a weight to 1/e; squared norms take half.
    rms_equilibrium : float or None, weight
        Size per weight of the largest matrix on random gradients, where the optimizer makes it independent of theirs.
    angular_update : float or None, rad per step
        Its rotation there.
    number_format : str or None
        Format of the weights.
    notes : tuple of str
        What will go wrong or is easily misread, one sentence each.
    """

    index: int
    n_tensors: int
    n_vectors: int
    n_weights: int | None
    lr: float
    weight_decay: float
    convention: str
    decay_per_step: float
    time_constant_steps: float | None
    time_constant_epochs: float | None
    rms_equilibrium: float | None
    angular_update: float | None
    number_format: str | None
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Description:
    """What decay does in an optimizer.

    Attributes
    ----------
    optimizer : str
        Name of its class.
    groups : tuple of GroupDescription
        Its parameter groups.
    """

    optimizer: str
    groups: tuple[GroupDescription, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values."""
        told: dict[str, Any] = plain(asdict(self))
        return told

    def text(self) -> str:
        """Return it for reading."""
        lines = [f"{self.optimizer}, {len(self.groups)} parameter group{'s' if len(self.groups) > 1 else ''}"]
        for group in self.groups:
            weights = "" if group.n_weights is None else f" with {group.n_weights} weights"
            vectors = f" ({group.n_vectors} of them biases or gains)" if group.n_vectors else ""
            lines.append(f"group {group.index}: {group.n_tensors} tensors{weights}{vectors}")
            lines.append(f"  lr {group.lr:g}, weight_decay {group.weight_decay:g}: {group.convention}")
            if group.time_constant_steps is not None:
                epochs = "" if group.time_constant_epochs is None else f" = {group.time_constant_epochs:.3g} epochs"
                lines.append(
                    f"  decay per step {group.decay_per_step:.3g}, time constant {group.time_constant_steps:.6g} "
                    f"steps{epochs} (squared norms: half of it)"
                )
            if group.rms_equilibrium is not None:
                lines.append(f"  equilibrium on random gradients: rms {group.rms_equilibrium:.4g}")
            if group.angular_update is not None:
                lines.append(f"  turning by {group.angular_update:.4g} rad per step there")
            lines += [f"  note: {note}" for note in group.notes]
        return "\n".join(lines)


def describe(optimizer: Any, *, n_train: int | None = None, batch_size: int | None = None) -> Description:
    """Return what weight decay does in an optimizer, group by group.

    Parameters
    ----------
    optimizer : object or dict
        Anything with `param_groups`, a sequence of dicts as PyTorch's optimizers have it; or a dict with
        "param_groups" and the "optimizer" by name. What is in "params" may be tensors (whatever has a `shape`), or
        shapes.
    n_train, batch_size : int, optional
        What makes an epoch.

    Returns
    -------
    Description

    Raises
    ------
    InvalidInput
        If it has no parameter groups, or they hold no learning rate.

    Notes
    -----
    Known by the name of the class: SGD, Adam, AdamW, RMSprop, Lion, Muon, SignSGD, Signum. Nothing is imported and
    nothing is changed. The learning rate is that of the moment, so describe an optimizer at the peak of its schedule.

    Examples
    --------
    >>> groups = [
    ...     {"params": [(64, 64)], "lr": 1e-3, "weight_decay": 0.1, "betas": (0.9, 0.95)},
    ...     {"params": [(64,)], "lr": 1e-3, "weight_decay": 0.0, "betas": (0.9, 0.95)},
    ... ]
    >>> print(describe({"optimizer": "AdamW", "param_groups": groups}).text())
    AdamW, 2 parameter groups
    group 0: 1 tensors with 4096 weights
      lr 0.001, weight_decay 0.1: decoupled: weights are multiplied by 1 - lr*weight_decay
      decay per step 0.0001, time constant 10000 steps (squared norms: half of it)
      equilibrium on random gradients: rms 0.06994
      turning by 0.003231 rad per step there
    group 1: 1 tensors with 64 weights (1 of them biases or gains)
      lr 0.001, weight_decay 0: no decay
    """
    if n_train is not None:
        check_count("n_train", n_train)
    if batch_size is not None:
        check_count("batch_size", batch_size, most=n_train)
    per_epoch = None if n_train is None or batch_size is None else n_train / batch_size
    if isinstance(optimizer, Mapping):
        groups, name = optimizer.get("param_groups"), str(optimizer.get("optimizer", "unnamed optimizer"))
    else:
        groups, name = getattr(optimizer, "param_groups", None), type(optimizer).__name__
    if isinstance(groups, (str, bytes)) or not isinstance(groups, Sequence) or not groups:
        raise InvalidInput(
            f"{name} has no param_groups; give an optimizer as PyTorch has it, or a dict with optimizer and "
            "param_groups"
        )
    for group in groups:
        if not isinstance(group, Mapping) or "lr" not in group:
            raise InvalidInput(f"a parameter group of {name} has no lr, but must be a dict with params, lr and others")
    return Description(name, tuple(_group(place, group, name, per_epoch) for place, group in enumerate(groups)))


def _group(index: int, group: Mapping[str, Any], name: str, per_epoch: float | None) -> GroupDescription:
    """Return the description of one group."""
    lr, weight_decay = (_plain_number(key, group.get(key, 0.0)) for key in ("lr", "weight_decay"))
    choice, missing = _choice(name, group)
    shapes, number_format = _shapes(group.get("params", ()))
    known = [shape for shape in shapes if shape is not None]
    vectors = [shape for shape in known if len(shape) < 2]
    n_weights = sum(map(math.prod, known)) if len(known) == len(shapes) else None
    decays = lr * weight_decay > 0
    speed = speed_of_decay(choice) if choice is not None else 1.0
    steps = rms = angle = None
    notes = [missing] if missing and weight_decay else []
    per_step = lr * weight_decay * speed
    if decays:
        claim = derive("convention-pytorch")
        at = {"lr": lr, "torch_weight_decay": weight_decay * speed}
        per_step = float(claim.numeric("decay_per_step", **at))
        steps = float(claim.numeric("time_constant_steps", **at))
        matrices = sorted((shape for shape in known if len(shape) > 1), key=math.prod)
        if choice is not None and matrices:
            rest = layer_equilibrium(Layer("largest", matrices[-1]), choice, lr=lr, weight_decay=weight_decay)
            angle = rest.angular_update
            rms = None if rest.norm_squared is None else math.sqrt(rest.norm_squared / math.prod(matrices[-1]))
        notes += _decay_notes(choice, per_step, lr * weight_decay, speed, len(vectors), number_format)
    elif weight_decay == 0 and len(vectors) < len(shapes):
        n_free = len(shapes) - len(vectors)
        notes.append(f"{n_free} tensors that are no biases or gains get no decay: nothing holds their norm")
    return GroupDescription(
        index=index,
        n_tensors=len(shapes),
        n_vectors=len(vectors),
        n_weights=n_weights,
        lr=lr,
        weight_decay=weight_decay,
        convention=_convention(choice, weight_decay),
        decay_per_step=per_step,
        time_constant_steps=steps,
        time_constant_epochs=None if steps is None or per_epoch is None else steps / per_epoch,
        rms_equilibrium=rms,
        angular_update=angle,
        number_format=number_format,
        notes=tuple(notes),
    )


def _plain_number(name: str, value: Any) -> float:
    """Return a hyperparameter as a float, also if it is a tensor of one."""
    return check_nonnegative(name, value.item() if hasattr(value, "item") else value)


def _choice(name: str, group: Mapping[str, Any]) -> tuple[OptimizerChoice | None, str]:
    """Return the optimizer that a group is stepped by, or why there is none."""
    known = _KNOWN.get(name)
    if known is None:
        return None, f"{name} is not among the optimizers with a theory ({', '.join(_KNOWN)}): only its decay is told"
    given: dict[str, float | None] = {}
    momentum = _plain_number("momentum", group.get("momentum") or 0.0)
    if known == "sgd" and momentum:
        known = "nesterov" if group.get("nesterov") else "momentum"
        given["momentum"] = momentum
        if known == "momentum":
            given["dampening"] = _plain_number("dampening", group.get("dampening", 0.0))
    elif known in ("adam", "adamw", "lion"):
        betas = group.get("betas")
        if isinstance(betas, Sequence) and len(betas) > 1:
            given["beta1"], given["beta2"] = (_plain_number("betas", beta) for beta in betas[:2])
        if known == "adam" and any(group.get(flag) for flag in _DECOUPLED_FLAGS):
            known = "adamw"
    elif known == "rmsprop":
        given["smoothing"] = _plain_number("alpha", group["alpha"]) if "alpha" in group else None
        if momentum:
            return None, "RMSprop with momentum has no theory here: only its decay is told"
    elif known in ("muon", "signum") and momentum:
        given["momentum"] = momentum
    return optimizer_choice(known, **given), ""


def _convention(choice: OptimizerChoice | None, weight_decay: float) -> str:
    if weight_decay == 0:
        return "no decay"
    if choice is None:
        return "unknown"
    if choice.coupling == "decoupled":
        return "decoupled: weights are multiplied by 1 - lr*weight_decay"
    if choice.linear:
        return "coupled: weight_decay times the weight goes into the gradient (L2 regularization)"
    return (
        "coupled: weight_decay times the weight goes into the gradient and through the normalizer (L2 regularization)"
    )


def _decay_notes(
    choice: OptimizerChoice | None,
    per_step: float,
    nominal: float,
    speed: float,
    n_vectors: int,
    number_format: str | None,
) -> list[str]:
    """Return what to know about the decay of a group."""
    notes = []
    if choice is not None and speed != 1.0:
        notes.append(
            f"momentum takes the decay {speed:.3g} times: {per_step:.3g} per step instead of lr*weight_decay = "
            f"{nominal:.3g}"
        )
    if choice is not None and choice.coupling == "coupled" and not choice.linear:
        notes.append(
            "each weight decays at lr*weight_decay over the root of its squared gradients, so that the time constant "
            "holds only where that root is 1; AdamW is what papers on equilibrium speak of"
        )
    if n_vectors:
        notes.append(
            f"{n_vectors} biases or gains are decayed: a gain is pulled towards 0, not 1; most recipes leave them out"
        )
    if (
        number_format is not None
        and number_format in NUMBER_FORMATS
        and (choice is None or choice.coupling == "decoupled")
        and per_step < 1
    ):
        rounded = rounded_decay(per_step, number_format)
        if rounded.share_moving < 1:
            moved = "no weight" if rounded.share_moving == 0 else f"only {rounded.share_moving:.0%} of the weights"
            notes.append(f"in {number_format} this decay moves {moved}, unless float32 copies are stepped")
    return notes


def _shapes(params: Any) -> tuple[list[tuple[int, ...] | None], str | None]:
    """Return the shapes of parameters, None where not told, and their number format if all have one."""
    if isinstance(params, (str, bytes)) or not isinstance(params, Iterable):
        raise InvalidInput(f"params of a group is {type(params).__name__}, but must be a list of tensors or shapes")
    shapes: list[tuple[int, ...] | None] = []
    formats = set()
    for param in params:
        shape = getattr(param, "shape", param if isinstance(param, (tuple, list)) else None)
        shapes.append(
            None if shape is None else tuple(check_count("a size of a shape", int(size), least=0) for size in shape)
        )
        formats.add(str(getattr(param, "dtype", "")).rpartition(".")[2])
    one = formats.pop() if len(formats) == 1 else ""
    return shapes, one or None
