"""What hyperparameters alone say about the weights of a run."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightdecay import simulate, theory
from weightdecay.errors import InvalidInput
from weightdecay.simulate import Layer, layer_from_text, predict

FOUNDING = {"lr": 0.1, "weight_decay": 1e-4, "n_steps": 150000, "n_train": 50000, "batch_size": 10}
HIDDEN, OUTPUT = Layer("hidden", (30, 784), rms_start=1.0), Layer("output", (10, 30), rms_start=1.0)


def test_the_founding_question_has_its_times():
    run = predict([HIDDEN, OUTPUT], **FOUNDING)
    assert 1e5 == pytest.approx(run.time_constant_steps)
    assert 20 == pytest.approx(run.time_constant_epochs)
    assert math.exp(-3) == pytest.approx(run.start_left, rel=1e-4)
    layer = run.layer("hidden")
    assert (67, 101) == tuple(
        round(steps / run.steps_per_epoch)
        for steps in (layer.steps_alone_to_fan_in_size, layer.steps_alone_to_network_size)
    )
    assert layer.steps_alone_to_network_size > run.n_steps


def test_a_pull_holds_the_layer_at_pull_over_decay():
    run = predict([Layer("hidden", (30, 784), rms_start=1.0, radial_pull=0.105)], **FOUNDING)
    layer = run.layers[0]
    assert 1050 == pytest.approx(layer.norm_squared_equilibrium)
    expected = 1050 + (23520 - 1050) * math.exp(-3)
    assert math.sqrt(expected / 23520) == pytest.approx(layer.rms_end, rel=1e-4)
    assert layer.steps_to_equilibrium > run.n_steps
    assert 1.0 == layer.share_out_of_equilibrium


@pytest.mark.parametrize("optimizer", ["adamw", "lion", "muon", "sign-sgd", "signum"])
def test_normalizing_optimizers_need_nothing_measured(optimizer):
    run = predict([Layer("mlp", (64, 32))], optimizer=optimizer, lr=1e-3, weight_decay=0.1, n_steps=100_000)
    layer = run.layers[0]
    choice = simulate.optimizer_choice(optimizer)
    at = {"lr": 1e-3, "weight_decay": 0.1, "n_weights": 2048, "n_rows": 64, "n_columns": 32}
    expected = choice.numeric("norm_squared", choice.equilibrium(), **at)
    assert expected == pytest.approx(layer.norm_squared_equilibrium)
    assert expected == pytest.approx(layer.rms_end**2 * 2048, rel=0.01)  # the way there is of leading order
    assert layer.steps_to_equilibrium < run.n_steps
    assert layer.rms_bound > layer.rms_equilibrium


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "sgdw"])
@pytest.mark.parametrize("name", ["gradient_power", "unit_gradient_power"])
def test_the_way_ends_where_the_theory_rests(optimizer, name):
    layer = Layer("block", (20, 20), **{name: 2.0})
    run = predict([layer], optimizer=optimizer, lr=0.01, weight_decay=0.01, n_steps=400_000)
    assert run.layers[0].rms_equilibrium == pytest.approx(run.layers[0].rms_end, rel=0.01)


def test_momentum_decays_a_penalty_faster_and_decoupled_decay_not():
    plain, heavy, decoupled = (
        predict([HIDDEN], optimizer=name, **FOUNDING).time_constant_steps for name in ("sgd", "momentum", "sgdw")
    )
    assert plain / 10 == pytest.approx(heavy)
    assert plain == pytest.approx(decoupled)


def test_the_way_agrees_with_a_walk_on_random_gradients():
    """Weights stepped one by one under AdamW come as far as predicted, halfway there."""
    n_weights, n_steps, lr, weight_decay = 4000, 300, 0.01, 0.1
    layer = Layer("block", (40, 100), rms_start=1.0)
    run = predict([layer], optimizer="adamw", lr=lr, weight_decay=weight_decay, n_steps=n_steps)
    rng = np.random.default_rng(5)
    weights, mean, square = rng.standard_normal(n_weights), np.zeros(n_weights), np.ones(n_weights)
    for _ in range(n_steps):
        gradient = rng.standard_normal(n_weights)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.999 * square + 0.001 * gradient**2
        weights = (1 - lr * weight_decay) * weights - lr * mean / np.sqrt(square)
    assert run.layers[0].rms_end == pytest.approx(np.sqrt(np.mean(weights**2)), rel=0.03)
    assert run.layers[0].rms_end_decay_alone < run.layers[0].rms_end


@settings(max_examples=20)
@given(factor=st.floats(0.01, 10.0))
def test_lr_down_and_decay_up_by_one_factor_leave_time_and_angle(factor):
    one = predict([Layer("w", (8, 8))], optimizer="adamw", lr=1e-3, weight_decay=0.01, n_steps=1000)
    other = predict([Layer("w", (8, 8))], optimizer="adamw", lr=1e-3 / factor, weight_decay=0.01 * factor, n_steps=1000)
    assert one.time_constant_steps == pytest.approx(other.time_constant_steps)
    assert one.start_left == pytest.approx(other.start_left)
    assert one.layers[0].angular_update == pytest.approx(other.layers[0].angular_update)
    assert one.layers[0].rms_equilibrium == pytest.approx(other.layers[0].rms_equilibrium * factor)


def test_a_schedule_counts_in_the_length_of_the_run():
    steady = predict([HIDDEN], **FOUNDING)
    falling = predict([HIDDEN], **{**FOUNDING, "lr": simulate.schedule_from_text("linear:0.1:0", 150000)})
    assert steady.n_time_constants / 2 == pytest.approx(falling.n_time_constants, rel=1e-3)
    assert steady.time_constant_steps == pytest.approx(falling.time_constant_steps)
    assert falling.steps_to_forget is None


def kinds(**changed):
    layers = changed.pop("layers", [HIDDEN])
    return {warned.kind: warned.sentence for warned in predict(layers, **{**FOUNDING, **changed}).warnings}


def test_decay_that_a_number_format_loses_is_told():
    assert "is stored as 1.00136e-05 and runs 0.13% too fast" in kinds()["number-format"]
    assert "rounds to nothing: no weight moves" in kinds(number_format="bfloat16")["number-format"]
    assert "moves only 63% of the weights" in kinds(weight_decay=0.03, number_format="bfloat16")["number-format"]
    assert "number-format" not in kinds(number_format="float64")
    late = kinds(lr=simulate.schedule_from_text("linear:0.1:0", 150000), weight_decay=0.01)["number-format"]
    assert "of the steps, where the schedule is low" in late


def test_decay_above_the_collapse_threshold_is_told():
    assert "above the collapse threshold 0.1" in kinds(weight_decay=0.2, signal_max=0.1)["collapse"]
    assert "collapse" not in kinds(weight_decay=0.09, signal_max=0.1)


def test_where_leading_formulas_fail_is_told():
    layer = [Layer("w", (30, 30), gradient_power=1.0)]
    assert "is 2.5% off; the exact one is used here" in kinds(weight_decay=0.5, layers=layer)["range"]
    assert "range" not in kinds(layers=layer)


def test_biases_adams_l2_short_runs_and_no_decay_are_told():
    assert "gain is a bias or gain under decay" in kinds(layers=[HIDDEN, Layer("gain", (30,))])["biases"]
    assert "use decoupled decay (adamw)" in kinds(optimizer="adam")["adam-l2"]
    assert "muon steps matrices only: gain" in kinds(optimizer="muon", layers=[Layer("gain", (30,))])["muon"]
    assert "still depends on how they were initialized" in kinds(n_steps=1000)["short-run"]
    assert "there is no decay" in kinds(weight_decay=0)["no-decay"]
    assert "is at most 2.303e+04" in kinds(n_classes=10)["bound"]


def test_no_decay_at_all_is_no_error():
    run = predict([Layer("w", (3, 3), gradient_power=1.0)], **{**FOUNDING, "weight_decay": 0})
    assert run.time_constant_steps is None
    assert 1.0 == run.start_left
    assert run.layers[0].rms_equilibrium is None
    assert run.layers[0].rms_start == run.layers[0].rms_end_decay_alone


def test_rounding_is_that_of_numpy():
    decays = np.array([3e-8, 2.9e-8, 1e-5, 1e-3])
    stored = 1.0 - (1.0 - decays).astype(np.float32).astype(np.float64)
    assert stored.tolist() == [simulate.rounded_decay(decay, "float32").decay_stored for decay in decays]
    weights = np.float16(2.0 ** (np.arange(512) / 512))
    moved = np.float16(weights.astype(np.float32) * np.float32(1 - 3e-4))  # as programs multiply half precision
    assert float(np.mean(moved != weights)) == pytest.approx(
        simulate.rounded_decay(3e-4, "float16").share_moving, abs=0.01
    )
    assert 1.0 == simulate.rounded_decay(2.0**-9, "float16").share_moving
    assert 0.0 == simulate.rounded_decay(2.0**-13, "float16").share_moving


def test_bounds_hold_for_updates_that_never_turn():
    bound = theory.derive("steady-direction").numeric("size_bound", update_bound=1.0, weight_decay=0.1)
    weight = 0.0
    for _ in range(5000):
        weight = (1 - 0.01 * 0.1) * weight + 0.01
        assert weight <= bound
    assert bound == pytest.approx(weight, rel=0.01)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"layers": []}, "must hold at least one simulate.Layer"),
        ({"layers": [HIDDEN, HIDDEN]}, "two layers are called 'hidden'"),
        ({"lr": -0.1}, "must be a finite number, 0 or above"),
        ({"weight_decay": 10.0}, "decay takes 1 of every weight at step 0"),
        ({"n_steps": 0}, "n_steps is 0"),
        ({"batch_size": 50001}, "from 1 to 50000"),
        ({"optimizer": "adamv"}, "did you mean 'adam' or 'adamw'"),
        ({"momentum": 0.9}, "sgd has no momentum; it takes no coefficient"),
        ({"optimizer": "adamw", "beta1": 1.0}, "beta1 is 1, but must be at least 0 and below 1"),
        ({"optimizer": "adamw", "layers": [Layer("w", (3, 3), radial_pull=1.0)]}, "no pull in units of loss acts"),
        ({"number_format": "fp8"}, "number_format is 'fp8'"),
        ({"law": "coupld"}, "law is 'coupld'"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"signal_max": -1.0}, "signal_max is -1.0"),
        ({"n_classes": 1}, "at least 2"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(changed, message):
    layers = changed.pop("layers", [HIDDEN])
    with pytest.raises(InvalidInput, match=message.replace("(", r"\(").replace("?", r"\?")):
        predict(layers, **{**FOUNDING, **changed})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("hidden", "cannot be read"),
        ("=3x4", "must be a text"),
        ("hidden=3y4", "cannot be read"),
        ("hidden=3x0", "a size in the shape of hidden is 0"),
        ("hidden=3x4,rms", "cannot be read"),
        ("hidden=3x4,rms=1,rms=2", "each once"),
        ("hidden=3x4,size=2", "cannot be read"),
        ("hidden=3x4,rms=nan", "is nan"),
        ("hidden=3x4,pull=1,unit-power=1", "scale-invariant"),
        ("hidden=99999999x99999999", "must have at most 1e"),
    ],
)
def test_a_layer_that_cannot_be_read_is_answered_in_one_sentence(text, message):
    with pytest.raises(InvalidInput, match=message):
        layer_from_text(text)


def test_a_layer_is_read_with_its_numbers():
    assert Layer("a.b", (2, 3), 1.0, -0.5, 2.0) == layer_from_text("a.b=2x3,rms=1,pull=-0.5,power=2")
