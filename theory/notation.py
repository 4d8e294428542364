"""Name every quantity once: its symbol, letter, unit and meaning.

A SymPy symbol is named exactly like the argument that carries its value (`lr`, `weight_decay`, `norm_squared`), so that
an expression can be read in code; the letter of the formula (η, λ, R) comes in only when an expression is printed.
Units are powers of two things: weight, and loss per weight (gradient). Time is counted in steps.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from ..errors import InvalidInput, check_choice

__all__ = ["GLOSSARY", "Quantity", "glossary_markdown", "names_in", "quantities_named", "quantity", "symbols_of"]


@dataclass(frozen=True)
class Quantity:
    """One line of the glossary.

    Attributes
    ----------
    symbol : sympy.Symbol
        Symbol that stands for the quantity in expressions; its name is the name of the argument.
    latex : str
        Letter in formulas, as LaTeX.
    text : str
        The same letter in plain characters; one underscore begins a subscript.
    unit : str
        Unit, "1" where there is none.
    meaning : str
        What the quantity is, in a few words.
    letters_elsewhere : str
        How other papers and programs write it.

    Notes
    -----
    Units are powers of weight and loss; time is counted in steps.

    References
    ----------
    nielsen2015 for the letters, PyTorch for the names of arguments.

    Examples
    --------
    >>> GLOSSARY[0].name, GLOSSARY[0].unit, float(GLOSSARY[0].symbol.subs(GLOSSARY[0].symbol, 0.1))
    ('lr', 'weight² / loss', 0.1)
    """

    symbol: Any
    latex: str
    text: str
    unit: str
    meaning: str
    letters_elsewhere: str = ""

    @property
    def name(self) -> str:
        """Return the name of the argument that carries the quantity.

        Returns
        -------
        str

        Notes
        -----
        That of the symbol.

        References
        ----------
        The glossary.

        Examples
        --------
        >>> GLOSSARY[0].name, len(GLOSSARY[0].name)
        ('lr', 2)
        """
        return str(self.symbol.name)


def quantity(
    name: str,
    latex: str,
    text: str,
    unit: str,
    meaning: str,
    letters_elsewhere: str = "",
    **assumptions: bool,
) -> Quantity:
    r"""Return a quantity with a symbol of that name, real unless said otherwise.

    Parameters
    ----------
    name, latex, text, unit, meaning, letters_elsewhere : str
        As in `Quantity`.
    **assumptions : bool
        SymPy's assumptions on the symbol, such as ``positive=True``.

    Returns
    -------
    Quantity

    Raises
    ------
    InvalidInput
        If the name is no text.

    Notes
    -----
    The symbol is assumed real, so that formulas simplify; a stronger assumption is also what `numeric` demands of
    values.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> rate = quantity("rate", "r", "r", "1 / step", "rate of decay", positive=True).symbol
    >>> (1 - rate).subs(rate, sp.Rational(1, 4))
    3/4
    >>> quantity("lr", r"\eta", "η", "1", "learning rate", positive=True).symbol.is_positive
    True
    """
    if not isinstance(name, str) or not name.partition("[")[0].isidentifier():  # entries of blocks are named input[i]
        raise InvalidInput(f"the name of a quantity is {name!r}, but must be that of an argument, such as 'lr'")
    return Quantity(sp.Symbol(name, **(assumptions or {"real": True})), latex, text, unit, meaning, letters_elsewhere)


GLOSSARY: tuple[Quantity, ...] = (
    quantity(
        "lr",
        r"\eta",
        "η",
        "weight² / loss",
        "learning rate",
        "η (Nielsen), α, γ, lr (PyTorch)",
        positive=True,
    ),
    quantity(
        "weight_decay",
        r"\lambda",
        "λ",
        "loss / weight²",
        "decay coefficient as in PyTorch's SGD: w ← (1 − ηλ) w − η·update",
        "weight_decay (PyTorch), λ/n (Nielsen), 2c (Keras l2(c)), α/m (scikit-learn)",
        positive=True,
    ),
    quantity(
        "lmbda",
        r"\lambda_{\mathrm{N}}",
        "λ_N",
        "loss / weight²",
        "Nielsen's regularization parameter: cost + (λ_N / 2 n_train) Σ w²",
        "λ (Nielsen), lmbda (network2.py)",
        positive=True,
    ),
    quantity(
        "n_train",
        r"n_{\mathrm{train}}",
        "n_train",
        "1",
        "examples in the training set",
        "n, N",
        positive=True,
        integer=True,
    ),
    quantity("batch_size", "m", "m", "1", "examples in a mini-batch", "m (Nielsen), B", positive=True, integer=True),
    quantity(
        "n_weights",
        r"n_{\mathrm{w}}",
        "n_w",
        "1",
        "weights in a layer or block",
        "n, d, p",
        positive=True,
        integer=True,
    ),
    quantity(
        "fan_in",
        r"n_{\mathrm{in}}",
        "n_in",
        "1",
        "inputs of a neuron",
        "n_in (Nielsen), n, C",
        positive=True,
        integer=True,
    ),
    quantity("n_steps", "T", "T", "1", "steps taken", "t, k", nonnegative=True, integer=True),
    quantity(
        "norm_squared",
        "R",
        "R",
        "weight²",
        "squared Frobenius norm ‖W‖² of a layer's weights",
        "‖w‖², ρ², r²",
        positive=True,
    ),
    quantity("norm_squared_start", "R_{0}", "R_0", "weight²", "squared norm at the start", positive=True),
    quantity(
        "norm_squared_stationary",
        "R_{*}",
        "R_*",
        "weight²",
        "squared norm where decay, pull and noise balance",
        real=True,
    ),
    quantity("norm_squared_next", "R'", "R'", "weight²", "squared norm after the step", positive=True),
    quantity(
        "rms", r"w_{\mathrm{rms}}", "w_rms", "weight", "size per weight, √(R / n_w)", "σ_w, RMS norm", positive=True
    ),
    quantity(
        "radial_pull",
        "P",
        "P",
        "loss",
        "radial pull −⟨W, g⟩ of the mini-batch gradient g at the weights before its step, averaged over steps",
        "−⟨w, g⟩",
        real=True,
    ),
    quantity(
        "gradient_power",
        "G^{2}",
        "G²",
        "(loss/weight)²",
        "second moment E‖g‖² of the mini-batch gradient",
        "E‖g‖², L², σ²d",
        positive=True,
    ),
    quantity(
        "unit_gradient_power",
        r"\tilde G^{2}",
        "G̃²",
        "loss²",
        "second moment of the gradient at unit norm; a scale-invariant block of squared norm R has it over R",
        "L (Wan et al.)",
        positive=True,
    ),
    quantity(
        "angular_update",
        r"\theta",
        "θ",
        "rad",
        "root-mean-square angle between consecutive weights",
        "Δ (Wan et al.), η_r (Kosson et al.)",
        positive=True,
    ),
    quantity("momentum", r"\mu", "μ", "1", "heavy-ball coefficient", "β, α", positive=True),
    quantity("dampening", r"\tau", "τ", "1", "heavy-ball dampening", "dampening (PyTorch)", nonnegative=True),
    quantity(
        "cross_entropy", r"\mathrm{CE}", "CE", "loss", "cross-entropy of the outputs with the labels, mean", "C, L"
    ),
    quantity("predictive_entropy", "H", "H", "loss", "entropy of the outputs themselves, mean over examples", "H(p)"),
    quantity(
        "entropy_loss_gap",
        r"\Gamma",
        "Γ",
        "loss",
        "predictive entropy minus cross-entropy, E[H] − E[CE]: under-confidence",
        "",
        real=True,
    ),
    quantity("n_classes", "K", "K", "1", "output neurons", "C", positive=True, integer=True),
    quantity("depth", "L", "L", "1", "layers of weights", "D, N", positive=True, integer=True),
    quantity("time", "t", "t", "steps·η", "time, learning rate times steps", "t", nonnegative=True),
)
"""The quantities that more than one derivation speaks of, in the order of the README's table."""

_BY_NAME = {line.name: line for line in GLOSSARY}


def symbols_of(names: str) -> tuple[Any, ...]:
    """Return the glossary's symbols of the given names, in their order.

    Parameters
    ----------
    names : str
        Names separated by spaces.

    Returns
    -------
    tuple of sympy.Symbol

    Raises
    ------
    InvalidInput
        If the glossary has no such name; the message names near ones.

    Notes
    -----
    The symbols of the glossary carry its assumptions: learning rate and decay are positive.

    References
    ----------
    The glossary.

    Examples
    --------
    >>> lr, weight_decay = symbols_of("lr weight_decay")
    >>> (1 - lr * weight_decay).subs({lr: sp.Rational(1, 10), weight_decay: sp.Rational(1, 10000)})
    99999/100000
    """
    if not isinstance(names, str):
        raise InvalidInput(f"names is {names!r}, but must be text such as 'lr weight_decay'")
    return tuple(_BY_NAME[check_choice("quantity", name, _BY_NAME)].symbol for name in names.split())


def names_in(expression: Any) -> set[str]:
    """Return the names of symbols, indexed ones and functions in an expression, bound indices left out.

    Parameters
    ----------
    expression : sympy.Basic
        Any.

    Returns
    -------
    set of str

    Notes
    -----
    Bound are indices of sums, products and arrays, and variables of integrals.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> w, k, n = sp.Function("w1"), sp.Symbol("k"), sp.Symbol("n1")
    >>> sorted(names_in(sp.Sum(w(k), (k, 1, n))))
    ['n1', 'w1']
    """
    bound = {limits[0] for part in expression.atoms(sp.Sum, sp.Product, sp.Integral) for limits in part.limits}
    bound |= {index for part in expression.atoms(sp.Indexed) for index in part.indices}
    bound |= {part.args[3] for part in expression.atoms(sp.Limit)}  # the direction, which SymPy keeps as a symbol
    symbols = {part for part in expression.atoms(sp.Symbol) if part not in bound and not isinstance(part, sp.Dummy)}
    functions = expression.atoms(sp.core.function.AppliedUndef)
    return {str(symbol.name) for symbol in symbols} | {str(part.func.__name__) for part in functions}


def quantities_named(names: Iterable[str], own: Iterable[Quantity] = ()) -> dict[str, Quantity]:
    """Return name -> quantity for the names that `own` or else the glossary has.

    Parameters
    ----------
    names : iterable of str
        Names of arguments.
    own : iterable of Quantity, optional
        Quantities that come before the glossary's of the same name.

    Returns
    -------
    dict of str to Quantity

    Notes
    -----
    In the order of the glossary, those of `own` last.

    References
    ----------
    The glossary.

    Examples
    --------
    >>> [(name, line.text) for name, line in quantities_named(["weight_decay", "lr"]).items()]
    [('lr', 'η'), ('weight_decay', 'λ')]
    >>> len(quantities_named(["lr", "not in it"]))
    1
    """
    known = {line.name: line for line in GLOSSARY} | {line.name: line for line in own}
    wanted = set(names)
    return {name: line for name, line in known.items() if name in wanted}


def glossary_markdown(quantities: Iterable[Quantity] = GLOSSARY) -> str:
    r"""Return the glossary as a Markdown table.

    Parameters
    ----------
    quantities : iterable of Quantity, optional
        The lines; all of the glossary if left out.

    Returns
    -------
    str

    Notes
    -----
    Letter, argument, unit, meaning and the letters of other papers, one line each.

    References
    ----------
    The glossary.

    Examples
    --------
    >>> print(glossary_markdown(GLOSSARY[:1]))
    | letter | argument | unit | meaning | elsewhere |
    |---|---|---|---|---|
    | $\eta$ | `lr` | weight² / loss | learning rate | η (Nielsen), α, γ, lr (PyTorch) |
    >>> glossary_markdown(GLOSSARY[:1]).count("lr")
    2
    """
    head = ["| letter | argument | unit | meaning | elsewhere |", "|---|---|---|---|---|"]
    lines = [
        f"| ${line.latex}$ | `{line.name}` | {line.unit} | {line.meaning} | {line.letters_elsewhere} |"
        for line in quantities
    ]
    return "\n".join(head + lines)
