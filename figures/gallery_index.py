"""Write the page that lists all saved figures of a folder, and the one file of all their references."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from ..errors import DataError
from .bibliography import cite
from .captions import to_markdown
from .catalogue import all_ids, references
from .files import write_together

__all__ = ["INDEX", "REFERENCES", "index", "saved_figures", "write_index"]

INDEX, REFERENCES = "index.md", "references.bib"
MARK = "<!-- Made by `weightdecay figures` from the json files of this folder. -->"
BIB_MARK = "% Made by `weightdecay figures`: the works behind all figures of this folder, each once.\n"


def saved_figures(folder: Path) -> dict[str, dict[str, Any]]:
    """Return what the json files of a folder say, by figure, in the order of the catalogue.

    Raises
    ------
    DataError
        If a json file cannot be read or is no json of a saved figure.
    """
    found = {}
    for name in all_ids():
        path = folder / f"{name}.json"
        if not path.is_file():
            continue
        try:
            told = json.loads(path.read_bytes())
            found[name] = {key: told[key] for key in ("title", "caption", "alt", "quotation", "comparisons")}
            found[name]["provenance"] = dict(told["provenance"])
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            raise DataError(f"{path.name} is no json of a saved figure; draw the figure again") from None
    return found


def index(folder: Path) -> dict[str, bytes]:
    """Return the content of the index and of the common references, by file name.

    Parameters
    ----------
    folder : pathlib.Path
        Where the figures were saved.

    Raises
    ------
    DataError
        If a json file of the folder is none of a saved figure.
    """
    figures = saved_figures(folder)
    lines = [MARK, "", "# Figures", "", "| Figure | Comparisons inside their tolerance |", "|---|---|"]
    for name, told in figures.items():
        lines.append(f"| [{to_markdown(told['title'])}](#{name}) | {_tally(told['comparisons'])} |")
    for name, told in figures.items():
        lines += ["", f'<a id="{name}"></a>', "", f"## {to_markdown(told['title'])}", ""]
        lines += [f"![{to_markdown(told['alt'])}]({name}.png)", "", to_markdown(told["caption"]), ""]
        if told["quotation"]:
            lines += [f"**To quote.** {to_markdown(told['quotation'])}", ""]
        table = f" Predicted against measured: [table]({name}-table.md), [LaTeX]({name}-table.tex)."
        lines += [
            f"Picture: [pdf]({name}.pdf), [svg]({name}.svg), [png]({name}.png). What it plots: [csv]({name}.csv). "
            f"Where it comes from: [json]({name}.json). To cite: [LaTeX]({name}.tex), [BibTeX]({name}.bib), "
            f"[Markdown]({name}.md).{table if told['comparisons'] else ''}",
            "",
            f"Made again by `{told['provenance'].get('command', '')}`.",
        ]
    keys = [
        key
        for name, told in figures.items()
        for key in references(name, (told["provenance"].get("data") or {}).get("name", ""))
    ]
    return {INDEX: ("\n".join(lines) + "\n").encode(), REFERENCES: (BIB_MARK + "\n" + cite(keys, "bibtex")).encode()}


def write_index(folder: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Write the index of a folder of figures and their common references.

    Parameters
    ----------
    folder : str or path
        Where the figures were saved.

    Returns
    -------
    tuple of pathlib.Path
        index.md and references.bib; none of them if a file of that name is there that is not ours.

    Raises
    ------
    OutputError
        If they cannot be written; older files are then as they were.
    """
    place = Path(folder)
    for name, mark in ((INDEX, MARK), (REFERENCES, BIB_MARK)):
        path = place / name
        if path.exists() and not _begins(path, mark.encode()):
            return ()
    return write_together(place, index(place))


def _begins(path: Path, mark: bytes) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(mark)) == mark
    except OSError:
        return False


def _tally(comparisons: list[dict[str, Any]]) -> str:
    judged = [found for found in comparisons if found["passed"] is not None]
    outside = [found["quantity"] for found in judged if not found["passed"]]
    if not judged:
        return "none has a tolerance"
    told = f"{len(judged) - len(outside)} of {len(judged)}"
    return f"{told}; **outside:** {to_markdown('; '.join(outside))}" if outside else told
