"""Save a figure so that it can be found, cited, rebuilt and checked: eight files of one name, and a table.

``.pdf .svg .png`` are the picture, ``.csv`` what it plots, ``.json`` where that comes from, ``.tex`` a LaTeX figure
environment, ``.bib`` the citations, ``.md`` caption, alternative text and a sentence to quote. A figure that compares
has ``-table.tex`` and ``-table.md`` beside them: predicted against measured. The same csv and json give the same
bytes, on one machine with the versions that the json names.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

from ..errors import DataError, check_choice
from ..validate import Comparison, Report, code_checksum
from .bibliography import cite
from .captions import fill, to_markdown, to_plain, to_tex
from .catalogue import all_ids, module, references
from .comparison_table import quotation, table_markdown, table_tex
from .files import output_folder, write_together
from .pictures import WIDTHS, pictures
from .table import read_curves, write_curves

__all__ = ["SUFFIXES", "figure_checksum", "load", "redraw", "save"]

SUFFIXES = ("pdf", "svg", "png", "csv", "json", "tex", "bib", "md")


def save(report: Report, figure_id: str, out: str | os.PathLike[str], *, width: str = "full") -> tuple[Path, ...]:
    """Draw a report and write its files.

    Parameters
    ----------
    report : Report
        Result of the figure's experiment, from `make` or `load`.
    figure_id : str
        One of `all_ids`.
    out : str or path
        Folder; made if it is not there.
    width : {"full", "column", "slide"}, optional
        Width of the picture: 183 mm, 89 mm, or 13.3 inches.

    Returns
    -------
    tuple of pathlib.Path
        pdf, svg, png, csv, json, tex, bib, md, and for a report with comparisons their table as tex and md.

    Raises
    ------
    InvalidInput
        If there is no such figure or width, or the report is not of its experiment.
    OutputError
        If the folder or a file cannot be written; older files are then as they were.
    """
    told = dict(report.provenance)
    words = shlex.split(told.get("command", ""))
    if words[:2] == ["weightdecay", "validate"]:
        sized = [] if width == "full" else ["--width", width]
        told["command"] = shlex.join(["weightdecay", "figures", figure_id, *words[3:], *sized])
    told |= {"code_sha256": figure_checksum(figure_id), "width": check_choice("width", width, WIDTHS)}
    with output_folder(out) as folder:
        return write_together(folder, redraw(replace(report, provenance=told), figure_id))


def redraw(report: Report, figure_id: str) -> dict[str, bytes]:
    """Return the content of the files of a report, by file name.

    Parameters
    ----------
    report : Report
        As `load` returns it; its provenance goes into the files as it is.
    figure_id : str
        One of `all_ids`.

    Returns
    -------
    dict of str to bytes
        By file name, in the order in which `save` returns them.
    """
    figure = module(figure_id)
    told = figure.facts(report)
    caption, alt = fill(figure.CAPTION, told), to_plain(fill(figure.ALT, told))
    table = write_curves(figure_id, report.curves).encode()
    origin = {"id": figure_id, "csv_sha256": hashlib.sha256(table).hexdigest(), "provenance": dict(report.provenance)}
    quoted = quotation(report, getattr(figure, "QUOTED", None))
    document = {
        "id": figure_id,
        "title": figure.TITLE,
        "caption": to_plain(caption),
        "alt": alt,
        "quotation": quoted,
        "csv_sha256": origin["csv_sha256"],
        **{key: value for key, value in report.to_dict().items() if key != "curves"},
    }
    cited = references(figure_id, (report.provenance.get("data") or {}).get("name", ""))
    files = pictures(report, figure_id, alt=alt, origin=origin, width=_width(report)) | {
        "csv": table,
        "json": (json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n").encode(),
        "tex": _tex(figure_id, figure.TITLE, caption).encode(),
        "bib": cite(cited, "bibtex").encode(),
        "md": _md(figure_id, figure.TITLE, caption, alt, quoted, cited, report.provenance).encode(),
    }
    named = {f"{figure_id}.{suffix}": files[suffix] for suffix in SUFFIXES}
    if not report.comparisons:
        return named
    return named | {
        f"{figure_id}-table.tex": table_tex(report, figure_id).encode(),
        f"{figure_id}-table.md": f"# {figure.TITLE}\n\n{table_markdown(report)}".encode(),
    }


def _width(report: Report) -> str:
    """Return the width at which a report was drawn."""
    width: str = report.provenance.get("width", "full")
    return width


def load(table: str | os.PathLike[str], document: str | os.PathLike[str]) -> Report:
    """Read a report back from the csv and json of a saved figure.

    Parameters
    ----------
    table, document : str or path
        The csv and the json file.

    Returns
    -------
    Report
        Equal to the one that was saved; `redraw` makes the same files of it.

    Raises
    ------
    DataError
        If a file is missing or no part of a bundle, or the csv is not the one that the json names.
    """
    text, content = _read(table), _read(document)
    try:
        told = json.loads(content)
        comparisons = tuple(_comparison(found) for found in told["comparisons"])
        checksum, experiment, provenance = told["csv_sha256"], told["experiment"], told["provenance"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(f"{Path(document).name} is no json of a saved figure; draw the figure again") from None
    if hashlib.sha256(text).hexdigest() != checksum:
        raise DataError(
            f"{Path(table).name} is not the table that {Path(document).name} names (its SHA-256 differs); "
            "draw the figure again, or take both files from one bundle"
        )
    try:
        curves = read_curves(text.decode("utf-8"))
    except UnicodeDecodeError:
        raise DataError(f"{Path(table).name} is no text; draw the figure again") from None
    return Report(experiment, comparisons, curves, provenance)


def _comparison(told: dict[str, Any]) -> Comparison:
    """Return a comparison as it was; JSON has null where a number was not finite."""
    made = {name for name, part in Comparison.__dataclass_fields__.items() if not part.init}
    given = {name: value for name, value in told.items() if name not in made}
    for name in ("predicted", "measured"):
        given[name] = math.nan if given[name] is None else float(given[name])
    return Comparison(**given)


def _read(path: str | os.PathLike[str]) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as problem:
        raise DataError(f"{Path(path).name} cannot be read ({(problem.strerror or '').lower()})") from None


def figure_checksum(figure_id: str) -> str:
    """Return one SHA-256 over the installed code that made a figure.

    Parameters
    ----------
    figure_id : str
        One of `all_ids`.

    Returns
    -------
    str
        64 hexadecimal digits, over theory, simulate, validate, and of figures all but the modules of other figures.
    """
    others = {f"{other.replace('-', '_')}.py" for other in all_ids() if other != figure_id}
    checksum = hashlib.sha256(code_checksum("theory", "simulate", "validate").encode())
    for file in sorted((resources.files("weightdecay") / "figures").iterdir(), key=lambda file: file.name):
        if file.name.endswith((".py", ".mplstyle")) and file.name not in others:
            content = file.read_bytes().replace(b"\r\n", b"\n")
            checksum.update(f"{file.name} {len(content)}\n".encode() + content)
    return checksum.hexdigest()


def _tex(figure_id: str, title: str, caption: str) -> str:
    """Return a figure environment with caption and label, as wide as the text."""
    return f"""% Needs \\usepackage{{graphicx}} and the entries of {figure_id}.bib; for several figures those of
% references.bib beside it, which has each entry once. If this file lies in another folder than the document, name
% that folder in \\graphicspath. Across both columns of a page, put figure* for figure.
\\begin{{figure}}[tbp]
  \\centering
  \\includegraphics[width=\\linewidth]{{{figure_id}.pdf}}
  \\caption[{{{to_tex(title)}}}]{{{to_tex(caption)}}}
  \\label{{fig:{figure_id}}}
\\end{{figure}}
"""


def _md(
    figure_id: str,
    title: str,
    caption: str,
    alt: str,
    quoted: str,
    cited: Sequence[str],
    provenance: Mapping[str, Any],
) -> str:
    to_quote = f"**To quote.** {to_markdown(quoted)}\n\n" if quoted else ""
    table = f" `{figure_id}-table.md` and `{figure_id}-table.tex` hold predicted against measured." if quoted else ""
    return f"""# {to_markdown(title)}

![{to_markdown(alt)}]({figure_id}.png)

**Caption.** {to_markdown(caption)}

{to_quote}**Alternative text.** {to_markdown(alt)}

**Numbers and origin.** `{figure_id}.csv` holds what is plotted, `{figure_id}.json` where it comes from.{table}
It was drawn by `{provenance.get("command", "")}`.

**References**

{cite(cited, "markdown")}"""
