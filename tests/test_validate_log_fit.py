"""Where a log says that a layer will rest: intervals hold the truth, with a steady feed and with one that drifts."""

from pathlib import Path

import numpy as np
import pytest

from weightdecay import figures
from weightdecay.errors import InvalidInput
from weightdecay.validate import diagnose
from weightdecay.validate.log_fit import fitted
from weightdecay.validate.verdicts import closing

LR, DECAY = 0.1, 0.01
TIME_CONSTANT = 0.5 / (LR * DECAY)  # of squared norms, in steps
REST = 10.0
GALLERY = Path(__file__).parents[1] / "figures/gallery"


def sizes(rng, n_time_constants, *, feed=lambda _t: 1.0, scatter=0.0, error=0.0, start=50.0, n_rows=100, inner=10):
    """Return steps and squared norms of a layer with a feed that may drift and scatter, read with an error."""
    n_steps = n_rows * inner
    width = n_time_constants / n_steps
    size, found = start, [start]
    for count in range(n_steps):
        noise = scatter * REST * np.sqrt(width) * rng.standard_normal()
        size += (REST * feed(count * width) - size) * width + noise
        if (count + 1) % inner == 0:
            found.append(size)
    step = np.linspace(0.0, n_time_constants * TIME_CONSTANT, n_rows + 1)
    return step, np.array(found) * (1.0 + error * rng.standard_normal(n_rows + 1))


def fit(step, norm_squared):
    return fitted(step, LR * step, norm_squared, DECAY, 0.05)


@pytest.mark.parametrize("n_time_constants", [2, 4, 10])
@pytest.mark.parametrize("noise", [{"scatter": 0.02}, {"error": 0.01}])
def test_with_a_steady_feed_nineteen_of_twenty_intervals_hold_the_truth(n_time_constants, noise):
    rng = np.random.default_rng(0)
    found = [fit(*sizes(rng, n_time_constants, **noise)) for _ in range(60)]
    assert 0.95 <= np.mean([abs(one.rest - REST) <= one.error for one in found])
    assert np.median([one.error for one in found]) < REST
    assert np.mean([one.feed_change is not None for one in found]) <= 0.25  # scatter is seldom taken for a drift


def test_without_noise_the_interval_is_a_point():
    found = fit(*sizes(np.random.default_rng(0), 4, inner=200))
    assert REST == pytest.approx(found.rest, rel=1e-2)
    assert found.error < 0.01 * REST
    assert found.feed_change is None


@pytest.mark.parametrize("missing", [0.5, 0.9, -1.0])
@pytest.mark.parametrize("n_time_constants", [3, 6])
def test_with_a_drifting_feed_the_interval_holds_where_the_layer_comes_to_rest(missing, n_time_constants):
    rng = np.random.default_rng(1)

    def feed(time):
        return 1.0 - missing * np.exp(-time)

    found = [fit(*sizes(rng, n_time_constants, feed=feed, scatter=0.01)) for _ in range(40)]
    assert 0.9 <= np.mean([abs(one.rest - REST) <= one.error for one in found])


@pytest.mark.parametrize("missing", [0.5, -0.5])
def test_a_feed_that_drifts_for_longer_than_the_log_is_told_as_drifting_and_gives_a_bound(missing):
    rng = np.random.default_rng(2)
    step, norm_squared = sizes(rng, 2, feed=lambda time: 1.0 - missing * np.exp(-time / 5), scatter=0.0)
    found = fit(step, norm_squared)
    assert found.feed_change * missing > 0
    assert (REST - found.rest) * missing > 0  # that is still ahead


def long_run(n_epochs):
    report = figures.load(GALLERY / "tail-off.csv", GALLERY / "tail-off.json")
    curves = {curve.name: curve for curve in report.curves if curve.panel == "squared norm"}
    curve = curves["layer 2, trained"]
    kept = curve.x <= n_epochs
    return curve.x[kept] * 5000, curve.y[kept], curve.y[-50:].mean()


@pytest.mark.parametrize("n_epochs", [20, 30, 40, 60, 100])
def test_the_founding_network_comes_to_rest_within_the_interval_told_after_some_epochs(n_epochs):
    step, norm_squared, truth = long_run(n_epochs)
    found = fitted(step, 0.1 * step, norm_squared, 1e-4, 0.05)
    assert abs(truth - found.rest) <= found.error
    assert found.rest < truth
    if n_epochs <= 40:
        assert found.feed_change > 0.3


def written(folder, layers, columns="step,layer,norm_squared,weight_decay"):
    path = folder / "log.csv"
    rows = [
        f"{step:g},{name},{size},{decay}"
        for name, (steps, norms, decay) in layers.items()
        for step, size in zip(steps, norms, strict=True)
    ]
    path.write_text("\n".join([columns, *rows]))
    return path


def test_a_drifting_feed_is_told_in_the_verdict(tmp_path):
    step, norm_squared = sizes(np.random.default_rng(3), 3, feed=lambda time: 1.0 - 0.9 * np.exp(-time))
    path = written(tmp_path, {"fc": (step, norm_squared, DECAY)})
    found = diagnose(path, lr=LR)
    told = found.layers[0].verdict
    assert "where it will rest is not determined, since its feed still grows, by" in told
    assert "and as much change again at" in told
    assert "that takes at least" in found.summary


def test_layers_may_have_decays_of_their_own_or_none(tmp_path):
    rng = np.random.default_rng(4)
    weights, slow = sizes(rng, 10), sizes(rng, 10)
    bias = (weights[0], np.linspace(1.0, 2.0, weights[0].size), 0.0)
    path = written(tmp_path, {"w": (*weights, DECAY), "v": (*slow, DECAY / 10), "b": bias})
    found = diagnose(path, lr=LR)
    assert found.weight_decay is None
    assert found.time_constant_steps is None
    assert [1000, 10000, None] == [layer.time_constant_steps for layer in found.layers]
    assert ["equilibrium", "no-decay"] == [found.layer(name).state for name in "wb"]
    alone = diagnose(written(tmp_path, {"v": (*slow, DECAY / 10)}), lr=LR)
    assert alone.layers[0].verdict == found.layer("v").verdict
    assert "b is not decayed, so that nothing holds it" in found.summary
    assert {"w", "v", "b"} == {curve.panel for curve in figures.make("diagnosis", diagnosis=found).curves}


def test_a_decay_that_contradicts_one_layer_of_the_log_is_refused(tmp_path):
    one = sizes(np.random.default_rng(4), 2)
    path = written(tmp_path, {"w": (*one, DECAY), "b": (*one, 0.0)})
    with pytest.raises(InvalidInput, match=r"weight_decay is 0.01, but the log says 0 of b; leave it out"):
        diagnose(path, lr=LR, weight_decay=DECAY)
    path = written(tmp_path, {"w": (*one, 20.0)})
    with pytest.raises(InvalidInput, match=r"lr 0.1 times weight_decay 20 would take 2 of every weight of w"):
        diagnose(path, lr=LR)


@pytest.mark.parametrize(
    ("layers", "told"),
    [
        ([("a", "equilibrium", 0.0, None)], "the only decayed layer is in equilibrium with decay"),
        ([("a", "equilibrium", 0.0, None), ("b", "equilibrium", 0.0, 0.1)], "both decayed layers are in equilibrium"),
        ([("a", "no-decay", None, None)], "no layer is decayed"),
        ([("a", "growing", 200.0, None), ("b", "no-decay", None, None)], "a is still growing: that takes some 20 more"),
        ([("a", "falling", 200.0, None), ("b", "growing", 100.0, 0.5)], "no decayed layer is in equilibrium"),
        ([("a", "falling", 200.0, None), ("b", "growing", 100.0, 0.5)], "that takes at least 20 more epochs"),
        ([("a", "shrinking", None, None)], "a is being shrunk by the gradient too"),
        ([("a", "unknown", None, None)], "a longer run, or a larger product of learning rate and weight decay"),
        ([(f"l{k}", "equilibrium", 0.0, None) for k in range(9)] + [("a", "falling", 1.0, None)], "l5 and 3 more are"),
    ],
)
def test_one_sentence_tells_of_all_layers(layers, told):
    sentence = closing(layers, 10.0)
    assert told in sentence
    assert sentence == sentence.strip().rstrip(".")
