"""Derive, symbolically and with every step proven, what weight decay does to the size of weights.

>>> from weightdecay import theory
>>> claim = theory.derive("decay-per-epoch")
>>> claim.check()
>>> float(claim.numeric(lr=0.1, weight_decay=1e-4, n_train=50000, batch_size=10))
0.95122918...
"""

from . import (
    bounds,
    collapse,
    conventions,
    fluctuation_dissipation,
    linear_networks,
    linear_products,
    networks,
    nielsen,
    norm_flow,
    output_layer,
    pure_decay,
    radial_equation,
    saturation,
)
from .catalogue import derivations_markdown
from .claims import Claim, LayerRun, nielsen_claims
from .conventions import CONVENTIONS, convert
from .derivation import Derivation, Stability, Step, derivation, derive, names
from .evaluation import Condition
from .notation import GLOSSARY, Quantity, glossary_markdown, quantity, symbols_of
from .proofs import Proof
from .saturation import saturation_ratio

__all__ = [
    "CONVENTIONS",
    "GLOSSARY",
    "Claim",
    "Condition",
    "Derivation",
    "LayerRun",
    "Proof",
    "Quantity",
    "Stability",
    "Step",
    "bounds",
    "collapse",
    "conventions",
    "convert",
    "derivation",
    "derivations_markdown",
    "derive",
    "fluctuation_dissipation",
    "glossary_markdown",
    "linear_networks",
    "linear_products",
    "names",
    "networks",
    "nielsen",
    "nielsen_claims",
    "norm_flow",
    "output_layer",
    "pure_decay",
    "quantity",
    "radial_equation",
    "saturation",
    "saturation_ratio",
    "symbols_of",
]
