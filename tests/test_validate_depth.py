import numpy as np
import pytest

from weightdecay import validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Part
from weightdecay.validate.depth_sweeps import DeepNetworks, barrier, leading_examples, ray
from weightdecay.validate.full_batch import cost_and_gradients, living_examples
from weightdecay.validate.product_penalty import least_product
from weightdecay.validate.sweeping import raise_decay


def tiny_part(n_rows, seed):
    rng = np.random.default_rng(seed)
    labels = rng.integers(10, size=n_rows)
    shapes = np.random.default_rng(0).integers(0, 2, size=(10, 12)) * 150
    images = np.minimum(shapes[labels] + rng.integers(0, 100, size=(n_rows, 12)), 255)
    return Part(images.astype(np.uint8), labels)


@pytest.fixture(scope="module")
def data():
    return Dataset("tiny", tiny_part(300, 1), tiny_part(20, 2), tiny_part(0, 3), image_shape=(3, 4))


@pytest.fixture(scope="module")
def report(data):
    return validate.run("depth", data=data, n_jobs=1)


def test_a_sweep_finds_where_a_size_jumps_to_zero():
    def settle(state, decay):
        return state, 2.0 - decay if decay < 0.777 else 0.0

    sweep = raise_decay(settle, None, first=0.2, most=5.0, growth=1.3, resolution=0.001)
    assert sweep.end == pytest.approx(0.777, rel=1e-3)
    assert sweep.sizes[sweep.last_alive] == pytest.approx(2 - 0.777, rel=1e-3)
    assert np.all(np.diff(sweep.weight_decays) > 0)


def test_a_sweep_without_an_end_or_a_beginning_says_so():
    endless = raise_decay(lambda state, _: (state, 1.0), None, first=0.1, most=1.0, growth=2.0, resolution=0.01)
    dead = raise_decay(lambda state, _: (state, 0.0), None, first=0.1, most=1.0, growth=2.0, resolution=0.01)
    assert np.isnan(endless.end)
    assert np.isnan(dead.end)
    assert dead.last_alive == -1


def test_every_decay_starts_from_the_largest_smaller_one_that_left_something():
    def settle(state, decay):
        assert state < decay
        return decay, float(decay < 1.0)

    raise_decay(settle, 0.0, first=0.3, most=5.0, growth=1.5, resolution=0.01)


def test_on_a_ray_decay_balances_the_pull_of_the_network(data):
    examples = living_examples(data)
    product = least_product(examples, 0.05, 2).matrix
    scales, decays = ray(examples, product, 2)
    assert scales[-1] == 1
    assert decays[-1] == pytest.approx(0.05, rel=2e-3)  # the product rests at this decay
    assert np.all(np.diff(decays) < 0)  # two layers have no barrier
    pull = -np.sum(product * cost_and_gradients([product], "linear", examples)[1][0])
    assert decays[-1] == pytest.approx(pull / np.linalg.norm(product, ord="nuc"), rel=1e-9)


def test_the_barrier_is_the_smallest_scale_in_balance():
    scales, decays = np.array([0.25, 0.5, 0.75, 1.0]), np.array([0.1, 0.2, 0.3, 0.15])
    assert barrier(scales, decays, 0.15) == pytest.approx(0.375)
    assert np.isnan(barrier(scales, decays, 0.4))


def test_turning_the_inputs_changes_no_prediction(data):
    examples = living_examples(data)
    turned = leading_examples(examples)
    assert turned.inputs.shape[1] <= examples.inputs.shape[1]
    here, there = (least_product(each, 0.05, 2).norm_squared for each in (examples, turned))
    assert here == pytest.approx(there, rel=0.01)


def test_deep_networks_jump_where_predicted_and_two_layers_do_not(report):
    for depth in (2, 3, 4):
        assert report.comparison(f"collapse {depth}").passed, report.comparison(f"collapse {depth}")
    assert report.comparison("last size 2").measured < 0.01
    for depth in (3, 4):
        assert report.comparison(f"last size {depth}").measured > 0.05


def test_kicks_below_the_barrier_die_and_kicks_above_it_return(report):
    for depth in (3, 4):
        below, above = report.comparison(f"kick {depth} 0.75"), report.comparison(f"kick {depth} 1.33")
        assert below.predicted < 1e-3 < above.predicted
        assert below.passed, below
        assert above.passed, above
    for kick in ("0.75", "1.33"):
        found = report.comparison(f"kick 2 {kick}")  # zero is unstable with two layers
        assert found.predicted > 1e-3
        assert found.passed


def test_tolerances_and_inputs_are_those_that_were_announced(report):
    for depth in (2, 3, 4):
        assert report.comparison(f"collapse {depth}").tolerance == 0.05
    assert {"data"} == {comparison.inputs for comparison in report.comparisons}


def test_a_jump_at_the_place_of_two_layers_would_fail(report):
    found, two = report.comparison("collapse 3"), report.comparison("collapse 2")
    assert abs(two.measured - found.predicted) > found.tolerance * found.predicted


def test_the_same_seed_gives_the_same_sweep(data):
    job = DeepNetworks(3, 0.1, 1.0, 1.3, 0.05, np.random.SeedSequence(1), 0.1, (1.0,))
    one, two = job.start(data), job.start(data)
    np.testing.assert_array_equal(one["sizes"], two["sizes"])
    np.testing.assert_array_equal(one["kicked_to"], two["kicked_to"])


def test_black_images_are_refused_in_one_sentence():
    black = Part(np.zeros((20, 4), np.uint8), np.arange(20) % 10)
    with pytest.raises(InvalidInput, match="every training image is black"):
        validate.run("depth", data=Dataset("black", black, black, black, image_shape=(2, 2)), n_jobs=1)


@pytest.mark.slow
def test_mnist_jumps_where_the_data_say():
    report = validate.run("depth", n_jobs=1)
    assert report.passed, [comparison for comparison in report.comparisons if comparison.passed is False]
