"""The fused training step does what the textbook says, for one network and for many."""

import itertools
import pickle

import numpy as np
import pytest

from weightdecay import theory
from weightdecay.errors import DivergenceError, InvalidInput
from weightdecay.simulate import Cosine
from weightdecay.validate import (
    Dataset,
    Mlp,
    Part,
    Recording,
    Run,
    TrainingConfig,
    train,
    train_all,
    train_ensemble,
)
from weightdecay.validate.configuration import ACTIVATIONS, OUTPUTS
from weightdecay.validate.mlp import cost, predictive_entropy

LAYERS = {2: (12, 6, 10), 3: (12, 6, 5, 10), 4: (12, 6, 5, 7, 10)}


@pytest.fixture(scope="module")
def small_data():
    """Return 64 + 20 + 20 images of 3 x 4 pixels, two pixels of which are dead in the training set."""
    rng = np.random.default_rng(5)
    parts = []
    for n_rows in (64, 20, 20):
        images = rng.integers(0, 256, size=(n_rows, 12), dtype=np.uint8)
        images[:, [0, 7]] = 0
        parts.append(Part(images, rng.integers(10, size=n_rows, dtype=np.uint8)))
    return Dataset("small", *parts, image_shape=(3, 4))


def config(**changes):
    options = {"layers": LAYERS[2], "lr": 0.3, "weight_decay": 0.02, "batch_size": 8, "epochs": 3, "dtype": "float64"}
    return TrainingConfig.pytorch(**{**options, **changes})


def textbook(config, data, stream):
    """Train as the book does, one readable step after the other; return the network and each step's (P, G^2, ...)."""
    weight_stream, order_stream = stream.spawn(2)
    network = Mlp.initialize(config, weight_stream)
    weights, biases = [w.copy() for w in network.weights], [b.copy() for b in network.biases]
    lr, weight_decay = config.tabulate(data.n_train)
    measured = {name: [] for name in ("norm", "pull", "power", "bias_pull", "bias_power", "cost", "entropy")}
    step = 0
    for _ in range(config.epochs):
        order = order_stream.permutation(data.n_train)
        for start in range(0, data.n_train, config.batch_size):
            chosen = order[start : start + config.batch_size]
            x, y = data.train.images[chosen] * data.pixel_scale, np.eye(config.layers[-1])[data.train.labels[chosen]]
            network = Mlp(tuple(weights), tuple(biases), config.activation, config.output)
            weight_gradients, bias_gradients = network.gradients(x, y)
            logits = network.logits(x)
            pairs, bias_pairs = (
                list(zip(weights, weight_gradients, strict=True)),
                list(zip(biases, bias_gradients, strict=True)),
            )
            measured["norm"].append([np.sum(w * w) for w in weights])
            measured["pull"].append([-np.sum(w * g) for w, g in pairs])
            measured["power"].append([np.sum(g * g) for _, g in pairs])
            measured["bias_pull"].append([-np.sum(b * g) for b, g in bias_pairs])
            measured["bias_power"].append([np.sum(g * g) for _, g in bias_pairs])
            measured["cost"].append(np.mean(cost(config.output, logits, y)))
            measured["entropy"].append(np.mean(predictive_entropy(config.output, logits)))
            shrink = 1 - lr[step] * weight_decay[step]
            weights = [shrink * w - lr[step] * g for w, g in pairs]
            if config.biases:
                bias_shrink = shrink if config.decay_biases else 1.0
                biases = [bias_shrink * b - lr[step] * g for b, g in bias_pairs]
            step += 1
    final = Mlp(tuple(weights), tuple(biases), config.activation, config.output)
    return final, {name: np.array(values) for name, values in measured.items()}


def assert_same_network(expected, actual, rtol=1e-9):
    for mine, theirs in zip(expected.weights + expected.biases, actual.weights + actual.biases, strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("n_runs", [1, 3])
@pytest.mark.parametrize("depth", sorted(LAYERS))
@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_training_is_the_textbook_step_by_step(small_data, activation, output, depth, n_runs):
    chosen = config(
        layers=LAYERS[depth], activation=activation, output=output, initialization=0.5, lr=0.05, weight_decay=0.1
    )
    records = train_ensemble([chosen] * n_runs, small_data, rng=3, record=Recording(steps=(), evaluate=()))
    for record, stream in zip(records, np.random.default_rng(3).spawn(n_runs), strict=True):
        expected, measured = textbook(chosen, small_data, stream)
        assert_same_network(expected, record.final)
        for name, field in (
            ("norm", "mean_norm_squared"),
            ("pull", "radial_pull"),
            ("power", "gradient_power"),
            ("bias_pull", "bias_pull"),
            ("bias_power", "bias_gradient_power"),
            ("cost", "cost"),
            ("entropy", "predictive_entropy"),
        ):
            expected_mean = measured[name].mean(axis=0)
            np.testing.assert_allclose(getattr(record, field)[-1], expected_mean, rtol=1e-8, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("n_runs", [1, 2])
@pytest.mark.parametrize(
    "changes",
    [
        {"biases": False},
        {"decay_biases": True},
        {"batch_size": 10},
        {"batch_size": 64},
        {"batch_size": 1},
        {"initialization": "large"},
        {"lr": Cosine(0.5, 0.0, 24), "weight_decay": lambda step: 0.1 / (1 + step)},
        {"lr": 0.5, "weight_decay": 1.6},
        {"output": "softmax", "decay_biases": True, "initialization": "he"},
    ],
    ids=lambda changes: "-".join(f"{name}" for name in changes),
)
def test_every_option_is_the_textbook_step_by_step(small_data, changes, n_runs):
    chosen = config(**changes)
    records = train_ensemble([chosen] * n_runs, small_data, rng=4, record=Recording(steps=(), evaluate=()))
    for record, stream in zip(records, np.random.default_rng(4).spawn(n_runs), strict=True):
        expected, measured = textbook(chosen, small_data, stream)
        assert_same_network(expected, record.final)
        np.testing.assert_allclose(record.radial_pull[-1], measured["pull"].mean(axis=0), rtol=1e-8, atol=1e-10)
        np.testing.assert_allclose(record.bias_pull[-1], measured["bias_pull"].mean(axis=0), rtol=1e-8, atol=1e-10)


def test_runs_that_share_mini_batches_and_differ_in_everything_else_are_the_textbook(small_data):
    configs = [
        config(lr=lr, weight_decay=weight_decay, initialization=initialization)
        for lr, weight_decay, initialization in [(0.1, 0.0, "large"), (0.2, 0.5, "fan_in"), (0.05, 3.0, 0.2)]
    ]
    records = train_ensemble(configs, small_data, rng=6, batches="shared", record=Recording(steps=(), evaluate=()))
    rng = np.random.default_rng(6)
    streams = rng.spawn(3)
    order = rng.spawn(1)[0]

    class SharedOrder:
        def __init__(self, stream):
            self.stream = stream

        def spawn(self, _):
            shared = np.random.default_rng(0)
            shared.bit_generator.state = order.bit_generator.state
            return self.stream.spawn(2)[0], shared

    for record, stream, chosen in zip(records, streams, configs, strict=True):
        expected, measured = textbook(chosen, small_data, SharedOrder(stream))
        assert_same_network(expected, record.final)
        assert record.batches == "shared"
        np.testing.assert_allclose(record.gradient_power[-1], measured["power"].mean(axis=0), rtol=1e-8)


def test_a_wide_ensemble_is_cut_into_blocks_without_changing_the_result(small_data, monkeypatch):
    configs = [config(initialization=0.1 * (1 + run)) for run in range(5)]
    whole = train_ensemble(configs, small_data, rng=1, batches="shared")
    monkeypatch.setattr("weightdecay.validate.training_step.UNPACKED_PRODUCT", 2 * 8 * 12 * 6)
    blocks = train_ensemble(configs, small_data, rng=1, batches="shared")
    for expected, actual in zip(whole, blocks, strict=True):
        assert_same_network(expected.final, actual.final)


def test_single_precision_follows_double_precision(small_data):
    double = train(config(), small_data, rng=0)
    single = train(config(dtype="float32"), small_data, rng=0)
    np.testing.assert_allclose(single.norm_squared, double.norm_squared, rtol=1e-5)


def test_the_balance_adds_up_over_every_single_step(small_data):
    chosen = config(lr=0.2, weight_decay=0.3)
    record = train(chosen, small_data, rng=2, record=Recording(every_step=True))
    step = theory.derive("radial-step")
    norm_squared = record.norm_squared[0]
    for pull, power in zip(record.step_radial_pull, record.step_gradient_power, strict=True):
        norm_squared = step.numeric(
            norm_squared=norm_squared, lr=0.2, weight_decay=0.3, radial_pull=pull, gradient_power=power
        )
    np.testing.assert_allclose(norm_squared, record.norm_squared[-1], rtol=1e-12)


def test_an_ensemble_member_is_the_run_that_its_stream_trains(small_data):
    members = train_ensemble([config()] * 3, small_data, rng=9)
    for member, stream in zip(members, np.random.default_rng(9).spawn(3), strict=True):
        alone = train(config(), small_data, rng=stream)
        assert_same_network(alone.final, member.final)
        assert alone.seed == member.seed


def test_the_same_seed_gives_the_same_bytes(small_data):
    first, second = (train(config(dtype="float32"), small_data, rng=7) for _ in range(2))
    assert first.final.weights[0].tobytes() == second.final.weights[0].tobytes()
    other = train(config(dtype="float32"), small_data, rng=8)
    assert first.final.weights[0].tobytes() != other.final.weights[0].tobytes()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_dead_pixels_feed_weights_that_decay_exactly(small_data, dtype):
    chosen = config(dtype=dtype, lr=0.1, weight_decay=0.001, epochs=50)
    record = train(chosen, small_data, rng=0)
    assert small_data.dead_pixels.tolist() == [0, 7]
    expected = (1 - 0.1 * 0.001) ** (2 * record.steps)
    np.testing.assert_allclose(record.dead_norm_squared / record.dead_norm_squared[0], expected, rtol=1e-13)
    ratio = record.final.weights[0][:, [0, 7]] / record.initial.weights[0][:, [0, 7]]
    np.testing.assert_allclose(ratio, (1 - 0.1 * 0.001) ** record.steps[-1], rtol=1e-13)


@pytest.mark.parametrize("decay_biases", [False, True])
def test_strong_decay_for_many_steps_neither_overflows_nor_underflows(small_data, decay_biases):
    options = {"lr": 0.5, "weight_decay": 1.9, "epochs": 4, "batch_size": 1, "decay_biases": decay_biases}
    record = train(config(**options, dtype="float32"), small_data, rng=0, record=Recording(steps=(), evaluate=()))
    expected, _ = textbook(config(**options), small_data, np.random.default_rng(0))
    np.testing.assert_allclose(record.final.weights[1], expected.weights[1], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(record.final.biases[1], expected.biases[1], rtol=1e-4, atol=1e-6)


def test_softmax_survives_logits_beyond_the_range_of_exp(small_data):
    options = {"output": "softmax", "initialization": 300.0, "lr": 0.01, "epochs": 1}
    record = train(config(**options, dtype="float32"), small_data, rng=0)
    expected, _ = textbook(config(**options), small_data, np.random.default_rng(0))
    np.testing.assert_allclose(record.final.weights[1], expected.weights[1], rtol=1e-5)


def test_records_stand_at_the_steps_that_were_asked_for(small_data):
    record = train(config(), small_data, rng=0, record=Recording(steps=(1, 5, 11, 10**6), evaluate=("validation",)))
    assert record.steps.tolist() == [0, 1, 5, 11, 24]
    assert record.epochs.tolist() == [0, 1 / 8, 5 / 8, 11 / 8, 3]
    assert record.accuracy().shape == (5,)
    assert np.isnan(record.radial_pull[0]).all()
    assert np.isfinite(record.radial_pull[1:]).all()
    per_epoch = train(config(), small_data, rng=0)
    assert per_epoch.steps.tolist() == [0, 8, 16, 24]
    assert per_epoch.radial_pull is None
    assert per_epoch.cost is None


def test_averages_between_records_do_not_depend_on_how_steps_are_grouped(small_data, monkeypatch):
    record = train(config(), small_data, rng=0, record=Recording(evaluate=()))
    monkeypatch.setattr("weightdecay.validate.training_step.CHUNK_BYTES", 1)
    monkeypatch.setattr("weightdecay.validate.training._STRETCH_STEPS", 3)
    one_by_one = train(config(), small_data, rng=0, record=Recording(evaluate=()))
    np.testing.assert_allclose(one_by_one.radial_pull, record.radial_pull, rtol=1e-12)
    np.testing.assert_allclose(one_by_one.mean_norm_squared, record.mean_norm_squared, rtol=1e-12)
    assert_same_network(record.final, one_by_one.final, rtol=1e-14)


DIVERGING = {"activation": "linear", "output": "linear", "weight_decay": 0.001, "epochs": 40, "batch_size": 4}


def first_step_that_is_not_finite(config, data, stream):
    """Return the step and layer, from 1, at which the textbook's weights leave the finite numbers."""
    weight_stream, order_stream = stream.spawn(2)
    network = Mlp.initialize(config, weight_stream)
    weights, biases = list(network.weights), list(network.biases)
    lr, weight_decay = config.tabulate(data.n_train)
    step = 0
    with np.errstate(all="ignore"):
        while True:
            order = order_stream.permutation(data.n_train)
            for start in range(0, data.n_train, config.batch_size):
                chosen = order[start : start + config.batch_size]
                x = data.train.images[chosen] * data.pixel_scale
                y = np.eye(config.layers[-1])[data.train.labels[chosen]]
                network = Mlp(tuple(weights), tuple(biases), config.activation, config.output)
                gradients, bias_gradients = network.gradients(x, y)
                shrink = 1 - lr[step] * weight_decay[step]
                weights = [shrink * w - lr[step] * g for w, g in zip(weights, gradients, strict=True)]
                biases = [b - lr[step] * g for b, g in zip(biases, bias_gradients, strict=True)]
                step += 1
                for layer, w in enumerate(weights):
                    if not np.isfinite(w).all():
                        return step, layer + 1


@pytest.mark.parametrize("record", [None, Recording()], ids=["norms", "everything"])
@pytest.mark.parametrize("stretch", [1, 3, 64])
def test_divergence_is_found_at_its_step_and_layer_however_steps_are_grouped(small_data, monkeypatch, stretch, record):
    monkeypatch.setattr("weightdecay.validate.training._STRETCH_STEPS", stretch)
    chosen = config(**DIVERGING, lr=20.0)
    expected = first_step_that_is_not_finite(chosen, small_data, np.random.default_rng(1))
    with pytest.raises(
        DivergenceError, match=r"training diverged at step \d+ in the weights of layer \d .*lr=20"
    ) as caught:
        train(chosen, small_data, rng=1, record=record)
    found = (caught.value.step, caught.value.layer)
    assert expected == found
    assert found[0] > 4
    monkeypatch.setattr("weightdecay.validate.training._STRETCH_STEPS", 7)
    with pytest.raises(DivergenceError) as again:
        train(chosen, small_data, rng=1, record=record)
    assert (again.value.step, again.value.layer) == found


def test_a_run_that_diverges_is_marked_and_does_not_touch_the_others(small_data):
    lost_config, healthy = config(**DIVERGING, lr=20.0), config(**DIVERGING, lr=0.01, initialization=0.1)
    lost, kept = train_ensemble([lost_config, healthy], small_data, rng=0, record=Recording())
    with pytest.raises(DivergenceError) as caught:
        train(lost_config, small_data, rng=np.random.default_rng(0).spawn(1)[0])
    assert lost.diverged == (caught.value.step, caught.value.layer)
    assert np.isnan(lost.norm_squared[-1]).all()
    assert np.isnan(lost.accuracy()[-1])
    assert kept.diverged is None
    alone = train(healthy, small_data, rng=np.random.default_rng(0).spawn(2)[1])
    assert_same_network(alone.final, kept.final)


def test_an_ensemble_that_is_lost_as_a_whole_ends_early_and_says_so(small_data):
    records = train_ensemble([config(**DIVERGING, lr=20.0)] * 2, small_data, rng=0, record=Recording())
    assert all(record.diverged for record in records)
    assert records[0].steps[-1] == 40 * 16
    assert len(records[0].steps) < 41


def test_a_divergence_travels_between_processes():
    error = pickle.loads(pickle.dumps(DivergenceError(3, 2, {"lr": 0.1})))
    assert (error.step, error.layer, error.hyperparameters) == (3, 2, {"lr": 0.1})
    assert str(error) == str(DivergenceError(3, 2, {"lr": 0.1}))


def test_a_sweep_marks_what_diverged_and_gives_the_same_twice(small_data):
    seeds = np.random.SeedSequence(0).spawn(2)
    runs = [
        Run(config(**DIVERGING, lr=lr, initialization=0.1), seed, Recording())
        for lr, seed in zip((20.0, 0.01), seeds, strict=True)
    ]
    first, second = (train_all(runs, small_data, n_jobs=n_jobs) for n_jobs in (1, 2))
    assert first[0].diverged
    assert first[0].diverged == second[0].diverged
    assert first[1].final.weights[0].tobytes() == second[1].final.weights[0].tobytes()


def test_the_seed_that_is_recorded_makes_the_run_again(small_data):
    rng = np.random.default_rng(0)
    train(config(), small_data, rng=rng)
    second = train(config(), small_data, rng=rng)
    again = train(config(), small_data, rng=np.random.default_rng(np.random.SeedSequence(**second.seed)))
    assert again.final.weights[0].tobytes() == second.final.weights[0].tobytes()


def test_progress_is_told_up_to_the_last_step(small_data):
    told = []
    train(config(), small_data, rng=0, progress=lambda *report: told.append(report))
    assert told == [(8, 24, "training"), (16, 24, "training"), (24, 24, "training")]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layers": (11, 10)}, "the network has 11 inputs, but images of small have 12 pixels"),
        ({"layers": (12, 9)}, "the network has 9 outputs, but small has 10 classes"),
        ({"batch_size": 65}, "batch_size is 65, but small has 64 training images"),
        ({"weight_decay": lambda step: 0.01 * step**2}, r"lr\*weight_decay is .* at step 23"),
        ({"lr": Cosine(0.0, 0.0, 24)}, "lr is 0 at every step, but must be above 0"),
    ],
)
def test_a_configuration_that_does_not_fit_the_data_is_refused(small_data, changes, message):
    with pytest.raises(InvalidInput, match=message):
        train(config(**changes), small_data, rng=0)


@pytest.mark.parametrize("name", ["layers", "batch_size", "epochs", "activation", "output", "biases", "dtype"])
def test_an_ensemble_of_different_networks_is_refused(small_data, name):
    other = {
        "layers": (12, 5, 10),
        "batch_size": 4,
        "epochs": 2,
        "activation": "tanh",
        "output": "softmax",
        "biases": False,
        "dtype": "float32",
    }[name]
    with pytest.raises(InvalidInput, match=f"must agree in {name}"):
        train_ensemble([config(), config(**{name: other})], small_data, rng=0)


@pytest.mark.parametrize("rng", ["a", -1, None, 1.5])
def test_a_seed_that_cannot_be_repeated_is_refused(small_data, rng):
    with pytest.raises(InvalidInput, match="rng is"):
        train(config(), small_data, rng=rng)


def test_empty_ensembles_and_unknown_batches_are_refused(small_data):
    with pytest.raises(InvalidInput, match="configs is empty"):
        train_ensemble([], small_data, rng=0)
    with pytest.raises(InvalidInput, match="must be a sequence of TrainingConfig"):
        train_ensemble(config(), small_data, rng=0)
    with pytest.raises(InvalidInput, match="a configuration is 'x', but must be a TrainingConfig"):
        train("x", small_data, rng=0)
    with pytest.raises(InvalidInput, match="batches is 'mine', but must be one of: own, shared"):
        train_ensemble([config()], small_data, rng=0, batches="mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"every_step": True, "pulls": False}, "there is nothing to keep"),
        ({"evaluate": ("validatoin",)}, "did you mean 'validation'"),
        ({"evaluate": "validation"}, "must be a sequence"),
        ({"steps": (-1,)}, "steps is -1"),
        ({"steps": 5}, "steps is 5, but must be a sequence of step numbers"),
    ],
)
def test_recordings_that_make_no_sense_are_refused(options, message):
    with pytest.raises(InvalidInput, match=message):
        Recording(**options)


def test_units_of_saturated_networks_hold_no_denormal_numbers():
    from weightdecay.validate.training_step import Networks, Workspace

    rng = np.random.default_rng(0)
    part = Part(rng.integers(0, 256, size=(40, 784), dtype=np.uint8), rng.integers(10, size=40, dtype=np.uint8))
    data = Dataset("saturated", part, part, part, image_shape=(28, 28))
    for output, dtype in itertools.product(("sigmoid", "softmax"), ("float32", "float64")):
        chosen = TrainingConfig.pytorch(
            layers=[784, 30, 10],
            lr=0.1,
            weight_decay=1e-4,
            batch_size=10,
            epochs=1,
            output=output,
            dtype=dtype,
            initialization=20.0,
        )
        networks = Networks.start([chosen], [Mlp.initialize(chosen, 0)])
        space = Workspace(networks, data, 10, shared=False, probing=True)
        space.run(np.arange(40)[None], np.full((4, 1), 0.1), np.full((4, 1), 1e-5))
        smallest = np.finfo(dtype).tiny
        for kept in (*space.probes.units, *space.probes.errors):
            rows = kept[:4]
            assert not np.any((rows != 0) & (np.abs(rows) < smallest))
            assert np.any(rows == 0) or output == "softmax"
