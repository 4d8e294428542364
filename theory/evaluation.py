"""Turn expressions into floating-point numbers, and refuse what does not belong in them."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray
from sympy.codegen.cfunctions import expm1, log1p

from ..errors import InvalidInput
from .proofs import Proof
from .region_in_words import region_in_words

__all__ = ["Condition", "compiled", "evaluate"]

_ELEMENTARY: tuple[Any, ...] = (
    expm1,
    log1p,
    *(sp.exp, sp.log, sp.sin, sp.cos, sp.tan, sp.asin, sp.acos, sp.atan, sp.sinh, sp.cosh, sp.tanh, sp.asinh),
    *(sp.Abs, sp.Max, sp.Min, sp.sign, sp.floor, sp.ceiling, sp.Piecewise, sp.conjugate, sp.re, sp.im),
)

_BLOCK = 32768
"""Numbers evaluated at once: intermediate results then stay in the processor's cache."""


@dataclass(frozen=True)
class Condition:
    """A relation that the numbers must obey, and the sentence that says why.

    Attributes
    ----------
    relation : sympy relation
        Such as ``lr * weight_decay < 1``.
    sentence : str
        Why, as a clause: "beyond it a step of decay turns the weights round".
    proof : Proof, optional
        How the condition is verified. Its residual gets the relation, and the steps of the derivation by key with the
        conjunction of all its conditions as "conditions". Every condition of the package's own derivations has one.
    of : tuple of str, optional
        Names of the results that it is about; all if left out.

    Raises
    ------
    InvalidInput
        If the relation is none.

    Notes
    -----
    The relation is the equation here: formulas are meant for numbers at which it is true.

    References
    ----------
    Our own derivation; of filters, Schur's, Cohn's and Jury's criteria.

    Examples
    --------
    >>> lr = sp.Symbol("lr", positive=True)
    >>> Condition(lr < 2, "beyond it steps overshoot").relation.rhs
    2
    """

    relation: Any
    sentence: str
    proof: Proof | None = field(default=None, compare=False, repr=False)
    of: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse text, which SymPy would evaluate."""
        if not isinstance(self.relation, (bool, sp.logic.boolalg.Boolean)):
            raise InvalidInput(
                f"the relation of a condition is {self.relation!r}, but must be a SymPy relation such as lr < 1; "
                "text is never evaluated"
            )


def evaluate(
    label: str,
    expression: Any,
    values: Mapping[str, Any],
    *,
    conditions: Iterable[Condition] = (),
    zero_allowed: Collection[str] = (),
) -> Any:
    """Return an expression's value in float64, broadcast over arrays.

    Parameters
    ----------
    label : str
        What is computed, for messages.
    expression : sympy.Expr
        Its free symbols are the arguments wanted, no more and no fewer.
    values : mapping of str to float or array_like
        Value of each argument, by name.
    conditions : iterable of Condition
        Checked as far as their symbols are among the arguments.
    zero_allowed : collection of str
        Arguments that may be 0 although their symbol is assumed positive: the formula holds there too.

    Returns
    -------
    float64 or ndarray of float64

    Raises
    ------
    InvalidInput
        If a value is missing, superfluous, not a number, outside the range of its symbol, against a condition, or if
        the expression has no finite real value there.

    Notes
    -----
    Powers and logarithms of numbers near 1 are computed with expm1 and log1p, so that they keep their digits.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> from weightdecay.theory.notation import symbols_of
    >>> lr, weight_decay = symbols_of("lr weight_decay")
    >>> float(evaluate("factor", 1 - lr * weight_decay, {"lr": 0.5, "weight_decay": 0.5}))
    0.75
    """
    wanted = {symbol.name: symbol for symbol in sorted(expression.free_symbols, key=lambda symbol: str(symbol.name))}
    missing = sorted(wanted.keys() - values.keys())
    extra = sorted(values.keys() - wanted.keys())
    takes = f"{label} takes {', '.join(wanted) or 'no argument'}"
    if missing:
        raise InvalidInput(f"{takes}; missing: {', '.join(missing)}")
    if extra:
        raise InvalidInput(f"{takes}; it does not depend on {', '.join(extra)}: leave that out")
    arrays = {name: _number_array(name, values[name], wanted[name], name in zero_allowed) for name in wanted}
    try:
        shape = np.broadcast_shapes(*(array.shape for array in arrays.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arrays.items())
        raise InvalidInput(f"the shapes of the arguments of {label} do not broadcast: {shapes}") from None

    function = compiled(expression)
    checks = [(condition, _arguments(condition.relation)) for condition in conditions]
    checks = [(condition, names) for condition, names in checks if all(name in arrays for name in names)]
    checks.sort(key=lambda check: len(check[1]))  # what depends on the fewest arguments is what to mend first

    def block(part: Mapping[str, NDArray[np.float64]]) -> NDArray[np.float64]:
        for name, array in part.items():
            _check_range(name, array, wanted[name], name in zero_allowed)
        for condition, names in checks:
            holds = compiled(condition.relation)(*(part[name] for name in names))
            if not np.all(holds):
                offence = _first_offence(holds, part)
                demand = region_in_words(condition.relation, [other.relation for other, _ in checks], offence)
                given = _told({name: offence[name] for name in names})
                raise InvalidInput(f"{label} needs {demand}, but {given}; {condition.sentence}")
        result = _real(function(*part.values()))
        if result.size and not (result.min() > -np.inf and result.max() < np.inf):
            raise InvalidInput(
                f"{label} has no finite real value where {_told(_first_offence(np.isfinite(result), part))}"
            )
        return result

    whole = all(array.shape in ((), shape) for array in arrays.values())
    size = math.prod(shape)
    with np.errstate(all="ignore"):  # what overflows or is undefined is answered in words
        if size <= _BLOCK or not whole:
            return block(arrays)[()]
        result = np.empty(size)
        flat = {name: array.reshape(-1) if array.shape else array for name, array in arrays.items()}
        for start in range(0, size, _BLOCK):
            cut = slice(start, start + _BLOCK)
            result[cut] = block({name: array[cut] if array.shape else array for name, array in flat.items()})
    return result.reshape(shape)


def _real(result: Any) -> NDArray[np.float64]:
    """Return a result as float64, with nan where it is not real."""
    values = np.asarray(result)
    if np.iscomplexobj(values):
        values = np.where(np.abs(values.imag) <= 1e-12 * np.abs(values.real), values.real, np.nan)
    real: NDArray[np.float64] = values.astype(np.float64, copy=False)
    return real


def _logarithm(argument: Any) -> Any:
    """Return log(1 + x) as log1p(x), which keeps its digits when x is small: a decay of 1e-9 per step, say."""
    near_one = argument.is_Add and sp.S.One in argument.args
    return log1p(argument - 1) if near_one else sp.log(argument, evaluate=False)


def _exponential(part: Any) -> Any:
    """Return a sum with a (exp(x) - 1) in it with a expm1(x) instead, which keeps its digits when x is small."""
    constant, rest = part.as_coeff_Add()
    for term in sp.Add.make_args(rest):
        factor, power = term.as_coeff_Mul()
        if constant != 0 and factor == -constant and isinstance(power, sp.exp):
            return rest - term + factor * expm1(power.args[0])
    return part


def _arguments(expression: Any) -> list[str]:
    return sorted(str(symbol.name) for symbol in expression.free_symbols)


def _number_array(name: str, value: Any, symbol: Any, zero_allowed: bool) -> NDArray[np.float64]:
    """Return the value as float64 if it is made of real numbers."""
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.array(None)
    if array.dtype.kind not in "iuf":
        raise InvalidInput(f"{name} is {value!r}, but must be {_allowed(symbol, zero_allowed)}")
    return array.astype(np.float64, copy=False)


def _check_range(name: str, array: NDArray[np.float64], symbol: Any, zero_allowed: bool) -> None:
    """Refuse numbers outside the range that the symbol's assumptions allow."""
    if not array.size:
        return
    low, high = array.min(), array.max()
    if symbol.is_positive and not zero_allowed:
        admissible = low > 0 and high < np.inf
    elif symbol.is_nonnegative or symbol.is_positive:
        admissible = low >= 0 and high < np.inf
    else:
        admissible = low > -np.inf and high < np.inf
    if not admissible:
        offender = high if np.isnan(low) or high == np.inf else low
        raise InvalidInput(f"{name} is {offender:g}, but must be {_allowed(symbol, zero_allowed)}")
    if symbol.is_integer and not (array == np.floor(array)).all():
        offender = array[array != np.floor(array)].flat[0]
        raise InvalidInput(f"{name} is {offender:g}, but must be {_allowed(symbol, zero_allowed)}")


def _allowed(symbol: Any, zero_allowed: bool) -> str:
    kind = "whole number" if symbol.is_integer else "finite number"
    if symbol.is_positive and not zero_allowed:
        return f"a {kind} above 0"
    return f"a {kind}, 0 or above" if symbol.is_nonnegative or symbol.is_positive else f"a {kind}"


def _first_offence(holds: Any, arrays: Mapping[str, NDArray[np.float64]]) -> dict[str, float]:
    """Return the values where `holds` is false for the first time, by name."""
    holds, *spread = np.broadcast_arrays(holds, *arrays.values())
    place = np.unravel_index(int(np.argmin(holds)), holds.shape)
    return {name: float(array[place]) for name, array in zip(arrays, spread, strict=True)}


def _told(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in values.items())


@functools.lru_cache(maxsize=1024)
def compiled(expression: Any) -> Callable[..., Any]:
    """Return an expression as a NumPy function of its free symbols in alphabetical order, unchecked.

    >>> from weightdecay.theory.notation import symbols_of
    >>> lr, weight_decay = symbols_of("lr weight_decay")
    >>> compiled(1 - 2 * lr * weight_decay)(0.5, 0.25)
    0.75
    """
    arguments = sorted(expression.free_symbols, key=lambda symbol: str(symbol.name))
    special = any(
        not isinstance(part, (*_ELEMENTARY, sp.logic.boolalg.BooleanFunction)) and not hasattr(part, "_imp_")
        for part in expression.atoms(sp.Function)
    )
    if isinstance(expression, sp.Expr):
        expression = sp.powsimp(expression, combine="base")  # one root of a product instead of a product of roots
        expression = expression.replace(sp.log, _logarithm)
        expression = expression.replace(lambda part: part.is_Add, _exponential)
    modules = ["scipy", "numpy"] if special else [np]  # by its name SymPy imports all of NumPy, with its compilers
    function: Callable[..., Any] = sp.lambdify(arguments, expression, modules=modules, cse=True)
    return function
