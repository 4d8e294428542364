"""Write the generated sections of the README anew, or say which are stale.

python tests/readme_sections.py          writes them
python tests/readme_sections.py --check  exits 1 if one is stale
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from weightdecay import theory

ROOT = Path(__file__).parent.parent


def answer() -> str:
    """Return the answer to the founding question, every number from the committed figure's json."""
    told: dict[str, Any] = json.loads((ROOT / "figures/gallery/founding-question.json").read_text())
    parameters = told["provenance"]["parameters"]

    def find(*words: str) -> dict[str, Any]:
        (one,) = (c for c in told["comparisons"] if all(word in c["quantity"] for word in words))
        return one

    variance = {layer: find(f"variance of layer {layer} after") for layer in (2, 3)}
    first = {layer: find("claim 1", f"layer {layer}") for layer in (2, 3)}
    size = {layer: find("claim 3: rms", f"layer {layer}") for layer in (2, 3)}
    own = {layer: find(f"rms weight of layer {layer} after", "of the layer") for layer in (2, 3)}
    needed = find("claim 3: epochs", "layer 2")
    factor = find("claim 2", "exp(")
    starts = [find("rms weight of layer 2 at the end", "30 hidden", start) for start in ("old start", "new start")]
    return f"""\
**In short** (means over {parameters["n_seeds"]} seeds ± standard error, {parameters["epochs"]} epochs). Decay alone
would leave both layers a variance of {variance[2]["predicted"]:.3f}. Layer 2 comes down to
{variance[2]["measured"]:.4f} ± {variance[2]["standard_error"]:.4f}, still on its way; layer 3 goes up to
{variance[3]["measured"]:.2f} ± {variance[3]["standard_error"]:.2f}, since the data pull it outwards
{first[3]["ratio"]:.1f} times as hard as decay pulls it in, from the first epoch on. Of the exercise's claims,

1. *decay dominates the first epochs*: **true of layer 2**, where the data even help to shrink the weights (their gain
   is {first[2]["ratio"]:.3f} of the loss to decay), **false of layer 3** ({first[3]["ratio"]:.1f} times the loss);
2. *a factor exp(−ηλ/m) per epoch*: **true** of what decay does: weights of dead pixels, which get no gradient, shrink
   by {factor["measured"]:.7f} per epoch, the formula says {factor["predicted"]:.7f};
3. *it tails off around 1/√n*: **false by a large factor.** After {parameters["epochs"]} epochs the rms weight is
   {size[2]["ratio"]:.0f} times 1/√n in layer 2 and {size[3]["ratio"]:.0f} times in layer 3 (n all weights of the
   network; counting each layer's own, {own[2]["ratio"]:.0f} and {own[3]["ratio"]:.0f} times), and decay alone would
   need {needed["predicted"]:.0f} epochs to get layer 2 there. What is right about it: in a homogeneous network
   at rest every layer has the same squared norm, hence a size of C/√n_weights (`theory.derive("equal-pull")`), but C
   is √(gap/λ), not 1. The new start, 1/√fan_in, is no resting place either: from it layer 2 *grows* to an rms weight
   of {starts[1]["measured"]:.3f}, while the old start comes down to {starts[0]["measured"]:.3f}.
"""


def derivation() -> str:
    """Return one derivation as `weightdecay derive` prints it."""
    return f"```text\n{theory.derive('decay-per-epoch').text().rstrip()}\n```"


SECTIONS = {"answer": answer, "derivation": derivation, "glossary": theory.glossary_markdown}


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
