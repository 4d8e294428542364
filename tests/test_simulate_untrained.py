"""The closure in moments: exact gradients, exact limits, quadrature over Gaussian classes; and its time course."""

import importlib

import numpy as np
import pytest
from scipy.special import expit, ndtr

from weightdecay import simulate
from weightdecay.errors import InvalidInput
from weightdecay.simulate import ClassMoments, closed_loss, moment_closure, untrained
from weightdecay.theory import probit_width

N_HIDDEN, N_INPUTS, N_CLASSES = 6, 7, 3
NAMES = ("hidden", "hidden_biases", "output", "output_biases", "energies")


def made_moments(rng, n_directions=4, scale=1.0):
    roots = rng.normal(size=(N_CLASSES, N_INPUTS, N_INPUTS)) * scale
    shares = np.array([0.2, 0.3, 0.5])
    return ClassMoments(shares, rng.normal(size=(N_CLASSES, N_INPUTS)), roots @ roots.transpose(0, 2, 1), n_directions)


def made_network(rng, n_directions=4):
    return [
        rng.normal(size=(N_HIDDEN, n_directions)),
        rng.normal(size=N_HIDDEN),
        rng.normal(size=(N_CLASSES, N_HIDDEN)),
        rng.normal(size=N_CLASSES),
        rng.random((N_HIDDEN, N_INPUTS)),
    ]


def held_directions(network, moments):
    """Return output weight times mean slope, from its definition."""
    w, b, v, _, energies = network
    means = moments.leading_means @ w.T + b
    variances = np.einsum("jr,crs,js->cj", w, moments.leading_covariances, w) + moments.powers @ energies.T
    width = np.sqrt(variances + probit_width() ** 2)
    return v * (np.exp(-((means / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi)))[:, None, :]


@pytest.mark.parametrize("place", range(5), ids=NAMES)
@pytest.mark.parametrize("seed", [0, 1])
def test_the_gradient_is_the_derivative_of_the_closed_loss(place, seed):
    rng = np.random.default_rng(seed)
    moments, network = made_moments(rng), made_network(rng)
    held = held_directions(network, moments)
    direction, step = rng.normal(size=network[place].shape), 1e-4

    def along(distance):
        moved = list(network)
        moved[place] = network[place] + distance * direction
        return closed_loss(*moved, moments, directions=held).loss

    # fourth order: the error of the differences is below 1e-10
    expected = (8 * (along(step) - along(-step)) - along(2 * step) + along(-2 * step)) / (12 * step)
    found = closed_loss(*network, moments)
    assert along(0.0) == pytest.approx(found.loss, rel=1e-13)
    assert expected == pytest.approx(np.sum(getattr(found, NAMES[place]) * direction), rel=1e-6, abs=1e-9)


def test_small_weights_give_the_loss_and_the_gradient_of_sampled_gaussian_classes():
    rng = np.random.default_rng(2)
    moments, network = made_moments(rng, N_INPUTS, scale=0.4), made_network(rng, N_INPUTS)
    network = [0.4 * part for part in network]
    network[4] = np.zeros((N_HIDDEN, N_INPUTS))
    w, b, v, c, _ = network
    loss, by_output = 0.0, np.zeros_like(v)
    for label, share in enumerate(moments.shares):
        root = np.linalg.cholesky(moments.leading_covariances[label])
        normals = rng.normal(size=(100_000, N_INPUTS))
        inputs = moments.leading_means[label] + np.concatenate([normals, -normals]) @ root.T
        active = expit(inputs @ w.T + b)
        logits = active @ v.T + c
        errors = expit(logits)
        errors[:, label] -= 1
        loss += share * np.mean((np.logaddexp(0, logits).sum(1)) - logits[:, label])
        by_output += share * errors.T @ active / len(inputs)
    found = closed_loss(*network, moments)
    assert loss == pytest.approx(found.loss, rel=2e-3)
    np.testing.assert_allclose(by_output, found.output, atol=0.02 * np.abs(by_output).max())


def test_wide_pre_activations_give_the_loss_of_sampled_gaussian_classes_within_five_percent():
    rng = np.random.default_rng(9)
    moments, network = made_moments(rng, N_INPUTS), made_network(rng, N_INPUTS)
    network[4] = np.zeros((N_HIDDEN, N_INPUTS))
    w, b, v, c, _ = network
    loss = 0.0
    for label, share in enumerate(moments.shares):
        root = np.linalg.cholesky(moments.leading_covariances[label])
        inputs = moments.leading_means[label] + rng.normal(size=(200_000, N_INPUTS)) @ root.T
        pre_activations = inputs @ w.T + b
        logits = expit(pre_activations) @ v.T + c
        loss += share * np.mean((np.logaddexp(0, logits).sum(1)) - logits[:, label])
    assert pre_activations.std() > 5
    assert loss == pytest.approx(closed_loss(*network, moments).loss, rel=0.05)


def test_without_output_weights_the_loss_is_that_of_the_output_biases():
    rng = np.random.default_rng(3)
    moments, network = made_moments(rng), made_network(rng)
    network[2] = np.zeros((N_CLASSES, N_HIDDEN))
    p = expit(network[3])
    shares = np.asarray(moments.shares)
    found = closed_loss(*network, moments)
    # the variance of a logit that does not vary is rounded up to 5e-4
    assert -np.sum(shares * np.log(p) + (1 - shares) * np.log(1 - p)) == pytest.approx(found.loss, abs=3e-4)
    np.testing.assert_allclose(p - shares, found.output_biases, atol=1e-4)
    np.testing.assert_allclose(0, found.hidden, atol=1e-12)


def test_the_gradient_power_is_exact_where_pre_activations_hardly_vary():
    rng = np.random.default_rng(4)
    moments, (w, b, v, c, energies) = made_moments(rng), made_network(rng)
    active = closed_loss(w * 0, b, v, c, energies * 0, moments)
    width = probit_width()
    a = ndtr(b / width)
    slope = np.exp(-((b / width) ** 2) / 2) / (width * np.sqrt(2 * np.pi))
    errors = expit(v @ a + c) - np.eye(N_CLASSES)
    expected = np.einsum("c,cj,cr->jr", moments.shares, (slope * (errors @ v)) ** 2, moments.powers)
    np.testing.assert_allclose(expected, active.gradient_power, rtol=1e-9)
    assert 4 * slope.mean() == pytest.approx(active.slope, rel=1e-12)


def test_where_no_input_varies_the_hidden_layer_only_decays():
    moments = ClassMoments([0.5, 0.5], np.zeros((2, 3)), np.zeros((2, 3, 3)), 2)
    found = untrained(moments, n_hidden=4, lr=0.1, weight_decay=0.02, n_train=400, batch_size=10, epochs=5, rng=0)
    expected = 12 * np.exp(-2 * 0.1 * 0.02 * 40 * np.arange(6))
    np.testing.assert_allclose(expected, found.norm_squared[:, 0], rtol=2e-4)
    np.testing.assert_allclose(0, found.radial_pull[1:, 0], atol=1e-12)


def test_the_time_course_is_that_of_small_steps_down_the_closed_loss_with_undecayed_biases():
    moments = made_moments(np.random.default_rng(10), N_INPUTS, scale=0.5)
    rate, decay, size = 0.02, 0.1, 10**12
    found = untrained(
        moments, n_hidden=4, lr=rate, weight_decay=decay, n_train=size, batch_size=size // 500, epochs=1, rng=3
    )
    rng = np.random.default_rng(3)
    w, b, v, c = (rng.normal(size=shape) for shape in ((4, N_INPUTS), 4, (N_CLASSES, 4), N_CLASSES))
    w, v = w / np.sqrt(np.mean(w**2)), v / np.sqrt(np.mean(v**2))
    for _ in range(500):
        at = closed_loss(w, b, v, c, np.zeros((4, N_INPUTS)), moments)
        w, v = (1 - rate * decay) * w - rate * at.hidden, (1 - rate * decay) * v - rate * at.output
        b, c = b - rate * at.hidden_biases, c - rate * at.output_biases
    np.testing.assert_allclose([np.sum(w**2), np.sum(v**2)], found.norm_squared[1], rtol=5e-3)
    np.testing.assert_allclose([np.mean(w @ moments.axes.T), np.mean(v)], found.mean[1], atol=5e-3)


def test_dead_directions_decay_and_others_do_not_follow_them():
    rng = np.random.default_rng(5)
    covariance = np.diag([1.0, 0.5, 0.0])
    means = np.array([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    alive = ClassMoments([0.5, 0.5], means[:, :2], [covariance[:2, :2]] * 2, 2)
    with_dead = ClassMoments([0.5, 0.5], means, [covariance] * 2, 2)
    energies = rng.random((4, 3))
    energies[:, :2] = 0
    network = [rng.normal(size=(4, 2)), rng.normal(size=4), rng.normal(size=(2, 4)), rng.normal(size=2)]
    one = closed_loss(*network, energies[:, :2], alive)
    other = closed_loss(*network, energies, with_dead)
    assert one.loss == pytest.approx(other.loss, rel=1e-12)
    assert np.all(other.energies[:, 2] == 0)


def test_what_feeds_a_layer_adds_up_to_its_squared_norm():
    moments = made_moments(np.random.default_rng(6))
    options = {
        "n_hidden": 5,
        "lr": 0.1,
        "weight_decay": 0.01,
        "n_train": 1000,
        "batch_size": 10,
        "epochs": 60,
        "rng": 1,
    }
    found = untrained(moments, **options)
    time = 0.1 * 100
    size = found.norm_squared
    # d(size)/dt = 2 (feed - weight_decay size): Simpson's rule over pairs of epochs, after the first fast ones
    held = (size[20:58:2] + 4 * size[21:59:2] + size[22:60:2]) / 6
    fed = (found.radial_pull[21:59:2] + found.radial_pull[22:60:2]) / 2
    gained = (size[22:60:2] - size[20:58:2]) / (4 * time)
    np.testing.assert_allclose(gained, fed - 0.01 * held, atol=1e-3 * np.abs(fed).max())


def test_a_training_set_without_end_leaves_no_memory_of_its_sample():
    moments = made_moments(np.random.default_rng(7))
    # the same time per epoch: n_train / batch_size is kept
    sizes = [
        untrained(
            moments, n_hidden=5, lr=0.1, weight_decay=0.01, n_train=n_train, batch_size=n_train // 100, epochs=5, rng=1
        ).norm_squared[-1, 0]
        for n_train in (100, 10_000, 1_000_000, 100_000_000)
    ]
    steps = np.abs(np.diff(sizes))
    assert steps[0] > steps[1] > steps[2]
    assert sizes[3] == pytest.approx(sizes[2], rel=1e-3)
    assert sizes[0] > 1.01 * sizes[3]


def test_the_same_seed_gives_the_same_prediction_and_its_start_is_the_expected_one():
    moments = made_moments(np.random.default_rng(8))
    options = {"n_hidden": 5, "lr": 0.1, "weight_decay": 0.01, "n_train": 100, "batch_size": 10, "epochs": 1}
    one, same, other = (untrained(moments, start_std=(0.5, 2.0), rng=seed, **options) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.norm_squared, same.norm_squared)
    assert one.norm_squared[1, 0] != other.norm_squared[1, 0]
    np.testing.assert_allclose([0.25 * 35, 4 * 15], one.norm_squared[0], rtol=1e-12)
    np.testing.assert_allclose(one.norm_squared / (35, 15) - one.mean**2, one.variance)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"shares": [0.5, 0.6]}, "the shares add up to 1.1, but must be 0 or above and add up to 1"),
        ({"means": np.zeros((3, 2))}, r"means and covariances have shapes \(3, 2\) and \(2, 2, 2\), but for 2 shares"),
        ({"means": np.full((2, 2), np.nan)}, "means"),
        ({"n_directions": 3}, "n_directions is 3"),
    ],
)
def test_moments_that_do_not_fit_are_refused(given, message):
    right = {"shares": [0.5, 0.5], "means": np.zeros((2, 2)), "covariances": [np.eye(2)] * 2, "n_directions": 2}
    with pytest.raises(InvalidInput, match=message):
        ClassMoments(**right | given)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("n_hidden", 0), ("lr", 0), ("weight_decay", -1), ("n_train", 0), ("batch_size", 2000), ("epochs", 0),
        ("start_std", (1.0, 0.0)), ("start_std", (1.0,)), ("rng", -1),
    ],
)  # fmt: skip
def test_values_outside_their_range_are_refused_by_name(name, value):
    right = {"n_hidden": 2, "lr": 0.1, "weight_decay": 0, "n_train": 100, "batch_size": 10, "epochs": 1}
    with pytest.raises(InvalidInput, match=name):
        simulate.untrained(made_moments(np.random.default_rng(0)), **right | {name: value})


def test_four_times_the_nodes_change_the_loss_by_less_than_half_a_percent(monkeypatch):
    rng = np.random.default_rng(2)
    moments, network = made_moments(rng, N_INPUTS), made_network(rng, N_INPUTS)
    network = [2 * part for part in network]
    network[4] = np.zeros((N_HIDDEN, N_INPUTS))
    found = closed_loss(*network, moments).loss
    monkeypatch.setattr(moment_closure, "_nodes", lambda count, nodes=moment_closure._nodes: nodes(4 * count))
    assert closed_loss(*network, moments).loss == pytest.approx(found, rel=5e-3)


def test_ten_times_the_accuracy_changes_no_squared_norm_by_a_thousandth(monkeypatch):
    moments = made_moments(np.random.default_rng(11))
    options = {
        "n_hidden": 5,
        "lr": 0.1,
        "weight_decay": 1e-3,
        "n_train": 5000,
        "batch_size": 10,
        "epochs": 20,
        "rng": 1,
    }
    found = untrained(moments, **options)
    module = importlib.import_module("weightdecay.simulate.untrained")
    monkeypatch.setattr(module, "_TOLERANCE", module._TOLERANCE / 10)
    exact = untrained(moments, **options)
    assert exact.n_evaluations > found.n_evaluations
    np.testing.assert_allclose(exact.norm_squared, found.norm_squared, rtol=1e-3)
