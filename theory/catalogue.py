"""List every derivation as one Markdown page for people to browse."""

from __future__ import annotations

import re
from typing import Any

import sympy as sp

from .derivation import Derivation
from .formulas import formula
from .notation import names_in
from .registry import derive, names

__all__ = ["derivations_markdown", "without_formulas"]

HEAD = """# Derivations

Every derivation of `weightdecay.theory`, with the equation it arrives at, what it assumes and where it comes from.
`theory.derive(name)` returns one as an object; `.markdown()` shows its steps and how each is proven, `.check()` proves
them again, and `.numeric(result, ...)` turns a result into numbers. The keys in brackets are those of citation.bib.

Letters are explained below each table, with the names of arguments in brackets. Everywhere $w$ are weights, $g$ is the
gradient of the loss without decay, of the mini-batch that makes the step, and a prime marks what is so after the step.
The source [weightdecay] marks what was derived here first, as far as is known.

This page is made from the derivations by `theory.derivations_markdown()`; a test compares the two.
"""


def derivations_markdown() -> str:
    """Return the page `theory/DERIVATIONS.md`: every derivation with equation, results, assumptions and sources.

    Returns
    -------
    str
        Markdown with formulas between dollar signs.

    Notes
    -----
    To renew the committed page, write this text to `theory/DERIVATIONS.md`::

        python -c "from weightdecay import theory; print(theory.derivations_markdown(), end='')" > theory/DERIVATIONS.md

    References
    ----------
    Those of the derivations, as keys into citation.bib.

    Examples
    --------
    >>> derivations_markdown().splitlines()[0]
    '# Derivations'
    >>> derivations_markdown().count('`number-format-floor`, 10 steps')
    1
    """
    claims = [derive(name) for name in names()]
    contents = [f"- [{claim.title}](#{claim.name})" for claim in claims]
    return "\n".join([HEAD, *contents, "", *(_entry(claim) for claim in claims)])


def _entry(claim: Derivation) -> str:
    symbols = claim.symbols
    lines = [f'<a id="{claim.name}"></a>', f"## {claim.title}", "", f"`{claim.name}`, {len(claim.steps)} steps", ""]
    lines += [f"$${formula(claim.equation, symbols)}$$", ""]
    shown = [claim.equation, *claim.results.values(), *(part.relation for part in claim.conditions)]
    named = _definitions(claim, set().union(*map(names_in, shown)))
    if named:
        lines += [f"Here {', '.join(f'${formula(part, symbols)}$' for part in named)}.", ""]
    lines += [f"- {sentence}" for sentence in claim.assumptions]
    lines += [f"- ${formula(part.relation, symbols)}$: {part.sentence}." for part in claim.conditions]
    lines += ["", "| result | of | formula |", "|---|---|---|"]
    for name, result in claim.results.items():
        inside = f"{symbols[name].latex} = {formula(result, symbols)}".replace("|", r"\vert ")
        lines.append(f"| `{name}` | {', '.join(claim.arguments(name))} | ${inside}$ |")
    names = set(claim.results).union(*map(names_in, (*shown, *named)))
    letters = [f"${line.latex}$ {line.meaning} (`{name}`)" for name, line in symbols.items() if name in names]
    lines += ["", f"Letters: {'; '.join(letters)}."]
    if claim.stability:
        lines += ["", "Stability: " + " ".join(part.sentence for part in claim.stability)]
    lines += ["", "Sources: " + ", ".join(f"[{key}]" for key in claim.references), ""]
    return "\n".join(lines)


def _definitions(claim: Derivation, names: set[str]) -> list[Any]:
    """Return the equations by which steps define quantities with these names: each once, as it is before a step."""
    found: dict[Any, Any] = {}
    for step in claim.steps:
        left: Any = getattr(step.expression, "lhs", sp.S.Zero)
        named = left.is_Symbol and left.name in names and not left.name.endswith("_next")
        if named and (step.proof.how == "definition" or step.key == "charge") and step.expression != claim.equation:
            found.setdefault(left, step.expression)
    return list(found.values())


def without_formulas(page: str) -> str:
    """Return a Markdown page with every formula left out, which SymPy writes differently from release to release.

    Parameters
    ----------
    page : str
        Markdown with formulas between dollar signs.

    Returns
    -------
    str

    Notes
    -----
    Both kinds of formulas, in a line and displayed, leave a dollar sign.

    References
    ----------
    Our own derivation.

    Examples
    --------
    >>> without_formulas("so $x = 1$ and $$y = 2$$ hold in 3 dimensions")
    'so $ and $ hold in 3 dimensions'
    """
    return re.sub(r"\$\$?[^$]+\$\$?", "$", page)
