"""The textbook network: its gradients are those of its cost."""

import itertools

import numpy as np
import pytest

from weightdecay.errors import InvalidInput
from weightdecay.validate import Mlp, TrainingConfig
from weightdecay.validate.configuration import ACTIVATIONS, OUTPUTS
from weightdecay.validate.mlp import activate, cost, derivative, evaluate, predict, predictive_entropy

WIDTHS = {1: (5, 3), 2: (5, 4, 3), 3: (5, 4, 6, 3), 4: (5, 4, 6, 4, 3)}


def random_network(depth, activation, output, seed=1, normalized=False):
    rng = np.random.default_rng(seed)
    widths = WIDTHS[depth]
    weights = tuple(rng.normal(size=(n_out, n_in)) for n_in, n_out in itertools.pairwise(widths))
    biases = tuple(rng.normal(size=n_out) for n_out in widths[1:])
    x = rng.random((6, widths[0]))
    y = np.eye(widths[-1])[rng.integers(widths[-1], size=6)]
    return Mlp(weights, biases, activation, output, normalized), x, y


@pytest.mark.parametrize("normalized", [False, True, "all"])
@pytest.mark.parametrize("depth", sorted(WIDTHS))
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_gradients_agree_with_finite_differences(activation, output, depth, normalized):
    network, x, y = random_network(depth, activation, output, normalized=normalized)
    weight_gradients, bias_gradients = network.gradients(x, y)
    shift = 1e-6
    for kind, gradients in (("weights", weight_gradients), ("biases", bias_gradients)):
        for layer, gradient in enumerate(gradients):
            assert gradient.shape == getattr(network, kind)[layer].shape
            for index in np.ndindex(gradient.shape):
                parameter = getattr(network, kind)[layer]
                before = parameter[index]
                parameter[index] = before + shift
                above = network.cost(x, y)
                parameter[index] = before - shift
                below = network.cost(x, y)
                parameter[index] = before
                assert (above - below) / (2 * shift) == pytest.approx(gradient[index], rel=1e-5, abs=2e-9)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_entropy_minus_cost_is_the_pull_of_the_logits(output):
    rng = np.random.default_rng(2)
    logits = 5 * rng.normal(size=(40, 10))
    y = np.eye(10)[rng.integers(10, size=40)]
    p = 1 / (1 + np.exp(-logits))
    if output == "softmax":
        p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    gap = predictive_entropy(output, logits) - cost(output, logits, y)
    np.testing.assert_allclose(np.sum(logits * (y - p), axis=1), gap, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("output", ["sigmoid", "softmax"])
def test_cost_and_entropy_stay_finite_for_saturated_units(output):
    logits = np.array([[1e4, -1e4], [-1e4, 1e4]])
    y = np.array([[0.0, 1.0], [0.0, 1.0]])
    assert cost(output, logits, y).tolist() == [2e4, 0.0]
    assert predictive_entropy(output, logits).tolist() == [0.0, 0.0]


def test_linear_outputs_have_no_predictive_entropy():
    assert np.isnan(predictive_entropy("linear", np.ones((2, 3)))).all()


@pytest.mark.parametrize(
    ("initialization", "expected"), [("large", 1.0), ("fan_in", 400**-0.5), ("he", 200**-0.5), (0.3, 0.3)]
)
def test_initial_weights_have_the_standard_deviation_that_was_asked_for(initialization, expected):
    config = TrainingConfig.pytorch(
        layers=[400, 300, 2], lr=1, weight_decay=0, batch_size=1, epochs=1, initialization=initialization
    )
    network = Mlp.initialize(config, 0)
    assert np.std(network.weights[0]) == pytest.approx(expected, rel=0.01)
    assert (network.biases[0].std() > 0.9) == (initialization in ("large", "fan_in"))


def test_a_network_without_biases_starts_with_zeros():
    config = TrainingConfig.pytorch(layers=[4, 3, 2], lr=1, weight_decay=0, batch_size=1, epochs=1, biases=False)
    assert all((bias == 0).all() for bias in Mlp.initialize(config, 0).biases)


def test_evaluation_counts_the_examples_whose_largest_logit_is_their_label():
    images = np.array([[255, 0], [0, 255], [255, 0]], dtype=np.uint8)
    labels = np.array([0, 1, 1], dtype=np.uint8)
    network = Mlp((np.eye(2),), (np.zeros(2),), "linear", "softmax")
    (result,) = evaluate([network], images, labels, pixel_scale=1 / 255, dtype="float64")
    assert result.accuracy == pytest.approx(2 / 3)
    right, wrong = np.log1p(np.exp(-1)), np.log1p(np.exp(1))
    assert result.cost == pytest.approx((2 * right + wrong) / 3)
    p = 1 / (1 + np.exp(-1))
    assert result.predictive_entropy == pytest.approx(-p * np.log(p) - (1 - p) * np.log(1 - p))


def test_evaluation_goes_through_more_images_than_fit_at_once():
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=2500, dtype=np.uint8)
    images = np.zeros((2500, 2), np.uint8)
    images[np.arange(2500), labels] = 255
    network = Mlp((np.eye(2),), (np.zeros(2),), "linear", "softmax")
    (right,) = evaluate([network], images, labels, pixel_scale=1 / 255)
    (half,) = evaluate([network], images, np.repeat(labels[:1250], 2), pixel_scale=1 / 255)
    assert right.accuracy == 1
    assert half.accuracy == np.mean(labels == np.repeat(labels[:1250], 2))


@pytest.mark.parametrize(
    ("weights", "biases"),
    [
        ((np.ones((2, 3)), np.ones((2, 3))), (np.ones(2), np.ones(2))),
        ((np.ones((2, 3)),), (np.ones(3),)),
        ((np.ones(3),), (np.ones(3),)),
        ((), ()),
    ],
)
def test_shapes_that_do_not_fit_are_named(weights, biases):
    with pytest.raises(InvalidInput, match=r"weights have the shapes .* but must be \(n_1, n_0\), \(n_2, n_1\)"):
        Mlp(weights, biases)


def test_the_size_of_normalized_weights_changes_no_output_and_divides_their_gradient():
    network, x, y = random_network(3, "tanh", "softmax", normalized=True)
    larger = Mlp((3 * network.weights[0], *network.weights[1:]), network.biases, "tanh", "softmax", True)
    np.testing.assert_allclose(larger.logits(x), network.logits(x), rtol=1e-12)
    (small, *_), (large, *_) = network.gradients(x, y)[0], larger.gradients(x, y)[0]
    np.testing.assert_allclose(3 * large, small, rtol=1e-10, atol=1e-15)
    assert np.abs(np.sum(small * network.weights[0], axis=1)).max() < 1e-15
    np.testing.assert_allclose(np.linalg.norm(network.acting_weights()[0], axis=1), 2.0)
    np.testing.assert_array_equal(network.acting_weights()[-1], network.weights[-1])  # the outputs are not normalized


def test_normalization_that_is_none_is_refused():
    with pytest.raises(InvalidInput, match="normalized is 'hidden', but must be False, True"):
        Mlp((np.ones((2, 3)),), (np.zeros(2),), normalized="hidden")


@pytest.mark.parametrize(
    "ask",
    [
        lambda: activate("softplus", np.ones(2)),
        lambda: derivative("softplus", np.ones(2)),
        lambda: predict("probit", np.ones(2)),
        lambda: cost("probit", np.ones(2), np.ones(2)),
        lambda: predictive_entropy("probit", np.ones(2)),
    ],
)
def test_unknown_units_are_refused_by_name(ask):
    with pytest.raises(InvalidInput, match=r"(activation is 'softplus'|output is 'probit'), but must be one of"):
        ask()


def test_a_normalized_row_of_zeros_acts_as_zeros_and_has_finite_gradients():
    rng = np.random.default_rng(0)
    weights = (np.vstack([np.zeros(4), rng.standard_normal((2, 4))]), rng.standard_normal((2, 3)))
    network = Mlp(weights, (np.zeros(3), np.zeros(2)), "relu", "softmax", normalized=True)
    x, y = rng.standard_normal((5, 4)), np.eye(2)[[0, 1, 0, 1, 1]]
    assert (network.acting_weights()[0][0] == 0).all()
    assert np.linalg.norm(network.acting_weights()[0][1:], axis=1) == pytest.approx([2, 2])
    assert (network.gradients(x, y)[0][0][0] == 0).all()
    assert all(np.isfinite(gradient).all() for part in network.gradients(x, y) for gradient in part)
