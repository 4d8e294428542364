"""Write the generated sections of the README anew, or say which are stale.

python tests/readme_sections.py          writes them
python tests/readme_sections.py --check  exits 1 if one is stale
"""

from __future__ import annotations

import json
import re
import sys
import textwrap
from pathlib import Path

import readme_practitioners
import readme_without_training

from weightdecay import figures, theory
from weightdecay.figures.founding_caption import facts
from weightdecay.validate.founding_comparisons import STARTS

ROOT = Path(__file__).parent.parent
SHOWN = ("collapse", "width", "time-to-equilibrium")
"""Figures that the README shows besides that of the founding question."""


def answer() -> str:
    """Return the answer to the founding question, every number from the committed figure."""
    stem = ROOT / "figures/gallery/founding-question"
    report = figures.load(f"{stem}.csv", f"{stem}.json")
    parameters, long = report.provenance["parameters"], facts(report)["long"]

    variance = {layer: report.comparison(f"variance layer {layer}") for layer in (2, 3)}
    first = {layer: report.comparison(f"claim 1 layer {layer}").ratio for layer in (2, 3)}
    size = {layer: report.comparison(f"claim 3 layer {layer}").ratio for layer in (2, 3)}
    own = {layer: report.comparison(f"own size layer {layer}").ratio for layer in (2, 3)}
    needed = report.comparison("claim 3, epochs layer 2").predicted
    factor = report.comparison("claim 2")
    old, new = (report.comparison(f"size 30 hidden neurons, {start}").measured for start in STARTS.values())
    epochs = parameters["epochs"]
    text = f"""\
**In short** (means over {parameters["n_seeds"]} seeds ± standard error). Weight decay pulls every weight towards zero,
and each layer settles where that balances what the data and the gradient's noise give back. Over {epochs} epochs decay
alone would leave both layers a variance of {variance[2].predicted:.3f}. Layer 2 comes down to
{variance[2].measured:.4f} ± {variance[2].standard_error:.4f} and is still on its way; layer 3 goes up to
{variance[3].measured:.2f} ± {variance[3].standard_error:.2f}, since from the first epoch on the data pull it outwards
{first[3]:.1f} times as hard as decay pulls it in. After {long["epochs"]} epochs the two squared norms rest near
{" and ".join(long["rounded"])}: one has fallen, the other has risen, to much the same size. Of the exercise's claims,

1. *decay dominates the first epochs*: **true for layer 2**, where pull and noise together even help to shrink the
   weights ({100 * first[2]:.1f} % of the loss to decay), **false for layer 3** ({100 * first[3]:.0f} %);
2. *weights decay by exp(−ηλ/m) per epoch*: **true of what decay does**: weights of dead pixels, which get no gradient,
   shrink by {factor.measured:.7f} per epoch, the formula says {factor.predicted:.7f};
3. *it tails off around 1/√n*: **false by a large factor.** After {epochs} epochs the rms weight is {size[2]:.0f} times
   1/√n in layer 2 and {size[3]:.0f} times in layer 3 (n all weights of the network; counting each layer's own,
   {own[2]:.0f} and {own[3]:.0f} times), and decay alone would need {needed:.0f} epochs to get there.
   What is right about it: in a homogeneous network at rest every layer has the same squared norm, hence a size of
   C/√n_weights
   (`theory.derive("equal-pull")`), but C is √(gap/λ), not 1. The new start, 1/√fan_in, is no resting place either: from
   it layer 2 *grows* to an rms weight of {new:.3f}, while the old start comes down to {old:.3f}.
"""
    paragraphs = re.split(r"\n(?=\d\. |\n)", text.strip())
    return "\n".join(
        textwrap.fill(" ".join(part.split()), 120, subsequent_indent="   " if part[0].isdigit() else "")
        if part.strip()
        else ""
        for part in paragraphs
    )


def gallery() -> str:
    """Return three more figures of the gallery, each with its title and the sentence to quote."""
    lines = []
    for name in SHOWN:
        told = json.loads((ROOT / f"figures/gallery/{name}.json").read_text())
        alt = " ".join(told["alt"].split())
        lines += [f"**{told['title']}.** {told['quotation']}".rstrip(), "", f"![{alt}](figures/gallery/{name}.png)", ""]
    return "\n".join(lines)


def derivation() -> str:
    """Return one derivation as `weightdecay derive` prints it."""
    return f"```text\n{theory.derive('decay-per-epoch').text().rstrip()}\n```"


SECTIONS = {
    "answer": answer,
    "gallery": gallery,
    "derivation": derivation,
    "glossary": theory.glossary_markdown,
    **readme_practitioners.SECTIONS,
    **readme_without_training.SECTIONS,
}


def refreshed(text: str) -> str:
    """Return the README with its generated sections as the code gives them now."""
    for name, section in SECTIONS.items():
        pattern = rf"(<!-- {name} -->\n).*?(<!-- end of {name} -->)"
        text, n_found = re.subn(pattern, lambda m, s=section: m[1] + s().rstrip() + "\n" + m[2], text, flags=re.DOTALL)
        assert n_found == 1, f"README.md has {n_found} sections {name}"
    return text


def main() -> None:
    """Refresh README.md, or check it."""
    path = ROOT / "README.md"
    text = path.read_text()
    fresh = refreshed(text)
    if "--check" not in sys.argv:
        path.write_text(fresh)
    elif fresh != text:
        sys.exit("README.md is stale; run: python tests/readme_sections.py")


if __name__ == "__main__":
    main()
