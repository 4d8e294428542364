"""Write a derivation as LaTeX, Markdown, MathML, plain text or JSON."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

import sympy as sp

from .formulas import formula, formula_in_names, formula_mathml

if TYPE_CHECKING:
    from .derivation import Derivation

__all__ = ["latex", "markdown", "mathml", "text", "to_dict"]


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
        + [f"{formula_mathml(part.relation, symbols)} {escape(part.sentence)}." for part in derivation.conditions]
    )
    lines += ["<h3>Steps</h3>"]
    lines += listed(
        [
            f"{escape(step.sentence)} <em>({escape(step.proof.how)})</em> {formula_mathml(step.expression, symbols)}"
            for step in derivation.steps
        ],
        "ol",
    )
    lines += ["<h3>Equation</h3>", formula_mathml(derivation.equation, symbols)]
    points, stabilities = _as_equations(derivation)
    if points:
        lines += ["<h3>Fixed points</h3>", *(formula_mathml(point, symbols) for point in points)]
    if stabilities:
        lines += ["<h3>Stability</h3>"]
        lines += listed([f"{escape(said)} {formula_mathml(slope, symbols)}" for slope, said in stabilities])
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
    lines += [f"  - {formula_in_names(part.relation)}: {part.sentence}." for part in derivation.conditions]
    lines += ["", "Steps"]
    for place, step in enumerate(derivation.steps, start=1):
        lines += [f"  {place}. {step.sentence} ({step.proof.how})", f"       {formula_in_names(step.expression)}"]
    lines += ["", "Equation", f"  {formula_in_names(derivation.equation)}", ""]
    points, stabilities = _as_equations(derivation)
    if points:
        lines += ["Fixed points", *(f"  {formula_in_names(point)}" for point in points), ""]
    if stabilities:
        lines += ["Stability", *(f"  {said} (Jacobian {formula_in_names(slope)})" for slope, said in stabilities), ""]
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
        return {"expression": formula_in_names(expression), "latex": formula(expression, symbols)}

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
            {formula_in_names(left): both(right) for left, right in point.items()} for point in derivation.fixed_points
        ],
        "stability": [
            {"sentence": part.sentence, "jacobian": both(part.jacobian), "stable": formula_in_names(part.stable)}
            for part in derivation.stability
        ],
        "references": list(derivation.references),
    }


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
