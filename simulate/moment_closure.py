"""Close the mean loss of a two-layer sigmoid network over Gaussian classes in moments, with its exact gradient."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ..errors import InvalidInput, check_count
from ..theory import bivariate_normal_cdf, derive, probit_width
from .derived import compiled
from .problem import FloatArray, check_array

__all__ = ["ClassMoments", "ClosedLoss", "closed_loss"]

_FLOOR = 1e-3
"""Rounds off the corner at which the variance of a logit beside its leading part would become 0, in logit^2."""
_SHORTEST = 1e-6
"""Length that the combination of pre-activations keeps where these do not vary at all, so that it can be divided by."""


@dataclass(frozen=True, eq=False)
class ClassMoments:
    """Hold what the closure knows of the data: share, mean and covariance of every class, in principal directions.

    Parameters
    ----------
    shares : (n_classes,) array_like
        Share of each class among the examples; they add up to 1.
    means : (n_classes, n_inputs) array_like, input
        Mean input of each class.
    covariances : (n_classes, n_inputs, n_inputs) array_like, input^2
        Covariance of the inputs within each class.
    n_directions : int
        Leading principal directions of all inputs in which the weights' own values count; in the others their squares
        do.

    Attributes
    ----------
    axes : (n_inputs, n_inputs) ndarray
        Principal directions of all inputs, one a column, by falling variance.
    leading_means : (n_classes, n_directions) ndarray, input
    leading_covariances : (n_classes, n_directions, n_directions) ndarray, input^2
    powers : (n_classes, n_inputs) ndarray, input^2
        Mean square along every direction.

    Raises
    ------
    InvalidInput
        If shapes do not agree, the shares do not add up to 1, or there are more directions than inputs.

    Examples
    --------
    >>> ClassMoments([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]], [np.eye(2), np.eye(2)], 1).powers
    array([[2., 1.],
           [2., 1.]])
    """

    shares: ArrayLike
    means: ArrayLike
    covariances: ArrayLike
    n_directions: int
    axes: FloatArray = field(init=False)
    leading_means: FloatArray = field(init=False)
    leading_covariances: FloatArray = field(init=False)
    powers: FloatArray = field(init=False)

    def __post_init__(self) -> None:
        shares = check_array("shares", self.shares, "shares of the classes, such as [0.5, 0.5]", ndim=1)
        means, covariances = np.asarray(self.means, np.float64), np.asarray(self.covariances, np.float64)
        n_classes, n_inputs = len(shares), means.shape[-1] if means.ndim == 2 else 0
        if means.shape != (n_classes, n_inputs) or covariances.shape != (n_classes, n_inputs, n_inputs):
            raise InvalidInput(
                f"means and covariances have shapes {means.shape} and {covariances.shape}, but for {n_classes} shares "
                f"must have ({n_classes}, n_inputs) and ({n_classes}, n_inputs, n_inputs)"
            )
        if not (np.all(np.isfinite(means)) and np.all(np.isfinite(covariances))):
            raise InvalidInput("means or covariances contain nan or infinity, but must be finite numbers")
        if np.any(shares < 0) or abs(shares.sum() - 1) > 1e-9:
            raise InvalidInput(f"the shares add up to {shares.sum():g}, but must be 0 or above and add up to 1")
        count = check_count("n_directions", self.n_directions, most=n_inputs)
        centred = means - shares @ means
        total = np.tensordot(shares, covariances, 1) + (shares[:, None] * centred).T @ centred
        axes = np.linalg.eigh(total)[1][:, ::-1]
        leading = axes[:, :count]
        means_along = means @ axes
        values = {
            "shares": shares,
            "axes": axes,
            "leading_means": means_along[:, :count],
            "leading_covariances": leading.T @ covariances @ leading,
            "powers": np.maximum(np.sum((covariances @ axes) * axes, axis=1), 0.0) + means_along**2,
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True, eq=False)
class ClosedLoss:
    """Hold the closed loss and its derivatives.

    Parameters
    ----------
    loss : float, nat
    hidden, hidden_biases, output, output_biases : ndarray
        Derivatives in the arguments of `closed_loss` of these names.
    energies : (n_hidden, n_inputs) ndarray
        Derivatives in the energies.
    gradient_power : (n_hidden, n_inputs) ndarray
        Mean square over the examples of the gradient of one example, for every weight of the hidden layer.
    slope : float
        Mean slope of the hidden units over the largest of a sigmoid, 1/4: near 0 where units are saturated.
    """

    loss: float
    hidden: FloatArray
    hidden_biases: FloatArray
    output: FloatArray
    output_biases: FloatArray
    energies: FloatArray
    gradient_power: FloatArray
    slope: float


def closed_loss(
    hidden: FloatArray,
    hidden_biases: FloatArray,
    output: FloatArray,
    output_biases: FloatArray,
    energies: FloatArray,
    moments: ClassMoments,
    *,
    directions: FloatArray | None = None,
) -> ClosedLoss:
    """Return mean cross-entropy and gradient of a two-layer sigmoid network, from moments of the data alone.

    Parameters
    ----------
    hidden : (n_hidden, n_directions) ndarray, weight
        Weights of the hidden units along the leading directions.
    hidden_biases : (n_hidden,) ndarray, weight
    output : (n_classes, n_hidden) ndarray, weight
    output_biases : (n_classes,) ndarray, weight
    energies : (n_hidden, n_inputs) ndarray, weight^2
        Squares of weights along every direction that are random beside the leading ones.
    moments : ClassMoments
        The data.
    directions : (n_classes, n_classes, n_hidden) ndarray, optional
        For each class and logit the combination of pre-activations along which the logit's mean is followed; by
        default the one that carries the logit where nothing saturates, output weight times mean slope.

    Returns
    -------
    ClosedLoss

    Notes
    -----
    In class c the pre-activations are Gaussian with means m = W mu_c + b and covariances S = W Sigma_c W^T, to whose
    diagonal the random part adds the energies times the mean squares of the inputs. Hidden units are probit units of
    width w (derivation ``probit-unit``), so that means a_j = Phi(m_j / sqrt(S_jj + w^2)) and covariances A_ij
    (`weightdecay.theory.bivariate_normal_cdf`) of the activations are exact. Logit k has the mean v_k . a + c_k and the
    variance v_k^T A v_k. It is no Gaussian, since units saturate: with zeta the standardized combination d . z of the
    pre-activations and g = S d / sqrt(d^T S d), its mean at given zeta,

        M(zeta) = sum_j v_kj Phi((m_j + g_j zeta) / sqrt(S_jj - g_j^2 + w^2)) + c_k,

    is followed exactly, and what its variance leaves of v_k^T A v_k is taken as Gaussian and the same at every zeta:

        loss = sum_c share_c sum_k E softplus(f) - y_ck E f.

    The exact mean is the same for every d. So d is held fixed where the loss is differentiated, as nodes of a
    quadrature are: its derivative would be one of the error alone. All other derivatives are exact.

    Neglected: classes are no Gaussians; logits have one leading direction; the sigmoid is off by up to 0.0095.

    References
    ----------
    Our own derivation; price1958 for derivatives of Gaussian means.

    Examples
    --------
    >>> data = ClassMoments([0.5, 0.5], [[1.0, 0.0], [-1.0, 0.0]], [np.eye(2), np.eye(2)], 2)
    >>> found = closed_loss(np.eye(2), np.zeros(2), np.zeros((2, 2)), np.zeros(2), np.zeros((2, 2)), data)
    >>> round(float(found.loss / np.log(2)), 3), found.output_biases.round(9) + 0.0
    (2.0, array([0., 0.]))
    """
    from scipy.special import expit, ndtr  # here, since it takes long to import

    width, shares = _width(), np.asarray(moments.shares)
    v, targets = output, np.eye(len(output))
    m = moments.leading_means @ hidden.T + hidden_biases
    tilted = hidden @ moments.leading_covariances  # (class, unit, direction)
    spread = tilted @ hidden.T
    units = np.arange(len(hidden_biases))
    spread[:, units, units] += moments.powers @ energies.T
    scale = np.sqrt(spread[:, units, units] + width**2)
    h = m / scale
    slopes = _of_unit("mean_slope")(m, spread[:, units, units], width)
    a, bell = ndtr(h), slopes * scale
    rho = spread / (scale[:, :, None] * scale[:, None, :])
    covariance = np.empty_like(rho)
    i, j = np.triu_indices(len(units))
    covariance[:, i, j] = bivariate_normal_cdf(h[:, i], h[:, j], rho[:, i, j]) - a[:, i] * a[:, j]
    covariance[:, j, i] = covariance[:, i, j]

    # logits: mean along the leading direction at the nodes zeta, Gaussian rest at the nodes xi
    (zeta, of_zeta), (xi, of_xi) = _nodes(13), _nodes(11)
    d = v * slopes[:, None, :] if directions is None else directions
    through = d @ spread
    length = np.sqrt((through * d).sum(-1, keepdims=True) + _SHORTEST**2)
    g = through / length
    rest_squared = (scale**2)[:, None, :] - g**2
    rest = np.sqrt(rest_squared)
    at = (m[:, None, :, None] + g[..., None] * zeta) / rest[..., None]  # (class, logit, unit, node)
    activation = ndtr(at)
    means = (v[:, None, :] @ activation)[:, :, 0] + output_biases[:, None]
    mean = means @ of_zeta
    with_output = v @ covariance  # covariance of logit and activation
    variance = (with_output * v).sum(-1)
    left = variance - (means - mean[..., None]) ** 2 @ of_zeta
    rounded = np.hypot(left, _FLOOR)
    beside = np.sqrt((left + rounded) / 2)
    logits = means[..., None] + beside[..., None, None] * xi
    p = expit(logits)
    loss = float((shares[:, None] * (np.logaddexp(0, logits) @ of_xi @ of_zeta - targets * mean)).sum())

    # back through: variance of a logit, its means at the nodes, then the pre-activations' moments
    by_variance = shares[:, None] * (p @ (of_xi * xi) @ of_zeta) / (2 * beside) * (1 + left / rounded) / 2
    by_mean = of_zeta * (
        shares[:, None, None] * (p @ of_xi - targets[..., None])
        - 2 * by_variance[..., None] * (means - mean[..., None])
    )
    by_output = np.einsum("ckq,ckjq->kj", by_mean, activation) + 2 * (by_variance[..., None] * with_output).sum(0)
    by_at = by_mean[:, :, None, :] * v[:, :, None] * np.exp(-(at**2) / 2) / np.sqrt(2 * np.pi)
    by_rest = (by_at * at).sum(-1) / rest_squared
    by_g = by_at @ zeta / rest + by_rest * g
    by_m = (by_at.sum(-1) / rest).sum(1)
    by_diagonal = -by_rest.sum(1) / 2
    by_through = by_g / length - (by_g * through).sum(-1, keepdims=True) / (2 * length**3) * d
    by_spread = d.transpose(0, 2, 1) @ by_through
    by_covariance = (v.T * by_variance[:, None, :]) @ v
    gap = np.sqrt(1 - rho**2)
    threshold = (h[:, None, :] - rho * h[:, :, None]) / gap  # of unit j where unit i switches
    active = ndtr(threshold)
    by_h = 2 * bell * (by_covariance * (active - a[:, None, :])).sum(-1)
    by_rho = by_covariance * bell[:, :, None] * np.exp(-(threshold**2) / 2) / (gap * np.sqrt(2 * np.pi))
    by_spread += by_rho / (scale[:, :, None] * scale[:, None, :])
    by_diagonal -= ((by_rho * rho).sum(-1) + by_h * h / 2) / scale**2
    by_m += by_h / scale
    by_spread = (by_spread + by_spread.transpose(0, 2, 1)) / 2
    by_spread[:, units, units] += by_diagonal
    return ClosedLoss(
        loss=loss,
        hidden=by_m.T @ moments.leading_means + 2 * (by_spread @ tilted).sum(0),
        hidden_biases=by_m.sum(0),
        output=by_output,
        output_biases=by_mean.sum((0, 2)),
        energies=by_spread[:, units, units].T @ moments.powers,
        gradient_power=_gradient_power(m, spread, active, covariance, with_output, variance, v, output_biases, moments),
        slope=4 * float(shares @ slopes.mean(1)),
    )


def _gradient_power(
    m: FloatArray,
    spread: FloatArray,
    active: FloatArray,
    covariance: FloatArray,
    with_output: FloatArray,
    variance: FloatArray,
    v: FloatArray,
    output_biases: FloatArray,
    moments: ClassMoments,
) -> FloatArray:
    """Return E[phi'(z_j)^2 (sum_k v_kj (p_k - y_k))^2 x_r^2]: an example counts where it switches the unit.

    There logit k has the mean sum_i v_ki E[a_i | unit j switches] + c_k, exact, and the variance that is left when a_j
    is known. Errors of different outputs are taken as independent, and inputs as their mean square.
    """
    from scipy.special import expit  # here, since it takes long to import

    nodes, weights = _nodes(7)
    diagonal = np.maximum(np.einsum("cjj->cj", covariance), np.finfo(float).tiny)
    known = variance[:, None, :] - with_output.transpose(0, 2, 1) ** 2 / diagonal[:, :, None]
    deviations = np.sqrt(np.maximum(known, 0.0))  # below 0 by rounding only (Cauchy and Schwarz)
    p = expit((active @ v.T + output_biases)[..., None] + deviations[..., None] * nodes)  # (class, unit, output, node)
    error = p @ weights - np.eye(len(v))[:, None, :]
    scatter = np.maximum(p**2 @ weights - (p @ weights) ** 2, 0.0)
    back_signal = (scatter * v.T**2).sum(-1) + (error * v.T).sum(-1) ** 2
    squared_slope = _of_unit("mean_squared_slope")(m, np.einsum("cjj->cj", spread), _width())
    return np.asarray((np.asarray(moments.shares)[:, None] * squared_slope * back_signal).T @ moments.powers)


@lru_cache(maxsize=1)
def _width() -> float:
    return probit_width()


@lru_cache(maxsize=2)
def _of_unit(result: str) -> Any:
    function = compiled(derive("probit-unit"), result)
    return lambda m, variance, width: np.asarray(
        function(pre_activation_mean=m, pre_activation_variance=variance, switch_width=width)
    )


@lru_cache(maxsize=8)
def _nodes(count: int) -> tuple[FloatArray, FloatArray]:
    """Return nodes and weights of the mean over a standard normal number."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(count)
    return nodes, weights / weights.sum()
