"""What is measured of the weights' motion is what the textbook's weights do, and measuring changes nothing."""

import numpy as np
import pytest

from weightdecay.errors import InvalidInput
from weightdecay.simulate import Step
from weightdecay.validate import Dataset, Mlp, Part, Recording, TrainingConfig, train, train_ensemble
from weightdecay.validate.motion import Autocovariance
from weightdecay.validate.optimizers import SGD, Adam, Lion, Muon, RMSprop, SignSGD

EVERYTHING = Recording(
    steps=(0, 5, 12),
    evaluate=(),
    every_step=True,
    every_step_norms=True,
    motion=True,
    every_step_motion=True,
    autocovariance_lags=7,
    autocovariance_from=3,
)
CHOSEN = [
    SGD(),
    SGD(momentum=0.9),
    SGD(momentum=0.9, nesterov=True),
    SGD(momentum=0.8, dampening=0.5, coupling="decoupled"),
    RMSprop(),
    Adam(coupling="decoupled"),
    SignSGD(momentum=0.9),
    Lion(),
    Muon(newton_schulz_steps=5),
]


def told(optimizer):
    return "-".join(f"{key}={value}" for key, value in optimizer.to_dict().items())


@pytest.fixture(scope="module")
def small_data():
    rng = np.random.default_rng(5)
    parts = [
        Part(rng.integers(0, 256, size=(60, 12), dtype=np.uint8), rng.integers(10, size=60, dtype=np.uint8))
        for _ in range(3)
    ]
    return Dataset("small", *parts, image_shape=(3, 4))


def config(**changes):
    options = {"layers": (12, 6, 10), "lr": Step(0.05, 0.2, at=(4,)), "weight_decay": 0.4, "batch_size": 16,
               "epochs": 5, "dtype": "float64", "initialization": "fan_in", "activation": "tanh"}  # fmt: skip
    return TrainingConfig.pytorch(**{**options, **changes})


def textbook(config, data, stream):
    """Return for each step the weights before it, their gradients, the momentum buffers, and the last weights."""
    weight_stream, order_stream = stream.spawn(2)
    network = Mlp.initialize(config, weight_stream)
    arrays = [*network.weights, *network.biases]
    states, step, told = [()] * len(arrays), 0, []
    lr, weight_decay = config.tabulate(data.n_train)
    for _ in range(config.epochs):
        order = order_stream.permutation(data.n_train)
        for start in range(0, data.n_train, config.batch_size):
            chosen = order[start : start + config.batch_size]
            x, y = data.train.images[chosen] * data.pixel_scale, np.eye(10)[data.train.labels[chosen]]
            network = Mlp(tuple(arrays[:2]), tuple(arrays[2:]), config.activation, config.output, config.normalized)
            gradients = [each for kind in network.gradients(x, y) for each in kind]
            which_buffer = 1 if isinstance(config.optimizer, Adam) else 0
            buffers = [s[which_buffer] if s else np.zeros_like(a) for s, a in zip(states[:2], arrays, strict=False)]
            told.append((list(arrays[:2]), gradients[:2], buffers))
            for which, gradient in enumerate(gradients):
                rule = config.optimizer.rule(lr[step], weight_decay[step] if which < 2 else 0.0)
                shape, matrix = np.shape(arrays[which]), (*np.shape(arrays[which]), 1)[:2]
                after, states[which] = rule.step(arrays[which].reshape(matrix), gradient.reshape(matrix), states[which])
                arrays[which] = after.reshape(shape)
            step += 1
    return told, arrays[:2]


def products(w, after, g, v, lr, weight_decay, optimizer, axis):
    """Return every quantity from its definition, over the given axes."""

    def dot(a, b):
        return np.sum(a * b, axis=axis)

    u = ((1 - lr * weight_decay) * w - after) / lr
    cosine = dot(w, after) / np.sqrt(dot(w, w) * dot(after, after))
    found = {
        "norm_squared": dot(w, w),
        "radial_pull": -dot(w, g),
        "gradient_power": dot(g, g),
        "update_power": dot(u, u),
        "weight_update_product": dot(w, u),
        "one_minus_cosine": 1 - cosine,
        "angle_squared": np.arccos(cosine) ** 2,
    }
    if not isinstance(optimizer, RMSprop) and optimizer != SGD():
        found |= {
            "buffer_power": dot(v, v),
            "weight_buffer_product": dot(w, v),
            "buffer_gradient_product": dot(v, g),
        }
        if isinstance(optimizer, SGD):
            found["measured_power"] = dot(g, g) + 2 * optimizer.momentum * dot(v, g)
    return found, u


@pytest.mark.parametrize("normalized", [False, True])
@pytest.mark.parametrize("optimizer", CHOSEN, ids=told)
def test_every_quantity_is_the_one_of_its_definition(small_data, optimizer, normalized):
    chosen = config(optimizer=optimizer, normalized=normalized)
    records = train_ensemble([chosen] * 2, small_data, rng=3, record=EVERYTHING)
    lr, weight_decay = chosen.tabulate(small_data.n_train)
    for record, stream in zip(records, np.random.default_rng(3).spawn(2), strict=True):
        steps, last = textbook(chosen, small_data, stream)
        weights = [step[0] for step in steps] + [last]
        for layer in range(2):
            rows, neuron_rows, updates = [], [], []
            for k, (before, gradients, buffers) in enumerate(steps):
                these = (before[layer], weights[k + 1][layer], gradients[layer], buffers[layer], lr[k], weight_decay[k])
                rows.append(products(*these, optimizer, axis=None)[0])
                found, update = products(*these, optimizer, axis=1)
                neuron_rows.append(found)
                updates.append(update)
            for name in rows[0]:
                whole = np.array([row[name] for row in rows])
                neurons = np.array([row[name] for row in neuron_rows])
                scale = {"rtol": 1e-6, "atol": 1e-9 * max(1, np.abs(whole).max())}
                np.testing.assert_allclose(record.step_motion[name][:, layer], whole, err_msg=name, **scale)
                np.testing.assert_allclose(record.step_neuron_motion[name][layer], neurons, err_msg=name, **scale)
                for row, (start, stop) in enumerate(((0, 5), (5, 12), (12, 20)), start=1):
                    mean, neuron_mean = record.motion[name][row, layer], record.neuron_motion[name][layer][row]
                    np.testing.assert_allclose(mean, whole[start:stop].mean(), **scale)
                    np.testing.assert_allclose(neuron_mean, neurons[start:stop].mean(axis=0), **scale)
            norms = np.array([np.sum(w[layer] ** 2, axis=1) for w in weights])
            np.testing.assert_allclose(record.step_neuron_norm_squared[layer], norms, rtol=1e-8)
            np.testing.assert_allclose(record.step_norm_squared[:, layer], norms.sum(axis=1), rtol=1e-8)
            window = np.array(updates)[3:]
            for lag in range(8):
                pairs = np.sum(window[: len(window) - lag] * window[lag:], axis=2)
                np.testing.assert_allclose(
                    record.update_autocovariance[layer][lag], pairs.mean(axis=0), rtol=1e-6, atol=1e-9
                )
        assert record.autocovariance_steps == 17
        assert set(record.motion) == set(rows[0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9), Adam()], ids=told)
def test_looking_changes_nothing(small_data, optimizer, dtype):
    chosen = config(optimizer=optimizer, dtype=dtype)
    looked_at = train(chosen, small_data, rng=1, record=EVERYTHING).final
    alone = train(chosen, small_data, rng=1, record=Recording(steps=(0, 5, 12), pulls=False, evaluate=())).final
    for expected, actual in zip(alone.weights + alone.biases, looked_at.weights + looked_at.biases, strict=True):
        np.testing.assert_array_equal(actual, expected)


@pytest.mark.parametrize(("n_lags", "n_steps"), [(1, 1), (3, 200), (63, 300), (64, 129), (200, 150), (130, 1000)])
def test_autocovariances_are_those_of_all_pairs(n_lags, n_steps):
    updates = np.random.default_rng(n_lags).standard_normal((n_steps, 2, 3, 5))
    found = Autocovariance((2, 3, 5), np.float64, n_lags)
    for update in updates:
        found.add(update)
    for lag in range(n_lags + 1):
        actual = found.values()[:, lag]
        if lag >= n_steps:
            assert np.isnan(actual).all()
        else:
            expected = np.einsum("trji,trji->rj", updates[: n_steps - lag], updates[lag:]) / (n_steps - lag)
            np.testing.assert_allclose(actual, expected, rtol=1e-10, atol=1e-12)


def test_more_updates_than_memory_holds_are_refused(small_data):
    with pytest.raises(
        InvalidInput, match=r"keeps 105.6 GB of updates of 1 networks of \[12, 6, 10\], .* at most 4 GB"
    ):
        train(config(), small_data, rng=0, record=Recording(autocovariance_lags=10**8))


def test_a_window_without_lags_is_refused():
    with pytest.raises(InvalidInput, match="autocovariance_from is 5, but autocovariance_lags is 0"):
        Recording(autocovariance_from=5)
    with pytest.raises(InvalidInput, match="autocovariance_lags is -1, but must be a whole number of at least 0"):
        Recording(autocovariance_lags=-1)
