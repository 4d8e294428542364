"""Write one self-contained HTML page: the question, the derivations, the figures, the comparisons, where all is from.

The page has no script and asks for nothing from anywhere. A figure is in it twice, as wide as a page and as wide as a
column; which of them is shown follows the width of the window.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from .. import theory
from ..errors import InvalidInput, OutputError
from ..validate import Report
from . import bibliography
from .bundle import load
from .captions import CITATION, fill, to_plain
from .catalogue import all_ids, module, references
from .comparison_table import HEAD, cells, quotation
from .files import write_together
from .pictures import svg_picture

__all__ = ["DERIVATIONS", "check_page", "html_report", "load_all", "write_report"]

DERIVATIONS = (
    "radial-step",
    "decay-floor",
    "decay-per-epoch",
    "entropy-loss-gap",
    "equal-pull",
    "scale-invariant-step",
    "nielsen-claim-1",
    "nielsen-claim-2",
    "nielsen-claim-3",
)
"""What the founding question's answer needs, in the order in which it is told."""

CAUSES = {False: "outside", True: "inside", None: "reported"}
Progress = Callable[[int, int, str], None]


def load_all(folder: str | os.PathLike[str]) -> dict[str, Report]:
    """Read back every figure that was saved in a folder.

    Parameters
    ----------
    folder : str or path
        Where `save` wrote.

    Returns
    -------
    dict of str to Report
        By figure, in the order of the catalogue.

    Raises
    ------
    InvalidInput
        If there is none.
    DataError
        If a file is missing, or a table is not the one that its json names.
    """
    place = Path(folder)
    names = [name for name in all_ids() if (place / f"{name}.json").is_file()]
    if not names:
        raise InvalidInput(
            f"there is no saved figure in {place}; name a folder that `weightdecay figures` wrote to with --from"
        )
    return {name: load(place / f"{name}.csv", place / f"{name}.json") for name in names}


def write_report(
    reports: Mapping[str, Report], out: str | os.PathLike[str], *, progress: Progress | None = None
) -> Path:
    """Write the page of a set of reports.

    Parameters
    ----------
    reports : mapping of str to Report
        By figure, from `load_all` or `make`.
    out : str or path
        File to write, such as report.html.
    progress : callable, optional
        Called as progress(figures_done, n_figures, what).

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InvalidInput
        If the file's name does not end in .html or .htm.
    OutputError
        If it cannot be written; an older file is then as it was.
    """
    path = check_page(out)
    content = html_report(reports, progress=progress)
    return write_together(path.parent, {path.name: content.encode()})[0]


def check_page(out: str | os.PathLike[str]) -> Path:
    """Return the path of a page that can be written, or say why it cannot."""
    path = Path(out)
    if path.suffix.lower() not in (".html", ".htm"):
        raise InvalidInput(f"the report is to be written to {path}, but its name must end in .html")
    if not path.parent.is_dir():
        raise OutputError(f"the folder {path.parent} is not there; make it, or name another file to write to")
    return path


def html_report(reports: Mapping[str, Report], *, progress: Progress | None = None) -> str:
    """Return the page of a set of reports; equal reports give equal pages.

    Parameters
    ----------
    reports : mapping of str to Report
        By figure.
    progress : callable, optional
        Called as progress(figures_done, n_figures, what).

    Returns
    -------
    str
        HTML.
    """
    figures = []
    for done, (name, report) in enumerate(reports.items()):
        if progress is not None:
            progress(done, len(reports), "drawing")
        figures.append(_figure(name, report))
    derivations = [theory.derive(name) for name in DERIVATIONS]
    keys = [key for name, report in reports.items() for key in references(name, _data_name(report))]
    keys += [key for derivation in derivations for key in derivation.references]
    judged = [found for report in reports.values() for found in report.comparisons if found.passed is not None]
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    template = environment.from_string(
        resources.files("weightdecay.figures").joinpath("report.html.jinja").read_text(encoding="utf-8")
    )
    if progress is not None:
        progress(len(reports), len(reports), "drawing")
    return template.render(
        figures=figures,
        derivations=[_derivation(derivation) for derivation in derivations],
        works=[(key, Markup(bibliography.html(key))) for key in dict.fromkeys(keys)],
        head=HEAD,
        n_judged=len(judged),
        n_inside=sum(found.passed is True for found in judged),
    )


def _figure(name: str, report: Report) -> dict[str, Any]:
    """Return what the page says of a figure."""
    drawn = module(name)
    facts = drawn.facts(report)
    alt = to_plain(fill(drawn.ALT, facts))
    origin = report.provenance
    data = origin.get("data") or {}
    told = {
        "command": origin.get("command"),
        "data": f"{data['name']}, {data['n_train']} training images" if data else None,
        "checksum of the data": data.get("checksum"),
        "seed": origin.get("seed"),
        "versions": ", ".join(f"{package} {version}" for package, version in origin.get("versions", {}).items()),
        "checksum of the code": origin.get("code_sha256"),
    }
    return {
        "id": name,
        "title": drawn.TITLE,
        "caption": _cited(fill(drawn.CAPTION, facts)),
        "quotation": quotation(report, getattr(drawn, "QUOTED", None)),
        "wide": Markup(_inline(svg_picture(report, name, alt=alt, width="full"), f"{name}-wide")),
        "slim": Markup(_inline(svg_picture(report, name, alt=alt, width="column"), f"{name}-slim")),
        "rows": [(CAUSES[found.passed], cells(found), found.reason) for found in report.comparisons],
        "origin": {key: value for key, value in told.items() if value is not None and value != ""},
    }


def _data_name(report: Report) -> str:
    return str((report.provenance.get("data") or {}).get("name", ""))


def _cited(text: str) -> Markup:
    """Return a caption as HTML, with its citations as links to the bibliography."""
    parts = CITATION.split(text)
    return Markup("").join(_links(part) if place % 2 else escape(part) for place, part in enumerate(parts))


def _links(keys: str) -> Markup:
    link = Markup('<a href="#ref-{0}">{1}</a>')
    links = [link.format(key, bibliography.short(key)) for key in keys.split("; @")]
    return Markup("({})").format(Markup("; ").join(links))


def _inline(svg: str, prefix: str) -> str:
    """Return an SVG file as an element of a page: no prolog, every identifier and style its own, as wide as its place.

    Identifiers that Matplotlib repeats from figure to figure would clash on one page.
    """
    body = svg[svg.index("<svg ") :]
    body = re.sub(r"<metadata>.*?</metadata>", "", body, flags=re.DOTALL)
    head, rest = body.split(">", 1)
    head = re.sub(r' (?:width|height)="[^"]*"', "", head)
    body = f'{head} id="{prefix}" focusable="false">{rest}'
    names = set(re.findall(r'\bid="([^"]+)"', body)) - {prefix}
    body = re.sub(r'\bid="([^"]+)"', lambda found: f'id="{_named(found[1], names, prefix)}"', body)
    body = re.sub(r"url\(#([^)]+)\)", lambda found: f"url(#{_named(found[1], names, prefix)})", body)
    body = re.sub(r'href="#([^"]+)"', lambda found: f'href="#{_named(found[1], names, prefix)}"', body)
    body = re.sub(
        r'aria-labelledby="([^"]+)"',
        lambda found: f'aria-labelledby="{" ".join(_named(one, names, prefix) for one in found[1].split())}"',
        body,
    )
    return re.sub(r"(<style[^>]*>)(.*?)(</style>)", lambda found: _scoped(found, prefix), body, flags=re.DOTALL)


def _named(name: str, names: set[str], prefix: str) -> str:
    return f"{prefix}-{name}" if name in names else name


def _scoped(sheet: re.Match[str], prefix: str) -> str:
    """Return a style sheet whose rules hold within one figure only."""
    rules = re.sub(r"([^{}]+)\{", lambda rule: f"#{prefix} {rule[1].strip()}{{", sheet[2])
    return f"{sheet[1]}{rules}{sheet[3]}"


def _derivation(derivation: theory.Derivation) -> Markup:
    """Return a derivation as a section of the page, one level below its chapter."""
    section = derivation.mathml().replace(' xmlns="http://www.w3.org/1999/xhtml"', "")
    section = section.replace(f'id="{derivation.name}"', f'id="derivation-{derivation.name}"', 1)
    section = re.sub(r"(</?h)([23])>", lambda tag: f"{tag[1]}{int(tag[2]) + 1}>", section)
    section = re.sub(
        r"<math [^>]*display=\"block\".*?</math>",
        lambda found: f'<div class="equation" tabindex="0" role="group" aria-label="equation">{found[0]}</div>',
        section,
        flags=re.DOTALL,
    )
    return Markup(
        re.sub(
            r"<cite>(\w+)</cite>",
            lambda found: f'<a href="#ref-{found[1]}">{escape(bibliography.short(found[1]))}</a>',
            section,
        )
    )
