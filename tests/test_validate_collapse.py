import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightdecay import theory, validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Mlp, Part
from weightdecay.validate.collapse import vanishing_decay
from weightdecay.validate.collapse_threshold import relu_threshold, smooth_threshold
from weightdecay.validate.full_batch import Examples, come_to_rest, cost_and_gradients, draw_weights, living_examples
from weightdecay.validate.product_penalty import least_product, shrink


def tiny_part(n_rows, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=n_rows)
    shapes = np.random.default_rng(0).integers(0, 2, size=(10, 12)) * 150
    images = np.minimum(shapes[labels] + rng.integers(0, 100, size=(n_rows, 12)), 255)
    images[:, 5] = 0  # a dead pixel
    return Part(images.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def data():
    return Dataset("tiny", tiny_part(300, 1), tiny_part(20, 2), tiny_part(0, 3), image_shape=(3, 4))


@pytest.fixture(scope="module")
def examples(data):
    return living_examples(data)


@pytest.fixture(scope="module")
def report(data):
    return validate.run("collapse", data=data, n_jobs=1)


@pytest.mark.parametrize("activation", ["linear", "tanh", "relu"])
def test_the_gradients_of_all_examples_are_those_of_the_textbook_network(examples, activation):
    weights = draw_weights([11, 7, 5, 10], np.random.default_rng(0), scale=2.0)
    cost, gradients = cost_and_gradients(weights, activation, examples)
    network = Mlp(weights, tuple(np.zeros(len(w)) for w in weights), activation, "softmax")
    x, y = examples.inputs.astype(float), np.eye(10)[examples.labels]
    assert network.cost(x, y) == pytest.approx(cost, rel=1e-5)
    for expected, actual in zip(network.gradients(x, y)[0], gradients, strict=True):
        np.testing.assert_allclose(actual, expected, atol=2e-6)


def test_dead_pixels_are_left_out_and_no_others(data, examples):
    assert (300, 11) == examples.inputs.shape
    np.testing.assert_allclose(examples.inputs[:, :5] * 256, data.train.images[:, :5])


def test_a_network_at_rest_has_a_gradient_that_its_decay_balances(examples):
    rest = come_to_rest(draw_weights([11, 10, 10], np.random.default_rng(0)), "tanh", examples, 0.05)
    gradients = cost_and_gradients(rest.weights, "tanh", examples)[1]
    for w, gradient in zip(rest.weights, gradients, strict=True):
        assert np.linalg.norm(gradient + 0.05 * w) < 3e-3 * 0.05 * np.linalg.norm(w)


def test_the_threshold_of_smooth_activations_is_the_largest_singular_value_of_residual_times_input(examples):
    residual = np.eye(10)[examples.labels] - 0.1
    expected = np.linalg.norm(residual.T @ examples.inputs / 300, ord=2)
    assert expected == pytest.approx(smooth_threshold(examples), rel=1e-5)
    assert 0.25 * expected == pytest.approx(smooth_threshold(examples, slope=0.25), rel=1e-5)


def test_no_direction_has_a_larger_relu_signal_than_the_one_that_is_found(examples):
    found = relu_threshold(examples, np.random.default_rng(0))
    rng = np.random.default_rng(1)
    directions = rng.standard_normal((5000, 11))
    directions /= np.linalg.norm(directions, axis=1, keepdims=True)
    residual = np.eye(10)[examples.labels] - 0.1
    signals = np.linalg.norm(residual.T @ np.maximum(examples.inputs @ directions.T, 0) / 300, axis=0)
    assert 0.5 * found < signals.max() <= found * (1 + 1e-5)
    assert found <= smooth_threshold(examples) * (1 + 1e-5)  # relu passes no more than a linear unit of both signs


def test_the_product_of_two_layers_fulfils_the_conditions_of_the_nuclear_norm(examples):
    decay = 0.2 * smooth_threshold(examples)
    product = least_product(examples, decay, 2)
    gradient = cost_and_gradients([product.matrix], "linear", examples)[1][0]
    assert np.linalg.norm(gradient, ord=2) == pytest.approx(decay, rel=2e-3)
    assert -np.sum(gradient * product.matrix) == pytest.approx(decay * product.norm_squared, rel=2e-3)
    assert product.norm_squared == pytest.approx(np.linalg.norm(product.matrix, ord="nuc"), rel=1e-9)


def test_above_the_threshold_the_product_is_zero(examples):
    product = least_product(examples, 1.01 * smooth_threshold(examples), 2)
    assert not product.matrix.any()
    assert product.norm_squared == 0


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_shrunken_modes_are_stationary_down_to_the_fold(depth):
    fold = float(theory.derive("depth-transition").numeric("signal_fold", depth=depth, weight_decay=0.3))
    values = np.array([0.999 * fold, 1.001 * fold, 2.0, 50.0])
    modes = shrink(values, 0.3, depth)
    assert modes[0] == 0
    np.testing.assert_allclose(modes[1:] + 0.3 * modes[1:] ** (2 / depth - 1), values[1:], rtol=1e-9)
    mode_fold = float(theory.derive("depth-transition").numeric("mode_fold", depth=depth, weight_decay=0.3))
    assert np.all(modes[1:] > mode_fold)


@settings(max_examples=30, deadline=None)
@given(end=st.floats(0.5, 2.0), slope=st.floats(0.1, 5.0), bend=st.floats(-0.3, 0.3))
def test_a_size_that_vanishes_on_a_parabola_is_found_to_vanish_there(end, slope, bend):
    sizes = np.array([0.3, 0.2, 0.1])
    decays = np.append(end - slope * sizes * (1 + bend * sizes), end + 1)
    assert vanishing_decay(decays, np.append(sizes, 1e-9)) == pytest.approx(end, abs=1e-9)


def test_too_few_sizes_before_the_end_give_no_threshold():
    assert np.isnan(vanishing_decay([0.9, 0.95, 1.0], [0.1, 0.05, 1e-9]))


def test_thresholds_and_curve_hold_on_data_that_are_no_digits(report):
    for key in ("threshold linear", "threshold tanh", "threshold relu", "above linear", "above relu", "curve 0.3"):
        assert report.comparison(key).passed, report.comparison(key)


def test_tolerances_and_inputs_are_those_that_were_announced(report):
    for comparison in report.comparisons:
        kind = comparison.key.split()[0]
        assert {"threshold": 0.01, "curve": 0.015, "above": 1e-3}[kind] == comparison.tolerance
        assert comparison.inputs == "data"


def test_a_wrong_threshold_would_fail(report):
    found = report.comparison("threshold tanh")
    assert abs(found.measured - 1.02 * found.predicted) > found.tolerance * found.predicted


def test_the_same_seed_gives_the_same_report(data, report):
    again = validate.run("collapse", data=data, n_jobs=1)
    assert report.to_dict()["comparisons"] == again.to_dict()["comparisons"]


def test_black_images_are_refused_in_one_sentence():
    black = Part(np.zeros((20, 4), np.uint8), np.arange(20) % 10)
    with pytest.raises(InvalidInput, match="every training image is black"):
        validate.run("collapse", data=Dataset("black", black, black, black, image_shape=(2, 2)), n_jobs=1)


def test_an_unknown_activation_or_decay_is_named(examples):
    weights = draw_weights([11, 10, 10], np.random.default_rng(0))
    with pytest.raises(InvalidInput, match="activation"):
        come_to_rest(weights, "swish", examples, 0.1)
    with pytest.raises(InvalidInput, match="weight_decay"):
        come_to_rest(weights, "tanh", examples, 0.0)
    with pytest.raises(InvalidInput, match="depth"):
        least_product(examples, 0.1, 1)


def test_examples_are_split_into_blocks_that_hold_all():
    examples = Examples(np.arange(4200, dtype=np.float32).reshape(2100, 2), np.arange(2100) % 3, 3)
    assert [1000, 1000, 100] == [len(labels) for _, labels in examples.blocks()]


@pytest.mark.slow
def test_mnist_collapses_where_the_data_say():
    report = validate.run("collapse", n_jobs=1)
    assert report.passed, [comparison for comparison in report.comparisons if comparison.passed is False]
