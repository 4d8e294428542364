"""Every optimizer trains as its textbook rule says, step by step, with every option of the trainer."""

import numpy as np
import pytest

from weightdecay.errors import InvalidInput
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
