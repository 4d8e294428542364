"""Every optimizer trains as its textbook rule says, step by step, with every option of the trainer."""

import copy

import numpy as np
import pytest

from weightdecay.errors import DivergenceError, InvalidInput
from weightdecay.simulate import Cosine, Step
from weightdecay.validate import (
    Dataset,
    Ensemble,
    Mlp,
    Part,
    Recording,
    Run,
    TrainingConfig,
    compute_all,
    train,
    train_ensemble,
    training,
)
from weightdecay.validate.optimizers import SGD, Adam, Lion, Muon, RMSprop, SignSGD

CHOSEN = [
    SGD(momentum=0.9),
    SGD(momentum=0.9, coupling="decoupled"),
    SGD(momentum=0.8, dampening=0.3),
    SGD(momentum=0.9, nesterov=True),
    SGD(momentum=0.9, nesterov=True, coupling="decoupled"),
    RMSprop(),
    RMSprop(coupling="decoupled"),
    Adam(),
    Adam(coupling="decoupled", beta1=0.8, beta2=0.95),
    SignSGD(),
    SignSGD(momentum=0.9, coupling="decoupled"),
    Lion(),
    Lion(coupling="coupled"),
    Muon(),
    Muon(newton_schulz_steps=5, coupling="coupled"),
]


def told(optimizer):
    return "-".join(f"{key}={value}" for key, value in optimizer.to_dict().items())


@pytest.fixture(scope="module")
def small_data():
    """Return 60 + 20 + 20 images of 3 x 4 pixels, two pixels of which are dead in the training set."""
    rng = np.random.default_rng(5)
    parts = []
    for n_rows in (60, 20, 20):
        images = rng.integers(0, 256, size=(n_rows, 12), dtype=np.uint8)
        images[:, [0, 7]] = 0
        parts.append(Part(images, rng.integers(10, size=n_rows, dtype=np.uint8)))
    return Dataset("small", *parts, image_shape=(3, 4))


def config(**changes):
    options = {"layers": (12, 6, 10), "lr": 0.02, "weight_decay": 0.1, "batch_size": 16, "epochs": 3,
               "dtype": "float64", "initialization": "fan_in", "activation": "tanh"}  # fmt: skip
    return TrainingConfig.pytorch(**{**options, **changes})


def textbook(config, data, weight_stream, order_stream, network=None):
    """Train by the rules of simulate on the gradients of Mlp; return the network after every step, and (P, G^2)."""
    network = network or Mlp.initialize(config, weight_stream)
    arrays = [*network.weights, *network.biases]
    n_layers, states, step = config.n_layers, [()] * len(arrays), 0
    networks, measured = [network], []
    lr, weight_decay = config.tabulate(data.n_train)
    for _ in range(config.epochs):
        reshuffled = config.sampling == "reshuffled"
        order = order_stream.permutation(data.n_train) if reshuffled else order_stream.integers(
            data.n_train, size=data.n_train
        )  # fmt: skip
        for start in range(0, data.n_train, config.batch_size):
            chosen = order[start : start + config.batch_size]
            x, y = data.train.images[chosen] * data.pixel_scale, np.eye(config.layers[-1])[data.train.labels[chosen]]
            gradients = [each for kind in network.gradients(x, y) for each in kind]
            measured.append(
                [
                    [-np.sum(w * g) for w, g in zip(network.weights, gradients, strict=False)],
                    [np.sum(g * g) for g in gradients[:n_layers]],
                ]
            )
            for which, gradient in enumerate(gradients):
                if which >= n_layers and not config.biases:
                    continue
                decays = which < n_layers or config.decay_biases
                rule = config.optimizer.rule(lr[step], weight_decay[step] if decays else 0.0)
                shape = np.shape(arrays[which])
                matrix = (*shape, 1)[:2]  # biases are matrices of one column
                after, states[which] = rule.step(arrays[which].reshape(matrix), gradient.reshape(matrix), states[which])
                arrays[which] = after.reshape(shape)
            step += 1
            network = Mlp(tuple(arrays[:n_layers]), tuple(arrays[n_layers:]), *network_options(config))
            networks.append(network)
    return networks, np.array(measured)


def network_options(config):
    return config.activation, config.output, config.normalized


def assert_same_network(expected, actual, rtol=1e-9):
    for mine, theirs in zip(expected.weights + expected.biases, actual.weights + actual.biases, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=rtol, atol=rtol)


def assert_textbook(chosen, data, n_runs=1, seed=3):
    record = Recording(evaluate=(), every_step=True)
    records = train_ensemble([chosen] * n_runs, data, rng=seed, record=record)
    for record, stream in zip(records, np.random.default_rng(seed).spawn(n_runs), strict=True):
        networks, measured = textbook(chosen, data, *stream.spawn(2))
        assert_same_network(networks[-1], record.final)
        np.testing.assert_allclose(record.step_radial_pull, measured[:, 0], rtol=1e-7, atol=1e-11)
        np.testing.assert_allclose(record.step_gradient_power, measured[:, 1], rtol=1e-7, atol=1e-14)


@pytest.mark.parametrize("n_runs", [1, 3])
@pytest.mark.parametrize("optimizer", CHOSEN, ids=told)
def test_training_is_the_textbook_rule_step_by_step(small_data, optimizer, n_runs):
    assert_textbook(config(optimizer=optimizer), small_data, n_runs)


@pytest.mark.parametrize("optimizer", CHOSEN, ids=told)
def test_changing_hyperparameters_on_the_way_keeps_the_optimizers_state(small_data, optimizer):
    schedules = {"lr": Step(0.03, 0.2, at=(5,)), "weight_decay": lambda step: 0.3 / (1 + step)}
    assert_textbook(config(optimizer=optimizer, **schedules), small_data)


@pytest.mark.parametrize(
    "changes",
    [
        {"biases": False},
        {"decay_biases": True},
        {"batch_size": 60},
        {"sampling": "with_replacement"},
        {"normalized": True},
        {"normalized": "all", "output": "softmax"},
        {"normalized": True, "layers": (12, 6, 5, 10), "activation": "sigmoid"},
        {"normalized": "all", "activation": "relu", "output": "linear", "decay_biases": True},
        {"activation": "sigmoid", "layers": (12, 6, 5, 7, 10)},
        {"lr": Cosine(0.05, 0.0, 12), "weight_decay": 3.0},  # strong decay: momentum is underdamped
    ],
    ids=lambda changes: "-".join(f"{name}={value}" for name, value in changes.items() if name != "lr"),
)
@pytest.mark.parametrize(
    "optimizer",
    [SGD(), SGD(momentum=0.9), SGD(momentum=0.9, nesterov=True), Adam(), Muon(newton_schulz_steps=5)],
    ids=told,
)
def test_every_option_is_the_textbook_rule_step_by_step(small_data, changes, optimizer):
    assert_textbook(config(optimizer=optimizer, **changes), small_data, n_runs=2)


@pytest.mark.parametrize("optimizer", [SGD(), SGD(momentum=0.9), Adam()], ids=told)
def test_a_run_goes_on_from_any_network(small_data, optimizer):
    chosen = config(optimizer=optimizer, normalized=True)
    first = train(chosen, small_data, rng=0).final
    again = train(chosen, small_data, rng=1, initial=first)
    weight_stream, order_stream = np.random.default_rng(1).spawn(2)
    assert_same_network(first, again.initial)
    networks, _ = textbook(chosen, small_data, weight_stream, order_stream, first)
    assert_same_network(networks[-1], again.final)
    (seed,) = np.random.SeedSequence(1).spawn(1)
    for run in (Run(chosen, seed, Recording(), first), Ensemble((chosen,), seed, Recording(), initial=(first,))):
        (found,) = np.ravel(compute_all([run], small_data, n_jobs=1)[0])
        assert_same_network(first, found.initial)


def test_networks_that_cannot_be_started_from_are_refused(small_data):
    chosen = config()
    network = Mlp.initialize(chosen, 0)
    other = Mlp(network.weights, network.biases, "relu")
    for wrong, message in (
        (
            Mlp.initialize(config(layers=(12, 5, 10)), 0),
            r"has layers \(12, 5, 10\), but the configuration says \(12, 6",
        ),
        (other, "has activation 'relu', but the configuration says 'tanh'; they must agree"),
        (3, "a network to start from is 3, but must be an Mlp"),
    ):
        with pytest.raises(InvalidInput, match=message):
            train(chosen, small_data, rng=0, initial=wrong)
        with pytest.raises(InvalidInput, match=message):
            Run(chosen, np.random.SeedSequence(0), Recording(), wrong).check(small_data)
    with pytest.raises(InvalidInput, match="must be a sequence of 2 Mlp, one for each network"):
        train_ensemble([chosen] * 2, small_data, rng=0, initial=[network])
    bent = Mlp(network.weights, (np.ones(6), np.zeros(10)), "tanh")
    with pytest.raises(InvalidInput, match="has biases, but the configuration says biases=False"):
        train(config(biases=False), small_data, rng=0, initial=bent)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "optimizer",
    [
        SGD(),
        SGD(momentum=0.9, coupling="decoupled"),
        SGD(momentum=0.9, nesterov=True, coupling="decoupled"),
        RMSprop(coupling="decoupled"),
        Adam(coupling="decoupled"),
        SignSGD(coupling="decoupled"),
        SignSGD(momentum=0.9, coupling="decoupled"),
        Lion(),
        Muon(),
        Muon(newton_schulz_steps=5),
    ],
    ids=told,
)
def test_weights_of_dead_pixels_decay_exactly(small_data, optimizer, dtype):
    chosen = config(optimizer=optimizer, dtype=dtype, lr=0.01, weight_decay=1e-3, epochs=30)
    record = train(chosen, small_data, rng=0, record=Recording(pulls=False, evaluate=()))
    expected = record.dead_norm_squared[0] * (1 - 1e-5) ** (2 * record.steps)
    np.testing.assert_allclose(record.dead_norm_squared, expected, rtol=1e-12)
    live = np.delete(record.final.weights[0], small_data.dead_pixels, axis=1)
    assert not np.allclose(live, np.delete(record.initial.weights[0], small_data.dead_pixels, axis=1), rtol=1e-3)


@pytest.mark.parametrize("nesterov", [False, True])
def test_weights_of_dead_pixels_decay_in_the_slow_mode_of_coupled_momentum(small_data, nesterov):
    optimizer = SGD(momentum=0.9, nesterov=nesterov)
    chosen = config(optimizer=optimizer, dtype="float32", lr=0.01, weight_decay=1e-3, epochs=200)
    record = train(chosen, small_data, rng=0, record=Recording(pulls=False, evaluate=()))
    rule, weight, state, expected = optimizer.rule(0.01, 1e-3), np.ones(1), (), [1.0]
    for _ in range(record.steps[-1]):
        weight, state = rule.step(weight, np.zeros(1), state)
        expected.append(weight[0] ** 2)
    decayed, expected = record.dead_norm_squared / record.dead_norm_squared[0], np.array(expected)[record.steps]
    assert decayed[-1] < 0.87
    np.testing.assert_allclose(decayed, expected, rtol=1e-6)  # rounded while the buffer fills
    np.testing.assert_allclose(decayed[100:] / decayed[100], expected[100:] / expected[100], rtol=1e-9)  # never later


def test_coupled_decay_moves_dead_weights_as_adam_rescales_it(small_data):
    chosen = config(optimizer=Adam(), lr=0.01, weight_decay=1e-3, epochs=5)
    record = train(chosen, small_data, rng=0)
    dead = [record.initial.weights[0][:, small_data.dead_pixels], record.final.weights[0][:, small_data.dead_pixels]]
    rule, weight, state = Adam().rule(0.01, 1e-3), dead[0], ()
    for _ in range(record.steps[-1]):
        weight, state = rule.step(weight, np.zeros_like(weight), state)
    np.testing.assert_allclose(dead[1], weight, rtol=1e-9)
    assert np.all(np.abs(dead[1] - dead[0])[np.abs(dead[0]) > 0.2] > 0.1)  # steps of lr, however small the decay


PAIRS = [
    (SGD(momentum=0.9), SGD(momentum=0.5, dampening=0.1)),
    (SGD(), SGD(momentum=0.95)),
    (RMSprop(), RMSprop(smoothing=0.9, eps=1e-4)),
    (Adam(), Adam(beta1=0.5, beta2=0.9, eps=1e-3)),
    (SignSGD(), SignSGD(momentum=0.7)),
    (Lion(), Lion(beta1=0.1, beta2=0.0)),
    (Muon(newton_schulz_steps=3), Muon(momentum=0.0, newton_schulz_steps=3)),
]


@pytest.mark.parametrize("layers", [(12, 6, 10), (12, 450, 10)], ids=["stepped together", "stepped run by run"])
@pytest.mark.parametrize("batches", ["own", "shared"])
@pytest.mark.parametrize("optimizers", PAIRS, ids=lambda pair: told(pair[1]))
def test_an_ensemble_over_hyperparameters_is_its_runs_one_by_one(small_data, optimizers, batches, layers):
    configs = [
        config(optimizer=optimizer, lr=lr, weight_decay=decay, initialization=start, layers=layers, epochs=2)
        for optimizer, lr, decay, start in zip(
            (optimizers[0], *optimizers), (0.01, 0.02, 0.03), (0.1, 0.4, 0.2), ("fan_in", 0.3, 0.6), strict=True
        )
    ]
    together = train_ensemble(configs, small_data, rng=5, batches=batches)
    rng = np.random.default_rng(5)
    streams = rng.spawn(3)
    shared = rng.spawn(1)[0]
    for chosen, stream, found in zip(configs, streams, together, strict=True):
        weights, order = stream.spawn(2)
        networks, _ = textbook(chosen, small_data, weights, copy.deepcopy(shared) if batches == "shared" else order)
        assert_same_network(networks[-1], found.final, rtol=1e-8)


def test_a_large_ensemble_trains_in_blocks_and_stays_the_same(small_data, monkeypatch):
    configs = [config(optimizer=SGD(momentum=0.9), weight_decay=decay) for decay in (0.1, 0.2, 0.3, 0.4, 0.5)]
    whole = {batches: train_ensemble(configs, small_data, rng=0, batches=batches) for batches in ("own", "shared")}
    told = []
    monkeypatch.setattr(training, "_BLOCK_WEIGHTS", 2 * (12 * 6 + 60))
    for batches, expected in whole.items():
        told.clear()
        found = train_ensemble(
            configs, small_data, rng=0, batches=batches, progress=lambda *progress: told.append(progress)
        )
        for a, b in zip(expected, found, strict=True):
            assert_same_network(a.final, b.final, rtol=1e-12)
            assert a.batches == b.batches
        assert told[-1] == (36, 36, "training")
        assert [progress[0] for progress in told] == list(range(4, 37, 4))


@pytest.mark.parametrize("optimizer", [SGD(momentum=0.9), Adam(), Muon(newton_schulz_steps=5)], ids=told)
def test_a_run_that_diverges_is_marked_and_the_others_go_on(small_data, optimizer):
    options = {"optimizer": optimizer, "activation": "relu", "output": "linear", "dtype": "float32", "epochs": 6}
    record = Recording(evaluate=(), motion=True, every_step_norms=True, autocovariance_lags=3)
    configs = [config(lr=lr, weight_decay=0.0, **options) for lr in (1e-3, 1e30)]
    healthy, lost = train_ensemble(configs, small_data, rng=0, record=record, batches="shared")
    (alone,) = train_ensemble(configs[:1], small_data, rng=0, record=record)
    assert healthy.diverged is None
    assert lost.diverged is not None
    step, layer = lost.diverged
    assert 1 <= step <= 3
    assert layer in (1, 2)
    assert np.isfinite(healthy.motion["update_power"][1:]).all()
    assert healthy.autocovariance_steps == alone.autocovariance_steps == 24
    assert healthy.step_norm_squared.shape == (25, 2)
    with pytest.raises(DivergenceError, match=rf"diverged at step {step} .*optimizer={type(optimizer).__name__}"):
        train(configs[1], small_data, rng=np.random.default_rng(0).spawn(2)[1])


@pytest.mark.parametrize(
    ("other", "message"),
    [
        ({"optimizer": Adam()}, r"must agree in optimizer, but have \['Adam', 'SGD'\]"),
        ({"optimizer": SGD(momentum=0.9, coupling="decoupled")}, r"must agree in optimizer.coupling"),
        ({"optimizer": SGD(momentum=0.9, nesterov=True)}, r"must agree in optimizer.nesterov"),
        ({"normalized": True}, r"must agree in normalized"),
        ({"sampling": "with_replacement"}, r"must agree in sampling"),
    ],
)
def test_configurations_that_cannot_train_together_are_refused(small_data, other, message):
    with pytest.raises(InvalidInput, match=message):
        train_ensemble([config(), config(**other)], small_data, rng=0)


def test_examples_drawn_with_replacement_come_again():
    seen = []
    for sampling in ("reshuffled", "with_replacement"):
        order = training._order(np.random.default_rng(0), 1000, sampling)
        assert order.shape == (1000,)
        seen.append(len(set(order.tolist())))
    assert seen[0] == 1000
    assert 600 < seen[1] < 665  # 1 - 1/e of them


def test_gradients_of_normalized_neurons_are_perpendicular_and_fall_with_the_norm(small_data):
    chosen = config(normalized=True, activation="relu", optimizer=SGD(momentum=0.9), epochs=1)
    record = Recording(evaluate=(), motion=True, every_step_motion=True)
    small, large = (
        train(chosen, small_data, rng=0, initial=network, record=record).step_neuron_motion
        for network in (Mlp.initialize(chosen, 1), scaled(Mlp.initialize(chosen, 1), 5.0))
    )
    for found in (small, large):
        pull, power, size = (found[name][0] for name in ("radial_pull", "gradient_power", "norm_squared"))
        assert np.all(np.abs(pull) <= 1e-14 * np.sqrt(power * size) + 1e-30)
    np.testing.assert_allclose(small["gradient_power"][0][0], 25 * large["gradient_power"][0][0], rtol=1e-10)


def scaled(network, factor):
    weights = (factor * network.weights[0], *network.weights[1:])
    return Mlp(weights, network.biases, network.activation, network.output, network.normalized)


@pytest.mark.parametrize(
    "optimizer", [SGD(), SGD(momentum=0.9, coupling="decoupled"), Adam(coupling="decoupled")], ids=told
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_normalized_network_whose_units_are_all_off_collapses_and_does_not_diverge(small_data, optimizer, dtype):
    chosen = TrainingConfig.pytorch(
        layers=[small_data.train.images.shape[1], 5, 10], lr=0.5, weight_decay=1.9, batch_size=5, epochs=30,
        initialization="fan_in", activation="relu", output="softmax", biases=False, normalized=True, dtype=dtype,
        optimizer=optimizer,
    )  # fmt: skip
    drawn = Mlp.initialize(chosen, 0)
    off = Mlp((-abs(drawn.weights[0]), drawn.weights[1]), drawn.biases, "relu", "softmax", normalized=True)
    record = train(chosen, small_data, rng=0, initial=off, record=Recording(evaluate=("validation",)))
    assert record.diverged is None
    assert (record.final.weights[0] == 0).all()
    assert record.evaluations["validation"]["cost"] == pytest.approx(np.log(10))
