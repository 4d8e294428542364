"""Fixed points under rescaling, held against integrators, random walks and networks of one example."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import minimize, minimize_scalar

from weightdecay import theory
from weightdecay.errors import InvalidInput

NAMES = (
    "rescaling-balance",
    "bernoulli-flow",
    "scale-invariant-step",
    "scale-invariant-flow",
    "one-margin-exponential",
    "one-margin-logistic",
    "squared-error-rescaling",
)
LOSSES = {"exponential": lambda z: np.exp(-z), "logistic": lambda z: np.logaddexp(0, -z)}


@pytest.mark.parametrize("name", NAMES)
def test_every_derivation_about_rescaling_is_proven(name):
    theory.derive(name).check()


@pytest.mark.parametrize(("pull_exponent", "power_exponent"), [(1.0, 0.0), (2.0, -2.0), (-1.0, 1.0), (3.0, 0.0)])
def test_a_rescaled_block_returns_at_the_derived_rate(pull_exponent, power_exponent):
    pull, power, lr, norm_squared = 0.3, 2.0, 0.1, 4.0
    law = theory.derive("rescaling-balance")
    common = {"radial_pull": pull, "gradient_power": power, "lr": lr}
    decay = law.numeric(
        "decay_at_factor",
        **common,
        norm_squared=norm_squared,
        factor=1.0,
        pull_exponent=pull_exponent,
        power_exponent=power_exponent,
    )
    rate = law.numeric(
        "relaxation_rate",
        weight_decay=decay,
        pull_share=law.numeric("pull_share", **common),
        pull_exponent=pull_exponent,
        power_exponent=power_exponent,
    )

    def flow(_t, y):
        size = np.sqrt(y / norm_squared)
        return 2 * pull * size**pull_exponent + lr * power * size**power_exponent - 2 * decay * y

    start = norm_squared * (1 + 1e-4)
    found = solve_ivp(flow, (0, 3), [start], rtol=1e-12, atol=1e-14)
    left = (found.y[0, -1] - norm_squared) / (start - norm_squared)
    assert np.exp(-rate * 3) == pytest.approx(left, rel=1e-3)


def test_a_pull_that_outgrows_decay_has_a_weakest_decay():
    values = {"radial_pull": 0.2, "gradient_power": 3.0, "lr": 0.1, "pull_exponent": 4.0, "power_exponent": -2.0}
    law = theory.derive("rescaling-balance")
    fold = law.numeric("factor_fold", **values)
    found = minimize_scalar(
        lambda factor: law.numeric("decay_at_factor", **values, norm_squared=1.0, factor=factor),
        bounds=(0.1, 10),
        method="bounded",
        options={"xatol": 1e-10},
    )
    assert fold == pytest.approx(found.x, rel=1e-6)
    slopes = law.numeric("decay_slope", **values, norm_squared=1.0, factor=fold * np.array([0.9, 1.1]))
    assert slopes[0] < 0 < slopes[1]


@pytest.mark.parametrize("excess", [2.0, 1.0, 0.5, -0.5])
def test_the_closed_form_solves_bernoullis_equation(excess):
    law = theory.derive("bernoulli-flow")
    values = {"source": 0.7, "weight_decay": 0.2, "excess": excess}
    times = np.linspace(0, 3, 5)
    found = solve_ivp(
        lambda _t, y: law.numeric("rate", norm_squared=y, **values), (0, 3), [1.5], t_eval=times, rtol=1e-11, atol=1e-13
    )
    assert found.y[0] == pytest.approx(law.numeric(norm_squared_start=1.5, time=times, **values), rel=1e-8)


def test_size_at_rest_of_a_source_that_outgrows_decay_is_unstable():
    law = theory.derive("bernoulli-flow")
    assert law.numeric("relaxation_rate", weight_decay=0.2, excess=-0.5) < 0
    with pytest.raises(InvalidInput, match="no finite real value where excess=0"):
        law.numeric("norm_squared_stationary", source=0.7, weight_decay=0.2, excess=0.0)


def test_the_fourth_power_relaxes_at_four_times_the_decay_per_step():
    law = theory.derive("bernoulli-flow")
    assert 4e-5 == pytest.approx(law.numeric("relaxation_per_step", lr=0.1, weight_decay=1e-4, excess=2.0))
    step = theory.derive("scale-invariant-step")
    assert 4e-5 == pytest.approx(step.numeric("relaxation_per_step", lr=0.1, weight_decay=1e-4), rel=1e-5)
    assert 4e-4 == pytest.approx(theory.derive("scale-invariant-flow").numeric("relaxation_rate", weight_decay=1e-4))


@pytest.mark.parametrize("weight_decay", [0.02, 0.5])
def test_a_walk_on_a_scale_invariant_loss_has_the_exact_size_and_rotation(weight_decay):
    """Gradients at right angles to the weights, of norm 1 / |w|: nothing of it is random but the direction."""
    rng, lr, size = np.random.default_rng(1), 0.3, 1.0
    w = rng.standard_normal(300)
    law = theory.derive("scale-invariant-step")
    values = {"lr": lr, "weight_decay": weight_decay, "unit_gradient_power": size}
    for _ in range(2000 if weight_decay < 0.1 else 200):
        g = rng.standard_normal(300)
        g -= w * (w @ g) / (w @ w)
        g /= np.sqrt(g @ g) * np.sqrt(w @ w)
        before, w = w, (1 - lr * weight_decay) * w - lr * g
    assert w @ w == pytest.approx(law.numeric("norm_squared_stationary", **values), rel=1e-10)
    cosine = before @ w / np.sqrt((before @ before) * (w @ w))
    assert 1 - cosine == pytest.approx(law.numeric("one_minus_cosine", lr=lr, weight_decay=weight_decay), rel=1e-8)
    angle = law.numeric("angular_update", lr=lr, weight_decay=weight_decay)
    assert np.arccos(cosine) == pytest.approx(angle, rel=1e-8)


def test_leading_formulas_are_as_far_off_as_their_order_says():
    law = theory.derive("scale-invariant-step")
    values = {"lr": 0.1, "weight_decay": 1.0, "unit_gradient_power": 1.0}
    exact, leading = (law.numeric(name, **values) for name in ("norm_squared_stationary", "norm_squared_leading"))
    assert np.sqrt(1 - 0.1 / 2) == pytest.approx(leading / exact, rel=1e-12)


@pytest.mark.parametrize("loss", LOSSES)
def test_two_layers_rest_where_a_minimizer_finds_the_least_cost(loss):
    law, margin = theory.derive(f"one-margin-{loss}"), 3.0
    for weight_decay in (0.1, 1.0, 1.4):
        found = minimize_scalar(
            lambda r, decay=weight_decay: LOSSES[loss](margin * r**2) + decay * r**2,
            bounds=(1e-9, 5),
            method="bounded",
            options={"xatol": 1e-11},
        )
        predicted = law.numeric("norm_squared_two_layers", margin=margin, weight_decay=weight_decay)
        assert found.x**2 == pytest.approx(predicted, rel=1e-5)
    threshold = {"exponential": margin, "logistic": margin / 2}[loss]
    assert 0 == law.numeric("norm_squared_two_layers", margin=margin, weight_decay=1.001 * threshold)
    assert 0 < law.numeric("norm_squared_two_layers", margin=margin, weight_decay=0.999 * threshold)


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_deep_networks_rest_where_a_minimizer_with_free_layers_finds_it(depth):
    law, margin = theory.derive("one-margin-exponential"), 2.0
    weight_decay = 0.6 * law.numeric("decay_fold", margin=margin, depth=depth)
    start = np.linspace(1.05, 1.3, depth)
    found = minimize(
        lambda r: np.exp(-margin * np.prod(r)) + weight_decay / 2 * r @ r, start, method="BFGS", options={"gtol": 1e-10}
    )
    predicted = law.numeric("norm_squared_deep", margin=margin, weight_decay=weight_decay, depth=depth)
    assert found.x**2 == pytest.approx(np.full(depth, predicted), rel=1e-5)


@pytest.mark.parametrize("loss", LOSSES)
@pytest.mark.parametrize("depth", [3, 4, 6])
def test_the_fold_is_the_largest_decay_along_the_branch(loss, depth):
    law = theory.derive(f"one-margin-{loss}")
    margins = np.linspace(0.05, 6, 200001)
    along = law.numeric("decay_at_margin", scaled_margin=margins, margin=1.0, depth=depth)
    assert along.max() == pytest.approx(law.numeric("decay_fold", margin=1.0, depth=depth), rel=1e-9)
    assert margins[along.argmax()] == pytest.approx(law.numeric("margin_fold", depth=depth), abs=1e-4)


def test_folds_and_transitions_are_the_known_ones():
    depths = np.array([3, 4, 6])
    exponential = theory.derive("one-margin-exponential").numeric("decay_fold", margin=1.0, depth=depths)
    logistic = theory.derive("one-margin-logistic").numeric("decay_fold", margin=1.0, depth=depths)
    assert [0.49682, 0.42888, 0.39181] == pytest.approx(exponential, abs=5e-6)
    assert [0.29985, 0.27786, 0.26956] == pytest.approx(logistic, abs=5e-6)
    assert 0.4261 == pytest.approx(theory.margin_transition("exponential", 3)[1], abs=5e-5)
    assert 0.2539 == pytest.approx(theory.margin_transition("logistic", 3)[1], abs=5e-5)


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_the_root_found_is_lamberts(depth):
    law = theory.derive("one-margin-exponential")
    margin, decay = theory.margin_transition("exponential", depth)
    assert margin == pytest.approx(law.numeric("margin_transition", depth=depth), rel=1e-10)
    assert decay == pytest.approx(law.numeric("decay_transition", depth=depth, margin=1.0), rel=1e-10)


@pytest.mark.parametrize("loss", LOSSES)
def test_zero_becomes_the_better_minimum_at_the_transition(loss):
    depth = 4
    _, decay = theory.margin_transition(loss, depth)

    def least(weight_decay):
        found = minimize_scalar(
            lambda r: LOSSES[loss](r**depth) + weight_decay * depth / 2 * r**2, bounds=(0.9, 3), method="bounded"
        )
        return found.fun - LOSSES[loss](0.0)

    assert least(0.99 * decay) < 0 < least(1.01 * decay)


@pytest.mark.parametrize("loss", LOSSES)
def test_layers_that_move_alike_return_at_the_derived_rate(loss):
    depth, weight_decay, law = 3, 0.1, theory.derive(f"one-margin-{loss}")
    from scipy.optimize import brentq

    margin = brentq(
        lambda z: law.numeric("decay_at_margin", scaled_margin=z, margin=1.0, depth=depth) - weight_decay, 1.5, 20
    )
    rest = law.numeric("norm_squared", scaled_margin=margin, margin=1.0, depth=depth)

    def flow(_t, y):
        return 2 * law.numeric("radial_pull", scaled_margin=y ** (depth / 2)) - 2 * weight_decay * y

    found = solve_ivp(flow, (0, 5), [rest * 1.0001], rtol=1e-12, atol=1e-14)
    rate = law.numeric("relaxation_rate", depth=depth, weight_decay=weight_decay, scaled_margin=margin)
    assert np.exp(-5 * rate) == pytest.approx((found.y[0, -1] / rest - 1) / 1e-4, rel=2e-3)


def test_beyond_the_fold_there_is_an_error_with_the_reason():
    law = theory.derive("one-margin-exponential")
    with pytest.raises(InvalidInput, match="beyond the fold only zero weights rest"):
        law.numeric("norm_squared_deep", margin=1.0, weight_decay=0.5, depth=3)


@pytest.mark.parametrize(
    ("loss", "depth", "message"),
    [
        ("logistik", 3, "did you mean 'logistic'"),
        ("logistic", 2, "depth is 2, but must be a whole number of at least 3"),
        ("logistic", 3.5, "depth is 3.5, but must be a whole number of at least 3"),
        ("logistic", "3", "depth is '3', but must be a whole number"),
    ],
)
def test_a_wrong_loss_or_depth_is_refused(loss, depth, message):
    with pytest.raises(InvalidInput, match=message):
        theory.margin_transition(loss, depth)


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_squared_error_rests_where_a_minimizer_finds_it(depth):
    rng = np.random.default_rng(2)
    outputs = rng.standard_normal(50)
    targets = 1.2 * outputs + rng.standard_normal(50) / 3
    values = {
        "label_overlap": np.mean(outputs * targets),
        "output_power": np.mean(outputs**2),
        "norm_squared": 0.8,
    }
    weight_decay = 0.3
    found = minimize_scalar(
        lambda factor: (
            np.mean((targets - factor**depth * outputs) ** 2) / 2 + weight_decay * depth * 0.8 * factor**2 / 2
        ),
        bounds=(0.5, 2),
        method="bounded",
        options={"xatol": 1e-11},
    ).x
    law = theory.derive("squared-error-rescaling")
    at = law.numeric("decay_at_factor", factor=found, depth=depth, **values)
    assert weight_decay == pytest.approx(at, rel=1e-5)
    if depth == 1:
        assert found == pytest.approx(law.numeric("factor_one_layer", weight_decay=weight_decay, **values), rel=1e-6)
    if depth == 2:
        squared = law.numeric("factor_squared_two_layers", weight_decay=weight_decay, **values)
        assert found**2 == pytest.approx(squared, rel=1e-6)
    if depth == 3:
        fold = law.numeric(
            "factor_fold", depth=3, label_overlap=values["label_overlap"], output_power=values["output_power"]
        )
        along = law.numeric("decay_at_factor", factor=np.linspace(0.1, 2, 100001), depth=3, **values)
        largest = law.numeric(
            "decay_fold", factor_fold=fold, depth=3, label_overlap=values["label_overlap"], norm_squared=0.8
        )
        assert along.max() == pytest.approx(largest, rel=1e-8)


def test_the_relaxation_of_squared_error_changes_sign_at_the_fold():
    law = theory.derive("squared-error-rescaling")
    values = {"label_overlap": 1.3, "output_power": 0.9, "depth": 4}
    fold = law.numeric("factor_fold", **values)
    rates = law.numeric("relaxation_rate", factor=fold * np.array([0.95, 1.05]), norm_squared=1.0, **values)
    assert rates[0] < 0 < rates[1]
