"""Say what one regularizer is called in every program, and what tells the run apart whatever it is called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from ..errors import InvalidInput, check_choice, check_count, check_nonnegative, check_positive
from .conventions import CONVENTIONS, convert
from .linear_optimizers import HEAVY_BALL
from .optimizers import equilibrium
from .registry import derive

__all__ = ["Conversion", "convention_name", "conversions"]

OTHER_NAMES: Mapping[str, str] = {
    "torch": "pytorch",
    "adamw": "pytorch",
    "optax": "pytorch",
    "jax": "pytorch",
    "sklearn": "scikit-learn",
    "tensorflow": "keras",
    "network2": "nielsen",
    "composer": "fully-decoupled",
    "optimi": "fully-decoupled",
    "big-vision": "fully-decoupled",
}
"""What conventions are called besides."""

PENALTIES = frozenset({"nielsen", "keras", "scikit-learn", "scikit-learn-lbfgs"})
"""Conventions that add to the loss, so that decay goes through the gradient."""
DECOUPLED = frozenset({"fully-decoupled", "adamc"})
"""Conventions that multiply the weights."""
_THROUGH_THE_GRADIENT = {"sgd": True, "momentum": True, "adam": True, "adamw": False, "lion": False, "muon": False}
"""Optimizers, and whether PyTorch's weight_decay goes through their gradient."""
_UNITS = "in the convention's own unit"


@dataclass(frozen=True)
class Conversion:
    """One regularizer by all its names.

    Attributes
    ----------
    source : str
        Convention in which it was given.
    value : float
        Parameter there.
    parameters : dict of str to float or None
        Parameter in each convention; None where something is missing that it depends on.
    missing : dict of str to tuple of str
        What is missing, by convention.
    decay_per_step : float or None, dimensionless
        Part of a weight that a step of decay takes.
    factor_per_epoch : float or None, dimensionless
        What an epoch of decay leaves of a weight.
    time_constant_steps, time_constant_epochs : float or None
        Time in which decay alone takes a weight to 1/e. Squared norms take half of it.
    not_equivalent : dict of str to str
        Conventions that under the optimizer are another regularizer, and what differs.
    notes : tuple of str
        What else must be known, one sentence each.

    Notes
    -----
    With eps = lr * weight_decay: factor_per_epoch = (1 - eps)^(n_train / batch_size), time_constant_steps = 1 / eps.
    The loss is assumed to be the same function in all conventions, a mean over the mini-batch.

    References
    ----------
    Our own derivation, from the gradient of each convention's penalty: ``convention-nielsen`` and its neighbours.

    Examples
    --------
    >>> found = conversions(5, "nielsen", lr=0.1, n_train=50000, batch_size=10)
    >>> found.parameters["pytorch"], round(found.time_constant_epochs, 6)
    (0.0001, 20.0)
    """

    source: str
    value: float
    parameters: Mapping[str, float | None]
    missing: Mapping[str, tuple[str, ...]]
    decay_per_step: float | None
    factor_per_epoch: float | None
    time_constant_steps: float | None
    time_constant_epochs: float | None
    not_equivalent: Mapping[str, str]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return the conversion as a dict, ready for JSON.

        Returns
        -------
        dict
            The attributes by name.

        Notes
        -----
        Nothing is computed: the numbers are those of `conversions`.

        References
        ----------
        Our own derivation.

        Examples
        --------
        >>> conversions(1e-4, "pytorch", lr=0.1).to_dict()["parameters"]["keras"]
        5e-05
        """
        return asdict(self)


def convention_name(name: str) -> str:
    """Return the name of a convention in `CONVENTIONS`, given that or one that a program is known by.

    Parameters
    ----------
    name : str
        Such as "pytorch", or "torch".

    Returns
    -------
    str

    Raises
    ------
    InvalidInput
        If there is no such convention; the message lists all.

    Notes
    -----
    What the parameter means there is the derivation "convention-" + name: in scikit-learn, weight_decay = alpha /
    batch_size.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> convention_name("sklearn")
    'scikit-learn'
    >>> from weightdecay.theory import derive
    >>> float(derive("convention-" + convention_name("sklearn")).numeric(alpha=1e-3, batch_size=10))
    0.0001
    """
    return check_choice("convention", OTHER_NAMES.get(name, name), CONVENTIONS)


def conversions(
    value: float,
    source: str,
    *,
    lr: float | None = None,
    lr_max: float | None = None,
    n_train: int | None = None,
    batch_size: int | None = None,
    optimizer: str = "sgd",
    momentum: float | None = None,
) -> Conversion:
    """Return one regularizer by all its names, with the triple that tells it apart whatever it is called.

    Parameters
    ----------
    value : float
        Parameter in the convention `source`.
    source : str
        One of `CONVENTIONS`, or a name that a program is known by ("torch", "sklearn", "optax", ...).
    lr, lr_max : float, optional, weight² / loss
        Learning rate and the largest of its schedule, by default the same.
    n_train, batch_size : int, optional
        Examples in the training set and in a mini-batch.
    optimizer : {"sgd", "momentum", "adam", "adamw", "lion", "muon"}, optional
        What makes the steps: it decides which conventions are the same regularizer.
    momentum : float, optional
        Coefficient of "momentum", 0.9 by default.

    Returns
    -------
    Conversion
        Parameters of conventions that cannot be told without something that is not given are None.

    Raises
    ------
    InvalidInput
        If a name is unknown, a value outside its range, or something is missing that `source` itself depends on.

    Notes
    -----
    Each number comes from a derivation ``convention-<name>``. Under plain SGD all conventions are one regularizer.
    Where buffers or normalizers act on the gradient, a penalty goes through them and decoupled decay does not: equal
    parameters are then unequal decay, and `not_equivalent` says by how much or why.

    References
    ----------
    loshchilov2019, nielsen2015, defazio2025

    Examples
    --------
    >>> found = conversions(5, "nielsen", lr=0.1, n_train=50000, batch_size=10)
    >>> found.parameters["pytorch"], found.parameters["keras"]
    (0.0001, 5e-05)
    >>> round(found.time_constant_steps), round(found.time_constant_epochs)
    (100000, 20)
    """
    name = convention_name(source)
    amount = check_nonnegative(f"value {_UNITS}", value)
    kind = check_choice("optimizer", optimizer, _THROUGH_THE_GRADIENT)
    given: dict[str, Any] = {
        "lr": None if lr is None else check_positive("lr", lr),
        "n_train": None if n_train is None else check_count("n_train", n_train),
        "batch_size": None if batch_size is None else check_count("batch_size", batch_size, most=n_train),
    }
    given["lr_max"] = given["lr"] if lr_max is None else check_positive("lr_max", lr_max)
    known = {key: number for key, number in given.items() if number is not None}
    weight_decay = convert(amount, name, "pytorch", **known)
    parameters: dict[str, float | None] = {}
    missing: dict[str, tuple[str, ...]] = {}
    for target, parameter in CONVENTIONS.items():
        wanted = set(derive(f"convention-{target}").arguments(parameter)) - {"weight_decay"}
        lacking = () if target == name else tuple(sorted(wanted - known.keys()))
        parameters[target] = amount if target == name else None if lacking else convert(amount, name, target, **known)
        if lacking:
            missing[target] = lacking
    mu = check_nonnegative("momentum", 0.9 if momentum is None else momentum)
    if mu >= 1:
        raise InvalidInput(f"momentum is {mu:g}, but must be below 1")
    speed = _speed(mu) if kind == "momentum" else 1.0
    through = name in PENALTIES or (name not in DECOUPLED and _THROUGH_THE_GRADIENT[kind])
    triple = _triple(weight_decay, known)
    return Conversion(
        source=name,
        value=amount,
        parameters=parameters,
        missing=missing,
        **triple,
        not_equivalent=_differences(through, kind, speed, mu),
        notes=_notes(name, kind if through else "", speed, mu, lr_max, given, triple),
    )


def _triple(weight_decay: float, known: Mapping[str, float]) -> dict[str, float | None]:
    """Return decay per step, factor per epoch and time constants, as far as they can be told."""
    decay = known.get("lr", 0.0) * weight_decay
    if decay >= 1:
        raise InvalidInput(
            f"decay would take {decay:.3g} of every weight at each step, but must take less than 1; lower it or lr"
        )
    claim = derive("convention-pytorch")
    told: dict[str, float | None] = {}
    for result in ("decay_per_step", "factor_per_epoch", "time_constant_steps", "time_constant_epochs"):
        wanted = set(claim.arguments(result)) - {"torch_weight_decay"}
        if wanted - known.keys() or (weight_decay == 0 and result.startswith("time")):
            told[result] = None  # no decay takes for ever
        else:
            others = {argument: known[argument] for argument in wanted}
            told[result] = float(claim.numeric(result, torch_weight_decay=weight_decay, **others))
    return told


def _differences(through: bool, optimizer: str, speed: float, momentum: float) -> dict[str, str]:
    """Return which conventions are another regularizer under the optimizer, and what differs."""
    if optimizer == "sgd":
        return {}
    if optimizer == "momentum":
        why = (
            f"with momentum {momentum:g} a penalty goes through the buffer and decays weights {speed:.3g} times as "
            "fast as decoupled decay with the same number"
        )
    elif optimizer == "adam":
        why = (
            "Adam divides a penalty's gradient, like any other, by the root of its second moment, so that weights "
            "with large gradients decay less; decoupled decay (AdamW) takes the same part of every weight"
        )
    else:
        why = (
            "decoupled decay takes the same part of every weight; a penalty would go through the optimizer's "
            "normalization and decay weights with large gradients less"
        )
    return dict.fromkeys(sorted(DECOUPLED if through else PENALTIES), why)


def _speed(momentum: float) -> float:
    """Return how much faster than decoupled decay a penalty decays weights under momentum, to leading order."""
    coupled, decoupled = (
        equilibrium(HEAVY_BALL, coupling=coupling, order="leading") for coupling in ("coupled", "decoupled")
    )
    values = {"lr": 1.0, "weight_decay": 1e-6, "momentum": momentum, "dampening": 0.0}  # their ratio is free of decay
    rates = (
        form.numeric("relaxation_rate", **{name: values[name] for name in form.arguments("relaxation_rate")})
        for form in (coupled, decoupled)
    )
    return float(next(rates) / next(rates))


def _notes(
    name: str,
    optimizer: str,
    speed: float,
    momentum: float,
    lr_max: float | None,
    given: Mapping[str, float | None],
    triple: Mapping[str, float | None],
) -> tuple[str, ...]:
    notes = []
    if optimizer == "momentum":
        times = ((triple[f"time_constant_{unit}"], unit) for unit in ("steps", "epochs"))
        told = ", ".join(f"{time / speed:.6g} {unit}" for time, unit in times if time is not None)
        notes.append(
            f"With momentum {momentum:g} the penalty goes through the buffer: weights decay {speed:.3g} times as fast "
            f"as the decay per step and time constant above say{f', to 1/e within {told}' if told else ''}."
        )
    elif optimizer == "adam":
        notes.append(
            "Adam divides the penalty's gradient too: weights decay at this rate over the root of their second moment, "
            "so that the decay per step and time constant above hold only where that root is 1."
        )
    if lr_max is None and given["lr"] is not None:
        notes.append("lr_max was not given: lr is taken to be the largest of its schedule.")
    lacking = [key for key in ("lr", "n_train", "batch_size") if given[key] is None]
    if lacking:
        notes.append(f"Give {', '.join(lacking)} for all conventions and the time constant in steps and epochs.")
    if name == "scikit-learn-lbfgs":
        notes.append("lbfgs takes no gradient steps: decay per step and time constant are those of SGD on its penalty.")
    notes.append(
        "Equal decay is not yet an equal run: Nielsen's loss is summed over the outputs, a 'mean' that also divides by "
        "their number makes gradients that much smaller."
    )
    return tuple(notes)
