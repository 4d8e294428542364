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
from matplotlib import rc_context, rcParams, style
from matplotlib.backends import backend_agg, backend_mixed, backend_pdf, backend_svg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..errors import OutputError, check_choice
from ..validate import Report
from .catalogue import module
from .drawing import place_labels

_pages: Any = backend_pdf  # whose types Matplotlib leaves open
_mixed: Any = backend_mixed
_vectors: Any = backend_svg
_dots: Any = backend_agg

__all__ = ["WIDTHS", "draw_figure", "figure_style", "pictures", "svg_picture"]

WIDTHS = {"column": 89.0, "full": 183.0, "slide": 13.3 * 25.4}
"""Widths in millimetres: one column of a page, the whole page, a slide (the picture of a page, enlarged)."""


@contextlib.contextmanager
def figure_style(figure_id: str) -> Iterator[None]:
    """Draw and save in the package's style, whatever the user's own settings are, and put those back.

    Parameters
    ----------
    figure_id : str
        Name of the figure, from which SVG makes its identifiers.

    Raises
    ------
    OutputError
        If the style's font is not there: another one would change every place in the picture.
    """
    with style.context(["default", "weightdecay.figures.report"]), rc_context({"svg.hashsalt": figure_id}):
        font = rcParams["font.sans-serif"][0]
        try:
            findfont(font, fallback_to_default=False)
        except ValueError:
            raise OutputError(
                f"the font {font}, which comes with Matplotlib, cannot be found; install Matplotlib again"
            ) from None
        yield


def draw_figure(report: Report, figure_id: str, *, width: str = "full") -> Figure:
    """Return a report drawn as a Matplotlib figure; call it within `figure_style`.

    Parameters
    ----------
    report : Report
        Result of the figure's experiment.
    figure_id : str
        One of `ids`.
    width : {"column", "full", "slide"}, optional
        Width for which it is laid out: 89 or 183 mm; a slide is laid out as a page is, and enlarged when saved.

    Returns
    -------
    matplotlib.figure.Figure
        With its labels moved apart.

    Raises
    ------
    InvalidInput
        If there is no such figure or width, or the report is of another experiment.
    """
    millimetres = WIDTHS["full" if check_choice("width", width, WIDTHS) == "slide" else width]
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


def pictures(
    report: Report, figure_id: str, *, alt: str, origin: Mapping[str, Any], width: str = "full"
) -> dict[str, bytes]:
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
    width : {"column", "full", "slide"}, optional
        Width of the pictures.

    Returns
    -------
    dict of str to bytes
        By suffix.
    """
    title, told = module(figure_id).TITLE, json.dumps(origin, separators=(",", ":"), allow_nan=False)
    with figure_style(figure_id):
        figure = draw_figure(report, figure_id, width=width)
        enlarged = WIDTHS[width] / (25.4 * figure.get_figwidth())
        pdf = _pdf(figure, enlarged, {"Title": title, "Subject": alt, "Keywords": told})
        svg = _svg(figure, {"Description": told, "Date": None})
        png = _png(figure, enlarged, {"Title": title, "Description": alt, "Comment": told})
    return {"pdf": pdf, "svg": _with_text(svg, figure_id, title, alt, enlarged), "png": png}


def svg_picture(report: Report, figure_id: str, *, alt: str, width: str = "full") -> str:
    """Return a report as SVG alone, without its origin.

    Parameters
    ----------
    report, figure_id, alt, width
        As in `pictures`.

    Returns
    -------
    str
        The file.
    """
    with figure_style(figure_id):
        figure = draw_figure(report, figure_id, width=width)
        svg = _svg(figure, {"Date": None})
    return _with_text(svg, figure_id, module(figure_id).TITLE, alt, 1.0).decode()


def _pdf(figure: Figure, enlarged: float, texts: Mapping[str, str]) -> bytes:
    """Return a figure as a PDF of one page that shows it enlarged, letters and lines with it."""
    buffer = io.BytesIO()
    width, height = figure.get_size_inches()
    file = _pages.PdfFile(buffer, metadata={**texts, "CreationDate": None, "Producer": None})
    file.newPage(width * enlarged, height * enlarged)
    file.output(enlarged, 0, 0, enlarged, 0, 0, _pages.Op.concat_matrix)
    dots = figure.dpi
    figure.set_dpi(72)  # of a PDF's own unit
    page = _pages.RendererPdf(file, dots, height, width)
    renderer = _mixed.MixedModeRenderer(figure, width, height, dots, page)
    figure.draw(renderer)
    renderer.finalize()
    file.finalize()
    file.close()
    figure.set_dpi(dots)
    return buffer.getvalue()


def _svg(figure: Figure, texts: Mapping[str, str | None]) -> bytes:
    """Return a figure as SVG; `savefig` would first draw it once more, to lay it out."""
    buffer, dots = io.BytesIO(), figure.dpi
    _vectors.FigureCanvasSVG(figure).print_svg(buffer, metadata=texts)
    figure.set_dpi(dots)
    return buffer.getvalue()


def _png(figure: Figure, enlarged: float, texts: Mapping[str, str]) -> bytes:
    """Return a figure as a PNG of 256 colours, which is a third of the size and looks the same."""
    canvas = _dots.FigureCanvasAgg(figure)
    canvas.draw()
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3])
    chunks = PngInfo()
    for name, text in texts.items():
        chunks.add_itxt(name, text)
    buffer = io.BytesIO()
    colours = picture.quantize(256, dither=Image.Dither.NONE)
    colours.save(buffer, "PNG", optimize=True, pnginfo=chunks, dpi=(figure.dpi / enlarged,) * 2)
    return buffer.getvalue()


def _with_text(svg: bytes, figure_id: str, title: str, alt: str, enlarged: float) -> bytes:
    """Return an SVG that screen readers read: an image with a title and a description, which Matplotlib leaves out."""
    before, tag, rest = svg.decode("utf-8").partition("<svg ")
    attributes, end, body = rest.partition(">")
    names = [f"{figure_id}-title", f"{figure_id}-description"]
    spoken = "".join(
        f'\n <{element} id="{name}">{escape(text, quote=False)}</{element}>'
        for element, name, text in zip(("title", "desc"), names, (title, alt), strict=True)
    )
    if enlarged != 1:
        attributes = re.sub(
            r'\b(width|height)="([\d.]+)pt"', lambda size: f'{size[1]}="{enlarged * float(size[2]):.3f}pt"', attributes
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
