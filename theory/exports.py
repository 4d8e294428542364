"""Write a derivation as LaTeX, Markdown, MathML, plain text or JSON."""

from __future__ import annotations

import html
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import sympy as sp
from sympy.printing.latex import LatexPrinter
from sympy.printing.mathml import MathMLPresentationPrinter
from sympy.printing.str import StrPrinter

from .notation import Quantity

if TYPE_CHECKING:
    from .derivation import Derivation

__all__ = ["formula", "latex", "markdown", "mathml", "text", "to_dict"]


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


def _formula_mathml(expression: Any, symbols: Mapping[str, Quantity]) -> str:
    """Return an expression as a MathML element."""
    inside = _Marks(symbols).doprint(sp.sympify(expression))
    inside = re.sub(r"&(?!amp;|lt;|gt;)\w+;", lambda entity: html.unescape(entity[0]), inside)  # XML knows few names
    inside = re.sub(r"<mo>([<>]=?)</mo>", lambda sign: f"<mo>{escape(sign[1])}</mo>", inside)  # SymPy does not escape
    return f'<math xmlns="http://www.w3.org/1998/Math/MathML" display="block">{inside}</math>'


def _as_equations(derivation: Derivation) -> tuple[list[Any], list[tuple[Any, str]]]:
    """Return fixed points and stabilities as equations."""
    points = [sp.Eq(left, right, evaluate=False) for point in derivation.fixed_points for left, right in point.items()]
    return points, [(part.jacobian, part.sentence) for part in derivation.stability]


def latex(derivation: Derivation) -> str:
    """Return the derivation as a LaTeX section (needs amsmath).

    Parameters
    ----------
    derivation : Derivation
        What is written.

    Returns
    -------
    str

    Notes
    -----
    Letters, assumptions, conditions, steps with their proofs, equation, fixed points, stability, references.

    References
    ----------
    Those of the derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> latex(derive("decay-floor")).count("section*")
    1
    """
    symbols = derivation.symbols
    lines = [rf"\section*{{{_tex(derivation.title)}}}", r"\begin{description}"]
    lines += [rf"\item[${line.latex}$] {_tex(line.meaning)} ({_tex(line.unit)})" for line in symbols.values()]
    lines += [r"\end{description}", r"\paragraph{Assumptions}", r"\begin{itemize}"]
    lines += [rf"\item {_tex(sentence)}" for sentence in derivation.assumptions]
    lines += [rf"\item ${formula(part.relation, symbols)}$: {_tex(part.sentence)}." for part in derivation.conditions]
    lines += [r"\end{itemize}", r"\paragraph{Steps}", r"\begin{enumerate}"]
    for step in derivation.steps:
        lines.append(rf"\item {_tex(step.sentence)} \textit{{({_tex(step.proof.how)})}}")
        lines.append(_display(formula(step.expression, symbols)))
    lines += [r"\end{enumerate}", r"\paragraph{Equation}", _display(formula(derivation.equation, symbols))]
    points, stabilities = _as_equations(derivation)
    if points:
        lines += [r"\paragraph{Fixed points}", *(_display(formula(point, symbols)) for point in points)]
    if stabilities:
        lines += [r"\paragraph{Stability}"]
        lines += [rf"{_tex(said)} (Jacobian ${formula(slope, symbols)}$)" for slope, said in stabilities]
    lines += [r"\paragraph{References}", ", ".join(rf"\cite{{{key}}}" for key in derivation.references)]
    return "\n".join(lines) + "\n"


def markdown(derivation: Derivation, *, level: int = 1) -> str:
    """Return the derivation as Markdown with formulas between dollar signs.

    Parameters
    ----------
    derivation : Derivation
        What is written.
    level : int, optional
        Of its heading.

    Returns
    -------
    str

    Notes
    -----
    Equation, assumptions, conditions, steps with their proofs, fixed points, stability, letters, references.

    References
    ----------
    Those of the derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> markdown(derive("decay-floor"), level=2).splitlines()[0]
    '## The floor of pure decay: weights that get no gradient'
    >>> markdown(derive("decay-floor")).count("**Steps**")
    1
    """
    symbols = derivation.symbols
    lines = [f"{'#' * level} {derivation.title}", "", f"`{derivation.name}`", "", "**Equation**", ""]
    lines += [f"$${formula(derivation.equation, symbols)}$$", "", "**Assumptions**", ""]
    lines += [f"- {sentence}" for sentence in derivation.assumptions]
    lines += [f"- ${formula(part.relation, symbols)}$: {part.sentence}." for part in derivation.conditions]
    lines += ["", "**Steps**", ""]
    for place, step in enumerate(derivation.steps, start=1):
        lines += [f"{place}. {step.sentence} *({step.proof.how})*", ""]
        lines += [f"   $${formula(step.expression, symbols)}$$", ""]
    points, stabilities = _as_equations(derivation)
    if points:
        lines += ["**Fixed points**", ""]
        for point in points:
            lines += [f"$${formula(point, symbols)}$$", ""]
    if stabilities:
        lines += ["**Stability**", ""]
        lines += [f"- {said} (Jacobian ${formula(slope, symbols)}$)" for slope, said in stabilities]
        lines += [""]
    lines += ["**Letters**: " + "; ".join(f"${line.latex}$ `{line.name}` {line.meaning}" for line in symbols.values())]
    lines += ["", "**References**: " + ", ".join(f"[@{key}]" for key in derivation.references), ""]
    return "\n".join(lines)


def mathml(derivation: Derivation) -> str:
    """Return the derivation as an XHTML section with its formulas in presentation MathML.

    Parameters
    ----------
    derivation : Derivation
        What is written.

    Returns
    -------
    str

    Notes
    -----
    Assumptions, conditions, steps with their proofs, equation, fixed points, stability, references.

    References
    ----------
    Those of the derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> mathml(derive("decay-floor")).count("<section")
    1
    """
    symbols = derivation.symbols

    def listed(items: list[str], tag: str = "ul") -> list[str]:
        return [f"<{tag}>", *(f"<li>{item}</li>" for item in items), f"</{tag}>"]

    lines = [f'<section xmlns="http://www.w3.org/1999/xhtml" id="{derivation.name}">']
    lines += [f"<h2>{escape(derivation.title)}</h2>", "<h3>Assumptions</h3>"]
    lines += listed(
        [escape(sentence) for sentence in derivation.assumptions]
        + [f"{_formula_mathml(part.relation, symbols)} {escape(part.sentence)}." for part in derivation.conditions]
    )
    lines += ["<h3>Steps</h3>"]
    lines += listed(
        [
            f"{escape(step.sentence)} <em>({escape(step.proof.how)})</em> {_formula_mathml(step.expression, symbols)}"
            for step in derivation.steps
        ],
        "ol",
    )
    lines += ["<h3>Equation</h3>", _formula_mathml(derivation.equation, symbols)]
    points, stabilities = _as_equations(derivation)
    if points:
        lines += ["<h3>Fixed points</h3>", *(_formula_mathml(point, symbols) for point in points)]
    if stabilities:
        lines += ["<h3>Stability</h3>"]
        lines += listed([f"{escape(said)} {_formula_mathml(slope, symbols)}" for slope, said in stabilities])
    lines += ["<h3>References</h3>", *listed([f"<cite>{key}</cite>" for key in derivation.references]), "</section>"]
    return "\n".join(lines) + "\n"


def text(derivation: Derivation) -> str:
    """Return the derivation as plain text, with the names of the arguments in the formulas.

    Parameters
    ----------
    derivation : Derivation
        What is written.

    Returns
    -------
    str

    Notes
    -----
    Formulas are SymPy's: what stands there can be read in code.

    References
    ----------
    Those of the derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> text(derive("number-format-floor")).count("decay_floor = spacing/2")
    1
    """
    lines = [derivation.title, "=" * len(derivation.title), "", "Assumptions"]
    lines += [f"  - {sentence}" for sentence in derivation.assumptions]
    lines += [f"  - {_plain(part.relation)}: {part.sentence}." for part in derivation.conditions]
    lines += ["", "Steps"]
    for place, step in enumerate(derivation.steps, start=1):
        lines += [f"  {place}. {step.sentence} ({step.proof.how})", f"       {_plain(step.expression)}"]
    lines += ["", "Equation", f"  {_plain(derivation.equation)}", ""]
    points, stabilities = _as_equations(derivation)
    if points:
        lines += ["Fixed points", *(f"  {_plain(point)}" for point in points), ""]
    if stabilities:
        lines += ["Stability", *(f"  {said} (Jacobian {_plain(slope)})" for slope, said in stabilities), ""]
    lines += ["References", f"  {', '.join(derivation.references)}", ""]
    return "\n".join(lines)


def to_dict(derivation: Derivation) -> dict[str, Any]:
    """Return the derivation as plain dicts, lists and strings, ready for JSON.

    Parameters
    ----------
    derivation : Derivation
        What is written.

    Returns
    -------
    dict

    Notes
    -----
    Every expression twice: as SymPy prints it, and as LaTeX.

    References
    ----------
    Those of the derivation.

    Examples
    --------
    >>> from weightdecay.theory import derive
    >>> to_dict(derive("number-format-floor"))["results"]["decay_floor"]["expression"]
    'spacing/2'
    """
    symbols = derivation.symbols

    def both(expression: Any) -> dict[str, str]:
        return {"expression": _plain(expression), "latex": formula(expression, symbols)}

    return {
        "name": derivation.name,
        "title": derivation.title,
        "assumptions": list(derivation.assumptions),
        "conditions": [both(part.relation) | {"sentence": part.sentence} for part in derivation.conditions],
        "symbols": {
            line.name: {"letter": line.text, "latex": line.latex, "unit": line.unit, "meaning": line.meaning}
            for line in symbols.values()
        },
        "steps": [
            {"key": step.key, "sentence": step.sentence, "how": step.proof.how} | both(step.expression)
            for step in derivation.steps
        ],
        "equation": both(derivation.equation),
        "results": {
            name: both(result) | {"arguments": list(derivation.arguments(name))}
            for name, result in derivation.results.items()
        },
        "fixed_points": [
            {_plain(left): both(right) for left, right in point.items()} for point in derivation.fixed_points
        ],
        "stability": [
            {"sentence": part.sentence, "jacobian": both(part.jacobian), "stable": _plain(part.stable)}
            for part in derivation.stability
        ],
        "references": list(derivation.references),
    }


class _Names(StrPrinter):  # type: ignore[misc]  # SymPy is untyped
    """Printer of names of arguments, with the order of terms of formulas: 1 - lr*weight_decay."""

    def _as_ordered_terms(self, expr: Any, order: str | None = None) -> list[Any]:  # noqa: ARG002  # theirs
        return _ordered_terms(expr)


def _plain(expression: Any) -> str:
    if isinstance(expression, sp.Eq):
        return f"{_Names().doprint(expression.lhs)} = {_Names().doprint(expression.rhs)}"
    return str(_Names().doprint(expression))


def _display(inside: str) -> str:
    return f"\\[ {inside} \\]"


def _tex(sentence: str) -> str:
    """Return a sentence with LaTeX's special characters escaped."""
    escaped = re.sub(r"([&%$#_{}])", r"\\\1", sentence).replace("^", r"\^{}").replace("~", r"\~{}")
    return "".join(f"${_SIGNS[mark]}$" if mark in _SIGNS else mark for mark in escaped)


_SIGNS = {
    "α": r"\alpha",
    "β": r"\beta",
    "γ": r"\gamma",
    "δ": r"\delta",
    "ε": r"\varepsilon",
    "ζ": r"\zeta",
    "η": r"\eta",
    "θ": r"\theta",
    "κ": r"\kappa",
    "λ": r"\lambda",
    "μ": r"\mu",
    "ν": r"\nu",
    "π": r"\pi",
    "ρ": r"\rho",
    "σ": r"\sigma",
    "τ": r"\tau",
    "φ": r"\varphi",
    "ω": r"\omega",
    "Γ": r"\Gamma",
    "Δ": r"\Delta",
    "ᵀ": r"^{\mathsf T}",
    "½": r"\tfrac12",
    "∞": r"\infty",
    "≈": r"\approx",
    "→": r"\to",
    "Σ": r"\sum",
    "²": "^2",
    "³": "^3",
    "⁴": "^4",
    "√": r"\surd",
    "‖": r"\Vert",
    "⟨": r"\langle",
    "⟩": r"\rangle",
    "−": "-",
    "·": r"\cdot",
    "≤": r"\le",
    "≥": r"\ge",
    "←": r"\leftarrow",
}
"""Signs in sentences that a LaTeX engine without Unicode fonts does not know."""
