"""What ``weightdecay plan`` answers."""

import json

import pytest
from click.testing import CliRunner

from weightdecay.cli import main


def run(*arguments):
    return CliRunner().invoke(main, ["plan", *arguments])


def test_the_decay_of_the_founding_question_is_found_from_its_time_constant():
    output = run("--time-constant-epochs", "20", "--lr", "0.1", "--n-train", "50000", "--batch-size", "10").output
    assert "weight_decay 0.0001\n" == output.splitlines(keepends=True)[0]
    assert "time-constant-steps   100000" in output


def test_the_learning_rate_is_found_where_the_decay_is_given():
    told = json.loads(run("--rms", "0.02", "--optimizer", "adamw", "--weight-decay", "0.1", "--json").output)
    assert "lr" == told["solved_for"]
    assert 0.02 == pytest.approx(told["quantities"]["rms"])


def test_a_carried_setting_says_what_each_choice_does_not_keep():
    arguments = ["--optimizer", "adamw", "--lr", "3e-4", "--weight-decay", "0.1", "--n-train", "1e9"]
    output = run(*arguments, "--batch-size", "512", "--to-batch-size", "2048").output
    assert "equal time-constant: lr 0.0003, weight_decay 0.4" in output
    assert "the angular update, rad per step, goes from" in output
    told = json.loads(run(*arguments, "--batch-size", "512", "--to-batch-size", "2048", "--json").output)
    assert ["time-constant", "angular-update", "equilibrium"] == [way["kept"] for way in told["ways"]]


def test_a_way_without_solution_is_no_error():
    done = run("--optimizer", "adamw", "--lr", "1e-3", "--weight-decay", "5", "--to-optimizer", "sgd")
    assert 0 == done.exit_code
    assert "equal equilibrium: no solution: rms under sgd depends on the size of the gradients" in done.output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--lr", "0.1"], "plan wants either one of --time-constant-steps"),
        (["--lr", "0.1", "--rms", "1", "--angular-update", "1"], "plan wants either one of"),
        (["--lr", "0.1", "--rms", "1", "--to-lr", "1"], "plan wants either one of"),
        (["--lr", "0.1", "--weight-decay", "1", "--time-constant-steps", "1"], "must be left open"),
        (["--lr", "0.1", "--time-constant-steps", "0.5"], "no weight_decay makes time-constant-steps 0.5"),
        (["--lr", "0.1", "--time-constant-epochs", "5"], "also needs n_train and batch_size"),
        (["--to-lr", "0.1"], "lr and weight_decay are both needed"),
        (["--rms", "one"], "is not a valid float"),
        (
            ["--rms", "1", "--lr", "0.1", "--optimizer", "muon", "--layer", "b=10"],
            "muon updates matrices only",
        ),
        (["--lr", "0.1", "--rms", "1", "--n-train", "1.5"], "must be a whole number"),
        (["--lr", "0.1", "--rms", "1", "--layer", "fc"], "the layer 'fc' cannot be read"),
    ],
)
def test_bad_input_is_answered_in_one_sentence(arguments, message):
    done = run(*arguments)
    assert 2 == done.exit_code, done.output
    assert message in done.output
    assert "Traceback" not in done.output


def test_a_size_that_depends_on_gradients_is_told_as_not_told():
    setting = ["plan", "--optimizer", "momentum", "--lr", "0.1", "--weight-decay", "1e-4"]
    done = CliRunner().invoke(main, [*setting, "--to-optimizer", "adamw", "--to-lr", "1e-3"])
    assert 0 == done.exit_code
    told = " ".join(done.output.split())
    assert "equal equilibrium: not told: its size in equilibrium depends on its gradients" in told
    assert "whatever else can be told is kept too" in told
