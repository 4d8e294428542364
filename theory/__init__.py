"""Derive, symbolically and with every step proven, what weight decay does to the size of weights.

>>> from weightdecay import theory
>>> claim = theory.derive("decay-per-epoch")
>>> claim.check()
>>> float(claim.numeric(lr=0.1, weight_decay=1e-4, n_train=50000, batch_size=10))
0.95122918...
"""

from . import (  # noqa: F401  # importing a module registers its derivations; users reach them by name
    adam_coupled_derivation,
    adaptive_derivations,
    bounds,
    collapse,
    collapse_biases,
    conservation_laws,
    conventions,
    filter_derivations,
    filter_leading_order,
    fluctuation_dissipation,
    fokker_planck,
    gaussian_sgd,
    green_kubo,
    heavy_ball_window,
    layer_split,
    linear_networks,
    linear_products,
    measured_power,
    modified_equation,
    momentum_charges,
    momentum_oscillator,
    muon_derivation,
    networks,
    newton_schulz,
    nielsen,
    noise_free,
    norm_flow,
    number_formats,
    one_margin,
    ornstein_uhlenbeck,
    output_layer,
    probit_unit,
    published_approximations,
    pure_decay,
    radial_equation,
    rate_drop,
    rescaling,
    reshuffled_batches,
    saturation,
    scale_invariant,
    scale_invariant_noise,
    sign_derivations,
    sign_momentum_derivations,
    squared_error,
    steady_updates,
    stochastic,
    transition_laws,
    window_balance,
)
from .catalogue import derivations_markdown
from .claims import Claim, LayerRun, nielsen_claims
from .conventions import CONVENTIONS, convert
from .derivation import Derivation
from .equilibria import Equilibrium
from .evaluation import Condition
from .filter_derivations import linear_optimizer
from .lag_sums import LAG
from .linear_optimizers import EMA, HEAVY_BALL, NESTEROV, SGD
from .nonlinear_optimizers import ADAM, LION, MUON, RMSPROP, SIGN_SGD, SIGNUM
from .notation import GLOSSARY, Quantity, glossary_markdown, quantity, symbols_of
from .optimizers import B, LinearOptimizer, equilibrium
from .probit_unit import bivariate_normal_cdf, probit_width
from .proofs import Proof
from .registry import derivation, derive, names
from .same_regularizer import Conversion, convention_name, conversions
from .saturation import saturation_ratio
from .stationary_updates import StationaryUpdates
from .steps import Stability, Step
from .symmetry import Symmetry
from .transitions import margin_transition

__all__ = [
    "ADAM",
    "CONVENTIONS",
    "EMA",
    "GLOSSARY",
    "HEAVY_BALL",
    "LAG",
    "LION",
    "MUON",
    "NESTEROV",
    "RMSPROP",
    "SGD",
    "SIGNUM",
    "SIGN_SGD",
    "B",
    "Claim",
    "Condition",
    "Conversion",
    "Derivation",
    "Equilibrium",
    "LayerRun",
    "LinearOptimizer",
    "Proof",
    "Quantity",
    "Stability",
    "StationaryUpdates",
    "Step",
    "Symmetry",
    "bivariate_normal_cdf",
    "convention_name",
    "conversions",
    "convert",
    "derivation",
    "derivations_markdown",
    "derive",
    "equilibrium",
    "glossary_markdown",
    "linear_optimizer",
    "margin_transition",
    "names",
    "nielsen_claims",
    "probit_width",
    "quantity",
    "saturation_ratio",
    "symbols_of",
]
