"""Cite the software, the data and the works behind a figure: BibTeX, CITATION.cff, Markdown, plain text.

The one source is the package's citation.bib, in a strict form (one field a line, values in braces).
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape
from importlib import resources
from types import MappingProxyType

from ..errors import check_choice

__all__ = ["FORMATS", "Work", "cite", "html", "short", "works"]

SOFTWARE, MNIST = "weightdecay", "lecun1998"


@dataclass(frozen=True)
class Work:
    """Hold one entry of citation.bib.

    Parameters
    ----------
    key, kind : str
        Key and BibTeX type.
    fields : mapping of str to str
        Fields as they stand there.
    source : str
        The entry itself.
    """

    key: str
    kind: str
    fields: Mapping[str, str]
    source: str

    def text(self, field: str) -> str:
        """Return a field without TeX; empty if there is none."""
        return _without_tex(self.fields.get(field, ""))

    @property
    def people(self) -> tuple[tuple[str, str], ...]:
        """Authors as (family name, given names); given names are empty for a group."""
        parts = (_without_tex(person).partition(", ") for person in self.fields["author"].split(" and "))
        return tuple((family, given) for family, _, given in parts)

    @property
    def link(self) -> str:
        """Where the work is found; empty if the entry does not say."""
        if "doi" in self.fields:
            return f"https://doi.org/{self.fields['doi']}"
        return f"https://arxiv.org/abs/{self.fields['eprint']}" if "eprint" in self.fields else self.text("url")


@cache
def works() -> Mapping[str, Work]:
    """Return all entries of citation.bib by key.

    Examples
    --------
    >>> works()["nielsen2015"].text("title")
    'Neural Networks and Deep Learning'
    """
    text = resources.files("weightdecay").joinpath("citation.bib").read_text(encoding="utf-8")
    found = {}
    for kind, key, body in re.findall(r"^@(\w+)\{([^,\s]+),\n(.*?)^\}$", text, flags=re.MULTILINE | re.DOTALL):
        fields = dict(re.findall(r"^  (\w+) = \{(.*)\},$", body, flags=re.MULTILINE))
        found[key] = Work(key, kind, MappingProxyType(fields), f"@{kind}{{{key},\n{body}}}\n")
    return MappingProxyType(found)


def short(key: str) -> str:
    """Return author and year, as prose cites a work.

    Examples
    --------
    >>> short("lecun1998")
    'LeCun et al. 1998'
    """
    work = works()[check_choice("citation key", key, works())]
    families = [family for family, _ in work.people]
    who = families[0] if len(families) == 1 else f"{families[0]} et al."
    return f"{' and '.join(families) if len(families) == 2 else who} {work.fields['year']}"


def cite(keys: Sequence[str], form: str = "bibtex") -> str:
    """Return citations of works.

    Parameters
    ----------
    keys : sequence of str
        Keys of citation.bib, in the order wanted.
    form : {"bibtex", "cff", "markdown", "text"}, optional
        Form of the citations. A CITATION.cff file describes the software and lists the other works as references.

    Returns
    -------
    str
        The citations, with a newline at the end.

    Raises
    ------
    InvalidInput
        If there is no such form or key.

    Examples
    --------
    >>> print(cite(["nielsen2015"], "text"))
    Nielsen, Michael A. (2015). Neural Networks and Deep Learning. Determination Press. http://neuralnetworksanddeeplearning.com
    <BLANKLINE>
    """
    write = FORMATS[check_choice("format", form, FORMATS)]
    return write([works()[check_choice("citation key", key, works())] for key in dict.fromkeys(keys)])


def html(key: str) -> str:
    """Return one work as HTML, its title a link to where it is found.

    Examples
    --------
    >>> html("nielsen2015")[:50]
    'Nielsen, Michael A. (2015). <a href="http://neural'
    """
    work = works()[check_choice("citation key", key, works())]
    title = escape(work.text("title"))
    linked = f'<a href="{escape(work.link)}">{title}</a>' if work.link else f"<cite>{title}</cite>"
    return escape(_sentence(work, "\0")).replace("\0", linked)


def _bibtex(cited: Sequence[Work]) -> str:
    return "\n".join(work.source for work in cited)


def _text(cited: Sequence[Work]) -> str:
    return "".join(f"{_sentence(work, work.text('title'))} {work.link}".rstrip() + "\n" for work in cited)


def _markdown(cited: Sequence[Work]) -> str:
    return "".join(f"- {_sentence(work, _linked(work))}\n" for work in cited)


def _linked(work: Work) -> str:
    return f"[{work.text('title')}]({work.link})" if work.link else f"*{work.text('title')}*"


def _sentence(work: Work, title: str) -> str:
    """Return author, year, title and place, each ended by a full stop."""
    names = [f"{family}, {given}" if given else family for family, given in work.people]
    authors = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    where = next(filter(None, map(work.text, ("journal", "booktitle", "publisher", "school", "howpublished"))), "")
    if where and work.text("volume"):
        number = f"({work.text('number')})" if work.text("number") else ""
        where = f"{where} {work.text('volume')}{number}"
    if where and work.text("pages"):
        where = f"{where}, {work.text('pages')}"
    parts = [f"{authors} ({work.text('year')})", title, where, work.text("note")]
    return " ".join(f"{part}." for part in parts if part)


def _cff(cited: Sequence[Work]) -> str:
    software = works()[SOFTWARE]
    lines = [
        "cff-version: 1.2.0",
        'message: "If you use this software or a figure that it drew, please cite it and the works listed here."',
        "type: software",
        f"title: {json.dumps(software.text('title'))}",
        "authors:",
        *_cff_people(software, "  "),
        f"version: {json.dumps(software.text('version'))}",
    ]
    others = [work for work in cited if work.key != SOFTWARE]
    if others:
        lines.append("references:")
    for work in others:
        first, *rest = _cff_reference(work)
        lines += [f"  - {first}", *(f"    {line}" for line in rest)]
    return "\n".join(lines) + "\n"


def _cff_reference(work: Work) -> list[str]:
    kinds = {"article": "article", "book": "book", "inproceedings": "conference-paper", "phdthesis": "thesis"}
    lines = [f"type: {kinds.get(work.kind, 'generic')}", f"title: {json.dumps(work.text('title'), ensure_ascii=False)}"]
    lines += ["authors:", *_cff_people(work, "  "), f"year: {work.fields['year']}"]
    for field, name in (("journal", "journal"), ("booktitle", "collection-title"), ("doi", "doi")):
        if work.text(field):
            lines.append(f"{name}: {json.dumps(work.text(field), ensure_ascii=False)}")
    for place in ("publisher", "school"):
        if work.text(place):
            lines += [f"{'publisher' if place == 'publisher' else 'institution'}:"]
            lines += [f"  name: {json.dumps(work.text(place), ensure_ascii=False)}"]
    if work.link and "doi" not in work.fields:
        lines.append(f"url: {json.dumps(work.link)}")
    return lines


def _cff_people(work: Work, indent: str) -> list[str]:
    lines = []
    for family, given in work.people:
        told = json.dumps(family, ensure_ascii=False)
        if given:
            lines += [
                f"{indent}- family-names: {told}",
                f"{indent}  given-names: {json.dumps(given, ensure_ascii=False)}",
            ]
        else:
            lines += [f"{indent}- name: {told}"]
    return lines


_ACCENTS = {"'": "\N{COMBINING ACUTE ACCENT}", "`": "\N{COMBINING GRAVE ACCENT}", '"': "\N{COMBINING DIAERESIS}"}
_ACCENTS |= {"^": "\N{COMBINING CIRCUMFLEX ACCENT}", "~": "\N{COMBINING TILDE}", "c": "\N{COMBINING CEDILLA}"}


def _without_tex(value: str) -> str:
    """Return a BibTeX value as it is read: accents on their letters, no braces, dashes, no commands."""
    value = value.replace(r"{\ss}", "ß").replace("--", "–").replace(r"$\ell_\infty$", "ℓ∞")
    value = re.sub(r"\\(['`\"^~]|c(?=\{))\{?(\w)\}?", lambda mark: mark[2] + _ACCENTS[mark[1]], value)
    return unicodedata.normalize("NFC", re.sub(r"[{}]", "", value))


FORMATS: Mapping[str, Callable[[Sequence[Work]], str]] = MappingProxyType(
    {"bibtex": _bibtex, "cff": _cff, "markdown": _markdown, "text": _text}
)
