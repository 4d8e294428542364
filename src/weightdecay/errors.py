"""Say what was given, what is allowed, and what to do.

Every error that the package raises on purpose is one of these::

    WeightDecayError
    ├── InvalidInput (ValueError)        a value, name or shape outside what is allowed
    ├── DataError                        a data file that is missing, damaged or of another kind
    ├── OutputError                      a file or folder that cannot be written
    ├── ProofError                       a step of a derivation that does not hold
    ├── DivergenceError (ArithmeticError)  a run whose weights left the finite numbers
    ├── IntegrationError                 a solver that could not reach the end
    └── JobError                         a run of a sweep that failed, or whose process died

What goes on all the same, but should be known, is told by a `StoreWarning` (UserWarning): finished runs that are not
kept, or kept ones that cannot be used.

The functions below check one value and return it, converted, so that a caller writes
``self.lr = check_positive("lr", lr)``.
"""

from __future__ import annotations

import difflib
import math
import operator
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # this module must not import NumPy: the command line answers --help without it
    import numpy as np

__all__ = [
    "DataError",
    "DivergenceError",
    "IntegrationError",
    "InvalidInput",
    "JobError",
    "OutputError",
    "ProofError",
    "StoreWarning",
    "WeightDecayError",
    "check_choice",
    "check_count",
    "check_finite",
    "check_nonnegative",
    "check_positive",
    "check_rng",
]


class WeightDecayError(Exception):
    """Base of all errors that the package raises on purpose; its text is one sentence for the user."""


class InvalidInput(WeightDecayError, ValueError):
    """A value, name or shape outside what is allowed."""


class DataError(WeightDecayError):
    """A data file that is missing, damaged or of another kind than expected."""


class OutputError(WeightDecayError):
    """A file or folder that cannot be written."""


class ProofError(WeightDecayError):
    """A step of a derivation that does not hold.

    Attributes
    ----------
    derivation : str
        Name of the derivation.
    step : str
        Sentence of the first step that fails.
    residual : object
        What should have been zero (or true) and was not.
    """

    def __init__(self, derivation: str, step: str, residual: object) -> None:
        super().__init__(f"derivation {derivation!r} does not hold at the step {step!r}: {residual} should vanish")
        self.derivation = derivation
        self.step = step
        self.residual = residual

    def __reduce__(self) -> tuple[type[ProofError], tuple[str, str, str]]:
        """Travel between processes, the residual as text."""
        return type(self), (self.derivation, self.step, str(self.residual))


class DivergenceError(WeightDecayError, ArithmeticError):
    """A training run whose weights left the finite numbers.

    Attributes
    ----------
    step : int
        First training step (counted from 1) after which a value was not finite.
    layer : int
        Layer whose weights were the first to go, counted from 1 at the input.
    hyperparameters : dict
        Configuration of the run.
    """

    def __init__(self, step: int, layer: int, hyperparameters: Mapping[str, Any]) -> None:
        told = ", ".join(f"{name}={value}" for name, value in hyperparameters.items())
        super().__init__(
            f"training diverged at step {step} in the weights of layer {layer} ({told}); use a smaller learning rate"
        )
        self.step = step
        self.layer = layer
        self.hyperparameters = dict(hyperparameters)

    def __reduce__(self) -> tuple[type[DivergenceError], tuple[int, int, dict[str, Any]]]:
        """Travel between processes."""
        return type(self), (self.step, self.layer, self.hyperparameters)


class IntegrationError(WeightDecayError):
    """A solver that could not reach the end of its time span."""


class JobError(WeightDecayError):
    """A run of a sweep that failed, or whose process died; the text names the run."""


class StoreWarning(UserWarning):
    """Finished runs that are not kept, or kept ones that cannot be used; the runs are made all the same."""


def _number(name: str, value: object, wanted: str) -> float:
    if isinstance(value, (str, bytes, bool)):
        raise InvalidInput(f"{name} is {value!r}, but must be {wanted}")
    try:
        number = float(value)  # type: ignore[arg-type]  # whatever does not convert is answered below
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{name} is {value!r}, but must be {wanted}") from None
    if not math.isfinite(number):
        raise InvalidInput(f"{name} is {number}, but must be {wanted}")
    return number


def check_finite(name: str, value: object) -> float:
    """Return the value as a float if it is a finite number.

    >>> check_finite("level", -2)
    -2.0
    """
    return _number(name, value, "a finite number")


def check_positive(name: str, value: object) -> float:
    """Return the value as a float if it is finite and above zero.

    >>> check_positive("lr", 0.1)
    0.1
    >>> check_positive("lr", -1)
    Traceback (most recent call last):
    weightdecay.errors.InvalidInput: lr is -1, but must be a finite number above 0
    """
    wanted = "a finite number above 0"
    number = _number(name, value, wanted)
    if number <= 0:
        raise InvalidInput(f"{name} is {value!r}, but must be {wanted}")
    return number


def check_nonnegative(name: str, value: object) -> float:
    """Return the value as a float if it is finite and not below zero.

    >>> check_nonnegative("weight_decay", 0)
    0.0
    """
    wanted = "a finite number, 0 or above"
    number = _number(name, value, wanted)
    if number < 0:
        raise InvalidInput(f"{name} is {value!r}, but must be {wanted}")
    return number


def check_count(name: str, value: object, *, least: int = 1, most: int | None = None) -> int:
    """Return the value as an int if it is a whole number from `least` to `most`.

    >>> check_count("batch_size", 10, most=50000)
    10
    >>> check_count("batch_size", 2.5)
    Traceback (most recent call last):
    weightdecay.errors.InvalidInput: batch_size is 2.5, but must be a whole number of at least 1
    """
    wanted = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"
    try:
        if isinstance(value, bool):
            raise TypeError
        number = operator.index(value)  # type: ignore[arg-type]  # whatever is no integer is answered below
    except TypeError:
        raise InvalidInput(f"{name} is {value!r}, but must be {wanted}") from None
    if number < least or (most is not None and number > most):
        raise InvalidInput(f"{name} is {number}, but must be {wanted}")
    return number


def check_choice(name: str, value: object, allowed: Iterable[str]) -> str:
    """Return the value if it is one of the allowed names; otherwise name the near ones.

    >>> check_choice("activation", "sigmoid", ["sigmoid", "tanh"])
    'sigmoid'
    >>> check_choice("activation", "sigmoit", ["sigmoid", "tanh"])
    Traceback (most recent call last):
    weightdecay.errors.InvalidInput: activation is 'sigmoit', but must be one of: sigmoid, tanh (did you mean ...
    """
    names = list(allowed)
    if isinstance(value, str) and value in names:
        return value
    near = difflib.get_close_matches(str(value), names, n=3)
    hint = f" (did you mean {' or '.join(map(repr, near))}?)" if near else ""
    raise InvalidInput(f"{name} is {value!r}, but must be one of: {', '.join(names)}{hint}")


def check_rng(rng: object) -> np.random.Generator:
    """Return the generator itself, or the one that a non-negative whole number seeds.

    >>> int(check_rng(1).integers(10))
    4
    """
    import numpy as np

    if isinstance(rng, np.random.Generator):
        return rng
    wanted = "a numpy.random.Generator or a whole number of at least 0, so that the run can be repeated"
    try:
        return np.random.default_rng(check_count("rng", rng, least=0))
    except InvalidInput:
        raise InvalidInput(f"rng is {rng!r}, but must be {wanted}") from None
