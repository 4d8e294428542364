"""What ``weightdecay simulate`` answers."""

import json
import math

import numpy as np
import pytest
from click.testing import CliRunner

from weightdecay.cli import main


def run(*arguments):
    return CliRunner().invoke(main, ["simulate", *arguments])


def test_the_help_shows_how_to_ask_how_long_until_the_weights_are_in_equilibrium():
    done = run("--help")
    assert 0 == done.exit_code
    assert "# how long until my weights are in equilibrium? (here: 61 epochs, in a run of 30)" in done.output
    example = next(line for line in done.output.splitlines() if "--radial-pull 0.1" in line)
    answered = run(*example.split()[2:])
    assert 0 == answered.exit_code
    assert "Equilibrium (within 0.05) after 305507 steps, 61.1 epochs, after the end of this run" in answered.output
    assert "Share of the run spent out of equilibrium: 100.0%." in answered.output


def test_the_table_ends_with_the_closed_form():
    lines = run("--radial-pull", "0.1", "--points", "3").output.splitlines()
    names, last = lines[-4].split(), dict(zip(lines[-4].split(), map(float, lines[-1].split()), strict=True))
    assert ["step", "epoch", "lr", "decay_per_step", "norm_squared", "equilibrium", "pure_decay_floor", "rms"] == names
    expected = 1000 + 22520 * math.exp(-3)
    assert 30 == last["epoch"]
    assert expected == pytest.approx(last["norm_squared"], rel=1e-5)
    assert math.sqrt(expected / 23520) == pytest.approx(last["rms"], rel=1e-5)
    assert 23520 * math.exp(-3) == pytest.approx(last["pure_decay_floor"], rel=1e-4)


@pytest.mark.parametrize(
    "arguments",
    [["--radial-pull", "-0.1", "--epochs", "60", "--points", "5"], ["--weight-decay", "1", "--epochs", "1"]],
)
def test_no_printed_size_is_negative_or_nan(arguments):
    names, *rows = (line.split(",") for line in run(*arguments, "--format", "csv").output.splitlines())
    values = dict(zip(names, np.array(rows, dtype=float).T, strict=True))
    assert np.all(values["norm_squared"] >= 0)
    assert np.sqrt(values["norm_squared"] / 23520) == pytest.approx(values["rms"], rel=1e-8)


def test_columns_of_the_table_never_touch():
    lines = run("--lr", "step:0.123456:1e-50:at=10,20", "--steps", "30", "--points", "2").output.splitlines()
    assert all(8 == len(line.split()) for line in lines[-3:])


def test_csv_is_csv_and_nothing_else():
    output = run("--lr", "cosine:0.1:0", "--steps", "1000", "--weight-decay", "0.01", "--format", "csv").output
    names, *rows = (line.split(",") for line in output.splitlines())
    values = np.array(rows, dtype=float)
    assert (11, 8) == values.shape
    at_end = 0.05 * (1 + math.cos(math.pi * 0.999))
    assert at_end == pytest.approx(values[-1, names.index("lr")], rel=1e-6)
    assert at_end * 0.01 == pytest.approx(values[-1, names.index("decay_per_step")], rel=1e-6)


def test_json_is_one_object_in_which_what_never_comes_is_null():
    told = json.loads(run("--json").output)
    assert told["steps_to_equilibrium"] is None
    assert 1.0 == told["share_out_of_equilibrium"]
    assert 11 == len(told["norm_squared"]) == len(told["rms"]) == len(told["epoch"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--n-weights", "1000", "--radial-pull", "0.1"], "Equilibrium (within 0.05) after 0 steps, 0.0 epochs."),
        ([], "is never reached: nothing feeds the weights; give --radial-pull"),
        (["--radial-pull", "-0.1"], "is never reached: the data shrink the weights as decay does."),
        (["--radial-pull", "0.1", "--weight-decay", "0"], "is never reached: there is no decay at the end."),
        (
            ["--unit-gradient-power", "1", "--lr", "linear:0.1:0"],
            " epochs, after the end of this run if its last hyperparameters stay.",
        ),
    ],
)
def test_a_sentence_says_when_or_why_not(arguments, sentence):
    assert sentence in run(*arguments).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "fast"], "the schedule 'fast' cannot be read; it must be a number"),
        (["--lr", "-1"], "value is -1.0, but must be a finite number, 0 or above"),
        (["--weight-decay", "20"], "takes 2 of every weight at step 0"),
        (["--epochs", "nan"], "epochs is nan"),
        (["--rms", "0"], "rms is 0.0, but must be a finite number above 0"),
        (["--gradient-power", "-1"], "gradient_power is -1.0"),
        (["--radial-pull", "0.1", "--unit-gradient-power", "1"], "a scale-invariant block has no radial_pull"),
        (["--epochs", "1e300"], "the run has 5e+303 steps, but must have at most 1e+15; lower --epochs"),
        (["--epochs", "1e308"], "the run has inf steps, but must have at most 1e+15"),
        (["--steps", "1" + 20 * "0"], "--steps is 100000000000000000000, but must be a whole number from 1 to"),
        (["--n-weights", "1" + 400 * "0"], "but must be a whole number from 1 to 1000000000000000"),
        (["--rms", "1e200"], "n_weights times rms squared is inf, but must be a finite number"),
        (["--json", "--format", "csv"], "--json and --format csv are two forms of one answer; give one of them"),
        (["--steps", "0"], "--steps is 0, but must be a whole number from 1 to"),
        (["--law", "adam"], "'adam' is not one of"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_2(arguments, message):
    done = run(*arguments)
    assert 2 == done.exit_code
    assert message in done.output
    assert "Traceback" not in done.output
