"""The theory held against a user's own log."""

import contextlib
import json
import math
import tracemalloc
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from weightdecay import simulate, validate
from weightdecay.errors import DataError, InvalidInput, WeightDecayError
from weightdecay.validate import diagnose, read_log

RUN = {"lr": 0.1, "weight_decay": 0.01}


def curve(start=100.0, rest=10.0, n_steps=3000, every=10):
    run = simulate.norm_trajectory(
        norm_squared_start=start, radial_pull=rest * 0.01, n_steps=n_steps, n_points=n_steps // every + 1, **RUN
    )
    return run.step, run.norm_squared


def written(folder, columns, name="log.csv"):
    path = folder / name
    names = list(columns)
    rows = [",".join(map(str, row)) for row in zip(*columns.values(), strict=True)]
    path.write_text("\n".join([",".join(names), *rows]) + "\n")
    return path


def long_log(folder, size="norm_squared", **others):
    step, norm_squared = curve()
    values = {"norm_squared": norm_squared, "norm": norm_squared**0.5, "rms": (norm_squared / 50) ** 0.5}[size]
    return written(folder, {"step": step.astype(int), "layer": ["fc"] * step.size, size: values, **others})


@pytest.mark.parametrize("rest", [10.0, 400.0])
@pytest.mark.parametrize("n_steps", [1000, 8000])
def test_where_a_layer_is_heading_is_found(tmp_path, rest, n_steps):
    step, norm_squared = curve(rest=rest, n_steps=n_steps)
    layers = {"step": step, "layer": ["fc"] * step.size, "norm_squared": norm_squared}
    found = diagnose(written(tmp_path, layers), **RUN).layers[0]
    assert rest == pytest.approx(found.norm_squared_fitted, rel=1e-6)
    assert rest / norm_squared[-1] == pytest.approx(found.pull_to_decay, rel=1e-6)
    assert 100 * math.exp(-2 * 0.001 * n_steps) == pytest.approx(found.norm_squared_alone, rel=1e-9)
    run = simulate.norm_trajectory(norm_squared_start=100.0, radial_pull=rest * 0.01, n_steps=n_steps, **RUN)
    if n_steps == 1000:
        assert ("falling" if rest < 100 else "growing") == found.state
        assert run.steps_to_equilibrium == pytest.approx(n_steps + found.steps_to_equilibrium, rel=1e-6)
    else:
        assert "equilibrium" == found.state
        assert run.steps_to_equilibrium == pytest.approx(found.reached_step, abs=10)
        assert 0 == found.steps_to_equilibrium


@pytest.mark.parametrize("size", ["norm_squared", "norm", "rms"])
def test_every_size_is_the_same_layer(tmp_path, size):
    found = diagnose(long_log(tmp_path, size), shapes={"fc": (5, 10)}, **RUN).layers[0]
    assert 10 == pytest.approx(found.norm_squared_fitted, rel=1e-6)
    assert 50 == found.n_weights


def test_an_rms_without_shapes_is_told_per_weight(tmp_path):
    found = diagnose(long_log(tmp_path, "rms"), **RUN).layers[0]
    assert 10 / 50 == pytest.approx(found.norm_squared_fitted, rel=1e-6)
    assert found.n_weights is None
    assert found.norm_squared_predicted is None
    assert "mean square" in found.verdict


@settings(max_examples=20, deadline=None)
@given(factor=st.floats(1e-3, 1e3))
def test_norms_in_another_unit_change_no_verdict(tmp_path_factory, factor):
    folder = tmp_path_factory.mktemp("log")
    step, norm_squared = curve()
    one, other = (
        diagnose(written(folder, {"step": step, "layer": ["fc"] * step.size, "norm_squared": sizes}), **RUN).layers[0]
        for sizes in (norm_squared, norm_squared * factor)
    )
    assert one.state == other.state
    assert one.pull_to_decay == pytest.approx(other.pull_to_decay)
    assert one.norm_squared_fitted * factor == pytest.approx(other.norm_squared_fitted)
    assert one.steps_to_equilibrium == pytest.approx(other.steps_to_equilibrium, rel=1e-6)


def test_a_learning_rate_in_the_log_may_fall(tmp_path):
    schedule = simulate.schedule_from_text("linear:0.1:0", 4000)
    run = simulate.norm_trajectory(
        norm_squared_start=100.0, radial_pull=0.1, lr=schedule, weight_decay=0.01, n_steps=4000, n_points=4001
    )
    log = {"step": run.step, "layer": ["fc"] * 4001, "norm_squared": run.norm_squared, "lr": run.lr}
    found = diagnose(written(tmp_path, log), weight_decay=0.01).layers[0]
    assert 10 == pytest.approx(found.norm_squared_fitted, rel=1e-3)
    alone = 100 * math.exp(-2 * 0.01 * run.lr[:-1].sum())
    assert alone == pytest.approx(found.norm_squared_alone, rel=1e-9)
    stepwise = simulate.pure_decay_floor(100.0, schedule, 0.01, 4000)[-1]
    assert stepwise == pytest.approx(alone, rel=0.01 * 0.1 * 4)  # time is continuous: off by decay per step x decay


@pytest.mark.parametrize("kind", ["csv", "semicolons", "tabs", "jsonl", "npz", "quoted", "crlf"])
def test_every_form_of_a_log_is_the_same_log(tmp_path, kind):
    step, norm_squared = curve()
    columns = {"step": step, "layer": ["fc"] * step.size, "norm_squared": norm_squared}
    expected = diagnose(written(tmp_path, columns), **RUN).layers[0]
    path = tmp_path / f"other.{kind if kind in ('jsonl', 'npz') else 'csv'}"
    text = written(tmp_path, columns).read_text()
    if kind == "jsonl":
        rows = zip(*(np.asarray(values).tolist() for values in columns.values()), strict=True)
        path.write_text("\n".join(json.dumps(dict(zip(columns, row, strict=True))) for row in rows))
    elif kind == "npz":
        np.savez(path, **columns)
    elif kind == "quoted":
        path.write_text(text.replace(",fc,", ',"fc",'))
    else:
        change = {"csv": (",", ","), "semicolons": (",", ";"), "tabs": (",", "\t"), "crlf": ("\n", "\r\n")}[kind]
        path.write_bytes(text.replace(*change).encode())
    found = diagnose(path, **RUN).layers[0]
    assert "fc" == found.name
    assert expected.verdict == found.verdict


def test_a_wide_log_has_a_layer_for_each_column(tmp_path):
    step, norm_squared = curve()
    path = written(tmp_path, {"iter": step, "norm/a": norm_squared**0.5, "norm/b": norm_squared**0.5 * 2, "loss": step})
    found = diagnose(path, columns={"step": "iter"}, layer_columns="^norm/(.*)", **RUN)
    assert ["a", "b"] == [layer.name for layer in found.layers]
    assert "norm" == found.size
    assert 40 == pytest.approx(found.layer("b").norm_squared_fitted, rel=1e-6)


def test_a_long_log_is_thinned_and_keeps_its_means(tmp_path):
    steps = np.arange(50_000)
    norms = 10.0 + 90.0 * np.exp(-2e-3 * steps)
    power = 1.0 + steps % 2
    log = {"step": steps, "layer": ["fc"] * steps.size, "norm_squared": norms, "gradient_norm": power}
    layer = read_log(written(tmp_path, log)).layers[0]
    assert 1024 <= layer.step.size < 2049
    assert (0, 49_999) == (layer.step[0], layer.step[-1])
    assert 2.5 == pytest.approx(np.nanmean(layer.gradient_power[2:-1]))


def test_what_is_no_number_is_counted_and_kept_out(tmp_path):
    path = long_log(tmp_path)
    lines = path.read_text().splitlines()
    lines[5:8] = ["40,fc,nan", "50,fc,", "60,fc,inf"]
    lines += ["3010,fc", "not a step,fc,10"]
    path.write_text("\n".join(lines) + "\n")
    found = diagnose(path, **RUN)
    assert 5 == found.n_left_out
    assert 303 == found.n_rows
    assert 10 == pytest.approx(found.layers[0].norm_squared_fitted, rel=1e-6)


def test_hyperparameters_and_sizes_come_from_the_log_if_it_has_them(tmp_path):
    step, norm_squared = curve()
    same = {"layer": ["fc"] * step.size, "lr": [0.1] * step.size, "weight_decay": [0.01] * step.size}
    path = written(tmp_path, {"step": step, "norm_squared": norm_squared, **same, "n_weights": [50] * step.size})
    found = diagnose(path)
    assert 1000 == pytest.approx(found.time_constant_steps)
    assert 50 == found.layers[0].n_weights


def test_normalizing_optimizers_have_a_predicted_equilibrium(tmp_path):
    found = diagnose(long_log(tmp_path), optimizer="adamw", shapes={"fc": (5, 10)}, **RUN).layers[0]
    run = simulate.predict([simulate.Layer("fc", (5, 10))], optimizer="adamw", n_steps=10, **RUN)
    assert run.layers[0].norm_squared_equilibrium == pytest.approx(found.norm_squared_predicted)


def test_momentum_makes_a_penalty_decay_faster(tmp_path):
    path = long_log(tmp_path)
    slow = diagnose(path, **RUN)
    fast = diagnose(path, lr=0.01, weight_decay=0.01, optimizer="momentum")
    assert slow.time_constant_steps == pytest.approx(fast.time_constant_steps)
    assert slow.layers[0].norm_squared_fitted == pytest.approx(fast.layers[0].norm_squared_fitted)


def test_the_output_layer_rests_where_its_under_confidence_holds_it(tmp_path):
    step, norm_squared = curve()
    entropies = {"cross_entropy": [0.2] * step.size, "entropy": [0.3] * step.size}
    log = {"step": step, "layer": ["out"] * step.size, "norm_squared": norm_squared, **entropies}
    path = written(tmp_path, log)
    found = diagnose(path, shapes={"out": (10, 5)}, output_layer="out", **RUN).layers[0]
    assert 10 == pytest.approx(found.norm_squared_by_gap, rel=0.01)
    assert diagnose(path, shapes={"out": (10, 5)}, **RUN).layers[0].norm_squared_by_gap is None


def test_states_without_an_equilibrium_are_told(tmp_path):
    step = np.arange(0, 3000, 10)
    falling = np.maximum(100 - 0.05 * step, 1.0)
    log = written(tmp_path, {"step": step, "layer": ["fc"] * step.size, "norm_squared": falling})
    assert "shrinking" == diagnose(log, lr=0.1, weight_decay=1e-3).layers[0].state
    assert "no-decay" == diagnose(log, lr=0.1, weight_decay=0.0).layers[0].state
    early = diagnose(log, lr=0.1, weight_decay=1e-6).layers[0]
    assert "unknown" == early.state
    assert "too short against the time constant" in early.verdict


def test_three_rows_are_too_few_to_tell_and_no_error(tmp_path):
    log = written(tmp_path, {"step": [0, 1, 2], "layer": ["fc"] * 3, "norm": [3, 2, 1]})
    assert "unknown" == diagnose(log, **RUN).layers[0].state


def spoiled(folder, change):
    path = long_log(folder)
    path.write_text(change(path.read_text()))
    return path


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda p: p / "none.csv", "none.csv cannot be read (no such file or directory)"),
        (lambda p: p, "is a folder, but must be a csv, jsonl or npz file"),
        (lambda p: spoiled(p, lambda _: ""), "log.csv is empty"),
        (lambda p: spoiled(p, lambda text: text.splitlines()[0]), "has no rows below the names"),
        (lambda p: spoiled(p, lambda text: "\n" + text), "begins with an empty line"),
        (lambda p: spoiled(p, lambda text: text.replace("step", "stp")), "no column 'step' for the step; it has: stp"),
        (lambda p: spoiled(p, lambda text: text.replace("layer", "lyr")), "no column 'layer' for the layer"),
        (lambda p: spoiled(p, lambda text: text.replace("norm_squared", "size")), "norm, norm_squared or rms"),
        (
            lambda p: spoiled(p, lambda text: text.replace("layer,norm_squared", "norm,norm_squared")),
            "sizes in two units",
        ),
        (lambda p: spoiled(p, lambda text: text.replace("layer", "step")), "two columns called 'step'"),
        (lambda p: spoiled(p, lambda text: text + "3000,fc,10\n"), "two rows at step 3000: two layers of one name"),
        (lambda p: spoiled(p, lambda text: text + "5,fc,10\n"), "go back from 3000 to 5"),
        (lambda p: spoiled(p, lambda text: text + "3010,fc,-1\n"), "size of layer 'fc' is -1 at step 3010"),
        (lambda p: spoiled(p, lambda text: text.replace("0,fc,", "x,fc,")), "no row in which both step and size"),
        (lambda p: spoiled(p, lambda text: text + "a" * (6 << 20)), "a line of more than"),
    ],
)
def test_a_log_that_cannot_be_used_is_answered_in_one_sentence(tmp_path, make, message):
    with pytest.raises(WeightDecayError) as answered:
        diagnose(make(tmp_path), **RUN)
    assert message in str(answered.value)


@pytest.mark.parametrize(
    ("content", "name", "message"),
    [
        (bytes(range(256)) * 50, "log.csv", "is no text"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "log", "is no text"),
        (b"PK\x03\x04" + bytes(100), "log.npz", "is no npz file"),
        (b"step,norm\n", "log.npz", "is no npz file"),
        (b"[1, 2]\n", "log.jsonl", "its first line is no JSON object"),
        (b"{" * 100_000, "log.jsonl", "its first line is no JSON object"),
    ],
)
def test_junk_is_answered_in_one_sentence(tmp_path, content, name, message):
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(DataError, match=message):
        diagnose(path, **RUN)


def test_an_npz_is_checked_before_it_is_read(tmp_path):
    step, norm_squared = curve()
    path = tmp_path / "log.npz"
    np.savez(path, step=step, layer=np.array(["fc"] * step.size, dtype=object), norm=norm_squared)
    with pytest.raises(DataError, match="holds Python objects, which are never read"):
        diagnose(path, **RUN)
    np.savez(path, step=step, layer=["fc"], norm=norm_squared)
    with pytest.raises(DataError, match="have different lengths: step 301, layer 1, norm 301"):
        diagnose(path, **RUN)
    np.savez(path, step=step, layer=["fc"] * step.size, norm=np.ones((step.size, 2)))
    with pytest.raises(DataError, match="must be one row of numbers or names"):
        diagnose(path, **RUN)
    np.savez(path, step=step)
    with zipfile.ZipFile(path) as archive:
        whole = archive.read("step.npy")
    header = whole.replace(b"(301,)", b"(900000000000,)").replace(b" " * 9 + b"\n", b"\n", 1)
    with zipfile.ZipFile(path, "w") as archive:
        for name in ("step", "layer", "norm"):
            archive.writestr(f"{name}.npy", header)
    with pytest.raises(DataError):
        diagnose(path, **RUN)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": None}, "no column lr; give the lr of the run"),
        ({"weight_decay": None}, "no column weight_decay; give"),
        ({"lr": 0.0}, "lr is 0.0"),
        ({"weight_decay": -1}, "weight_decay is -1"),
        ({"optimizer": "adam"}, "sends decay through its normalizer"),
        ({"optimizer": "sgdd"}, "did you mean"),
        ({"size": "norm"}, "is called norm_squared, but the size given is norm; which is it?"),
        ({"size": "volume"}, "size is 'volume'"),
        ({"columns": {"step": "time"}}, "no column 'time' for the step; it has: step, layer, norm_squared"),
        ({"columns": {"stp": "step"}}, "did you mean 'step'"),
        ({"columns": {"size": "step"}}, "the size column 'step' does not say what it holds"),
        ({"shapes": {"fx": (5, 10)}}, "a layer of log.csv is 'fx', but must be one of: fc"),
        ({"output_layer": "out"}, "output_layer is 'out'"),
        ({"layer_columns": "("}, "is no regular expression"),
        ({"layer_columns": "weight.*"}, "no column 'weight.*' for the layers"),
        ({"tolerance": 0}, "tolerance is 0"),
        ({"n_train": 5, "batch_size": 6}, "from 1 to 5"),
        ({"momentum": 0.9}, "sgd has no momentum"),
    ],
)
def test_options_that_do_not_fit_the_log_are_answered_in_one_sentence(tmp_path, options, message):
    with pytest.raises(InvalidInput) as answered:
        diagnose(long_log(tmp_path), **{**RUN, **options})
    assert message in str(answered.value)


def test_hyperparameters_that_contradict_the_log_are_refused(tmp_path):
    step, norm_squared = curve()
    same = {"lr": [0.1] * step.size, "weight_decay": [0.01] * step.size, "n_weights": [50] * step.size}
    log = {"step": step, "layer": ["fc"] * step.size, "norm_squared": norm_squared, **same}
    path = written(tmp_path, log)
    with pytest.raises(InvalidInput, match="lr is 0.2, but the log says 0.1 at step 0"):
        diagnose(path, lr=0.2)
    with pytest.raises(InvalidInput, match="weight_decay is 0.02, but the log says 0.01"):
        diagnose(path, weight_decay=0.02)
    with pytest.raises(InvalidInput, match="fc has 50 weights in the log, but 60 by its shape"):
        diagnose(path, shapes={"fc": (6, 10)})
    log["weight_decay"] = [0.01] * 100 + [0.02] * (step.size - 100)
    with pytest.raises(DataError, match="the weight_decay of layer 'fc' changes from 0.01 to 0.02"):
        diagnose(written(tmp_path, log))


def test_wide_columns_of_mixed_units_or_names_are_refused(tmp_path):
    step = [0, 1, 2]
    path = written(tmp_path, {"step": step, "a.norm": step, "b.rms": step, "c": step, "d": step})
    with pytest.raises(InvalidInput, match=r"mix units \(norm and rms\)"):
        diagnose(path, layer_columns="^[ab]", **RUN)
    with pytest.raises(InvalidInput, match="do not say what they hold"):
        diagnose(path, layer_columns="^[cd]", **RUN)
    with pytest.raises(InvalidInput, match="both give the layer"):
        diagnose(
            written(tmp_path, {"step": step, "x.a": step, "y.a": step}), layer_columns=r"\.(.*)$", size="norm", **RUN
        )


@settings(max_examples=60, deadline=None)
@given(content=st.binary(max_size=400))
def test_no_file_whatever_makes_a_traceback(tmp_path_factory, content):
    folder = tmp_path_factory.mktemp("junk")
    for name in ("log.csv", "log.jsonl", "log.npz"):
        path = folder / name
        path.write_bytes(b"step,layer,norm\n" + content if name == "log.csv" else content)
        with contextlib.suppress(WeightDecayError):  # any other exception fails
            diagnose(path, **RUN)


def test_the_founding_questions_network_is_diagnosed(tmp_path):
    step = np.arange(0, 150_001, 500)
    second = simulate.norm_trajectory(
        norm_squared_start=23520 * 1.01, radial_pull=0.078, lr=0.1, weight_decay=1e-4, n_steps=150_000, n_points=301
    ).norm_squared
    third = simulate.norm_trajectory(
        norm_squared_start=300 * 1.15, radial_pull=0.122, lr=0.1, weight_decay=1e-4, n_steps=150_000, n_points=301
    ).norm_squared
    names = ["layer 2"] * 301 + ["layer 3"] * 301
    log = {"step": np.tile(step, 2), "layer": names, "norm_squared": np.concatenate([second, third])}
    shapes = {"layer 2": (30, 784), "layer 3": (10, 30)}
    found = diagnose(written(tmp_path, log), lr=0.1, weight_decay=1e-4, n_train=50000, batch_size=10, shapes=shapes)
    assert 1e5 == pytest.approx(found.time_constant_steps)
    told = found.layer("layer 2").verdict
    assert told.startswith("still on its decay transient: its squared norm went from 2.376e+04 to")
    assert "until epoch 66.7 to 1/√fan_in and until epoch 101 to 1/√(all weights): the run is too short" in told
    assert found.layer("layer 3").verdict.startswith("fed faster than it decays") or (
        "equilibrium" == found.layer("layer 3").state
    )
    assert found.layer("layer 3").pull_to_decay_first > 1 > found.layer("layer 2").pull_to_decay


def test_json_has_no_curves_unless_wanted(tmp_path):
    found = diagnose(long_log(tmp_path), **RUN)
    assert "floor" not in json.loads(json.dumps(found.to_dict()))["layers"][0]
    assert 301 == len(json.loads(json.dumps(found.to_dict(curves=True)))["layers"][0]["floor"])
    with pytest.raises(InvalidInput, match="layer is 'fx'"):
        found.layer("fx")


def test_a_log_that_is_read_once_is_diagnosed_often(tmp_path):
    read = read_log(long_log(tmp_path))
    assert diagnose(read, **RUN).layers[0].verdict == validate.diagnose(read, **RUN).layers[0].verdict


def test_a_decay_coefficient_above_1_is_allowed_where_a_step_takes_less_than_all(tmp_path):
    step, norm_squared = curve()
    path = written(tmp_path, {"step": step, "layer": ["fc"] * step.size, "norm_squared": norm_squared})
    found, same = (
        diagnose(path, lr=lr, weight_decay=weight_decay, optimizer="lion").layers[0]
        for lr, weight_decay in ((5e-4, 2.0), (0.1, 0.01))
    )
    assert same.norm_squared_fitted == pytest.approx(found.norm_squared_fitted, rel=1e-9)
    assert same.norm_squared_alone == pytest.approx(found.norm_squared_alone, rel=1e-9)


def test_decay_that_takes_all_of_a_weight_is_told_with_the_learning_rate_of_the_run(tmp_path):
    with pytest.raises(InvalidInput, match=r"lr 0\.1 times weight_decay 20 would take 2 of every weight"):
        diagnose(long_log(tmp_path), lr=0.1, weight_decay=20.0)


def test_a_learning_rate_of_0_throughout_is_refused(tmp_path):
    step, _ = curve()
    with pytest.raises(InvalidInput, match=r"the lr is 0 in all of log\.csv"):
        diagnose(long_log(tmp_path, lr=[0.0] * step.size), weight_decay=0.01)


def test_a_run_that_diverged_is_told_without_a_warning(tmp_path):
    with pytest.raises(DataError, match=r"size of layer 'fc' is 1e\+200 at step 1: the run diverged"):
        diagnose(written(tmp_path, {"step": [0, 1], "layer": ["fc"] * 2, "norm": [1.0, "1e200"]}), **RUN)


def test_a_layer_of_zeros_is_told_as_that(tmp_path):
    zeros = {"step": range(10), "layer": ["fc"] * 10, "norm": [0] * 10}
    found = diagnose(written(tmp_path, zeros), **RUN).layers[0]
    assert "its squared norm is 0 at both ends of the log: it holds no weights that decay could shrink" == found.verdict


def test_a_quoted_cell_may_hold_a_delimiter_or_an_end_of_line_and_short_rows_are_left_out(tmp_path):
    path = tmp_path / "log.csv"
    rows = [f'{step},"{name}",{10 - step}' for name in ("a, b", "c\nd") for step in range(8)]
    path.write_text("\n".join(["step,layer,norm", *rows, '8,"a, b"']) + "\n")
    found = read_log(path)
    assert ["a, b", "c\nd"] == [layer.name for layer in found.layers]
    assert [8, 8] == [layer.n_rows for layer in found.layers]
    assert 1 == found.n_left_out


def test_rows_that_are_not_kept_do_not_stay_in_memory():
    from weightdecay.validate.training_log import _Thinned

    thinned, n_rows = _Thinned("fc"), 5000
    tracemalloc.start()
    for part in range(200):
        step = np.arange(part * n_rows, (part + 1) * n_rows, dtype=float)
        thinned.add({"step": step, "size": np.ones(n_rows), "lr": np.full(n_rows, 0.1)})
    held = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert 200 * n_rows == thinned.log().n_rows
    assert held < 1e6  # of 80 MB
