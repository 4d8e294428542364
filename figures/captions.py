"""Fill captions from the data, and write them as plain text, Markdown or LaTeX.

A caption is a Jinja template over the facts that a figure finds in its report, so no number in it is typed. Works are
cited as ``[@key]`` or ``[@key; @key]``, roots are written ``√name`` or ``√(name)``; the three forms are made from that
one text.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

import jinja2

from ..errors import InvalidInput
from . import bibliography

__all__ = ["fill", "number", "percent", "to_markdown", "to_plain", "to_tex"]

RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
LOWERED = {ord(high): low for low, high in zip("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹", strict=True)}
CITATION = re.compile(r"\[@([a-z0-9]+(?:; @[a-z0-9]+)*)\]")


def number(value: float | None, digits: int = 3) -> str:
    """Return a number with so many significant digits, as prose has it; whole numbers of type int keep all of theirs.

    Examples
    --------
    >>> number(0.049787, 3), number(50000), number(-0.0204, 2), number(2.5e-07, 2)
    ('0.0498', '50000', '−0.020', '2.5×10⁻⁷')
    """
    if value is None or not math.isfinite(value):
        return "unknown"
    if value == 0 or isinstance(value, int):
        return f"{value:.0f}".replace("-", "−")
    mantissa, _, power = f"{value:.{digits - 1}e}".partition("e")
    place = int(power)
    if -5 < place < 6:
        return f"{value:.{max(digits - 1 - place, 0)}f}".replace("-", "−")
    return f"{mantissa.replace('-', '−')}×10{str(place).translate(RAISED)}"


def percent(value: float | None, digits: int = 2) -> str:
    """Return a fraction as a percentage with so many significant digits.

    Examples
    --------
    >>> percent(0.0341)
    '3.4 %'
    """
    return f"{number(None if value is None else 100 * value, digits)} %"


def given(value: float) -> str:
    """Return a number that was set with as many digits as it has, up to six.

    Examples
    --------
    >>> given(0.1), given(784.0), given(-0.5), given(2.5e-05)
    ('0.1', '784', '−0.5', '2.5×10⁻⁵')
    """
    mantissa, _, power = f"{value:g}".replace("-", "−").partition("e")
    return mantissa + (f"×10{str(int(power.replace('−', '-'))).translate(RAISED)}" if power else "")


def fill(template: str, facts: Mapping[str, Any]) -> str:
    """Return a template filled with facts, on one line.

    Parameters
    ----------
    template : str
        Jinja template; the filters `number` and `percent` write what was found, `given` what was set.
    facts : mapping
        Values by the names that the template uses.

    Returns
    -------
    str
        Text with ``[@key]`` for citations.

    Raises
    ------
    InvalidInput
        If the template uses a fact that is not there, or is no template.

    Examples
    --------
    >>> fill("{{ factor | number(4) }} per epoch [@nielsen2015]", {"factor": 0.951229})
    '0.9512 per epoch [@nielsen2015]'
    """
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)
    environment.filters |= {"number": number, "percent": percent, "given": given}
    try:
        return " ".join(environment.from_string(template).render(facts).split())
    except jinja2.TemplateError as problem:
        raise InvalidInput(f"the caption cannot be filled ({problem}); give it that fact") from None


def to_plain(caption: str) -> str:
    """Return a caption with its citations in words.

    Examples
    --------
    >>> to_plain("The book [@nielsen2015] asks; others answer [@wan2020; @kosson2023].")
    'The book (Nielsen 2015) asks; others answer (Wan et al. 2020; Kosson et al. 2024).'
    """
    return CITATION.sub(lambda found: f"({'; '.join(map(bibliography.short, found[1].split('; @')))})", caption)


def to_markdown(caption: str) -> str:
    r"""Return a caption as Markdown, with its citations as Pandoc reads them.

    Examples
    --------
    >>> to_markdown("1/√(fan_in) [@nielsen2015]")
    '1/√(fan\\_in) [@nielsen2015]'
    """
    return re.sub(r"([\\`*_<>|])", r"\\\1", caption)


def to_tex(caption: str) -> str:
    r"""Return a caption as LaTeX, with its citations as ``\cite``.

    Examples
    --------
    >>> print(to_tex("λ = 5, 3 % of 1/√fan_in [@nielsen2015]"))
    $\lambda$ = 5, 3\,\% of 1/$\sqrt{\mathrm{fan\_in}}$~\cite{nielsen2015}
    """
    parts = re.split(r"( ?\[@[a-z0-9; @]+\]|√\w+|√\((?:[^()]|\([^()]*\))*\))", caption)
    return "".join(_tex_part(part) for part in parts)


def _tex_part(part: str) -> str:
    if cited := CITATION.fullmatch(part.removeprefix(" ")):
        return rf"{'~' if part[0] == ' ' else ''}\cite{{{cited[1].replace('; @', ',')}}}"
    if root := re.fullmatch(r"√\(?(.+?)\)?", part):
        inside = _escape(root[1]).replace("$", "{}").replace(" ", r"\ ")  # it is mathematics already
        return rf"$\sqrt{{\mathrm{{{inside}}}}}$"
    powers = re.sub("[⁻⁰¹²³⁴-⁹]+", lambda power: f"$^{{{power[0].translate(LOWERED)}}}$", _escape(part))
    return powers.replace(r" \%", r"\,\%")


def _escape(text: str) -> str:
    return "".join(TEX_SIGNS.get(sign, sign) for sign in text)


_LETTERS = {"α": "alpha", "β": "beta", "γ": "gamma", "ε": "varepsilon", "η": "eta", "θ": "theta", "λ": "lambda"}
_LETTERS |= {"μ": "mu", "π": "pi", "σ": "sigma", "τ": "tau", "×": "times", "±": "pm", "≈": "approx", "≤": "le"}
_LETTERS |= {"≥": "ge", "→": "to", "·": "cdot", "‖": "Vert"}
TEX_SIGNS = {
    **{sign: rf"\{sign}" for sign in "&%$#_{}"},
    **{sign: rf"$\{name}$" for sign, name in _LETTERS.items()},
    "ᵀ": r"$^{\mathsf{T}}$",
    "\\": r"\textbackslash{}",
    "^": r"\^{}",
    "~": r"\~{}",
    "−": "$-$",
    "–": "--",
    "’": "'",
    "“": "``",
    "”": "''",
}
"""What stands in LaTeX for signs that it gives a meaning, or has no letter for."""
