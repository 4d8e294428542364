"""Name what belongs to a weight that a symmetry moves: its image, generator, gradient, velocity and next value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp

from .notation import Quantity, quantity
from .ranges import index_of, name_of

__all__ = ["SUFFIXES", "assumed", "at_images", "companion", "companion_lines", "made_up"]

SUFFIXES = ("moved", "generator", "gradient", "gradient_moved", "velocity", "next")
"""What is put after a weight's name to name what belongs to it."""


def assumed(weight: Any) -> Mapping[str, bool]:
    """Return what a weight is assumed to be: positive, say; real if nothing was said.

    Parameters
    ----------
    weight : sympy.Symbol or sympy.Indexed
        A weight of a family.

    Returns
    -------
    mapping of str to bool

    Notes
    -----
    SymPy's assumptions of its symbol.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> assumed(sp.Symbol("w1")), len(assumed(sp.Symbol("w1", positive=True))) > 1
    ({'real': True}, True)
    """
    assumed = (weight.base.label if isinstance(weight, sp.Indexed) else weight).assumptions0
    return assumed if assumed.get("real") else {"real": True}


def companion(weight: Any, suffix: str) -> Any:
    """Return the symbol of the same shape whose name has the suffix.

    Parameters
    ----------
    weight : sympy.Symbol or sympy.Indexed
        A weight of a family.
    suffix : str
        One of `SUFFIXES`.

    Returns
    -------
    sympy.Symbol or sympy.Indexed

    Notes
    -----
    Companions are real, whatever the weight is assumed to be.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> companion(sp.Symbol("w1"), "gradient")
    w1_gradient
    """
    symbol = sp.Symbol(f"{name_of(weight)}_{suffix}", real=True)
    return sp.IndexedBase(symbol)[index_of(weight)] if isinstance(weight, sp.Indexed) else symbol


def at_images(expression: Any, images: Mapping[Any, Any]) -> Any:
    """Return an expression with every weight, at whatever index, replaced by its image.

    Parameters
    ----------
    expression : sympy.Expr
        In the weights.
    images : mapping of sympy.Expr to sympy.Expr
        Weight -> its image, at the index of the family.

    Returns
    -------
    sympy.Expr

    Notes
    -----
    All at once, so that images may contain weights.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> w, i = sp.IndexedBase("w"), sp.Symbol("i", integer=True)
    >>> at_images(w[1] + w[2], {w[i]: 3 * w[i]})
    3*w[1] + 3*w[2]
    """
    rules = {}
    for weight, image in images.items():
        if isinstance(weight, sp.Indexed):
            for part in expression.atoms(sp.Indexed):
                if part.base == weight.base:
                    rules[part] = image.subs(index_of(weight), part.indices[0])
        else:
            rules[weight] = image
    return expression.subs(rules, simultaneous=True)


def made_up(name: str) -> Quantity:
    r"""Return a line of the glossary for a weight that came without one.

    Parameters
    ----------
    name : str
        Its name.

    Returns
    -------
    Quantity

    Notes
    -----
    What follows the first underscore is set as a subscript.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> made_up("w1_in").latex
    'w1_{\\mathrm{in}}'
    """
    base, _, below = name.partition("_")
    latex = f"{base}_{{\\mathrm{{{below.replace('_', ' ')}}}}}" if below else base
    return quantity(name, latex, name, "1", name.replace("_", " "), real=True)


def companion_lines(line: Quantity) -> Iterable[Quantity]:
    """Yield a line of the glossary for everything that belongs to a weight, one for each of `SUFFIXES`.

    Parameters
    ----------
    line : Quantity
        That of the weight.

    Returns
    -------
    iterator of Quantity

    Notes
    -----
    Units follow the weight's, gradients and velocities are loss per weight.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> [made.name for made in companion_lines(made_up("w1"))][:3]
    ['w1_moved', 'w1_generator', 'w1_gradient']
    """
    flat = line.text.replace("_", "")
    kinds = (
        ("moved", f"\\hat {{{line.latex}}}", f"^{line.text}", line.unit, "where the family takes it: {}"),
        ("generator", f"\\delta {{{line.latex}}}", f"δ{line.text}", line.unit, "how it begins to move: {}"),
        ("gradient", f"g_{{{line.latex}}}", f"g_{flat}", "loss / weight", "gradient of the mini-batch: {}"),
        ("gradient_moved", f"\\hat g_{{{line.latex}}}", f"^g_{flat}", "loss / weight", "gradient at the image: {}"),
        ("velocity", f"\\dot {{{line.latex}}}", f"d{line.text}/dt", "loss / weight", "velocity in gradient flow: {}"),
        ("next", f"{{{line.latex}}}'", f"{line.text}'", line.unit, "after the step: {}"),
    )
    for suffix, latex, text, unit, meaning in kinds:
        yield quantity(f"{line.name}_{suffix}", latex, text, unit, meaning.format(line.meaning), real=True)
