"""List ready-made optimizers that normalize their updates: RMSprop, Adam, sign descent, Signum, Lion, Muon."""

from __future__ import annotations

from typing import Any

import numpy as np
import sympy as sp
from sympy.utilities.lambdify import implemented_function

from . import adam_covariance, normalized_decay
from .evaluation import Condition
from .lag_sums import LAG
from .notation import quantity, symbols_of
from .polar_overlap import polar_overlap
from .stationary_updates import CoupledLaw, StationaryUpdates
from .validity import forgets

__all__ = ["ADAM", "LION", "MUON", "RMSPROP", "SIGNUM", "SIGN_SGD"]

_n_weights, _momentum = symbols_of("n_weights momentum")

BETA1 = quantity("beta1", r"\beta_{1}", "β_1", "1", "first of Adam's or Lion's coefficients", positive=True)
BETA2 = quantity("beta2", r"\beta_{2}", "β_2", "1", "second of Adam's or Lion's coefficients", positive=True)
SMOOTHING = quantity("smoothing", r"\alpha", "α", "1", "RMSprop's smoothing of squared gradients", positive=True)
N_ROWS = quantity("n_rows", r"n_{\mathrm{r}}", "n_r", "1", "rows of a weight matrix", positive=True, integer=True)
N_COLUMNS = quantity("n_columns", r"n_{\mathrm{c}}", "n_c", "1", "columns of the matrix", positive=True, integer=True)

_GAUSSIAN = "Gradients are Gaussian white noise, with any standard deviation in each weight."
_ALIKE = "Gradients are Gaussian white noise, with the same standard deviation in every weight of the block."
_BARE = "The small constant in the denominator is negligible, and bias corrections have died out."


def _below_one(*symbols: Any) -> tuple[Condition, ...]:
    return tuple(forgets(symbol) for symbol in symbols)


ADAM_POWER = implemented_function("adam_update_power", adam_covariance.adam_update_power)
ADAM_COVARIANCE = implemented_function("adam_autocovariance", adam_covariance.adam_autocovariance)
ADAM_CORRECTION = implemented_function("second_moment_correction", adam_covariance.second_moment_correction)
_drift = implemented_function("adam_drift", adam_covariance.adam_drift)
_adam_size = implemented_function("adam_size", normalized_decay.adam_size)
_adam_turn = implemented_function("adam_turn", normalized_decay.adam_turn)
_adam_root = implemented_function("adam_root", normalized_decay.adam_root)
_sign_size = implemented_function("sign_size", normalized_decay.sign_size)
_sign_root = implemented_function("sign_root", normalized_decay.sign_root)


def _adam_law(beta1: Any, beta2: Any) -> CoupledLaw:
    """Return the law of Adam with L2 regularization."""
    spread = ADAM_CORRECTION(beta1, beta2) / _drift(beta1, beta2)
    return CoupledLaw(
        size=lambda s: _adam_size(s, beta1, beta2),
        turn=lambda s: _adam_turn(s, beta1, beta2),
        size_terms=(spread / 2, (1 - beta1) / (2 * (1 + beta1)) - sp.Rational(1, 4)),
        turn_terms=(ADAM_POWER(beta1, beta2) / spread, -sp.Rational(1, 4)),
        drift=_drift(beta1, beta2),
        root=lambda x: _adam_root(x, beta1, beta2),
        assumptions=(
            _ALIKE,
            _BARE,
            "Exact in lr*weight_decay for beta2 near 1; what the second moment's fluctuation changes, of order "
            "1 - beta2, is taken at leading order in lr*weight_decay.",
        ),
    )


_SIGN_LAW = CoupledLaw(
    size=_sign_size,
    turn=lambda s: s**2 / (2 * _sign_size(s)),
    size_terms=(sp.sqrt(sp.pi / 8), sp.sqrt(sp.pi / 2) / 4),
    turn_terms=(sp.sqrt(2 / sp.pi), -sp.sqrt(sp.pi / 2) / 4),
    drift=sp.sqrt(2 / sp.pi),
    root=_sign_root,
    assumptions=(_ALIKE,),
)

SIGN_SGD = StationaryUpdates(
    "sign-sgd",
    _n_weights,
    0,
    assumptions=("Gradients are independent from step to step, and no weight prefers a sign.",),
    coupled=_SIGN_LAW,
)
"""Sign descent: every weight moves by the learning rate against the sign of its gradient."""

RMSPROP = StationaryUpdates(
    "rmsprop",
    _n_weights * ADAM_POWER(0, SMOOTHING.symbol),
    0,
    assumptions=(_GAUSSIAN, _BARE),
    conditions=_below_one(SMOOTHING.symbol),
    coupled=_adam_law(sp.S.Zero, SMOOTHING.symbol),
)
"""RMSprop: gradients over the root of their smoothed squares."""

ADAM = StationaryUpdates(
    "adam",
    _n_weights * ADAM_POWER(BETA1.symbol, BETA2.symbol),
    ADAM_COVARIANCE(LAG, BETA1.symbol, BETA2.symbol) / ADAM_POWER(BETA1.symbol, BETA2.symbol),
    assumptions=(_GAUSSIAN, _BARE),
    conditions=_below_one(BETA1.symbol, BETA2.symbol),
    coupled=_adam_law(BETA1.symbol, BETA2.symbol),
)
"""Adam: decoupled it is AdamW, coupled it is Adam with L2 regularization."""

SIGNUM = StationaryUpdates(
    "signum",
    _n_weights,
    2 / sp.pi * sp.asin(_momentum**LAG),
    assumptions=(_GAUSSIAN,),
    conditions=_below_one(_momentum),
)
"""Signum: the sign of momentum. Signs of Gaussian numbers correlated by rho are correlated by (2/pi) arcsin(rho)."""


def _lion_correlation(beta1: Any, beta2: Any) -> Any:
    """Return the correlation of what Lion takes the sign of: beta1 buffer + (1 - beta1) gradient."""
    newest, oldest = 1 - beta1, beta1 * (1 - beta2)
    power = newest**2 + oldest**2 / (1 - beta2**2)
    return beta2 ** (LAG - 1) * (newest * oldest + oldest**2 * beta2 / (1 - beta2**2)) / power


LION = StationaryUpdates(
    "lion",
    _n_weights,
    2 / sp.pi * sp.asin(_lion_correlation(BETA1.symbol, BETA2.symbol)),
    assumptions=(_GAUSSIAN,),
    conditions=_below_one(BETA1.symbol, BETA2.symbol),
)
"""Lion: the sign of a mean of gradient and momentum."""


def _overlap(rho: Any, n_rows: Any, n_columns: Any) -> Any:
    """Return `polar_overlap` for arrays of sizes."""
    rhos, rows, columns = np.broadcast_arrays(rho, n_rows, n_columns)
    sizes = np.stack([rows.ravel(), columns.ravel()], axis=1).astype(np.int64)
    result = np.empty(rhos.size)
    unique, where = np.unique(sizes, axis=0, return_inverse=True)
    for place, (height, width) in enumerate(unique):
        mine = where.ravel() == place
        result[mine] = polar_overlap(rhos.ravel()[mine], int(height), int(width))
    return result.reshape(rhos.shape)


_polar = implemented_function("polar_overlap", _overlap)

MUON = StationaryUpdates(
    "muon",
    sp.Min(N_ROWS.symbol, N_COLUMNS.symbol),
    _polar(_momentum**LAG, N_ROWS.symbol, N_COLUMNS.symbol),
    assumptions=(
        "Gradients are Gaussian white noise, with the same standard deviation in every weight of the matrix.",
        "The polar factor of the momentum is exact; five Newton-Schulz steps make a smaller update.",
    ),
    conditions=_below_one(_momentum),
)
"""Muon: the polar factor of the momentum of a weight matrix."""
