"""Hyperparameters for what is wanted, and carried from one setting to another."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightdecay.errors import InvalidInput
from weightdecay.simulate import WANTED, Layer, Setting, carry, plan, predict

FED = Layer("block", (16, 16), gradient_power=1.0)
EPOCH = {"n_train": 1000, "batch_size": 10}
AIMS = {"time-constant-steps": 3000.0, "time-constant-epochs": 30.0, "rms": 0.5, "angular-update": 0.02}


def predicted(found, optimizer):
    run = predict([FED], optimizer=optimizer, lr=found.lr, weight_decay=found.weight_decay, n_steps=1000, **EPOCH)
    return {
        "time-constant-steps": run.time_constant_steps,
        "time-constant-epochs": run.time_constant_epochs,
        "rms": run.layers[0].rms_equilibrium,
        "angular-update": run.layers[0].angular_update,
    }


@pytest.mark.parametrize("wanted", WANTED)
@pytest.mark.parametrize("open_one", ["lr", "weight_decay"])
@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "sgdw", "adamw", "signum", "lion", "muon"])
def test_plan_then_predict_returns_what_was_wanted(wanted, open_one, optimizer):
    hyperparameters = {"lr": 0.01, "weight_decay": 0.01, open_one: None}
    found = plan(Setting(optimizer=optimizer, layer=FED, **hyperparameters, **EPOCH), wanted, AIMS[wanted])
    assert open_one == found.solved_for
    assert AIMS[wanted] == pytest.approx(predicted(found, optimizer)[wanted], rel=1e-9)


@settings(max_examples=25)
@given(lr=st.floats(1e-6, 1.0), aim=st.floats(10.0, 1e8))
def test_any_time_constant_has_its_decay(lr, aim):
    found = plan(Setting(lr, None), "time-constant-steps", aim)
    assert aim == pytest.approx(1 / (lr * found.weight_decay), rel=1e-9)


@settings(max_examples=25)
@given(factor=st.floats(0.01, 100.0))
def test_the_angle_wanted_does_not_depend_on_how_lr_and_decay_share_it(factor):
    products = [
        found.lr * found.weight_decay
        for found in (plan(Setting(lr, None, "adamw"), "angular-update", 0.003) for lr in (1e-3, 1e-3 * factor))
    ]
    assert products[0] == pytest.approx(products[1], rel=1e-8)


def test_adam_with_l2_has_a_plan_too():
    found = plan(Setting(None, 0.01, "adam", layer=FED), "rms", 0.02)
    run = predict([FED], optimizer="adam", lr=found.lr, weight_decay=0.01, n_steps=10)
    assert 0.02 == pytest.approx(run.layers[0].rms_equilibrium)


def test_what_no_value_reaches_is_said_with_what_is_reached():
    with pytest.raises(InvalidInput, match=r"no weight_decay makes rms 1e-09: .* it goes from 0\.0\d+ to"):
        plan(Setting(1e-3, None, "adamw"), "rms", 1e-9)
    with pytest.raises(InvalidInput, match="no weight_decay makes time-constant-steps 0.5"):
        plan(Setting(1e-3, None), "time-constant-steps", 0.5)


def test_carrying_to_a_larger_batch_keeps_the_time_in_epochs_with_decay_in_proportion():
    old = Setting(3e-4, 0.1, "adamw", n_train=10**6, batch_size=100)
    time, angle, size = carry(old, Setting(3e-4, None, "adamw", n_train=10**6, batch_size=400))
    assert 0.4 == pytest.approx(time.weight_decay)
    assert time.before["time-constant-epochs"] == pytest.approx(time.after["time-constant-epochs"])
    assert any("angular update, rad per step, goes from" in change for change in time.not_kept)
    assert 0.1 == pytest.approx(angle.weight_decay)
    assert any("time constant in epochs goes from" in change and "(4 times)" in change for change in angle.not_kept)
    assert 0.1 == pytest.approx(size.weight_decay)


def test_carrying_to_the_same_setting_changes_nothing():
    old = Setting(3e-4, 0.1, "adamw", **EPOCH)
    for way in carry(old, Setting(3e-4, None, "adamw", **EPOCH)):
        assert 0.1 == pytest.approx(way.weight_decay)
        assert () == way.not_kept


def test_carrying_there_and_back_returns_the_decay():
    old = Setting(0.1, 1e-4, "momentum", layer=FED, **EPOCH)
    there = Setting(1e-3, None, "adamw", layer=FED, **EPOCH)
    for way in carry(old, there):
        found = Setting(1e-3, way.weight_decay, "adamw", layer=FED, **EPOCH)
        back = {one.kept: one for one in carry(found, Setting(0.1, None, "momentum", layer=FED, **EPOCH))}
        assert 1e-4 == pytest.approx(back[way.kept].weight_decay, rel=1e-8)


def test_another_width_can_keep_the_size_of_activations():
    old = Setting(1e-3, 0.1, "adamw", layer=Layer("w", (64, 64)))
    ways = {way.kept: way for way in carry(old, Setting(1e-3, None, "adamw", layer=Layer("w", (256, 256))))}
    assert ["time-constant", "angular-update", "equilibrium", "activation"] == list(ways)
    assert ways["equilibrium"].before["rms"] / 2 == pytest.approx(ways["activation"].after["rms"])


def test_a_size_that_cannot_be_kept_is_said():
    old = Setting(1e-3, 5.0, "adamw", layer=FED)
    ways = {way.kept: way for way in carry(old, Setting(50.0, None, "adamw", layer=FED))}
    assert ways["equilibrium"].weight_decay is None
    assert "no weight_decay makes rms" in ways["equilibrium"].problem
    unfed = Layer("block", (16, 16))
    size = next(way for way in carry(old, Setting(0.1, None, "sgd", layer=unfed)) if way.kept == "equilibrium")
    assert "depends on the size of the gradients" in size.problem


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plan(Setting(0.1, 0.1), "rms", 1), "exactly one of lr and weight_decay must be left open"),
        (lambda: plan(Setting(None, None), "rms", 1), "exactly one of lr and weight_decay must be left open"),
        (lambda: plan(Setting(0.1, None), "rsm", 1), "did you mean 'rms'"),
        (lambda: plan(Setting(0.1, None), "rms", -1), "the wanted rms is -1"),
        (lambda: plan(Setting(0.1, None), "rms", 1), "depends on the size of the gradients"),
        (lambda: plan(Setting(0.1, None), "time-constant-epochs", 1), "also needs n_train and batch_size"),
        (lambda: Setting(-0.1, None), "lr is -0.1"),
        (lambda: Setting(0.1, None, layer="fc"), "must be a simulate.Layer"),
        (lambda: Setting(0.1, None, coefficients={"beta1": 0.9}), "sgd has no beta1"),
        (lambda: Setting(0.1, None).quantities(), "lr and weight_decay are both needed"),
        (lambda: carry(Setting(0.1, 0.1), Setting(None, None)), "lr of the new setting is needed"),
        (lambda: carry(Setting(0.1, 0.1), Setting(0.1, 0.1)), "it is what is to be found"),
        (lambda: carry(Setting(0.1, 0.1), Setting(0.1, None, **EPOCH)), "n_train and batch_size of both"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


def test_activation_is_the_size_times_the_root_of_the_fan_in():
    found = Setting(1e-3, 0.1, "adamw", layer=Layer("w", (8, 100))).quantities()
    assert 10 * found["rms"] == pytest.approx(found["activation"])
    assert Setting(1e-3, 0.1, "adamw", layer=Layer("b", (8,))).quantities()["activation"] is None
    assert math.isclose(1e4, found["time-constant-steps"])
