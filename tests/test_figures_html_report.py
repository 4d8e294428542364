"""The report is one page that stands alone: no script, no request, no clash of names, readable by everybody."""

import functools
import html
import html.parser
import re
import shutil
import subprocess
from itertools import pairwise

import pytest

from weightdecay import figures
from weightdecay.errors import InvalidInput, OutputError
from weightdecay.figures import html_report
from weightdecay.validate import Comparison, Report

ID = "norm-trajectory"
VOID = {"meta", "link", "br", "hr", "img"}
MEASURE = """
frame = document.querySelector('iframe'); frame.style.border = 0;
addEventListener('load', () => {
  document.title = [frame.contentWindow.innerWidth, frame.contentDocument.documentElement.scrollWidth].join(' ')
})
"""
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


class Page(html.parser.HTMLParser):
    """Collects the elements of a page, and minds that each is closed where it ought to be."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.text = [], [], []
        self.feed(text)
        assert [] == self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert tag == self.open.pop()

    def handle_data(self, data):
        self.text.append(data)

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


@functools.cache
def reports():
    plain = figures.make(ID, lr=0.1, weight_decay=0.1, n_steps=100, n_weights=100, radial_pull=0.1)
    compared = Report(
        plain.experiment,
        (
            Comparison("size <b>", "1", 1.0, 1.01, 0.001, inputs="outputs", tolerance=0.02),
            Comparison("slope", "1", -0.5, -0.4, None, inputs="nothing", tolerance=0.02, reason="as asked"),
        ),
        plain.curves,
        plain.provenance,
    )
    return {ID: compared}


@functools.cache
def text():
    return html_report.html_report(reports())


@functools.cache
def page():
    return Page(text())


def test_equal_reports_give_equal_pages():
    assert text() == html_report.html_report(reports())


def test_the_page_has_no_script_and_asks_for_nothing():
    assert [] == page().all("script")
    for tag, attributes in page().elements:
        assert not [name for name in attributes if name.startswith("on")], tag
        assert "src" not in attributes
        if tag != "a":
            target = attributes.get("href") or attributes.get("xlink:href") or "#"
            assert target.startswith(("#", "data:,")), (tag, target)
    assert "@import" not in text()
    assert [] == [place for place in re.findall(r"url\(([^)]*)\)", text()) if not place.startswith("#")]


def test_no_name_is_there_twice_and_every_reference_within_the_page_leads_somewhere():
    names = [attributes["id"] for _, attributes in page().elements if "id" in attributes]
    assert len(names) == len(set(names))
    for _, attributes in page().elements:
        for attribute in ("href", "xlink:href"):
            target = attributes.get(attribute) or ""
            assert not target.startswith("#") or target[1:] in names
        for attribute in ("aria-labelledby", "aria-describedby"):
            assert set((attributes.get(attribute) or "").split()) <= set(names)
    assert set(re.findall(r"url\(#([^)]+)\)", text())) <= set(names)


def test_the_styles_of_a_picture_hold_for_that_picture_alone():
    sheets = re.findall(r"<svg.*?<style[^>]*>(.*?)</style>", text(), flags=re.DOTALL)
    rules = [rule.strip() for sheet in sheets for rule in re.findall(r"([^{}]+)\{", sheet)]
    assert rules
    assert [] == [rule for rule in rules if not rule.startswith((f"#{ID}-wide ", f"#{ID}-slim "))]


def test_every_picture_has_a_text_in_its_place():
    pictures = page().all("svg")
    assert 2 == len(pictures)
    for picture in pictures:
        assert "img" == picture["role"]
        assert 2 == len(picture["aria-labelledby"].split())
        assert "width" not in picture


def test_the_page_has_a_language_one_title_and_headings_without_gaps():
    assert [{"lang": "en"}] == page().all("html")
    levels = [int(tag[1]) for tag, _ in page().elements if re.fullmatch(r"h[1-6]", tag)]
    assert [1] == [level for level in levels if level == 1]
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert 1 == len(page().all("main")) == len(page().all("nav"))


def test_the_table_marks_what_is_outside_in_words_and_says_why_the_tolerance_is_what_it_is():
    rows = [attributes.get("class") for attributes in page().all("tr")]
    assert [None, "inside", "outside"] == rows
    assert "OUTSIDE" in page().text
    assert "(as asked)" in text()
    assert "size &lt;b&gt;" in text()
    assert {"col", "row"} == {attributes["scope"] for attributes in page().all("th")}
    assert re.search(r"Of 2 comparisons.*?<strong>1 are inside it</strong>", text(), flags=re.DOTALL)


def test_the_page_holds_the_derivations_and_cites_only_what_its_bibliography_has():
    for name in html_report.DERIVATIONS:
        assert f'id="derivation-{name}"' in text()
    assert len(page().all("math")) > len(html_report.DERIVATIONS)
    cited = {attributes["href"] for attributes in page().all("a") if attributes["href"].startswith("#ref-")}
    assert "#ref-nielsen2015" in cited


def test_the_page_is_written_from_a_folder_of_figures(tmp_path):
    figures.save(reports()[ID], ID, tmp_path)
    written = figures.write_report(figures.load_all(tmp_path), tmp_path / "page.html")
    assert tmp_path / "page.html" == written
    assert [ID] == list(figures.load_all(tmp_path))
    assert "<!DOCTYPE html>" == written.read_text().splitlines()[0]


def test_a_folder_without_figures_and_a_page_that_cannot_be_written_are_answered_in_words(tmp_path):
    with pytest.raises(InvalidInput, match="there is no saved figure in .*; name a folder"):
        figures.load_all(tmp_path)
    with pytest.raises(InvalidInput, match=r"its name must end in \.html"):
        figures.write_report({}, tmp_path / "page.pdf")
    with pytest.raises(OutputError, match="is not there; make it"):
        figures.write_report({}, tmp_path / "none" / "page.html")
    (tmp_path / "taken.html").mkdir()
    with pytest.raises(OutputError, match="cannot be written"):
        figures.write_report(reports(), tmp_path / "taken.html")


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium (Debian's package chromium)")
def test_a_browser_loads_the_page_offline_without_a_word_and_prints_it(tmp_path):
    (tmp_path / "page.html").write_text(text())
    # a window may be no narrower than 500 pixels, but a frame may
    probe = f'<iframe style="width:360px" srcdoc="{html.escape(text())}"></iframe><script>{MEASURE}</script>'
    (tmp_path / "probe.html").write_text(probe)
    common = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}"]
    common += ["--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr", "--window-size=360,800"]
    dumped = subprocess.run(
        [*common, "--dump-dom", (tmp_path / "page.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    assert "How large weights become" in dumped.stdout
    assert "CONSOLE" not in dumped.stderr
    narrow = subprocess.run(
        [*common, "--dump-dom", (tmp_path / "probe.html").as_uri()], capture_output=True, text=True, timeout=120
    )
    window, shown = map(int, re.search(r"<title>(\d+) (\d+)</title>", narrow.stdout).groups())
    assert 360 == window
    assert shown <= window
    printed = [*common, "--no-pdf-header-footer", f"--print-to-pdf={tmp_path / 'page.pdf'}"]
    subprocess.run([*printed, (tmp_path / "page.html").as_uri()], check=True, capture_output=True, timeout=120)
    assert (tmp_path / "page.pdf").read_bytes().startswith(b"%PDF")
