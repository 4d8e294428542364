"""Exports of every derivation parse and carry its assumptions, steps and references."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

import weightdecay
from weightdecay import theory

MATHML = "{http://www.w3.org/1998/Math/MathML}"
XHTML = "{http://www.w3.org/1999/xhtml}"
BIBLIOGRAPHY = (Path(weightdecay.__file__).parent / "citation.bib").read_text("utf-8")
every_derivation = pytest.mark.parametrize("name", theory.names())


def balanced(latex):
    """Tell whether braces, \\left and \\right, and \\begin and \\end pair up."""
    bare = re.sub(r"\\[{}\\]", "", latex)
    depth = 0
    for mark in re.findall(r"[{}]", bare):
        depth += 1 if mark == "{" else -1
        if depth < 0:
            return False
    begun, ended = (sorted(re.findall(rf"\\{mark}\{{(\w+\*?)\}}", latex)) for mark in ("begin", "end"))
    fences = [len(re.findall(rf"\\{side}(?![a-z])", latex)) for side in ("left", "right")]
    return depth == 0 and begun == ended and fences[0] == fences[1]


def test_the_balance_test_itself_can_fail():
    assert balanced(r"\frac{a}{b} \left( x \right)")
    assert not balanced(r"\frac{a}{b")
    assert not balanced(r"}{")
    assert not balanced(r"\left( x")
    assert not balanced(r"\begin{itemize}")


@every_derivation
def test_latex_is_balanced_and_complete(name):
    claim = theory.derive(name)
    latex = claim.latex()
    assert balanced(latex)
    assert len(claim.steps) + 1 + sum(map(len, claim.fixed_points)) == latex.count("\\[")
    assert latex.count("\\[") == latex.count("\\]")
    assert 0 == latex.count("_weight_decay")
    items = len(claim.symbols) + len(claim.assumptions) + len(claim.conditions) + len(claim.steps)
    assert items == latex.count("\\item")
    assert all(rf"\cite{{{key}}}" in latex for key in claim.references)


@every_derivation
def test_latex_of_sentences_needs_no_unicode_engine(name):
    assert not re.findall(r"[^\x00-\x7f\u2019\u2013\u00e0-\u00ff]", theory.derive(name).latex())


@every_derivation
def test_mathml_is_xml_and_complete(name):
    claim = theory.derive(name)
    section = ElementTree.fromstring(claim.mathml())
    assert name == section.get("id")
    formulas = section.iter(f"{MATHML}math")
    points = sum(map(len, claim.fixed_points))
    expected = len(claim.steps) + len(claim.conditions) + 1 + points + len(claim.stability)
    assert expected == sum(1 for formula in formulas if len(formula))
    cited = [cite.text for cite in section.iter(f"{XHTML}cite")]
    assert list(claim.references) == cited
    said = " ".join(section.itertext())
    assert all(sentence in said for sentence in claim.assumptions)
    assert all(step.sentence in said and step.proof.how in said for step in claim.steps)


@every_derivation
def test_markdown_has_the_same_structure(name):
    claim = theory.derive(name)
    markdown = claim.markdown()
    assert markdown.startswith(f"# {claim.title}\n")
    assert 2 * (len(claim.steps) + 1 + sum(map(len, claim.fixed_points))) == markdown.count("$$")
    assert len(claim.steps) == len(re.findall(r"^\d+\. ", markdown, flags=re.MULTILINE))
    assert all(f"- {sentence}" in markdown for sentence in claim.assumptions)
    assert all(f"[@{key}]" in markdown for key in claim.references)


@every_derivation
def test_json_keeps_everything(name):
    claim = theory.derive(name)
    told = json.loads(json.dumps(claim.to_dict()))
    assert [step.sentence for step in claim.steps] == [step["sentence"] for step in told["steps"]]
    assert list(claim.results) == list(told["results"])
    assert list(claim.references) == told["references"]
    assert all(balanced(step["latex"]) for step in told["steps"])


@every_derivation
def test_text_has_every_sentence(name):
    claim = theory.derive(name)
    text = claim.text()
    assert all(step.sentence in text for step in claim.steps)
    assert claim._repr_latex_().startswith("$\\displaystyle")


@every_derivation
def test_every_reference_is_in_the_bibliography(name):
    keys = re.findall(r"^@\w+\{([^,\s]+),", BIBLIOGRAPHY, flags=re.MULTILINE)
    assert set() == set(theory.derive(name).references) - set(keys)


def test_letters_of_the_glossary_are_distinct():
    letters = [line.latex for line in theory.GLOSSARY]
    assert sorted(set(letters)) == sorted(letters)
