"""The object that holds a derivation: proofs, numbers, errors, registry."""

import dataclasses
import importlib
import pickle
import subprocess
import sys

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from weightdecay import theory
from weightdecay.errors import InvalidInput, ProofError

HYPERPARAMETERS = {"lr": 0.1, "weight_decay": 1e-4, "n_train": 50000, "batch_size": 10}


def test_numbers_of_one_epoch_are_those_of_the_product():
    product = 1.0
    for _ in range(5000):
        product *= 1 - 0.1 * 1e-4
    assert product == pytest.approx(theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS), rel=1e-12)


def test_the_error_of_the_exponential_is_within_its_bound_and_near_it():
    claim = theory.derive("decay-per-epoch")
    decay = np.geomspace(1e-6, 0.1, 50)
    values = HYPERPARAMETERS | {"weight_decay": decay}
    exact, exponential, bound = (claim.numeric(name, **values) for name in claim.results)
    error = 1 - exact / exponential
    assert np.all(error <= bound + 1e-12)
    assert error[25] == pytest.approx(bound[25], rel=1e-2)


def test_numbers_are_float64_and_broadcast():
    claim = theory.derive("decay-per-epoch")
    assert isinstance(claim.numeric(**HYPERPARAMETERS), np.float64)
    table = claim.numeric(lr=np.full((3, 1), 0.1), weight_decay=np.ones(4) * 1e-4, n_train=50000, batch_size=10)
    assert (np.float64, (3, 4)) == (table.dtype, table.shape)


def test_a_missing_value_is_named():
    with pytest.raises(
        InvalidInput, match=r"takes batch_size, lr, n_train, weight_decay; missing: batch_size, n_train"
    ):
        theory.derive("decay-per-epoch").numeric(lr=0.1, weight_decay=1e-4)


def test_a_superfluous_value_is_named():
    with pytest.raises(InvalidInput, match="does not depend on momentum: leave that out"):
        theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS, momentum=0.9)


@pytest.mark.parametrize("wrong", ["0.1", b"0.1", None, True, 1j, [0.1, "x"], object()])
def test_what_is_no_number_is_refused(wrong):
    with pytest.raises(InvalidInput, match=r"lr is .* but must be a finite number above 0"):
        theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS | {"lr": wrong})


@given(st.floats(max_value=0) | st.sampled_from([np.nan, np.inf]))
def test_a_learning_rate_outside_its_range_is_refused(wrong):
    with pytest.raises(InvalidInput, match=r"lr is .*, but must be a finite number above 0"):
        theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS | {"lr": wrong})


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -1.0, 0.0])
@pytest.mark.parametrize("place", [0, 57, 99])
def test_one_wrong_entry_of_an_array_is_found(wrong, place):
    lr = np.full(100, 0.1)
    lr[place] = wrong
    with pytest.raises(InvalidInput, match="lr is"):
        theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS | {"lr": lr})


@pytest.mark.parametrize("shape", [(100_000,), (500, 300), (0,), (1, 1, 1)])
def test_arrays_of_any_size_give_what_the_formula_gives(shape):
    rng = np.random.default_rng(0)
    lr, pull, power = (rng.uniform(0.1, 1, shape) for _ in range(3))
    result = theory.derive("radial-step").numeric(
        "norm_squared_stationary", lr=lr, weight_decay=0.3, radial_pull=pull, gradient_power=power[..., ::-1]
    )
    assert shape == result.shape
    expected = (2 * (1 - lr * 0.3) * pull + lr * power[..., ::-1]) / (0.3 * (2 - lr * 0.3))
    np.testing.assert_allclose(result, expected, rtol=1e-13)


def test_large_tables_broadcast():
    law = theory.derive("equal-pull")
    decay, weights = np.geomspace(1e-5, 1e-2, 300)[:, None], np.arange(1.0, 301.0)
    table = law.numeric(entropy_loss_gap=0.1, weight_decay=decay, n_weights=weights)
    np.testing.assert_allclose(table, np.sqrt(0.1 / (decay * weights)), rtol=1e-13)


def test_a_wrong_value_deep_in_a_large_array_is_found():
    lr = np.full(200_000, 0.1)
    lr[-2] = 20000
    with pytest.raises(InvalidInput, match="but lr=20000, weight_decay=0.0001; a step must leave"):
        theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS | {"lr": lr})


def test_whole_numbers_are_taken_as_numbers():
    floor = theory.derive("decay-floor")
    assert 0.25 == pytest.approx(floor.numeric(lr=1, weight_decay=0.5, n_steps=1, norm_squared_start=1))
    assert np.float64 == floor.numeric("factor", lr=1, weight_decay=0.5, n_steps=np.arange(3)).dtype


def test_a_broken_condition_is_told_with_its_reason():
    with pytest.raises(
        InvalidInput, match=r"needs lr\*weight_decay < 1, but lr=0.5, weight_decay=4; a step must leave"
    ):
        theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS | {"lr": [0.1, 0.5], "weight_decay": 4})


def test_counts_have_to_be_whole():
    with pytest.raises(InvalidInput, match=r"n_steps is 2.5, but must be a whole number, 0 or above"):
        theory.derive("decay-floor").numeric("factor", lr=0.1, weight_decay=1e-4, n_steps=2.5)


def test_zero_decay_is_allowed_where_the_formula_holds():
    assert theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS | {"weight_decay": 0}) == 1.0


def test_no_finite_value_is_an_error_with_the_place():
    with pytest.raises(InvalidInput, match=r"no finite real value where .*weight_decay=0"):
        theory.derive("radial-step").numeric(
            "norm_squared_stationary", lr=0.1, weight_decay=0, radial_pull=0.1, gradient_power=1.0
        )


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(InvalidInput, match=r"do not broadcast: .*lr \(3,\)"):
        theory.derive("decay-per-epoch").numeric(**HYPERPARAMETERS | {"lr": np.ones(3) / 9, "n_train": np.ones(4)})


def test_an_unknown_quantity_or_derivation_gets_near_names():
    with pytest.raises(InvalidInput, match="did you mean 'factor_exact'"):
        theory.derive("decay-per-epoch").numeric("factor_exakt", **HYPERPARAMETERS)
    with pytest.raises(InvalidInput, match="did you mean 'decay-per-epoch'"):
        theory.derive("decay-per-epok")


def test_derivations_are_built_once_and_names_are_sorted():
    assert theory.derive("radial-step") is theory.derive("radial-step")
    assert sorted(theory.names()) == list(theory.names())


def test_importing_builds_nothing():
    code = (
        "import sys, weightdecay.theory; module = sys.modules['weightdecay.theory.registry'];"
        "assert module._BUILDERS and not module._BUILT"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_name_cannot_be_registered_twice():
    register = theory.derivation("radial-step")
    with pytest.raises(InvalidInput, match="'radial-step' is taken"):
        register(lambda: None)


def test_a_derivation_travels_to_another_process_by_name():
    claim = theory.derive("radial-step")
    assert pickle.loads(pickle.dumps(claim)) is claim
    with pytest.raises(InvalidInput, match="was changed by hand"):
        pickle.dumps(dataclasses.replace(claim, title="Another title"))


def test_the_rate_of_the_norm_without_decay_is_what_pull_and_noise_give():
    flow = theory.derive("norm-flow")
    rate = flow.numeric("rate", lr=0.1, weight_decay=0, norm_squared=10, radial_pull=0.3, gradient_power=2.0)
    assert 0.8 == pytest.approx(rate)


def test_a_derivation_is_frozen():
    claim = theory.derive("radial-step")
    with pytest.raises(dataclasses.FrozenInstanceError):
        claim.name = "other"
    with pytest.raises(TypeError):
        claim.results["norm_squared_next"] = 0


@pytest.mark.parametrize("part", ["assumptions", "steps", "results", "references"])
def test_an_incomplete_derivation_is_refused(part):
    with pytest.raises(InvalidInput, match=f"has no {part}"):
        dataclasses.replace(theory.derive("radial-step"), **{part: {} if part == "results" else ()})


def test_symbols_without_a_glossary_line_are_refused():
    with pytest.raises(InvalidInput, match="names that are neither in the glossary nor among its quantities: mystery"):
        dataclasses.replace(theory.derive("radial-step"), equation=sp.Symbol("mystery"))


def test_a_failing_proof_carries_what_failed():
    claim = theory.derive("radial-step")
    steps = tuple(
        dataclasses.replace(step, expression=sp.Eq(step.expression.lhs, 2 * step.expression.rhs, evaluate=False))
        if step.key == "stationary"
        else step
        for step in claim.steps
    )
    with pytest.raises(ProofError, match="'radial-step' does not hold at the step") as caught:
        dataclasses.replace(claim, steps=steps).check()
    assert "radial-step" == caught.value.derivation
    assert caught.value.step.startswith("Where the squared norm no longer changes")


def test_one_step_of_training_obeys_the_radial_equation():
    rng = np.random.default_rng(1)
    w, g = rng.standard_normal((2, 50))
    lr, weight_decay = 0.3, 0.2
    after = (1 - lr * weight_decay) * w - lr * g
    predicted = theory.derive("radial-step").numeric(
        lr=lr, weight_decay=weight_decay, norm_squared=w @ w, radial_pull=-(w @ g), gradient_power=g @ g
    )
    assert after @ after == pytest.approx(predicted, rel=1e-13)


def test_many_steps_accumulate_with_the_derived_weights():
    rng = np.random.default_rng(2)
    w = rng.standard_normal(20)
    lr, weight_decay, n_steps = 0.1, 0.3, 40
    radial = theory.derive("radial-step")
    values = {"lr": lr, "weight_decay": weight_decay, "n_steps": n_steps}
    predicted = radial.numeric("start_weight", **values) * (w @ w)
    pull_weights = radial.numeric("pull_weight", **values, step=np.arange(n_steps))
    noise_weights = radial.numeric("noise_weight", **values, step=np.arange(n_steps))
    for step in range(n_steps):
        g = rng.standard_normal(20)
        predicted += pull_weights[step] * -(w @ g) + noise_weights[step] * (g @ g)
        w = (1 - lr * weight_decay) * w - lr * g
    assert w @ w == pytest.approx(predicted, rel=1e-12)


def test_the_continuous_solution_reaches_a_size_at_the_derived_time():
    flow = theory.derive("norm-flow")
    values = {
        "lr": 0.1,
        "weight_decay": 1e-4,
        "radial_pull": 0.1,
        "gradient_power": 0.01,
        "norm_squared_start": 23520.0,
    }
    time = flow.numeric("time_to_norm_squared", **values, norm_squared_target=2000.0)
    assert flow.numeric("norm_squared", **values, time=time) == pytest.approx(2000.0, rel=1e-12)
    assert flow.numeric("time_constant_steps", lr=0.1, weight_decay=1e-4) == pytest.approx(50000)


def test_the_floor_of_the_founding_run():
    floor = theory.derive("decay-floor")
    values = {"lr": 0.1, "weight_decay": 1e-4}
    assert floor.numeric("variance", **values, n_steps=150000, variance_start=1.0) == pytest.approx(
        np.exp(-3), rel=1e-4
    )
    epochs = floor.numeric("n_steps_to_size", **values, size_start=1.0, size=np.array([784, 23820]) ** -0.5) / 5000
    assert epochs == pytest.approx([66.6, 100.8], abs=0.1)


def test_the_steps_to_a_size_keep_their_digits_when_decay_is_tiny():
    steps = theory.derive("decay-floor").numeric("n_steps_to_size", lr=1e-3, weight_decay=1e-9, size_start=1, size=0.5)
    assert np.log(2) * 1e12 == pytest.approx(steps, rel=1e-12)


def test_the_bare_function_takes_the_arguments_in_their_order_and_agrees_with_the_checked_numbers():
    epoch = theory.derive("decay-per-epoch")
    for quantity in (None, *epoch.results):
        names = epoch.arguments(quantity)
        values = [HYPERPARAMETERS[name] for name in names]
        expected = epoch.numeric(quantity, **dict(zip(names, values, strict=True)))
        assert expected == epoch.function(quantity)(*values)
    pulled = theory.derive("norm-flow").function("rate")(0.0, 0.1, np.array([[1.0], [2.0]]), np.ones(3), 0.5)
    np.testing.assert_array_equal([[1.0] * 3, [0.0] * 3], pulled)
    with pytest.raises(InvalidInput, match="quantity of 'decay-per-epoch' is 'factors', but must be one of"):
        epoch.function("factors")


def test_the_glossary_is_a_table_with_every_quantity():
    table = theory.glossary_markdown().splitlines()
    assert len(theory.GLOSSARY) + 2 == len(table)
    assert {5} == {line.count(" | ") + 1 for line in table[2:]}


def test_what_modules_of_theory_export_is_there_once():
    for name in ("theory", "theory.derivation", "theory.registry", "theory.notation", "theory.proofs"):
        module = importlib.import_module(f"weightdecay.{name}")
        assert len(set(module.__all__)) == len(module.__all__)
        assert all(hasattr(module, public) for public in module.__all__)


def _with_text(part, text):
    flow = theory.derive("norm-flow")
    step, stability = flow.steps[0], flow.stability[0]
    return {
        "step": lambda: dataclasses.replace(flow, steps=(dataclasses.replace(step, expression=text), *flow.steps[1:])),
        "equation": lambda: dataclasses.replace(flow, equation=text),
        "result": lambda: dataclasses.replace(flow, results={**flow.results, "rate": text}),
        "unknown": lambda: dataclasses.replace(flow, fixed_points=({text: sp.S.One},)),
        "value": lambda: dataclasses.replace(flow, fixed_points=({sp.Symbol("norm_squared"): text},)),
        "state": lambda: dataclasses.replace(flow, stability=(dataclasses.replace(stability, state=text),)),
        "jacobian": lambda: dataclasses.replace(flow, stability=(dataclasses.replace(stability, jacobian=text),)),
        "stable": lambda: dataclasses.replace(flow, stability=(dataclasses.replace(stability, stable=text),)),
        "condition": lambda: dataclasses.replace(flow, conditions=(theory.Condition(text, "why"),)),
    }[part]


@pytest.mark.parametrize(
    "part", ["step", "equation", "result", "unknown", "value", "state", "jacobian", "stable", "condition"]
)
def test_text_in_the_place_of_a_formula_is_refused_and_never_run(part, tmp_path):
    written = tmp_path / "ran"
    with pytest.raises(InvalidInput, match=r"must be a SymPy"):
        _with_text(part, f"__import__('pathlib').Path({str(written)!r}).touch()")().check()
    assert not written.exists()


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: theory.derive(["a"]), "derivation is .*'a'.*, but must be a name"),
        (lambda: theory.symbols_of("foo"), "quantity is 'foo', but must be one of"),
        (lambda: theory.symbols_of(3), "names is 3, but must be text"),
        (lambda: theory.quantity(3, "x", "x", "1", "x"), "the name of a quantity is 3, but must be"),
    ],
)
def test_names_that_are_none_are_refused(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


def test_the_factor_at_rest_has_no_condition_that_says_nothing():
    assert () == theory.derive("squared-error-rescaling").conditions
