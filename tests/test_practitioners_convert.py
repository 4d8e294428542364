"""One regularizer in every program's own parameter."""

import json
import math

import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st

from weightdecay import theory
from weightdecay.cli import main
from weightdecay.errors import InvalidInput
from weightdecay.theory.same_regularizer import OTHER_NAMES

RUN = {"lr": 0.1, "lr_max": 0.4, "n_train": 50000, "batch_size": 10}
NAMES = tuple(theory.CONVENTIONS)
every_pair = pytest.mark.parametrize(("source", "target"), [(one, other) for one in NAMES for other in NAMES])


def run(*arguments):
    return CliRunner().invoke(main, ["convert", *arguments])


@every_pair
@settings(max_examples=20)
@given(weight_decay=st.floats(1e-12, 9.9))
def test_there_and_back_is_the_same_parameter(source, target, weight_decay):
    value = theory.conversions(weight_decay, "pytorch", **RUN).parameters[source]
    there = theory.conversions(value, source, **RUN).parameters[target]
    assert value == pytest.approx(theory.conversions(there, target, **RUN).parameters[source], rel=1e-12)


@pytest.mark.parametrize("source", NAMES)
def test_the_triple_is_the_same_by_every_name(source):
    first = theory.conversions(5, "nielsen", **RUN)
    other = theory.conversions(first.parameters[source], source, **RUN)
    for name in ("decay_per_step", "factor_per_epoch", "time_constant_steps", "time_constant_epochs"):
        assert getattr(first, name) == pytest.approx(getattr(other, name), rel=1e-12)


def test_the_founding_question_has_the_values_of_every_program():
    found = theory.conversions(5, "nielsen", lr=0.1, n_train=50000, batch_size=10)
    expected = {
        "nielsen": 5,
        "pytorch": 1e-4,
        "keras": 5e-5,
        "scikit-learn": 1e-3,
        "scikit-learn-lbfgs": 5,
        "fully-decoupled": 1e-5,
        "adamc": 1e-4,
    }
    assert expected == pytest.approx(dict(found.parameters), rel=1e-12)
    assert 1e-5 == pytest.approx(found.decay_per_step)
    assert math.exp(-0.05) == pytest.approx(found.factor_per_epoch, rel=1e-6)
    assert (1e5, 20) == pytest.approx((found.time_constant_steps, found.time_constant_epochs))


@given(factor=st.floats(1e-3, 1e3))
def test_lr_up_and_decay_down_by_one_factor_leave_the_triple(factor):
    one = theory.conversions(1e-4, "pytorch", lr=0.1, n_train=1000, batch_size=10)
    other = theory.conversions(1e-4 / factor, "pytorch", lr=0.1 * factor, n_train=1000, batch_size=10)
    assert one.factor_per_epoch == pytest.approx(other.factor_per_epoch, rel=1e-9)
    assert one.time_constant_steps == pytest.approx(other.time_constant_steps, rel=1e-12)


def test_what_is_missing_is_named_and_the_rest_converted():
    found = theory.conversions(0.1, "pytorch", lr=1e-3)
    assert ("n_train",) == found.missing["nielsen"]
    assert found.parameters["nielsen"] is None
    assert found.factor_per_epoch is None
    assert 0.05 == found.parameters["keras"]
    assert any("Give n_train, batch_size" in note for note in found.notes)


def test_no_decay_has_no_time_constant():
    found = theory.conversions(0, "keras", **RUN)
    assert found.time_constant_steps is None
    assert 1.0 == found.factor_per_epoch


@pytest.mark.parametrize(
    ("source", "optimizer", "differing", "words"),
    [
        ("pytorch", "sgd", (), ""),
        ("pytorch", "adam", ("adamc", "fully-decoupled"), "by the root of its second moment"),
        ("keras", "adamw", ("adamc", "fully-decoupled"), "decoupled decay takes the same part"),
        ("pytorch", "adamw", ("keras", "nielsen", "scikit-learn", "scikit-learn-lbfgs"), "decoupled decay takes"),
        ("pytorch", "momentum", ("adamc", "fully-decoupled"), "10 times as fast as decoupled decay"),
    ],
)
def test_conventions_that_are_another_regularizer_are_named(source, optimizer, differing, words):
    found = theory.conversions(0.1, source, optimizer=optimizer, **RUN)
    assert differing == tuple(found.not_equivalent)
    assert all(words in why for why in found.not_equivalent.values())


def test_momentum_speeds_a_penalty_up_as_heavy_ball_relaxes():
    found = theory.conversions(1e-4, "pytorch", optimizer="momentum", momentum=0.75, **RUN)
    assert "4 times as fast" in found.not_equivalent["adamc"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from", "pytorhc", "--value", "1"], "did you mean 'pytorch'?"),
        (["--from", "pytorch", "--value", "nan"], "is nan, but must be a finite number, 0 or above"),
        (["--from", "pytorch", "--value", "-1"], "is -1.0, but must be a finite number, 0 or above"),
        (["--from", "nielsen", "--value", "5"], "also needs n_train"),
        (["--from", "pytorch", "--value", "1", "--optimizer", "adamv"], "did you mean 'adam' or 'adamw'"),
        (["--from", "pytorch", "--value", "1", "--lr", "0"], "lr is 0.0, but must be a finite number above 0"),
        (["--from", "pytorch", "--value", "1", "--n-train", "10", "--batch-size", "11"], "from 1 to 10"),
        (["--from", "pytorch", "--value", "1", "--to", "torhc"], "convention is 'torhc'"),
        (["--from", "pytorch", "--value", "1", "--optimizer", "momentum", "--momentum", "1"], "must be below 1"),
        (
            ["--from", "pytorch", "--value", "11", "--lr", "0.1", "--n-train", "9", "--batch-size", "2"],
            "decay would take 1.1 of",
        ),
        (["--from", "pytorch", "--value", "1", "--lr", "0.1", "--lr-max", "0.01"], "--lr-max is 0.01, but must be at"),
        (["--value", "1"], "Missing option '--from'"),
        (["--from", "pytorch", "--value", "1e-4x"], "is not a valid float"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(arguments, message):
    done = run(*arguments)
    assert 2 == done.exit_code, done.output
    assert message in done.output
    assert "Traceback" not in done.output


def test_the_command_prints_what_the_function_returns():
    told = json.loads(run("--from", "sklearn", "--value", "1e-3", "--batch-size", "10", "--json").output)
    assert 1e-4 == pytest.approx(told["parameters"]["pytorch"])
    one = json.loads(
        run("--from", "sklearn", "--value", "1e-3", "--batch-size", "10", "--to", "keras", "--json").output
    )
    assert {"keras": 5e-5} == pytest.approx(one["parameters"])
    table = run("--from", "torch", "--value", "0.1", "--optimizer", "adamw").output
    assert "nielsen             lmbda                   needs n_train  (not equivalent, see below)" in table
    assert "Not equivalent: nielsen, keras, scikit-learn, scikit-learn-lbfgs: decoupled decay takes" in table


def test_names_that_programs_are_known_by_are_understood():
    for name, convention in OTHER_NAMES.items():
        assert convention == theory.convention_name(name)
    with pytest.raises(InvalidInput, match="must be one of"):
        theory.convention_name("caffe")


def test_what_cannot_be_told_says_what_it_needs_and_momentum_its_own_time():
    from click.testing import CliRunner

    from weightdecay.cli import main

    bare = CliRunner().invoke(main, ["convert", "--from", "pytorch", "--value", "0.1"]).output
    assert "time constant       needs lr; in epochs n_train and batch_size too" in bare
    assert "?" not in bare
    none = CliRunner().invoke(main, ["convert", "--from", "pytorch", "--value", "0", "--lr", "1"]).output
    assert "time constant       none, since nothing decays" in none
    found = theory.conversions(1e-4, "pytorch", lr=0.1, optimizer="momentum")
    assert any("to 1/e within 10000 steps." in note for note in found.notes)
