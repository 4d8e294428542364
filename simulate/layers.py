"""Describe a block of weights as far as predictions need it: its shape, where it starts, and what feeds it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import InvalidInput, check_count, check_finite, check_nonnegative, check_positive

__all__ = ["Layer", "as_layers", "layer_from_text"]

_FORM = "NAME=ROWSxCOLUMNS, such as hidden=30x784, and after commas any of rms=, pull=, power=, unit-power="
_MOST = 10**15


@dataclass(frozen=True)
class Layer:
    """Hold a block of weights.

    Parameters
    ----------
    name : str
        Its name.
    shape : tuple of int
        Outputs first, as PyTorch has it: (outputs, inputs) or (outputs, inputs, height, width). One number is a
        bias or gain.
    rms_start : float, optional, weight
        Root mean square of the weights at the start; by default 1 over the root of the fan-in, and 1 for gains.
    radial_pull : float, optional, loss
        What the data do to the norm, -<w, g>, averaged over steps.
    gradient_power : float, optional, (loss/weight)^2
        Second moment of the mini-batch gradient of the block.
    unit_gradient_power : float, optional, loss^2
        For weights before a normalization, instead of these two: the second moment at unit norm.

    Raises
    ------
    InvalidInput
        If a value is outside its range, or unit_gradient_power comes with one of the other two.

    Examples
    --------
    >>> layer = Layer("hidden", (30, 784))
    >>> print(layer.n_weights, layer.fan_in, f"{layer.rms:.4f}")
    23520 784 0.0357
    """

    name: str
    shape: tuple[int, ...]
    rms_start: float | None = None
    radial_pull: float | None = None
    gradient_power: float | None = None
    unit_gradient_power: float | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.name, str) or not self.name:
            raise InvalidInput(f"the name of a layer is {self.name!r}, but must be a text such as 'hidden'")
        if isinstance(self.shape, (str, bytes)) or not isinstance(self.shape, Sequence) or not self.shape:
            raise InvalidInput(f"the shape of {self.name} is {self.shape!r}, but must be numbers such as (30, 784)")
        sizes = tuple(check_count(f"a size in the shape of {self.name}", size) for size in self.shape)
        object.__setattr__(self, "shape", sizes)
        if self.n_weights > _MOST:
            raise InvalidInput(f"{self.name} has {self.n_weights:.3g} weights, but must have at most {_MOST:.0e}")
        if self.rms_start is not None:
            check_positive(f"rms of {self.name} at the start", self.rms_start)
        if self.radial_pull is not None:
            check_finite(f"radial_pull of {self.name}", self.radial_pull)
        if self.gradient_power is not None:
            check_nonnegative(f"gradient_power of {self.name}", self.gradient_power)
        if self.unit_gradient_power is not None:
            check_positive(f"unit_gradient_power of {self.name}", self.unit_gradient_power)
            if self.radial_pull or self.gradient_power:
                raise InvalidInput(
                    f"{self.name} has a unit_gradient_power, so it is scale-invariant: it has no radial_pull, and its "
                    "gradient_power follows from its norm; leave them out"
                )

    @property
    def n_weights(self) -> int:
        """Number of weights."""
        return math.prod(self.shape)

    @property
    def fan_in(self) -> int | None:
        """Inputs of a neuron; None for a bias or gain."""
        return math.prod(self.shape[1:]) if len(self.shape) > 1 else None

    @property
    def rms(self) -> float:
        """Root mean square of the weights at the start."""
        if self.rms_start is not None:
            return self.rms_start
        return 1.0 if self.fan_in is None else float(self.fan_in) ** -0.5

    @property
    def n_singular(self) -> int:
        """Singular values of the block, seen as a matrix of outputs by inputs."""
        return 1 if self.fan_in is None else min(self.shape[0], self.fan_in)


def layer_from_text(text: str) -> Layer:
    """Return the layer that a text describes.

    Parameters
    ----------
    text : str
        ``NAME=ROWSxCOLUMNS`` and, after commas, ``rms=``, ``pull=``, ``power=`` and ``unit-power=`` with numbers.

    Returns
    -------
    Layer

    Raises
    ------
    InvalidInput
        If the text has another form, or a number is not allowed.

    Examples
    --------
    >>> layer_from_text("output=10x30,rms=1,pull=0.1")
    Layer(name='output', shape=(10, 30), rms_start=1.0, radial_pull=0.1, ...)
    """
    first, *others = text.split(",")
    name, equals, sizes = first.partition("=")
    try:
        shape = tuple(int(size) for size in sizes.lower().replace("×", "x").split("x"))
        values = {key.strip(): float(value) for key, value in (other.split("=") for other in others)}
        fields = {_KEYS[key]: value for key, value in values.items()}
    except (ValueError, KeyError):
        raise InvalidInput(f"the layer {text!r} cannot be read; it must be {_FORM}") from None
    if not equals or len(values) < len(others):
        raise InvalidInput(f"the layer {text!r} cannot be read; it must be {_FORM}, each once")
    return Layer(name.strip(), shape, **fields)


def as_layers(layers: object) -> tuple[Layer, ...]:
    """Return layers of different names as a tuple, if there is at least one."""
    if isinstance(layers, (str, bytes, Layer)) or not isinstance(layers, Sequence) or not layers:
        raise InvalidInput("layers is empty or no list, but must hold at least one simulate.Layer")
    for layer in layers:
        if not isinstance(layer, Layer):
            raise InvalidInput(f"a layer is {layer!r}, but must be a simulate.Layer")
    names = [layer.name for layer in layers]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InvalidInput(f"two layers are called {twice[0]!r}; give each a name of its own")
    return tuple(layers)


_KEYS = {"rms": "rms_start", "pull": "radial_pull", "power": "gradient_power", "unit-power": "unit_gradient_power"}
