"""Exports of every derivation parse and carry its assumptions, steps and references."""

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
import sympy as sp

import weightdecay
from weightdecay import theory
from weightdecay.theory.filter_moments import autocovariances
from weightdecay.theory.formulas import formula
from weightdecay.theory.positive_factors import positive_factors
from weightdecay.theory.vanishing import rational_points

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


lr, weight_decay, momentum, norm_squared, n_steps = theory.symbols_of("lr weight_decay momentum norm_squared n_steps")
i, n = sp.symbols("i n", integer=True, positive=True)
w = sp.IndexedBase("w", real=True)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        (1 - lr * weight_decay, r"1 - \eta \lambda"),
        (1 + momentum, r"1 + \mu"),
        (n_steps - 1, "T - 1"),
        (n_steps + 1, "T + 1"),
        (1 + sp.exp(-norm_squared), "1 + e^{- R}"),
        (norm_squared * (2 - 2 * lr * weight_decay), r"2 R \left(1 - \eta \lambda\right)"),
        (norm_squared / (2 - 2 * momentum), r"\frac{R}{2 \left(1 - \mu\right)}"),
        (-norm_squared * (2 + 4 * momentum), r"- 2 R \left(1 + 2 \mu\right)"),
        (norm_squared * (momentum + sp.Rational(1, 2)), r"R \left(\frac{1}{2} + \mu\right)"),
        (norm_squared + sp.Sum(-w[i], (i, 1, n)), r"R - \sum_{i=1}^{n} {w}_{i}"),
        (sp.Eq(norm_squared, sp.Sum(-w[i], (i, 1, n))), r"R = - \sum_{i=1}^{n} {w}_{i}"),
        (sp.sqrt(lr) * sp.sqrt(weight_decay), r"\sqrt{\eta \lambda}"),
    ],
)
def test_formulas_read_as_in_a_textbook(expression, expected):
    letters = {line.name: line for line in theory.GLOSSARY}
    assert expected == formula(expression, letters)


FILTERS = [name for name in theory.names() if re.match("optimizer-(sgd|ema|nesterov|heavy-ball-(de)?coupled)", name)]


@pytest.mark.parametrize("name", FILTERS)
def test_factors_of_an_equilibrium_are_positive_for_small_values(name):
    for result in theory.derive(name).results.values():
        sums = [part for part in sp.Mul.make_args(result) if part.is_Add]
        sums += [part.base for part in sp.Mul.make_args(result) if part.is_Pow and part.base.is_Add]
        assert [] == [part for part in sums if part.subs(dict.fromkeys(part.free_symbols, sp.Rational(1, 8))) < 0]


@pytest.mark.parametrize("optimizer", [theory.HEAVY_BALL, theory.NESTEROV])
def test_turning_factors_changes_no_value(optimizer):
    above, below = optimizer.closed_loop("coupled", lr * weight_decay)
    variance = sp.factor(autocovariances(above, below, (lr, weight_decay, *optimizer.hyperparameters))[0])
    mixed = sp.factor(-variance * (1 - momentum) ** 3 * sp.sqrt((momentum - 1) / (lr * weight_decay - 2)))
    assert positive_factors(mixed) != mixed
    for point in rational_points(mixed.free_symbols, 5):
        assert 0 == sp.nsimplify(sp.simplify((positive_factors(mixed) - mixed).subs(point)))
