"""Captions are filled from facts, and mean the same in plain text, Markdown and LaTeX."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay import figures
from weightdecay.errors import InvalidInput
from weightdecay.figures import catalogue
from weightdecay.figures.captions import fill, number, percent, to_markdown, to_plain, to_tex


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0783, 2, "0.078"),
        (3.744, 3, "3.74"),
        (1355.4, 3, "1355"),
        (-0.0204249, 2, "−0.020"),
        (72.2, 2, "72"),
        (3.000025e-7, 2, "3.0×10⁻⁷"),
        (4.51e10, 3, "4.51×10¹⁰"),
        (-1.5e-9, 2, "−1.5×10⁻⁹"),
        (5.0, 3, "5.00"),
        (-3, 3, "−3"),
        (1234567, 3, "1234567"),
        (0.0, 3, "0"),
        (float("nan"), 3, "unknown"),
        (None, 3, "unknown"),
    ],
)
def test_numbers_are_written_as_prose_has_them(value, digits, text):
    assert text == number(value, digits)


@given(st.floats(-1e300, 1e300), st.integers(1, 6))
def test_a_written_number_is_close_to_the_number(value, digits):
    text = number(value, digits).translate(str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")).replace("−", "-")
    assert float(text.replace("×10", "e")) == pytest.approx(value, rel=0.51 * 10 ** (1 - digits))


def test_a_fraction_becomes_a_percentage():
    assert "−2.0 %" == percent(-0.0204)


def test_a_template_is_filled_on_one_line():
    assert "η = 0.1 after 30 epochs, 7.8 %" == fill(
        "η = {{ eta | given }}\n  after {{ n }} epochs, {{ share | percent }}", {"eta": 0.1, "n": 30, "share": 0.078}
    )


@pytest.mark.parametrize(
    ("template", "message"), [("{{ missing }}", "'missing' is undefined"), ("{{", "cannot be filled")]
)
def test_a_template_that_cannot_be_filled_is_named(template, message):
    with pytest.raises(InvalidInput, match=message):
        fill(template, {})


def test_citations_take_the_form_of_the_text():
    caption = "The book [@nielsen2015] and others [@lecun1998]."
    assert "The book (Nielsen 2015) and others (LeCun et al. 1998)." == to_plain(caption)
    assert r"The book~\cite{nielsen2015} and others~\cite{lecun1998}." == to_tex(caption)
    assert caption == to_markdown(caption)


def test_citing_an_unknown_work_is_refused():
    with pytest.raises(InvalidInput, match="citation key is 'nobody1900'"):
        to_plain("[@nobody1900]")


@pytest.mark.parametrize(
    ("text", "tex"),
    [
        ("50 % & more_of #1 {x} $2", r"50\,\% \& more\_of \#1 \{x\} \$2"),
        (r"a\b^c~d", r"a\textbackslash{}b\^{}c\~{}d"),
        ("2.5×10⁻⁷", r"2.5$\times$10$^{-7}$"),
        ("1/√n_weights", r"1/$\sqrt{\mathrm{n\_weights}}$"),
        ("√(fan_in) ± λ", r"$\sqrt{\mathrm{fan\_in}}$ $\pm$ $\lambda$"),
        ("−5", "$-$5"),
    ],
)
def test_signs_that_latex_gives_a_meaning_are_escaped(text, tex):
    assert tex == to_tex(text)


@given(st.text(alphabet="&%$#_{}\\^~ab "))
def test_escaped_text_has_no_bare_sign_and_balanced_braces(text):
    bare = re.sub(r"\\textbackslash\{\}|\\[\^~]\{\}|\\[&%$#_{},]", "", to_tex(text))
    assert set() == set(bare) & set("&%$#_{}\\^~")


def test_markdown_keeps_names_whole():
    assert r"n\_weights \*" == to_markdown("n_weights *")


def test_works_cited_together_stand_in_one_pair_of_parentheses():
    caption = "Both [@wan2020; @kosson2023] say so."
    assert "Both (Wan et al. 2020; Kosson et al. 2024) say so." == to_plain(caption)
    assert r"Both~\cite{wan2020,kosson2023} say so." == to_tex(caption)


@pytest.mark.parametrize("name", figures.all_ids())
def test_every_citation_of_a_caption_is_one_that_the_figure_lists(name):
    module = catalogue.module(name)
    keys = set(re.findall(r"@([a-z0-9]+)", module.CAPTION + module.ALT))
    assert keys <= set(module.REFERENCES)
    assert "[@" not in to_plain(module.CAPTION).replace("[@{{", "")
