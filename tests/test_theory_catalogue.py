"""The committed page of derivations is the one that the derivations make."""

from pathlib import Path

from weightdecay import theory
from weightdecay.theory.catalogue import without_formulas

PAGE = Path(__file__).parent.parent / "theory" / "DERIVATIONS.md"


def test_the_committed_page_is_fresh():
    made, committed = (without_formulas(page) for page in (theory.derivations_markdown(), PAGE.read_text("utf-8")))
    assert made.splitlines() == committed.splitlines()  # renew it as the docstring of derivations_markdown says


def test_the_page_lists_every_derivation_with_its_sources():
    page = theory.derivations_markdown()
    for name in theory.names():
        claim = theory.derive(name)
        entry = page.split(f'<a id="{name}"></a>')[1].split("<a id=")[0]
        assert entry.startswith(f"\n## {claim.title}\n")
        assert all(f"- {sentence}\n" in entry for sentence in claim.assumptions)
        assert all(f"[{key}]" in entry for key in claim.references)
        assert all(f"| `{result}` |" in entry for result in claim.results)
