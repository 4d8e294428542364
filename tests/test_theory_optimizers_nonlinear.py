"""Equilibria of optimizers that normalize: their autocorrelation laws, against independent numbers."""

import numpy as np
import pytest
import sympy as sp
from scipy.special import gamma, hyp2f1

from weightdecay import theory
from weightdecay.errors import InvalidInput
from weightdecay.theory import LAG, StationaryUpdates, equilibrium
from weightdecay.theory.adam_covariance import (
    adam_autocovariance,
    adam_drift,
    adam_update_power,
    second_moment_correction,
)
from weightdecay.theory.lag_sums import lag_sums
from weightdecay.theory.normalized_decay import adam_root, adam_size, sign_root, sign_size
from weightdecay.theory.polar_overlap import large_matrix_overlap, overlap_coefficients, polar_overlap

SEED = 11
DECOUPLED = {
    "sign-sgd": (theory.SIGN_SGD, {"n_weights": 100}),
    "rmsprop": (theory.RMSPROP, {"n_weights": 100, "smoothing": 0.9}),
    "adam": (theory.ADAM, {"n_weights": 100, "beta1": 0.9, "beta2": 0.99}),
    "signum": (theory.SIGNUM, {"n_weights": 100, "momentum": 0.9}),
    "lion": (theory.LION, {"n_weights": 100, "beta1": 0.9, "beta2": 0.95}),
    "muon": (theory.MUON, {"n_rows": 4, "n_columns": 6, "momentum": 0.9}),
}
COUPLED = {
    "sign-sgd": (theory.SIGN_SGD, {"n_weights": 100, "gradient_power": 400.0}),
    "rmsprop": (theory.RMSPROP, {"n_weights": 100, "gradient_power": 400.0, "smoothing": 0.9}),
    "adam": (theory.ADAM, {"n_weights": 100, "gradient_power": 400.0, "beta1": 0.9, "beta2": 0.99}),
}


def number(form, name, values):
    return float(form.numeric(name, **{key: values[key] for key in form.arguments(name)}))


@pytest.mark.parametrize("symmetry", ["none", "scale"])
@pytest.mark.parametrize(
    ("coupling", "name"), [("decoupled", name) for name in DECOUPLED] + [("coupled", name) for name in COUPLED]
)
def test_the_exact_form_goes_to_the_leading_one_and_its_correction(coupling, name, symmetry):
    optimizer, own = (DECOUPLED if coupling == "decoupled" else COUPLED)[name]
    exact, leading = (
        equilibrium(optimizer, coupling=coupling, symmetry=symmetry, order=order) for order in ("exact", "leading")
    )
    values = {"lr": 1e-5, "weight_decay": 1.0, **own}
    for quantity, correction in exact.first_correction.items():
        ratio = number(exact, quantity, values) / number(leading, quantity, values) - 1
        symbols = sorted(correction.free_symbols, key=str)
        expected = float(sp.lambdify(symbols, correction)(*(values[symbol.name] for symbol in symbols)))
        assert ratio == pytest.approx(expected, rel=2e-2, abs=3e-9)
    rates = [number(form, "relaxation_rate", values) for form in (exact, leading)]
    assert rates[0] == pytest.approx(rates[1], rel=1e-4)


def test_a_sum_over_lags_is_that_of_its_terms():
    memory = sp.Symbol("memory", positive=True)
    slowly = lag_sums("total", sp.asin(memory**LAG))
    geometric = lag_sums("total", 3 * memory**LAG)
    lags = np.arange(1, 5000)
    for moment in (0, 1):
        for left in (1, 0.9):
            direct = np.sum(lags**moment * left ** (lags - 1.0) * np.arcsin(0.95**lags))
            assert sp.lambdify(memory, slowly(moment, left))(0.95) == pytest.approx(direct, rel=1e-12)
            direct = np.sum(lags**moment * left ** (lags - 1.0) * 3 * 0.95**lags)
            assert sp.lambdify(memory, geometric(moment, left))(0.95) == pytest.approx(direct, rel=1e-12)
    assert 0 == lag_sums("total", sp.S.Zero)(0, 1)
    table = sp.lambdify(memory, slowly(0, 1))(np.array([[0.5], [0.95]]))
    assert (2, 1) == table.shape


def test_a_moving_average_by_its_autocorrelation_is_that_by_its_filter():
    momentum = sp.Symbol("momentum", positive=True)
    average = StationaryUpdates("average", 100 * (1 - momentum) / (1 + momentum), momentum**LAG)
    values = {"lr": 0.1, "weight_decay": 2.0, "momentum": 0.8}
    by_correlation = equilibrium(average, coupling="decoupled")
    by_filter = equilibrium(theory.EMA, coupling="decoupled")
    assert by_correlation.numeric(**values) == pytest.approx(by_filter.numeric(**values, gradient_power=100.0))
    for quantity in ("one_minus_cosine", "angular_update"):
        assert by_correlation.numeric(quantity, **values) == pytest.approx(by_filter.numeric(quantity, **values))


def test_published_short_cuts_miss_by_what_is_said_of_them():
    lags = np.arange(1, 20000)
    signum = 1 + 4 / np.pi * np.arcsin(0.9**lags).sum()
    assert (1.9 / 0.1) / signum - 1 == pytest.approx(0.43, abs=0.005)
    leading = equilibrium(theory.SIGNUM, coupling="decoupled", order="leading")
    values = {"lr": 0.1, "weight_decay": 0.1, "momentum": 0.9, "n_weights": 10}
    assert leading.numeric(**values) == pytest.approx(0.1 * 10 / 0.2 * signum, rel=1e-12)
    square = 1 + 2 * large_matrix_overlap(0.9**lags, 1.0).sum()
    assert (1.9 / 0.1) / square - 1 == pytest.approx(0.28, abs=0.01)
    form = equilibrium(theory.LION, coupling="decoupled", order="leading")
    low = []
    for beta1, beta2 in ((0.9, 0.99), (0.95, 0.98)):
        newest, oldest = 1 - beta1, beta1 * (1 - beta2)
        power = newest**2 + oldest**2 / (1 - beta2**2)
        correlated = (newest * oldest + oldest**2 * beta2 / (1 - beta2**2)) / power
        linear = 2 / np.pi * (1 + 2 * correlated / (1 - beta2))
        values = {"lr": 0.2, "weight_decay": 0.1, "beta1": beta1, "beta2": beta2, "n_weights": 1}
        low.append(1 - linear / form.numeric(**values))
    assert low == pytest.approx([0.015, 0.056], abs=0.001)


@pytest.mark.parametrize(("memory", "apart"), [(0.9, 0.02), (0.999, 2e-4)])
def test_short_cuts_go_to_their_proven_ratios_for_long_memory(memory, apart):
    claim, lags = theory.derive("published-approximations"), np.arange(1, 60000)
    published = (1 + memory) / (1 - memory)
    signs = 1 + 4 / np.pi * np.arcsin(memory**lags).sum()
    polar = 1 + 2 * large_matrix_overlap(memory**lags, 1.0).sum()
    assert claim.numeric("sign_momentum_ratio") == pytest.approx(published / signs, rel=apart)
    assert claim.numeric("linear_sign_ratio") == pytest.approx(2 / np.pi * published / signs, rel=apart)
    assert claim.numeric("polar_momentum_ratio") == pytest.approx(published / polar, rel=apart)


def test_short_cuts_have_their_proven_ratios_for_short_memory():
    claim, memory, lags = theory.derive("published-approximations"), 1e-5, np.arange(1, 4)
    published = 2 * memory / (1 - memory)
    signs = 4 / np.pi * np.arcsin(memory**lags).sum()
    polar = 2 * large_matrix_overlap(memory**lags, 1.0).sum()
    assert claim.numeric("sign_momentum_ratio_short") == pytest.approx(published / signs, rel=1e-4)
    assert claim.numeric("polar_momentum_ratio_short") == pytest.approx(published / polar, rel=1e-4)


def test_the_linearized_formula_of_lion_misses_by_the_square_of_its_first_correlation():
    claim, falling = theory.derive("published-approximations"), 0.9999 ** np.arange(0, 400000)
    for first in (0.1, 0.3):
        ratio = falling.sum() * first / np.arcsin(first * falling).sum()
        found = claim.numeric("linear_sign_ratio_series", first_correlation=first)
        assert found == pytest.approx(ratio, abs=first**4 / 25)


def test_adamw_loses_nine_times_the_decay_per_step():
    correction = equilibrium(theory.ADAM, coupling="decoupled").first_correction["norm_squared"]
    values = {"lr": 1.0, "weight_decay": 1.0, "beta1": 0.9, "beta2": 0.99999}
    symbols = sorted(correction.free_symbols, key=str)
    found = float(sp.lambdify(symbols, correction)(*(values[symbol.name] for symbol in symbols)))
    expected = 0.5 - 2 * 0.9 / (1 - 0.81)
    assert found == pytest.approx(expected, rel=1e-4)
    assert found == pytest.approx(-9.0, abs=0.05)
    derived = theory.derive("optimizer-adamw").numeric("norm_squared_correction", lr=1.0, weight_decay=1.0, beta1=0.9)
    assert derived == pytest.approx(expected)


@pytest.mark.parametrize(("beta1", "beta2"), [(0.9, 0.95), (0.5, 0.7), (0.0, 0.9)])
def test_adams_autocovariance_is_that_of_adam(beta1, beta2):
    """Against 4000 independent weights over 1200 steps: a relative error of some 1/sqrt(10^5 independent values)."""
    rng = np.random.default_rng(SEED)
    mean, square = np.zeros(4000), np.ones(4000)
    lags = np.array([0, 1, 3])
    sums, recent, taken = np.zeros(3), [], 0
    for step in range(1200):
        gradient = rng.standard_normal(4000)
        mean = beta1 * mean + (1 - beta1) * gradient
        square = beta2 * square + (1 - beta2) * gradient**2
        recent = [mean / np.sqrt(square), *recent[:3]]
        if step >= 300:
            sums += [recent[0] @ recent[lag] / 4000 for lag in lags]
            taken += 1
    np.testing.assert_allclose(sums / taken, adam_autocovariance(lags, beta1, beta2), atol=5e-3 * sums[0] / taken)


def test_the_second_moment_correction_starts_as_beta2():
    for beta1 in (0.0, 0.9):
        distance = 1e-5
        slope = (1 - float(second_moment_correction(beta1, 1 - distance))) / distance
        assert slope == pytest.approx(1.0, abs=5e-3)
    assert theory.derive("second-moment-fluctuation").numeric(beta2=0.99) == 0.99
    assert float(adam_update_power(0.0, 0.99)) == pytest.approx(0.99, abs=5e-4)


def test_products_and_dilogarithms_agree_where_they_meet():
    """From 1 - beta2 = 0.1 on, a product is written out; below, it is an integral with end corrections."""
    for quantity in (second_moment_correction, adam_update_power, adam_drift):
        above, at, below = (float(quantity(0.8, beta2)) for beta2 in (0.9 - 1e-6, 0.9, 0.9 + 1e-6))
        assert above - 2 * at + below == pytest.approx(0.0, abs=1e-8)


def test_adams_answer_to_a_constant_is_the_derivative_of_its_mean():
    """Common random numbers make the difference quotient exact to its own order."""
    rng = np.random.default_rng(SEED)
    beta1, beta2, shift = 0.8, 0.9, 0.01
    sums = []
    gradients = rng.standard_normal((400, 20000))
    for sign in (-1, 1):
        mean = square = np.zeros(20000)
        total = 0.0
        for step, gradient in enumerate(gradients + sign * shift):
            mean = beta1 * mean + (1 - beta1) * gradient
            square = beta2 * square + (1 - beta2) * gradient**2
            total += np.mean(mean / np.sqrt(square)) if step >= 200 else 0.0
        sums.append(total / 200)
    assert (sums[1] - sums[0]) / (2 * shift) == pytest.approx(float(adam_drift(beta1, beta2)), rel=5e-3)


def test_adams_size_fulfils_its_cubic_and_its_root():
    s = np.geomspace(1e-8, 10, 19)
    y = adam_size(s, 0.9, 1 - 1e-9)
    np.testing.assert_allclose(2 * 1.9 * y * np.sqrt(1 + y), s * (1.9 + 0.1 * y), rtol=1e-7)
    x = np.geomspace(1e-6, 10, 9)
    root = adam_root(x, 0.9, 0.99)
    np.testing.assert_allclose(x * adam_size(root, 0.9, 0.99), root**4, rtol=1e-10)
    root = sign_root(x)
    np.testing.assert_allclose(x * sign_size(root), root**4, rtol=1e-9)


@pytest.mark.parametrize("s", [0.05, 0.5, 2.0])
def test_the_lattice_of_signs_is_stationary(s):
    """The stationary law found by detailed balance is the one that the walk's transition matrix keeps."""
    from scipy.stats import norm

    places = np.arange(-400, 401)
    up = norm.cdf(-s * places)
    moves = np.zeros((801, 801))
    moves[np.arange(800), np.arange(1, 801)] = up[:-1]
    moves[np.arange(1, 801), np.arange(800)] = 1 - up[1:]
    moves[0, 0], moves[-1, -1] = 1 - up[0], up[-1]
    lazy = 0.5 * (moves + np.eye(801))  # without the walk's period of two
    law = np.full(801, 1 / 801)
    law = law @ np.linalg.matrix_power(lazy, 2**17)
    assert float(sign_size(s)) == pytest.approx(law @ (s * places) ** 2, rel=1e-9)


def test_small_steps_of_signs_join_their_series():
    edge = 1e-5
    below, above = float(sign_size(edge * (1 - 1e-9))), float(sign_size(edge * (1 + 1e-9)))
    assert below == pytest.approx(above, rel=1e-8)


def test_single_numbers_and_vectors_have_the_overlap_of_their_signs_and_angles():
    rho = np.linspace(0.0, 1.0, 21)
    np.testing.assert_allclose(2 / np.pi * np.arcsin(rho), polar_overlap(rho, 1, 1), atol=6e-3)
    for n in (4, 10, 40):
        exact = rho * gamma((n + 1) / 2) ** 2 / (gamma(n / 2) * gamma(n / 2 + 1)) * hyp2f1(0.5, 0.5, n / 2 + 1, rho**2)
        np.testing.assert_allclose(exact, polar_overlap(rho, 1, n), atol=2e-3)
        np.testing.assert_allclose(exact, polar_overlap(rho, n, 1), atol=2e-3)


@pytest.mark.parametrize("shape", [(24, 24), (16, 48)])
def test_the_overlap_is_that_of_ginibre_pairs(shape):
    rng = np.random.default_rng(SEED)
    short = min(shape)
    for rho in (0.3, 0.7, 0.95):
        first, second = rng.standard_normal((2, 400, *shape))
        factors = [
            np.linalg.svd(part, full_matrices=False) for part in (first, rho * first + np.sqrt(1 - rho**2) * second)
        ]
        one, two = (part[0] @ part[2] for part in factors)
        overlap = np.einsum("pij,pij->p", one, two) / short
        error = overlap.std(ddof=1) / np.sqrt(overlap.size)
        assert abs(overlap.mean() - float(polar_overlap(rho, *shape))) <= 3 * error + 1e-3


def test_the_law_of_large_square_matrices_has_its_closed_sum():
    rho = np.array([0.0, 0.05, 0.0999, 0.1001, 0.5, 0.9])
    squares = overlap_coefficients(1.0, 4000) ** 2
    powers = rho[:, None] ** (2 * np.arange(4000) + 1)
    np.testing.assert_allclose(powers @ squares, large_matrix_overlap(rho, 1.0), atol=1e-10)
    np.testing.assert_allclose(-large_matrix_overlap(rho, 1.0), large_matrix_overlap(-rho, 1.0))
    assert float(large_matrix_overlap(1.0, 1.0)) == 1.0
    assert float(large_matrix_overlap(1e-4, 1.0)) / 1e-4 == pytest.approx((8 / (3 * np.pi)) ** 2, rel=1e-6)
    derived = theory.derive("optimizer-muon")
    assert derived.numeric("overlap_slope") == pytest.approx(squares[0])
    assert derived.numeric("coefficient", index=np.arange(5)) ** 2 == pytest.approx(squares[:5])


def test_rectangular_matrices_join_square_ones_and_wide_ones_are_linear():
    rho = np.linspace(0, 1, 11)
    np.testing.assert_allclose(large_matrix_overlap(rho, 1.0), large_matrix_overlap(rho, 0.999), atol=1e-3)
    np.testing.assert_allclose(rho, large_matrix_overlap(rho, 1e-4), atol=1e-4)


@pytest.mark.parametrize(
    ("name", "optimizer", "coupling", "own"),
    [
        ("optimizer-sign-decoupled", theory.SIGN_SGD, "decoupled", {"n_weights": 50}),
        ("optimizer-signum", theory.SIGNUM, "decoupled", {"n_weights": 50, "momentum": 0.8}),
        ("optimizer-lion", theory.LION, "decoupled", {"n_weights": 50, "beta1": 0.9, "beta2": 0.95}),
        ("optimizer-rmsprop", theory.RMSPROP, "decoupled", {"n_weights": 50, "smoothing": 0.9}),
    ],
)
def test_derivations_and_equilibria_are_the_same_numbers(name, optimizer, coupling, own):
    derived, exact = theory.derive(name), equilibrium(optimizer, coupling=coupling)
    values = {"lr": 0.1, "weight_decay": 0.7, **own}
    for result, quantity in (("norm_squared_stationary", "norm_squared"), ("one_minus_cosine", "one_minus_cosine")):
        found = derived.numeric(result, **{key: values[key] for key in derived.arguments(result)})
        assert found == pytest.approx(number(exact, quantity, values), rel=1e-12)


def test_derivations_of_decay_in_the_gradient_are_the_leading_forms():
    values = {"lr": 0.01, "weight_decay": 0.3, "n_weights": 50, "gradient_power": 7.0, "beta1": 0.9, "beta2": 1 - 1e-9}
    for name, optimizer in (("optimizer-sign-coupled", theory.SIGN_SGD), ("optimizer-adam-coupled", theory.ADAM)):
        derived, leading = theory.derive(name), equilibrium(optimizer, order="leading")
        for result, quantity in (("norm_squared_stationary", "norm_squared"), ("relaxation_rate", "relaxation_rate")):
            given = dict(values, gradient_std=np.sqrt(7.0 / 50))
            found = derived.numeric(result, **{key: given[key] for key in derived.arguments(result)})
            assert found == pytest.approx(number(leading, quantity, values), rel=1e-6)
    scale = equilibrium(theory.ADAM, symmetry="scale", order="leading")
    found = theory.derive("optimizer-adam-coupled").numeric(
        "norm_squared_scale", lr=0.01, weight_decay=0.3, n_weights=50, unit_gradient_power=7.0
    )
    assert found == pytest.approx(number(scale, "norm_squared", values), rel=1e-6)


@pytest.mark.parametrize("name", ["optimizer-sign-coupled", "optimizer-adam-coupled"])
def test_gradients_of_unequal_sizes_count_by_the_sum_of_their_standard_deviations(name):
    claim, sigmas = theory.derive(name), np.array([0.5, 1.0, 4.0])
    values = {"lr": 0.01, "weight_decay": 0.3}
    size = claim.numeric("norm_squared_unequal", **values, gradient_std_total=sigmas.sum())
    one = {"n_weights": 1, "gradient_power": sigmas**2}
    assert claim.numeric("norm_squared_stationary", **values, **one).sum() == pytest.approx(size)
    scale = claim.numeric("norm_squared_scale_unequal", **values, unit_gradient_std_total=sigmas.sum())
    again = claim.numeric("norm_squared_unequal", **values, gradient_std_total=sigmas.sum() / np.sqrt(scale))
    assert scale == pytest.approx(again)
    alike = {"n_weights": 9, "unit_gradient_power": 9 * 4.0}
    equal = claim.numeric("norm_squared_scale_unequal", **values, unit_gradient_std_total=9 * 2.0)
    assert claim.numeric("norm_squared_scale", **values, **alike) == pytest.approx(equal)


def test_signs_of_unequal_gradients_walk_to_the_derived_size():
    rng, lr, weight_decay = np.random.default_rng(5), 0.01, 1.0
    sigmas = np.repeat([0.5, 2.0], 1000)
    size = theory.derive("optimizer-sign-coupled").numeric(
        "norm_squared_unequal", lr=lr, weight_decay=weight_decay, gradient_std_total=sigmas.sum()
    )
    weights, sizes = np.zeros(2000), []
    for step in range(1600):
        weights -= lr * np.sign(sigmas * rng.standard_normal(2000) + weight_decay * weights)
        if step >= 800:
            sizes.append(weights @ weights)
    assert np.mean(sizes) == pytest.approx(size, rel=0.03)  # the first correction is 0.6 %, the spread of a mean 1 %


def test_the_valid_range_of_adamw_is_narrow():
    edge = equilibrium(theory.ADAM, coupling="decoupled").valid_range(beta1=0.9, beta2=0.999)
    assert edge == pytest.approx(0.01 / 8.97, rel=0.02)  # the squared norm loses 8.97 lr*weight_decay
    assert equilibrium(theory.ADAM).valid_range(n_weights=10, beta1=0.9, beta2=0.999, gradient_power=10.0) > 10 * edge


@pytest.mark.parametrize("optimizer", [theory.SIGNUM, theory.LION, theory.MUON], ids=lambda part: part.name)
def test_without_a_theory_of_coupled_decay_that_is_said(optimizer):
    with pytest.raises(InvalidInput, match=f"no theory of '{optimizer.name}' with decay in the gradient; use"):
        equilibrium(optimizer)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"beta1": 1.0}, "needs beta1 < 1, but beta1=1"),
        ({"beta2": 1.5}, "needs beta2 < 1, but beta2=1.5"),
        ({"beta1": -0.1}, "beta1 is -0.1, but must be a finite number, 0 or above"),
        ({"n_weights": 0}, "n_weights is 0, but must be a whole number above 0"),
        ({"weight_decay": 25.0}, r"needs lr\*weight_decay < 2, but"),
        ({"beta1": "0.9"}, "beta1 is '0.9', but must be"),
        ({"gradient_power": 1.0}, "it does not depend on gradient_power: leave that out"),
    ],
)
def test_wrong_values_are_named(wrong, message):
    values = {"lr": 0.1, "weight_decay": 0.1, "n_weights": 10, "beta1": 0.9, "beta2": 0.99, **wrong}
    with pytest.raises(InvalidInput, match=message):
        equilibrium(theory.ADAM, coupling="decoupled").numeric(**values)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("", 1, 0), "the name of an optimizer is ''"),
        (("mine", "1", 0), "the update_power of 'mine' is '1', but must be a SymPy expression"),
        (("mine", LAG, 0), "depends on the lag, but is that of lag 0"),
        (("mine", 1, "0.9**lag"), "the autocorrelation of 'mine' is '0.9\\*\\*lag'"),
        (("mine", theory.symbols_of("lr")[0], 0), "'mine' uses lr, but its updates must not depend on"),
    ],
)
def test_updates_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        StationaryUpdates(*arguments)


def test_a_correlation_that_does_not_fall_off_is_refused():
    endless = StationaryUpdates("endless", 1, 1 / (LAG + 1))
    with pytest.raises(InvalidInput, match="does not converge within .* lags"):
        equilibrium(endless, coupling="decoupled", order="leading").numeric(lr=0.1, weight_decay=0.1)
