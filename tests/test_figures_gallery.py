"""Every figure of the gallery can be read, cited, rebuilt and compiled, at each of its widths."""

import functools
import hashlib
import itertools
import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from drawn_texts import beyond_the_edge, luminance, overlapping, shown, too_pale, too_small
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgb
from PIL import Image

from weightdecay import figures
from weightdecay.figures.drawing import COLOURS
from weightdecay.figures.gallery_index import index
from weightdecay.figures.pictures import WIDTHS

GALLERY = Path(__file__).parent.parent / "figures" / "gallery"
IDS = sorted(path.stem for path in GALLERY.glob("*.json"))
SUFFIXES = ("pdf", "svg", "png", "csv", "json", "tex", "bib", "md")
PDFLATEX, BIBTEX, PDFTOTEXT = map(shutil.which, ("pdflatex", "bibtex", "pdftotext"))


@functools.cache
def report(name):
    return figures.load(GALLERY / f"{name}.csv", GALLERY / f"{name}.json")


@functools.cache
def drawn(name, width):
    with figures.figure_style(name):
        figure = figures.draw_figure(report(name), name, width=width)
        figure.draw_without_rendering()
    return figure


def each_figure_and_width(test):
    return pytest.mark.parametrize(("name", "width"), list(itertools.product(IDS, ("full", "column"))))(test)


def test_the_gallery_has_figures_that_the_package_can_draw():
    assert IDS
    assert set(IDS) == {*figures.ids(), *figures.further_ids()}


@pytest.mark.parametrize("name", IDS)
def test_a_bundle_is_complete_and_of_the_full_scale(name):
    for suffix in SUFFIXES:
        assert (GALLERY / f"{name}.{suffix}").stat().st_size > 100
    told = json.loads((GALLERY / f"{name}.json").read_text())
    assert hashlib.sha256((GALLERY / f"{name}.csv").read_bytes()).hexdigest() == told["csv_sha256"]
    assert "full" == told["provenance"]["scale"]
    assert told["provenance"]["command"].startswith(f"weightdecay figures {name} --scale full")
    assert len(told["alt"]) > 80
    assert told["caption"]
    for text in (GALLERY / f"{name}.json").read_text(), (GALLERY / f"{name}.csv").read_text():
        assert not re.search(r"/(home|root|tmp|work)/", text)


@pytest.mark.parametrize("name", IDS)
def test_no_picture_is_over_300_kb_and_no_table_over_a_megabyte(name):
    for suffix in ("pdf", "svg", "png"):
        assert (GALLERY / f"{name}.{suffix}").stat().st_size <= 300_000
    assert (GALLERY / f"{name}.csv").stat().st_size <= 1_000_000


@each_figure_and_width
def test_no_text_is_smaller_than_six_points(name, width):
    assert len(shown(drawn(name, width))) > 5
    assert [] == too_small(drawn(name, width))


@each_figure_and_width
def test_no_text_lies_on_another_or_beyond_the_edge(name, width):
    assert [] == overlapping(drawn(name, width))
    assert [] == beyond_the_edge(drawn(name, width))


@each_figure_and_width
def test_a_figure_fits_on_a_page(name, width):
    figure = drawn(name, width)
    assert WIDTHS[width] == pytest.approx(25.4 * figure.get_figwidth())
    assert 25.4 * figure.get_figheight() <= 240


@each_figure_and_width
def test_every_text_has_enough_contrast_on_white(name, width):
    assert {} == too_pale(drawn(name, width))


@pytest.mark.parametrize("name", IDS)
def test_markers_that_share_a_panel_differ_without_colour(name):
    for axes in drawn(name, "full").axes:
        looks = {}
        for line in axes.lines:
            if line.get_linestyle() == "None" and len(line.get_xdata()) > 2:
                look = (line.get_marker(), line.get_markerfacecolor() in ("none", "white"))
                looks.setdefault(look, set()).add(line.get_color())
        assert {} == {look: colours for look, colours in looks.items() if len(colours) > 1}


# Viénot, Brettel and Mollon's projections of linear red, green and blue, rounded to two digits
COLOUR_BLIND = {
    "protan": [[0.11, 0.89, 0.0], [0.11, 0.89, 0.0], [0.0, 0.0, 1.0]],
    "deutan": [[0.29, 0.71, 0.0], [0.29, 0.71, 0.0], [-0.02, 0.02, 1.0]],
}


@pytest.mark.parametrize("kind", COLOUR_BLIND)
def test_the_first_colours_differ_for_the_colour_blind(kind):
    def seen(colour):
        linear = np.where(np.array(to_rgb(colour)) <= 0.04045, np.array(to_rgb(colour)) / 12.92, 0)
        linear = np.where(linear == 0, ((np.array(to_rgb(colour)) + 0.055) / 1.055) ** 2.4, linear)
        return np.clip(np.array(COLOUR_BLIND[kind]) @ linear, 0, 1) ** (1 / 2.2)

    distances = {
        (one, two): float(np.linalg.norm(seen(one) - seen(two))) for one, two in itertools.combinations(COLOURS, 2)
    }
    assert {} == {pair: distance for pair, distance in distances.items() if distance < 0.1}


def test_neighbouring_colours_differ_in_grey_or_the_markers_do():
    # six colours cannot all differ in grey: that markers of a panel differ is what the test above is for
    greys = sorted(luminance(colour) for colour in COLOURS)
    assert greys[-1] - greys[0] > 0.25


@pytest.mark.parametrize("name", IDS)
def test_measurements_have_error_bars_where_they_have_errors(name):
    with_errors = [
        curve
        for curve in report(name).curves
        if curve.kind == "experiment" and curve.standard_error is not None and np.isfinite(curve.standard_error).any()
    ]
    bars = sum(isinstance(part, LineCollection) for axes in drawn(name, "full").axes for part in axes.collections)
    assert bars >= len(with_errors)


@pytest.mark.slow
@pytest.mark.parametrize("name", IDS)
def test_what_the_csv_draws_is_the_picture_that_is_there(name, tmp_path):
    """Pictures of the same versions are the same bytes (`figures --check`); of others they look alike."""
    content = figures.redraw(report(name), name)
    (tmp_path / "now.png").write_bytes(content[f"{name}.png"])
    with Image.open(tmp_path / "now.png") as now, Image.open(GALLERY / f"{name}.png") as then:
        now, then = (np.asarray(picture.convert("L").resize((180, 120)), float) for picture in (now, then))
    assert np.sqrt(np.mean((now - then) ** 2)) < 8  # of 255
    (finding,) = figures.check(GALLERY, (name,))
    assert finding.passed, finding.sentence


def test_the_index_lists_what_is_there():
    for name, content in index(GALLERY).items():
        assert (GALLERY / name).read_bytes() == content


@pytest.mark.slow
@pytest.mark.skipif(not (PDFLATEX and BIBTEX and PDFTOTEXT), reason="needs pdflatex, bibtex and pdftotext")
def test_a_document_that_includes_all_bundles_compiles_and_shows_their_captions(tmp_path):
    chosen = IDS
    for path in GALLERY.iterdir():
        if path.suffix in (".pdf", ".tex", ".bib"):
            shutil.copy(path, tmp_path)
    inputs = "\n".join(rf"\input{{{name}.tex}}\clearpage" for name in chosen)
    tables = "\n".join(rf"\input{{{name}-table.tex}}" for name in chosen if (GALLERY / f"{name}-table.tex").is_file())
    (tmp_path / "document.tex").write_text(
        rf"""\documentclass{{article}}
\usepackage{{graphicx,longtable}}
\usepackage[margin=20mm]{{geometry}}
\begin{{document}}
\listoffigures
{inputs}
{tables}
\bibliographystyle{{plain}}
\bibliography{{references}}
\end{{document}}
"""
    )
    latex = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "document.tex"]
    for command in (latex, [BIBTEX, "document"], latex, latex):
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, timeout=300)
        assert 0 == done.returncode, done.stdout.decode(errors="replace")[-2000:]
    log = (tmp_path / "document.log").read_text(errors="replace")
    assert "undefined" not in log.lower()
    assert "Float too large" not in log
    assert "Repeated entry" not in (tmp_path / "document.blg").read_text()
    subprocess.run([PDFTOTEXT, "document.pdf"], cwd=tmp_path, check=True)
    text = " ".join((tmp_path / "document.txt").read_text().split())
    for place, name in enumerate(chosen, start=1):
        words = json.loads((GALLERY / f"{name}.json").read_text())["caption"].split()[:4]
        plain = [word for word in words if word.isascii() and word.isalpha()]
        shown_caption = re.search(rf"Figure {place}: (.{{60}})", text)[1]
        assert all(word in shown_caption for word in plain)
