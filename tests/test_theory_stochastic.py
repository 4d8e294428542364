"""Stochastic laws, held against random walks, quadrature and SciPy's distributions."""

import numpy as np
import pytest
from scipy import integrate, stats
from scipy.linalg import solve_continuous_lyapunov, solve_discrete_lyapunov

from weightdecay import theory
from weightdecay.errors import InvalidInput

NAMES = (
    "fokker-planck-stationary",
    "ito-norm",
    "cox-ingersoll-ross",
    "bessel-ornstein-uhlenbeck",
    "gaussian-sgd",
    "direction-memory",
    "norm-fourth-fluctuation",
    "ornstein-uhlenbeck-covariance",
    "gradient-to-weight-ratio",
    "learning-rate-drop",
    "modified-equation",
)
NOISE = {"lr": 0.2, "weight_decay": 0.3, "noise_variance": 1.7}


@pytest.mark.parametrize("name", NAMES)
def test_every_stochastic_derivation_is_proven(name):
    theory.derive(name).check()


def test_the_gamma_law_is_the_one_of_scipy():
    law = theory.derive("cox-ingersoll-ross")
    shape, scale = law.numeric("shape", n_weights=7), law.numeric("scale", **NOISE)
    gamma = stats.gamma(shape, scale=scale)
    places = np.linspace(0.1, 20, 40)
    assert gamma.pdf(places) == pytest.approx(
        law.numeric("density", norm_squared=places, shape=shape, scale=scale), rel=1e-12
    )
    assert gamma.mean() == pytest.approx(law.numeric("mean", n_weights=7, **NOISE), rel=1e-13)
    assert gamma.var() == pytest.approx(law.numeric("variance", n_weights=7, **NOISE), rel=1e-13)


def test_the_norm_has_the_law_of_the_root():
    law, square = theory.derive("bessel-ornstein-uhlenbeck"), theory.derive("cox-ingersoll-ross")
    values = {"shape": square.numeric("shape", n_weights=5), "scale": square.numeric("scale", **NOISE)}
    places = np.linspace(0.1, 4, 30)
    generalized = stats.gengamma(values["shape"], 2, scale=np.sqrt(values["scale"]))
    assert generalized.pdf(places) == pytest.approx(law.numeric("density", norm=places, **values), rel=1e-12)
    assert generalized.mean() == pytest.approx(law.numeric("mean_norm", **values), rel=1e-12)


def test_the_general_density_gives_the_gamma_law_by_quadrature():
    law, general = theory.derive("cox-ingersoll-ross"), theory.derive("fokker-planck-stationary")
    n_weights, step = 6, 1e-5

    def slope(place):
        around = place + step * np.array([-1, 0, 1])
        diffusion = law.numeric(
            "diffusion", norm_squared=around, lr=NOISE["lr"], noise_variance=NOISE["noise_variance"]
        )
        return general.numeric(
            drift=law.numeric("drift", norm_squared=place, n_weights=n_weights, **NOISE),
            diffusion=diffusion[1],
            diffusion_slope=(diffusion[2] - diffusion[0]) / (2 * step),
        )

    gamma = stats.gamma(law.numeric("shape", n_weights=n_weights), scale=law.numeric("scale", **NOISE))
    gain = integrate.quad(slope, 2.0, 5.0)[0]
    assert gamma.logpdf(5.0) - gamma.logpdf(2.0) == pytest.approx(gain, rel=1e-7)


def test_drift_and_diffusion_are_those_of_one_step_of_sgd():
    """Mean and variance of the change of the squared norm over many draws of one small step."""
    rng, lr, weight_decay, variance = np.random.default_rng(1), 1e-3, 0.4, 2.0
    w, mean_gradient = rng.standard_normal(20), rng.standard_normal(20)
    noise = np.sqrt(variance) * rng.standard_normal((200000, 20))
    after = w - lr * (mean_gradient + weight_decay * w) - lr * noise
    change = (after**2).sum(axis=1) - w @ w
    law = theory.derive("ito-norm")
    drift = law.numeric(
        lr=lr,
        weight_decay=weight_decay,
        noise_variance=variance,
        n_weights=20,
        norm_squared=w @ w,
        radial_pull=-(w @ mean_gradient),
    )
    diffusion = law.numeric("diffusion", lr=lr, noise_variance=variance, norm_squared=w @ w)
    error = change.std() / np.sqrt(len(change))
    assert change.mean() == pytest.approx(lr * drift, abs=4 * error + lr**2 * 50)
    assert change.std() == pytest.approx(np.sqrt(lr) * diffusion, rel=0.02)


@pytest.mark.parametrize("lr", [0.02, 1.0])
def test_gaussian_sgd_has_the_exact_gamma_law_at_any_learning_rate(lr):
    """Weights drawn from the law at rest keep it: a Kolmogorov-Smirnov test after a few steps."""
    rng, weight_decay, n_weights = np.random.default_rng(2), 0.6, 4
    values = {"lr": lr, "weight_decay": weight_decay, "noise_variance": 1.5}
    law = theory.derive("gaussian-sgd")
    w = rng.standard_normal((40000, n_weights)) * np.sqrt(law.numeric("weight_variance_stationary", **values))
    for _ in range(5):
        w = (1 - lr * weight_decay) * w - lr * np.sqrt(1.5) * rng.standard_normal(w.shape)
    gamma = stats.gamma(law.numeric("shape", n_weights=n_weights), scale=law.numeric("scale", **values))
    assert stats.kstest((w**2).sum(axis=1), gamma.cdf).pvalue > 0.01
    small = stats.gamma(gamma.args[0], scale=theory.derive("cox-ingersoll-ross").numeric("scale", **values))
    if lr == 1.0:
        assert stats.kstest((w**2).sum(axis=1), small.cdf).pvalue < 1e-10
    assert 2 / (2 - lr * weight_decay) == pytest.approx(law.numeric("correction", lr=lr, weight_decay=weight_decay))


def test_the_mean_of_the_squared_norm_relaxes_as_derived():
    lr, weight_decay, n_weights = 1e-3, 0.5, 3
    law, exact = theory.derive("cox-ingersoll-ross"), theory.derive("gaussian-sgd")
    values = {"lr": lr, "weight_decay": weight_decay, "noise_variance": 2.0}
    variance = 4.0 / n_weights
    for _ in range(1500):
        variance = exact.numeric("weight_variance_next", weight_variance=variance, **values)
    predicted = law.numeric("mean_norm_squared", norm_squared_start=4.0, time=1.5, n_weights=n_weights, **values)
    assert n_weights * variance == pytest.approx(predicted, rel=1e-3)


def scale_invariant_walk(rng, *, lr, weight_decay, n_steps, n_walks, dimension, spread):
    """Return w of many walks with tangential gradients, whose squared norm at unit norm has that relative spread."""
    w = rng.standard_normal((n_walks, dimension))
    w /= np.sqrt((w**2).sum(axis=1, keepdims=True))
    rest = theory.derive("scale-invariant-step").numeric(
        "norm_squared_stationary", lr=lr, weight_decay=weight_decay, unit_gradient_power=1.0
    )
    w *= np.sqrt(rest)
    start, norms = w.copy(), []
    for _ in range(n_steps):
        norm_squared = (w**2).sum(axis=1, keepdims=True)
        g = rng.standard_normal(w.shape)
        g -= w * (w * g).sum(axis=1, keepdims=True) / norm_squared
        power = rng.gamma(1 / spread**2, spread**2, size=(n_walks, 1)) if spread else 1.0
        g *= np.sqrt(power / (g**2).sum(axis=1, keepdims=True) / norm_squared)
        w = (1 - lr * weight_decay) * w - lr * g
        norms.append((w**2).sum(axis=1))
    return start, w, np.array(norms)


def test_a_direction_is_remembered_as_derived():
    start, w, _ = scale_invariant_walk(
        np.random.default_rng(3), lr=0.1, weight_decay=0.2, n_steps=60, n_walks=4000, dimension=20, spread=0.0
    )
    cosines = (start * w).sum(axis=1) / np.sqrt((start**2).sum(axis=1) * (w**2).sum(axis=1))
    law = theory.derive("direction-memory")
    predicted = law.numeric("cosine", lr=0.1, weight_decay=0.2, n_steps=60)
    assert cosines.mean() == pytest.approx(predicted, abs=4 * cosines.std() / np.sqrt(4000))
    assert 50 == pytest.approx(law.numeric("memory", lr=0.1, weight_decay=0.2))
    assert np.exp(-1) == pytest.approx(0.98 ** law.numeric("e_folding_steps", lr=0.1, weight_decay=0.2))


@pytest.mark.parametrize("weight_decay", [0.01, 0.1])
def test_norm_to_the_fourth_fluctuates_as_derived(weight_decay):
    _, _, norms = scale_invariant_walk(
        np.random.default_rng(4),
        lr=1.0,
        weight_decay=weight_decay,
        n_steps=round(1.5 / weight_decay),
        n_walks=4000,
        dimension=3,
        spread=0.3,
    )
    fourth = norms[-1] ** 2
    law = theory.derive("norm-fourth-fluctuation")
    values = {"lr": 1.0, "weight_decay": weight_decay, "coefficient_of_variation": 0.3}
    measured = fourth.std() / fourth.mean()
    assert measured == pytest.approx(law.numeric("norm_fourth_std", **values), rel=0.05)
    assert np.sqrt(2 * weight_decay) * 0.3 == pytest.approx(law.numeric("norm_fourth_std_leading", **values))


def test_the_covariance_solves_lyapunovs_equation_in_any_basis():
    rng = np.random.default_rng(5)
    curvatures, weight_decay, lr = np.array([0.0, 0.4, 2.0]), 0.3, 0.2
    basis = np.linalg.qr(rng.standard_normal((3, 3)))[0]
    root = rng.standard_normal((3, 3))
    noise = root @ root.T
    drawn = basis @ np.diag(curvatures) @ basis.T + weight_decay * np.eye(3)
    law = theory.derive("ornstein-uhlenbeck-covariance")
    values = {
        "lr": lr,
        "weight_decay": weight_decay,
        "curvature": curvatures[:, None],
        "curvature_other": curvatures[None, :],
        "noise_covariance": basis.T @ noise @ basis,
    }
    continuous = basis @ law.numeric(**values) @ basis.T
    assert solve_continuous_lyapunov(drawn, lr * noise) == pytest.approx(continuous, rel=1e-10)
    step = np.eye(3) - lr * drawn
    discrete = basis @ law.numeric("covariance_discrete", **values) @ basis.T
    assert solve_discrete_lyapunov(step, lr**2 * noise) == pytest.approx(discrete, rel=1e-10)


def test_steps_that_overshoot_are_refused():
    law = theory.derive("ornstein-uhlenbeck-covariance")
    with pytest.raises(InvalidInput, match="beyond it the steps overshoot and grow"):
        law.numeric(
            "covariance_discrete", lr=1.0, weight_decay=0.1, curvature=2.0, curvature_other=0.1, noise_covariance=1.0
        )


def test_gradient_over_weight_is_kept_flat_by_the_schedule():
    law = theory.derive("gradient-to-weight-ratio")
    rates = np.array([0.1, 0.05, 0.01])
    growing = law.numeric("gradient_to_weight_leading", lr=rates, weight_decay=1e-4)
    assert np.sqrt(2e-4 / rates) == pytest.approx(growing)
    scheduled = law.numeric("weight_decay_scheduled", lr=rates, lr_max=0.1, weight_decay=1e-4)
    flat = law.numeric("gradient_to_weight_leading", lr=rates, weight_decay=scheduled)
    assert flat == pytest.approx(np.full(3, law.numeric("gradient_to_weight_scheduled", lr_max=0.1, weight_decay=1e-4)))
    exact = law.numeric("gradient_to_weight", lr=0.5, weight_decay=0.4)
    step = theory.derive("scale-invariant-step")
    rest = step.numeric("norm_squared_stationary", lr=0.5, weight_decay=0.4, unit_gradient_power=3.0)
    assert np.sqrt(3.0) / rest == pytest.approx(exact)


def test_the_angular_update_after_a_drop_is_that_of_the_exact_recursion():
    lr, weight_decay, drop, n_steps = 1e-3, 1.0, 10.0, 400
    values = {"weight_decay": weight_decay, "unit_gradient_power": 1.0}
    step, law = theory.derive("scale-invariant-step"), theory.derive("learning-rate-drop")
    R = step.numeric("norm_squared_stationary", lr=drop * lr, **values)
    for _ in range(n_steps):
        R = step.numeric("norm_squared_next", lr=lr, norm_squared=R, **values)
    measured = lr * np.sqrt(1.0 / R) / np.sqrt(R)  # tangential step over norm
    predicted = law.numeric(lr=lr, weight_decay=weight_decay, drop=drop, steps_since_drop=n_steps)
    assert measured == pytest.approx(predicted, rel=5e-3)
    rest = law.numeric("angular_update_rest", lr=lr, weight_decay=weight_decay)
    at_once = law.numeric(lr=lr, weight_decay=weight_decay, drop=drop, steps_since_drop=0)
    assert rest / np.sqrt(drop) == pytest.approx(at_once)


def test_updates_of_fixed_power_return_at_half_the_rate():
    lr, weight_decay, drop, n_steps = 1e-3, 1.0, 10.0, 400
    law = theory.derive("learning-rate-drop")
    R = drop * lr / (weight_decay * 2)
    for _ in range(n_steps):
        R = (1 - lr * weight_decay) ** 2 * R + lr**2
    predicted = law.numeric(
        "angular_update_fixed_power", lr=lr, weight_decay=weight_decay, drop=drop, steps_since_drop=n_steps
    )
    assert lr / np.sqrt(R) == pytest.approx(predicted, rel=5e-3)


@pytest.mark.parametrize("modified", [False, True])
def test_descent_follows_the_modified_flow_to_one_more_order(modified):
    """One step on the loss w^4 / 4 + weight_decay w^2 / 2 against its flow: errors of order two, and of order three."""
    weight_decay, errors = 0.3, []
    rates = np.array([0.02, 0.01])
    for lr in rates:

        def velocity(_t, w, lr=lr):
            slope, curvature = w**3 + weight_decay * w, 3 * w**2 + weight_decay
            return -slope - (lr / 2 * slope * curvature if modified else 0)

        flow = integrate.solve_ivp(velocity, (0, lr), [1.1], rtol=1e-12, atol=1e-15).y[0, -1]
        errors.append(abs(flow - (1.1 - lr * (1.1**3 + weight_decay * 1.1))))
    order = np.log2(errors[0] / errors[1])
    assert (3 if modified else 2) == pytest.approx(order, abs=0.1)


def test_the_modified_rate_is_the_beginning_of_the_exact_one():
    law = theory.derive("modified-equation")
    pull = law.numeric("pull", curvature=2.0, weight_decay=0.5)
    exact, modified = (law.numeric(name, lr=0.02, pull=pull) for name in ("rate_exact", "rate_modified"))
    assert (1 - 0.02 * pull) == pytest.approx(np.exp(-0.02 * exact), rel=1e-14)
    assert exact - modified == pytest.approx(0.02**2 * pull**3 / 3, rel=0.1)
