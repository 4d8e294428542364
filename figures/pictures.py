"""Turn a report into pictures: PDF, SVG and PNG, with their origin inside, and the same bytes every time."""

from __future__ import annotations

import contextlib
import io
import json
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

import numpy as np
from matplotlib import rc_context, style
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import check_choice
from ..validate import Report
from .catalogue import module
from .drawing import place_labels

__all__ = ["WIDTHS", "draw_figure", "figure_style", "pictures"]

WIDTHS = {"column": 89.0, "full": 183.0}
"""Widths on paper in millimetres: one column, the whole page."""


@contextlib.contextmanager
def figure_style(figure_id: str) -> Iterator[None]:
    """Draw and save in the package's style, whatever the user's own settings are, and put those back.

    Parameters
    ----------
    figure_id : str
        Name of the figure, from which SVG makes its identifiers.
    """
    with style.context(["default", "weightdecay.figures.report"]), rc_context({"svg.hashsalt": figure_id}):
        yield


def draw_figure(report: Report, figure_id: str, *, width: str = "full") -> Figure:
    """Return a report drawn as a Matplotlib figure; call it within `figure_style`.

    Parameters
    ----------
    report : Report
        Result of the figure's experiment.
    figure_id : str
        One of `ids`.
    width : {"column", "full"}, optional
        Width on paper: 89 or 183 mm.

    Returns
    -------
    matplotlib.figure.Figure
        With its labels moved apart.

    Raises
    ------
    InvalidInput
        If there is no such figure or width, or the report is of another experiment.
    """
    millimetres = WIDTHS[check_choice("width", width, WIDTHS)]
    check_choice(f"experiment of {figure_id}", report.experiment, [module(figure_id).EXPERIMENT])
    figure = Figure(figsize=(millimetres / 25.4, millimetres / 25.4))
    module(figure_id).draw(report, figure)
    _freeze_layout(figure)
    for axes in figure.axes:
        place_labels(axes)
    return figure


def _freeze_layout(figure: Figure) -> None:
    """Lay the figure out once and keep that: the solver's last bits depend on the addresses of its objects."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    for axes in figure.axes:
        axes.set_position(np.round(axes.get_position().bounds, 6))


def pictures(report: Report, figure_id: str, *, alt: str, origin: Mapping[str, Any]) -> dict[str, bytes]:
    """Return a report as PDF, SVG and PNG.

    Parameters
    ----------
    report : Report
        Result of the figure's experiment.
    figure_id : str
        One of `ids`.
    alt : str
        What those hear who do not see the picture.
    origin : mapping
        Plain JSON values that go into the files.

    Returns
    -------
    dict of str to bytes
        By suffix.
    """
    title, told = module(figure_id).TITLE, json.dumps(origin, separators=(",", ":"), allow_nan=False)
    with figure_style(figure_id):
        figure = draw_figure(report, figure_id)
        pdf = {"Title": title, "Subject": alt, "Keywords": told, "CreationDate": None, "Producer": None}
        svg = {"Description": told, "Date": None}
        png = {"Title": title, "Description": alt, "Comment": told, "Software": None}
        saved = {
            suffix: _saved(figure, suffix, metadata) for suffix, metadata in (("pdf", pdf), ("svg", svg), ("png", png))
        }
    return saved | {"png": _small(saved["png"], png), "svg": _with_text(saved["svg"], figure_id, title, alt)}


def _small(png: bytes, metadata: Mapping[str, Any]) -> bytes:
    """Return a PNG of 256 colours, which is a third of the size and looks the same."""
    picture = Image.open(io.BytesIO(png))
    texts = PngInfo()
    for name, text in metadata.items():
        if text is not None:
            texts.add_itxt(name, text)
    buffer = io.BytesIO()
    colours = picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
    colours.save(buffer, "PNG", optimize=True, pnginfo=texts, dpi=picture.info["dpi"])
    return buffer.getvalue()


def _saved(figure: Figure, suffix: str, metadata: Mapping[str, Any]) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format=suffix, metadata=metadata)
    return buffer.getvalue()


def _with_text(svg: bytes, figure_id: str, title: str, alt: str) -> bytes:
    """Return an SVG that screen readers read: an image with a title and a description, which Matplotlib leaves out."""
    before, tag, rest = svg.decode("utf-8").partition("<svg ")
    attributes, end, body = rest.partition(">")
    names = [f"{figure_id}-title", f"{figure_id}-description"]
    spoken = "".join(
        f'\n <{element} id="{name}">{escape(text, quote=False)}</{element}>'
        for element, name, text in zip(("title", "desc"), names, (title, alt), strict=True)
    )
    attributes += f' role="img" aria-labelledby="{" ".join(names)}"'
    return f"{before}{tag}{attributes}{end}{spoken}{_shortened(body, figure_id)}".encode()


def _shortened(body: str, figure_id: str) -> str:
    """Return the body of an SVG with each style written once, no indents, and places to a hundredth of a point.

    Matplotlib writes the style of a row of markers with every one of them, which makes up a third of the file.
    """
    start, end, drawn = body.partition("</metadata>")
    drawn = re.sub(
        r'\b(x|y|d|transform)="[^"]*"',
        lambda place: re.sub(r"(\.\d\d)\d+| +(?=\n)", r"\1", place[0]) if "scale" not in place[0] else place[0],
        drawn,
    )
    styles = [style for style, n in Counter(re.findall(r'<(?:use|path) [^>]*style="([^"]*)"', drawn)).items() if n > 1]
    prefix = f"s{zlib.crc32(figure_id.encode()):08x}"[:5]  # short, and another one in each figure of a page
    names = {style: f"{prefix}-{place}" for place, style in enumerate(styles)}
    drawn = re.sub(
        r'(<(?:use|path) [^>]*)style="([^"]*)"',
        lambda part: f'{part[1]}class="{names[part[2]]}"' if part[2] in names else part[0],
        re.sub(r"\n +", "\n", drawn),
    )
    sheet = "".join(f".{name}{{{style.replace('; ', ';').replace(': ', ':')}}}" for style, name in names.items())
    return f'{start}{end}\n <style type="text/css">{sheet}</style>{drawn}'
