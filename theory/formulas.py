"""Print expressions with the letters of their quantities or the names of their arguments, in a textbook's order."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import Any
from xml.sax.saxutils import escape

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.str import StrPrinter

from .notation import Quantity

__all__ = ["formula", "formula_in_names", "formula_mathml"]


def _ordered_terms(total: Any) -> list[Any]:
    """Return the terms of a sum in the order that reads as usual: 1 − ηλ and 1 + μ, but T − 1, and T + 1 for steps."""
    first, *rest = terms = total.as_ordered_terms("lex")
    counts = all(symbol.is_integer for symbol in total.free_symbols)
    constant_first = total.as_coeff_Add()[0] > 0 and not counts
    if first.could_extract_minus_sign() or (constant_first and not rest[-1].could_extract_minus_sign()):
        terms = total.as_ordered_terms("rev-lex")
    terms = [_minus_outside(term) for term in terms]
    return sorted(terms, key=lambda term: not term.is_Number) if constant_first else terms


def _minus_outside(term: Any) -> Any:
    """Return a sum whose terms all have a minus sign with that sign before it."""
    negative = isinstance(term, sp.Sum) and term.function.could_extract_minus_sign()
    return sp.Mul(-1, sp.Sum(-term.function, *term.limits), evaluate=False) if negative else term


def _number_outside(product: Any) -> Any:
    """Return a product in which 2 (1 − ηλ) stands for 2 − 2ηλ: SymPy multiplies numbers into sums."""
    number, factors = product.as_coeff_Mul()
    outside, parts = number, []
    for part in sp.Mul.make_args(factors):
        base, power = part.as_base_exp()
        content, bare = base.primitive() if base.is_Add and abs(power) == 1 else (sp.S.One, base)
        whole = content.is_Integer and content > 1
        outside *= content**power if whole else 1
        parts.append(bare**power if whole else part)
    if outside == number:
        return product
    return sp.Mul(*parts) if outside == 1 else sp.Mul(outside, *parts, evaluate=False)


def _one_root(product: Any) -> Any:
    """Return a product of square roots with one root over all: SymPy takes roots of positive symbols apart."""
    half = sp.Rational(1, 2)
    roots = [part for part in product.args if part.is_Pow and abs(part.exp) == half and part.base.free_symbols]
    if len(roots) < 2 or sum(not part.base.is_positive for part in roots) > 1:
        return product
    inside = sp.Mul(*(part.base ** (2 * part.exp) for part in roots))
    rest = sp.Mul(*(part for part in product.args if part not in roots))
    root = sp.Pow(inside, half, evaluate=False)
    return root if rest == 1 else sp.Mul(rest, root, evaluate=False)


class _Letters(LatexPrinter):  # type: ignore[misc]  # SymPy is untyped
    """LaTeX printer that writes functions of an argument, such as R(t), with the letter of their quantity."""

    def __init__(self, symbols: Mapping[str, Quantity]) -> None:
        super().__init__()
        self._letters = {line.name: line.latex for line in symbols.values()}

    def _print_Symbol(self, expr: Any, style: str = "plain") -> str:
        return self._letters.get(expr.name) or str(super()._print_Symbol(expr, style))

    def _as_ordered_terms(self, expr: Any, order: str | None = None) -> list[Any]:  # noqa: ARG002  # theirs
        return _ordered_terms(expr)

    def _print_Mul(self, expr: Any) -> str:
        whole = _one_root(_number_outside(expr)) if expr.is_Mul else expr  # SymPy prints 1/x as a product, too
        return str(super()._print_Mul(whole) if whole.is_Mul or whole is expr else self._print(whole))

    def _print_Function(self, expr: Any, exp: str | None = None) -> str:
        letter = self._letters.get(expr.func.__name__)
        if letter is None or not isinstance(expr, sp.core.function.AppliedUndef):
            return str(super()._print_Function(expr, exp))
        power = "" if exp is None else f"^{{{exp}}}"
        return f"{{{letter}}}{power}{{\\left({', '.join(map(self._print, expr.args))}\\right)}}"


class _Marks(MathMLPresentationPrinter):  # type: ignore[misc]  # SymPy is untyped
    """MathML printer that writes symbols and functions with the letter of their quantity."""

    def __init__(self, symbols: Mapping[str, Quantity]) -> None:
        super().__init__()
        self._texts = {line.name: line.text for line in symbols.values()}

    def _identifier(self, name: str) -> Any:
        base, _, below = self._texts.get(name, name).partition("_")
        identifier = self.dom.createElement("mi")
        identifier.appendChild(self.dom.createTextNode(escape(base)))
        if not below:
            return identifier
        lower = self.dom.createElement("mi")
        lower.appendChild(self.dom.createTextNode(escape(below)))
        both = self.dom.createElement("msub")
        both.appendChild(identifier)
        both.appendChild(lower)
        return both

    def _as_ordered_terms(self, expr: Any, order: str | None = None) -> list[Any]:  # noqa: ARG002  # theirs
        return _ordered_terms(expr)

    def _print_Mul(self, expr: Any) -> Any:
        whole = _one_root(expr)
        return super()._print_Mul(whole) if whole.is_Mul else self._print(whole)

    def _print_Symbol(self, sym: Any, style: str = "plain") -> Any:  # noqa: ARG002  # signature of the printer
        return self._identifier(sym.name)

    def _print_Function(self, e: Any) -> Any:
        if not isinstance(e, sp.core.function.AppliedUndef):
            return super()._print_Function(e)
        row = self.dom.createElement("mrow")
        row.appendChild(self._identifier(e.func.__name__))
        for mark in ("(", *e.args, ")"):
            if isinstance(mark, str):
                fence = self.dom.createElement("mo")
                fence.appendChild(self.dom.createTextNode(mark))
                row.appendChild(fence)
            else:
                row.appendChild(self._print(mark))
        return row


def formula(expression: Any, symbols: Mapping[str, Quantity]) -> str:
    r"""Return an expression as LaTeX, with the letters of the quantities.

    Parameters
    ----------
    expression : sympy.Basic
        What is written.
    symbols : mapping of str to Quantity
        Quantities by name, such as a derivation's `symbols`.

    Returns
    -------
    str

    Notes
    -----
    Sums begin with their constant (1 − ηλ, 1 + μ), unless that has a minus sign or they count; a product of roots has
    one root over all.

    References
    ----------
    The glossary, `weightdecay.theory.GLOSSARY`.

    Examples
    --------
    >>> from weightdecay.theory.notation import quantities_named, symbols_of
    >>> lr, weight_decay = symbols_of("lr weight_decay")
    >>> formula(1 - lr * weight_decay, quantities_named(["lr", "weight_decay"]))
    '1 - \\eta \\lambda'
    """
    if isinstance(expression, sp.Eq):
        expression = sp.Eq(expression.lhs, _minus_outside(expression.rhs), evaluate=False)
    return str(_Letters(symbols).doprint(sp.sympify(expression)))


def formula_mathml(expression: Any, symbols: Mapping[str, Quantity]) -> str:
    """Return an expression as a MathML element, with the letters of the quantities.

    Parameters
    ----------
    expression : sympy.Basic
        What is written.
    symbols : mapping of str to Quantity
        Quantities by name, such as a derivation's `symbols`.

    Returns
    -------
    str

    Notes
    -----
    Presentation markup, in the order of terms of `formula`.

    References
    ----------
    The glossary, `weightdecay.theory.GLOSSARY`.

    Examples
    --------
    >>> formula_mathml(sp.Integer(2), {})
    '<math xmlns="http://www.w3.org/1998/Math/MathML" display="block"><mn>2</mn></math>'
    """
    inside = _Marks(symbols).doprint(sp.sympify(expression))
    inside = re.sub(r"&(?!amp;|lt;|gt;)\w+;", lambda entity: html.unescape(entity[0]), inside)  # XML knows few names
    inside = re.sub(r"<mo>([<>]=?)</mo>", lambda sign: f"<mo>{escape(sign[1])}</mo>", inside)  # SymPy does not escape
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">{inside}</math>'


class _Names(StrPrinter):  # type: ignore[misc]  # SymPy is untyped
    """Printer of names of arguments, with the order of terms of formulas: 1 - lr*weight_decay."""

    def _as_ordered_terms(self, expr: Any, order: str | None = None) -> list[Any]:  # noqa: ARG002  # theirs
        return _ordered_terms(expr)


def formula_in_names(expression: Any) -> str:
    """Return an expression as text, with the names of the arguments.

    Parameters
    ----------
    expression : sympy.Basic
        What is written.

    Returns
    -------
    str

    Notes
    -----
    In the order of terms of `formula`; an equation has one sign of equality.

    References
    ----------
    SymPy's printer of strings, but for the order.

    Examples
    --------
    >>> from weightdecay.theory.notation import symbols_of
    >>> lr, weight_decay, norm_squared = symbols_of("lr weight_decay norm_squared")
    >>> formula_in_names(sp.Eq(norm_squared, 1 - lr * weight_decay, evaluate=False))
    'norm_squared = 1 - lr*weight_decay'
    """
    if isinstance(expression, sp.Eq):
        return f"{_Names().doprint(expression.lhs)} = {_Names().doprint(expression.rhs)}"
    return str(_Names().doprint(expression))
