"""Derivations about networks, held against networks and against optimization that knows nothing of them."""

import numpy as np
import pytest
from scipy.integrate import solve_ivp
from scipy.optimize import brentq, minimize_scalar
from scipy.special import expit, softmax, xlogy

from weightdecay import theory
from weightdecay.errors import InvalidInput

RNG = np.random.default_rng(5)


def test_outputs_times_missing_probability_are_the_entropy_loss_gap():
    outputs, labels = RNG.normal(0, 3, (50, 10)), np.eye(10)[RNG.integers(0, 10, 50)]
    probabilities = softmax(outputs, axis=1)
    entropy = -xlogy(probabilities, probabilities).sum()
    cross_entropy = -np.log(probabilities[labels == 1]).sum()
    gap = theory.derive("entropy-loss-gap").numeric(
        "entropy_loss_gap", predictive_entropy=entropy, cross_entropy=cross_entropy
    )
    assert np.sum(outputs * (labels - probabilities)) == pytest.approx(gap, rel=1e-12)


def test_the_gap_of_sigmoid_outputs_is_the_same():
    outputs, labels = RNG.normal(0, 3, 50), RNG.integers(0, 2, 50)
    p = expit(outputs)
    entropy = -np.sum(p * np.log(p) + (1 - p) * np.log(1 - p))
    cross_entropy = -np.sum(labels * np.log(p) + (1 - labels) * np.log(1 - p))
    assert np.sum(outputs * (labels - p)) == pytest.approx(entropy - cross_entropy, rel=1e-12)


def relu_network(seed):
    """Return gradients of all three layers of a small ReLU network under softmax cross-entropy, weights, and gap."""
    rng = np.random.default_rng(seed)
    x, labels = rng.standard_normal((40, 6)), np.eye(4)[rng.integers(0, 4, 40)]
    weights = [rng.standard_normal(shape) for shape in ((6, 8), (8, 7), (7, 4))]
    activations = [x]
    for w in weights[:-1]:
        activations.append(np.maximum(activations[-1] @ w, 0))
    outputs = activations[-1] @ weights[-1]
    p = softmax(outputs, axis=1)
    back = (p - labels) / len(x)
    gradients = []
    for w, activation in zip(weights[::-1], activations[::-1], strict=True):
        gradients.append(activation.T @ back)
        back = (back @ w.T) * (activation > 0)
    gap = (-xlogy(p, p).sum() + np.log(p[labels == 1]).sum()) / len(x)
    return weights, gradients[::-1], gap


@pytest.mark.parametrize("seed", range(3))
def test_every_layer_of_a_relu_network_is_pulled_alike_by_the_gap(seed):
    weights, gradients, gap = relu_network(seed)
    pulls = [-np.sum(w * g) for w, g in zip(weights, gradients, strict=True)]
    assert pulls == pytest.approx([gap] * 3, rel=1e-10)


def test_weights_and_biases_share_the_gap():
    rng = np.random.default_rng(9)
    x, labels = rng.standard_normal((40, 6)), np.eye(4)[rng.integers(0, 4, 40)]
    w1, b1, w2, b2 = (rng.standard_normal(shape) for shape in ((6, 8), 8, (8, 4), 4))
    hidden = np.maximum(x @ w1 + b1, 0)
    p = softmax(hidden @ w2 + b2, axis=1)
    back = (p - labels) / len(x)
    back_hidden = (back @ w2.T) * (hidden > 0)
    gap = (-xlogy(p, p).sum() + np.log(p[labels == 1]).sum()) / len(x)
    bias_pull_2 = -np.sum(b2 * back)
    bias_pull_1 = bias_pull_2 - np.sum(b1 * back_hidden)
    pull = theory.derive("equal-pull-with-biases")
    for w, gradient, bias_pull in ((w1, x.T @ back_hidden, bias_pull_1), (w2, hidden.T @ back, bias_pull_2)):
        predicted = pull.numeric("radial_pull", entropy_loss_gap=gap, bias_pull=bias_pull)
        assert -np.sum(w * gradient) == pytest.approx(predicted, rel=1e-10)


def test_the_size_law_goes_with_one_over_the_root_of_the_weights():
    law = theory.derive("equal-pull")
    rms = law.numeric(entropy_loss_gap=0.13, weight_decay=1e-4, n_weights=np.array([300, 30000]))
    assert [10.0] == pytest.approx([rms[0] / rms[1]])
    prefactor = law.numeric("prefactor", entropy_loss_gap=0.13, weight_decay=1e-4)
    assert 300**-0.5 * prefactor == pytest.approx(rms[0])


def test_a_network_that_is_over_confident_is_told_apart():
    with pytest.raises(InvalidInput, match="entropy_loss_gap >= 0, but entropy_loss_gap=-0.1; only an under-confident"):
        theory.derive("equal-pull").numeric(entropy_loss_gap=-0.1, weight_decay=1e-4, n_weights=300)


def test_heavy_ball_pays_for_its_work_with_the_power_of_its_buffer():
    rng = np.random.default_rng(11)
    lr, weight_decay, momentum, dampening, dim = 0.1, 0.2, 0.8, 0.3, 2000
    w, v = rng.standard_normal((2, dim))
    work, power = [], []
    for step in range(4000):
        total = rng.standard_normal(dim) + 0.5 * w + weight_decay * w
        v = momentum * v + (1 - dampening) * total
        if step >= 200:
            work.append(w @ total)
            power.append(v @ v)
        w = w - lr * v
    predicted = theory.derive("heavy-ball-balance").numeric(
        lr=lr, momentum=momentum, dampening=dampening, buffer_power=np.mean(power)
    )
    error = np.std(np.reshape(work, (38, 100)).mean(axis=1)) / np.sqrt(38)
    assert abs(np.mean(work) - predicted) < 3 * error


def test_heavy_ball_on_reshuffled_epochs_has_the_size_of_its_measured_power():
    lr, weight_decay, momentum, steps = 0.1, 0.05, 0.9, 20000
    rng = np.random.default_rng(12)
    examples = rng.standard_normal((8, 40))  # the loss of an example is its product with the direction of the weights
    w, v = rng.standard_normal(40), np.zeros(40)
    sizes, measured, white, last = [], [], [], None
    claim = theory.derive("heavy-ball-measured-power")
    for step in range(steps):
        if step % 8 == 0:
            order = rng.permutation(8)
        size = w @ w
        unit = w / np.sqrt(size)
        x = examples[order[step % 8]]
        g = (x - (x @ unit) * unit) / np.sqrt(size)
        h = g @ g + 2 * momentum * (v @ g)
        new = momentum * v + g + weight_decay * w
        w_next = w - lr * new
        if step in (1, 7, 1000):
            now = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum, "norm_squared": size}
            now |= {"norm_squared_before": last, "buffer_power": v @ v}
            assert claim.numeric("buffer_power_next", **now, measured_power=h) == pytest.approx(new @ new, rel=1e-10)
            found = claim.numeric("norm_squared_next", **now, buffer_power_next=new @ new)
            assert found == pytest.approx(w_next @ w_next, rel=1e-10)
        if step >= 1000:
            sizes.append(size)
            measured.append(h)
            white.append(g @ g)
        w, v, last = w_next, new, size
    given = {"lr": lr, "weight_decay": weight_decay, "momentum": momentum}
    assert claim.numeric(**given, measured_power=np.mean(measured)) == pytest.approx(np.mean(sizes), rel=2e-3)
    as_white = theory.derive("optimizer-heavy-ball-coupled")
    values = given | {"gradient_power": np.mean(white), "dampening": 0.0}
    missed = as_white.numeric(**{name: values[name] for name in as_white.arguments()})
    assert abs(missed / np.mean(sizes) - 1) > 0.05  # what white gradients would have
    assert claim.numeric(**given, measured_power=np.mean(white)) == pytest.approx(missed)


def test_the_envelope_gives_sizes_of_a_ridge_regression_from_its_loss():
    x, y = RNG.standard_normal((30, 5)), RNG.standard_normal(30)

    def solved(weight_decay):
        w = np.linalg.solve(x.T @ x + weight_decay * np.eye(5), x.T @ y)
        return 0.5 * np.sum((x @ w - y) ** 2) + weight_decay / 2 * w @ w, w @ w

    below, above = 2.0 - 1e-4, 2.0 + 1e-4
    size = theory.derive("envelope").numeric(
        minimum_below=solved(below)[0],
        minimum_above=solved(above)[0],
        weight_decay_below=below,
        weight_decay_above=above,
    )
    assert solved(2.0)[1] == pytest.approx(size, rel=1e-6)


def test_bounds_lie_above_a_fitted_softmax_regression():
    rng = np.random.default_rng(3)
    x, labels = rng.standard_normal((60, 5)), np.eye(3)[rng.integers(0, 3, 60)]
    weight_decay, w = 0.05, np.zeros((5, 3))
    for _ in range(4000):
        w -= 0.5 * (x.T @ (softmax(x @ w, axis=1) - labels) / 60 + weight_decay * w)
    bounds = theory.derive("size-bounds")
    assert 0 < np.sum(w**2) < bounds.numeric("norm_squared_bound_softmax", n_classes=3, weight_decay=weight_decay)
    assert np.sum(w**2) < bounds.numeric(loss_at_zero=np.log(3), weight_decay=weight_decay)


@pytest.mark.parametrize("side", [-1, 1])
def test_zero_weights_of_a_tanh_network_are_stable_only_above_the_threshold(side):
    rng = np.random.default_rng(8)
    x, labels = rng.standard_normal((200, 4)), np.eye(3)[rng.integers(0, 3, 200)]
    x[labels[:, 0] == 1] += 1.0
    largest = np.linalg.svd((labels - 1 / 3).T @ x / 200, compute_uv=False)[0]
    threshold = theory.derive("collapse-threshold").numeric(slope=1.0, signal_max=largest)
    weight_decay = threshold * (1 + 0.1 * side)
    u, v = 0.01 * rng.standard_normal((4, 6)), 0.01 * rng.standard_normal((6, 3))
    for _ in range(4000):
        hidden = np.tanh(x @ u)
        back = (softmax(hidden @ v, axis=1) - labels) / 200
        u, v = (
            u - 0.5 * (x.T @ ((back @ v.T) * (1 - hidden**2)) + weight_decay * u),
            v - 0.5 * (hidden.T @ back + weight_decay * v),
        )
    assert (np.sum(u**2) < 1e-8) == (side > 0)


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("trained", [False, True])
def test_hidden_biases_put_the_steepest_slope_into_the_threshold(side, trained):
    rng = np.random.default_rng(9)
    x, labels = rng.standard_normal((200, 4)), np.eye(3)[np.repeat([0, 1, 2], (100, 60, 40))]
    x[labels[:, 0] == 1] += 1.0
    frequencies = labels.mean(axis=0)
    largest = np.linalg.svd((labels - frequencies).T @ x / 200, compute_uv=False)[0]
    hidden_bias = np.array([-0.6, 0.8, 1.0, -1.2])
    claim = theory.derive("collapse-threshold-biases")
    threshold = claim.numeric(slope_max=np.max(1 - np.tanh(hidden_bias) ** 2), signal_max=largest)
    assert threshold < 0.8 * largest  # else the test could not tell it from that without biases
    units = claim.numeric("weight_decay_threshold", slope_at_bias=1 - np.tanh(hidden_bias) ** 2, signal_max=largest)
    assert threshold == pytest.approx(units.max())
    weight_decay = threshold * (1 + 0.1 * side)
    u, v, bias = 1e-3 * rng.standard_normal((4, 4)), 1e-3 * rng.standard_normal((4, 3)), np.log(frequencies)
    for _ in range(6000):
        hidden = np.tanh(x @ u + hidden_bias)
        back = (softmax(hidden @ v + bias, axis=1) - labels) / 200
        through = (back @ v.T) * (1 - hidden**2)
        u, v, bias = (
            u - 0.5 * (x.T @ through + weight_decay * u),
            v - 0.5 * (hidden.T @ back + weight_decay * v),
            bias - 0.5 * back.sum(axis=0),
        )
        hidden_bias = hidden_bias - 0.5 * trained * through.sum(axis=0)
    assert (np.sum(u**2) < 1e-8) == (side > 0)


def test_modes_of_two_linear_layers_follow_the_logistic_and_its_threshold():
    signal, weight_decay, start = 1.3, 0.4, 0.01
    mode = theory.derive("soft-threshold")
    solution = solve_ivp(
        lambda _t, y: [
            (signal - y[0] * y[1]) * y[1] - weight_decay * y[0],
            (signal - y[0] * y[1]) * y[0] - weight_decay * y[1],
        ],
        (0, 6),
        [start**0.5] * 2,
        rtol=1e-10,
        atol=1e-12,
        t_eval=[1, 3, 6],
    )
    predicted = mode.numeric(
        "mode", signal=signal, weight_decay=weight_decay, mode_start=start, time=np.array([1, 3, 6])
    )
    assert np.prod(solution.y, axis=0) == pytest.approx(predicted, rel=1e-7)
    assert [0.9, 0.0] == pytest.approx(mode.numeric(signal=np.array([1.3, 0.2]), weight_decay=weight_decay))


@pytest.mark.parametrize("depth", [3, 4, 6])
def test_fold_and_jump_of_deep_modes_are_where_minimization_finds_them(depth):
    weight_decay = 0.3
    modes = theory.derive("depth-transition")

    def signal(mode):
        return float(modes.numeric("signal", mode=mode, depth=depth, weight_decay=weight_decay))

    fold = minimize_scalar(signal, bounds=(1e-3, 5), method="bounded", options={"xatol": 1e-10})
    assert fold.fun == pytest.approx(modes.numeric("signal_fold", depth=depth, weight_decay=weight_decay), rel=1e-9)

    def advantage(strength):
        mode = brentq(lambda mode: signal(mode) - strength, fold.x, 10)
        return (
            modes.numeric("loss", mode=mode, signal=strength, depth=depth, weight_decay=weight_decay) - strength**2 / 2
        )

    jump = brentq(advantage, fold.fun * 1.0001, 5)
    assert jump == pytest.approx(modes.numeric(depth=depth, weight_decay=weight_decay), rel=1e-9)


def test_two_layers_do_not_have_the_transition_of_deep_ones():
    with pytest.raises(InvalidInput, match="depth >= 3, but depth=2; with two layers the transition is continuous"):
        theory.derive("depth-transition").numeric(depth=2, weight_decay=0.3)


def test_the_product_of_balanced_layers_moves_as_derived():
    weight_decay, signal, mode = 0.2, 1.5, 0.6
    layer = mode ** (1 / 3)
    rate = 3 * layer**2 * ((signal - mode) * layer**2 - weight_decay * layer)
    predicted = theory.derive("product-flow").numeric(
        depth=3, mode=mode, mode_slope=-(signal - mode), weight_decay=weight_decay
    )
    assert rate == pytest.approx(predicted, rel=1e-12)


def test_two_linear_layers_share_the_nuclear_norm_of_their_product():
    rng = np.random.default_rng(4)
    target, weight_decay = rng.standard_normal((5, 3)), 0.5
    u, v = rng.standard_normal((5, 6)), rng.standard_normal((6, 3))
    for _ in range(20000):
        miss = u @ v - target
        u, v = u - 0.05 * (miss @ v.T + weight_decay * u), v - 0.05 * (u.T @ miss + weight_decay * v)
    nuclear = np.linalg.svd(u @ v, compute_uv=False).sum()
    size = theory.derive("nuclear-norm").numeric("norm_squared_layer", nuclear=nuclear)
    assert [np.sum(u**2), np.sum(v**2)] == pytest.approx([size, size], rel=1e-6)
    assert np.maximum(np.linalg.svd(target, compute_uv=False) - weight_decay, 0).sum() == pytest.approx(
        nuclear, rel=1e-6
    )


def test_the_saturation_ratio_runs_from_one_to_its_limit_for_wide_pre_activations():
    ratios = theory.saturation_ratio([0.01, 1.0, 300.0])
    assert 1 == pytest.approx(ratios[0], abs=1e-4)
    assert ratios[2] == pytest.approx(theory.derive("sigmoid-saturation").numeric(std=300.0), rel=1e-4)
    z = np.random.default_rng(0).standard_normal(400000)
    slope = expit(z) * (1 - expit(z))
    assert np.mean(slope + z * slope * (1 - 2 * expit(z))) / np.mean(slope) == pytest.approx(ratios[1], abs=0.003)


@pytest.mark.parametrize("wrong", [0, -1, np.nan, "1", None])
def test_a_spread_that_is_none_is_refused(wrong):
    with pytest.raises(InvalidInput, match="std is"):
        theory.saturation_ratio(wrong)
