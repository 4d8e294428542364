"""Citations say the same in every form, and nothing of TeX is left where there is no TeX."""

import re

import pytest

from weightdecay import figures, validate
from weightdecay.errors import InvalidInput
from weightdecay.figures.bibliography import FORMATS, cite, short, works


def test_every_entry_of_the_file_is_read_whole():
    from importlib import resources

    text = resources.files("weightdecay").joinpath("citation.bib").read_text(encoding="utf-8")
    assert text == "\n".join(work.source for work in works().values())
    for work in works().values():
        assert {"author", "title", "year"} <= set(work.fields)


def test_bibtex_is_the_entry_itself_and_each_once():
    assert works()["nielsen2015"].source == cite(["nielsen2015", "nielsen2015"], "bibtex")


def test_a_work_is_cited_in_plain_text():
    assert (
        "LeCun, Yann, Bottou, Léon, Bengio, Yoshua and Haffner, Patrick (1998). Gradient-Based Learning Applied to "
        "Document Recognition. Proceedings of the IEEE 86(11), 2278–2324. https://doi.org/10.1109/5.726791\n"
    ) == cite(["lecun1998"], "text")


def test_markdown_links_the_title():
    told = cite(["lecun1998", "krogh1991"], "markdown").splitlines()
    assert "[Gradient-Based Learning Applied to Document Recognition](https://doi.org/10.1109/5.726791)" in told[0]
    assert "*A Simple Weight Decay Can Improve Generalization*" in told[1]


def test_an_arxiv_number_becomes_a_link():
    assert "https://arxiv.org/abs/2305.17212" == works()["kosson2023"].link


@pytest.mark.parametrize("form", ["text", "markdown", "cff"])
@pytest.mark.parametrize("key", list(works()))
def test_no_tex_is_left(key, form):
    told = cite([key], form)
    assert [] == re.findall(r"[{}$\\]", told)
    assert works()[key].fields["year"] in told or key == "weightdecay"


@pytest.mark.parametrize(
    ("key", "prose"),
    [("nielsen2015", "Nielsen 2015"), ("glorot2010", "Glorot and Bengio 2010"), ("lecun1998", "LeCun et al. 1998")],
)
def test_prose_names_authors_and_year(key, prose):
    assert prose == short(key)


def test_the_cff_file_describes_the_software_and_lists_the_works():
    told = cite(["weightdecay", *works()], "cff")
    assert told.startswith("cff-version: 1.2.0\n")
    assert len(works()) - 1 == len(re.findall(r"^  - type: ", told, flags=re.MULTILINE))
    for name in ("message", "title", "authors", "version"):
        assert 1 == len(re.findall(rf"^{name}:", told, flags=re.MULTILINE))


@pytest.mark.skipif(not __import__("importlib.util").util.find_spec("cffconvert"), reason="needs cffconvert: [dev]")
def test_the_cff_file_is_valid():
    from cffconvert import Citation

    Citation(cite(["weightdecay", *works()], "cff")).validate()


def test_unknown_forms_and_keys_are_named():
    with pytest.raises(InvalidInput, match="format is 'bib', but must be one of: bibtex, cff, markdown, text"):
        cite(["nielsen2015"], "bib")
    with pytest.raises(InvalidInput, match="citation key is 'nielsen2016'.*did you mean 'nielsen2015'"):
        cite(["nielsen2016"])
    assert {"bibtex", "cff", "markdown", "text"} == set(FORMATS)


@pytest.mark.parametrize("figure_id", figures.ids())
def test_a_figure_cites_software_data_and_works_that_exist(figure_id):
    keys = figures.references(figure_id)
    of_data = figures.catalogue.module(figure_id).EXPERIMENT in validate.experiments()
    assert "weightdecay" == keys[0]
    assert of_data == ("lecun1998" == keys[1])
    assert set(keys) <= set(works())
    assert "lecun1998" not in figures.references(figure_id, "fashion")
