"""What the commands answer, with which exit code, and what they write."""

import json
import os
import re
import sys

import numpy as np
import pytest
from click.testing import CliRunner

from weightdecay import figures, theory, validate
from weightdecay.cli import main
from weightdecay.errors import DivergenceError, ProofError, WeightDecayError
from weightdecay.figures import bundle, founding_question
from weightdecay.validate import Comparison, Report

COMMANDS = ("figures", "derive", "validate", "simulate", "cite")
QUICK = ("--epochs", "2", "--hidden", "4", "--lmbda", "0.5", "--jobs", "1", "--seed", "7")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Return the path of a small data set of MNIST's form."""
    rng = np.random.default_rng(0)
    path = tmp_path_factory.mktemp("data") / "small.npz"
    arrays = {}
    for part, n_rows in (("train", 240), ("test", 40)):
        labels = rng.integers(10, size=n_rows, dtype=np.uint8)
        images = rng.integers(0, 90, size=(n_rows, 4, 4), dtype=np.uint8)
        images.reshape(n_rows, 16)[np.arange(n_rows), labels] += 160
        images[:, 3, 3] = 0
        arrays |= {f"x_{part}": images, f"y_{part}": labels}
    np.savez(path, **arrays)
    return str(path)


def run(*arguments):
    return CliRunner().invoke(main, list(arguments))


def report(*comparisons):
    return Report("founding-question", comparisons, (), {"scale": "quick", "seed": 0, "data": {"name": "MNIST"}})


INSIDE = Comparison("dead pixels", "1", 1.0, 1.0 + 1e-7, 1e-9, "nothing", tolerance=1e-5, reason="exact")
OUTSIDE = Comparison("balance", "nat", 2.0, 2.5, None, "gradients", tolerance=0.1, reason="the noise is small")
REPORTED = Comparison("equal pull", "1", float("nan"), float("inf"), None, "gradients")


@pytest.fixture
def answer(monkeypatch):
    """Let every experiment return the given comparisons, and note with which arguments it was run."""

    def give(*comparisons):
        def instead(name, **options):
            asked.append((name, options))
            return report(*comparisons)

        asked = []
        monkeypatch.setattr(validate, "run", instead)
        monkeypatch.setattr(founding_question, "run", instead)
        return asked

    return give


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_helps_with_an_example(command):
    done = run(command, "--help")
    assert 0 == done.exit_code
    assert re.search(rf"Examples:\n +weightdecay {command}", done.output)


def test_the_help_lists_the_commands():
    assert set(COMMANDS) <= set(re.findall(r"^  (\w+)  ", run("--help").output, flags=re.MULTILINE))


def test_the_version_is_printed():
    assert re.fullmatch(r"weightdecay \d+\.\d+\.\d+\n", run("--version").output)


# finished runs


def test_finished_runs_are_kept_told_and_used(data, tmp_path):
    given = ("validate", "founding-question", *QUICK, "--data", data, "--cache", str(tmp_path / "runs"), "--json")
    first, second = run(*given), run(*given)
    n_kept = len(list((tmp_path / "runs").iterdir()))
    assert f"Note: {n_kept} finished runs are kept in {tmp_path}/runs; --no-cache keeps none.\n" == first.stderr
    assert ("", first.stdout) == (second.stderr, second.stdout)
    assert n_kept > 4


def test_no_cache_keeps_nothing(data, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    done = run("validate", "founding-question", *QUICK, "--data", data, "--no-cache")
    assert ("", False) == (done.stderr, (tmp_path / "cache").exists())


def test_a_damaged_run_is_told_in_one_line_and_made_again(data, tmp_path):
    given = ("validate", "founding-question", *QUICK, "--data", data, "--cache", str(tmp_path), "--json")
    first = run(*given)
    damaged = min(tmp_path.iterdir())
    damaged.write_bytes(damaged.read_bytes()[:-100])
    second = run(*given)
    assert first.stdout == second.stdout
    assert [
        f"Note: 1 kept run is made again, of {tmp_path}: its checksum is wrong.",
        f"Note: 1 finished run is kept in {tmp_path}; --no-cache keeps none.",
    ] == second.stderr.splitlines()


@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="needs a folder that cannot be made")
def test_a_users_cache_that_cannot_be_written_to_is_a_notice(data, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "/dev/null")
    done = run("validate", "founding-question", *QUICK, "--data", data)
    assert 0 == done.exit_code
    assert re.fullmatch(r"Note: runs cannot be kept in /dev/null/weightdecay \(.*\); name .*\n", done.stderr)


def test_an_interrupt_says_how_many_runs_are_kept(data, tmp_path, monkeypatch):
    from weightdecay.validate import sweep

    done_before = sweep._do

    def interrupted(*given):
        if len(list(tmp_path.iterdir())) == 3:
            raise KeyboardInterrupt
        return done_before(*given)

    monkeypatch.setattr(sweep, "_do", interrupted)
    given = ("validate", "founding-question", *QUICK, "--data", data, "--cache", str(tmp_path))
    done = run(*given)
    assert (
        130,
        f"Interrupted. 3 finished runs of it are kept in {tmp_path}; the same command goes on from there.\n",
    ) == (done.exit_code, done.stderr)
    monkeypatch.setattr(sweep, "_do", done_before)
    n_runs = len(list(tmp_path.iterdir())) + int(re.search(r"Note: (\d+) finished", run(*given).stderr)[1])
    assert n_runs == len(list(tmp_path.iterdir()))


# figures


def test_figures_trains_draws_and_says_what_it_wrote(data, tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "code_checksum", lambda *_: "0" * 64)  # whoever edits a room meanwhile is no failure
    done = run("figures", "founding-question", *QUICK, "--data", data, "--out", str(tmp_path / "out"))
    assert 0 == done.exit_code, done.output
    endings = ".pdf,.svg,.png,.csv,.json,.tex,.bib,.md,-table.tex,-table.md"
    out = tmp_path / "out"
    assert [
        f"founding-question: {out}/founding-question{{{endings}}}",
        f"index of the folder: {out}/index.md, {out}/references.bib",
    ] == done.stdout.splitlines()
    assert ["out"] == [path.name for path in tmp_path.iterdir()]
    assert 12 == len(list(out.iterdir()))
    told = json.loads((tmp_path / "out" / "founding-question.json").read_text())
    assert {"hidden": 4, "epochs": 2, "lmbda": 0.5} == {
        name: told["provenance"]["parameters"][name] for name in ("hidden", "epochs", "lmbda")
    }
    assert 7 == told["provenance"]["seed"]
    checked = run("figures", "--check", "--out", str(tmp_path / "out"))
    assert (0, "ok    founding-question: as drawn from its table\nok    index: lists what is there\n") == (
        checked.exit_code,
        checked.output,
    )
    (tmp_path / "out" / "founding-question.csv").write_text("panel\n")
    checked = run("figures", "--check", "--out", str(tmp_path / "out"), "--json")
    assert 1 == checked.exit_code
    assert [("founding-question", False), ("index", True)] == [
        (f["id"], f["passed"]) for f in json.loads(checked.output)["figures"]
    ]


def test_the_recorded_command_draws_the_same_table_again(data, tmp_path):
    run("figures", *QUICK, "--data", data, "--out", str(tmp_path / "one"))
    first = json.loads((tmp_path / "one" / "founding-question.json").read_text())
    words = first["provenance"]["command"].split()
    assert "weightdecay" == words[0]
    words[words.index("--data") + 1] = data  # a data set from elsewhere is named, not placed
    done = run(*words[1:], "--jobs", "1", "--out", str(tmp_path / "two"))
    assert 0 == done.exit_code, done.output
    second = json.loads((tmp_path / "two" / "founding-question.json").read_text())
    assert first["csv_sha256"] == second["csv_sha256"]


def test_figures_json_names_files_and_what_is_outside_its_tolerance(answer, monkeypatch, tmp_path):
    answer(INSIDE, OUTSIDE)
    monkeypatch.setattr(figures, "save", lambda _, name, folder, **__: (folder / f"{name}.pdf",))
    done = run("figures", "founding-question", "--json", "--out", str(tmp_path))
    assert 0 == done.exit_code
    assert {
        "figures": [
            {
                "id": "founding-question",
                "files": [str(tmp_path / "founding-question.pdf")],
                "passed": False,
                "outside_tolerance": ["balance"],
            }
        ],
        "index": [str(tmp_path / "index.md"), str(tmp_path / "references.bib")],
        "errors": {},
    } == json.loads(done.output)


def test_a_figure_with_a_failed_comparison_is_drawn_and_names_it_in_one_line(answer, monkeypatch, tmp_path):
    answer(INSIDE, OUTSIDE)
    monkeypatch.setattr(figures, "save", lambda _, name, folder, **__: (folder / f"{name}.pdf",))
    done = run("figures", "founding-question", "--out", str(tmp_path))
    assert 0 == done.exit_code
    assert "founding-question: outside tolerance: balance" == done.output.splitlines()[-2]


@pytest.mark.parametrize("command", ["figures", "validate"])
def test_options_reach_the_experiment_by_their_python_names(command, answer, monkeypatch, tmp_path, data):
    asked = answer(INSIDE)
    monkeypatch.setattr(figures, "save", lambda _, name, folder, **__: (folder / f"{name}.pdf",))
    given = ["--scale", "full", "--seed", "3", "--jobs", "2", "--eta", "0.5", "--batch-size", "20", "--data", data]
    done = run(command, *given, *(["--out", str(tmp_path)] if command == "figures" else []))
    assert 0 == done.exit_code, done.output
    ((name, options),) = asked
    assert "founding-question" == name
    assert {"scale": "full", "rng": 3, "n_jobs": 2, "eta": 0.5, "batch_size": 20} == {
        key: value for key, value in options.items() if key not in ("data", "progress")
    }
    assert "small" == options["data"].name


def test_the_default_folder_is_made_in_the_current_one(answer, monkeypatch, tmp_path):
    answer(INSIDE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(figures, "save", lambda _, name, folder, **__: (folder / f"{name}.pdf",))
    assert 0 == run("figures", "founding-question").exit_code
    assert ["weightdecay-figures"] == [path.name for path in tmp_path.iterdir()]


def test_an_unwritable_folder_is_found_before_anything_is_trained(answer, tmp_path):
    asked = answer(INSIDE)
    (tmp_path / "file").write_text("")
    done = run("figures", "--out", str(tmp_path / "file" / "below"))
    assert 2 == done.exit_code
    assert [] == asked
    assert re.fullmatch(
        r"Error: the folder .*/file/below cannot be written to \(.*\); name another one to write to\n", done.stderr
    )


def test_a_full_disk_is_one_sentence_and_leaves_nothing(data, tmp_path, monkeypatch):
    import errno

    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", fsync)
    done = run("figures", *QUICK, "--data", data, "--out", str(tmp_path / "out"), "--no-cache")
    assert 2 == done.exit_code
    assert 1 == len(done.stderr.splitlines())
    assert "no space left on device" in done.stderr
    assert [] == list(tmp_path.iterdir())


def test_checking_a_folder_without_figures_is_wrong_use(tmp_path):
    done = run("figures", "--check", "--out", str(tmp_path))
    assert 2 == done.exit_code
    assert "Error: there is no saved figure in" in done.stderr


# validate


def test_validate_prints_a_table_that_marks_failures(answer):
    answer(INSIDE, OUTSIDE, REPORTED)
    done = run("validate", "founding-question")
    assert 1 == done.exit_code
    lines = done.output.splitlines()
    assert "founding-question: quick scale, seed 0, data MNIST" == lines[0]
    assert ["dead pixels", "  ok        1            1            1e-09       1          1e-05      nothing"] == lines[
        3:5
    ]
    assert [
        "balance [nat]",
        "  FAIL      2            2.5                      1.25       0.1        gradients",
    ] == lines[5:7]
    assert "reason of the tolerance: the noise is small" == lines[7].strip()
    assert "  reported  nan          inf" in lines[9]
    assert "1 of 2 comparisons with a tolerance are inside it; 1 more are reported without one." == lines[-1]


def test_validate_exits_with_zero_when_every_tolerance_holds(answer):
    answer(INSIDE, REPORTED)
    assert 0 == run("validate").exit_code


def test_validate_json_is_one_object_with_one_name_and_a_list_otherwise(answer):
    answer(INSIDE, OUTSIDE, REPORTED)
    one = run("validate", "founding-question", "--json")
    every = run("validate", "--json")
    assert (1, 1) == (one.exit_code, every.exit_code)
    told = json.loads(one.output)
    assert {"experiment", "passed", "comparisons", "curves", "provenance"} == set(told)
    n_experiments = len(validate.experiments())
    assert {"passed": False, "reports": [told] * n_experiments, "errors": {}} == json.loads(every.output)
    assert (None, None) == (told["comparisons"][2]["predicted"], told["comparisons"][2]["measured"])
    assert "NaN" not in one.output


def test_validate_runs_those_named_and_sums_them_up(answer):
    asked = answer(INSIDE, OUTSIDE, REPORTED)
    done = run("validate", "width", "founding-question", "width")
    assert ["width", "founding-question"] == [name for name, _ in asked]
    assert [
        "  FAIL  width: balance",
        "  FAIL  founding-question: balance",
        "2 of 2 experiments: 2 of 4 comparisons with a tolerance are inside it; 2 more are reported without one.",
    ] == done.stdout.splitlines()[-3:]


@pytest.mark.parametrize("command", ["validate", "figures"])
def test_an_experiment_that_fails_is_named_and_loses_nothing_of_the_others(command, monkeypatch, tmp_path, answer):
    answer(INSIDE)
    first, second = ("founding-question", "width")

    def instead(name, **_):
        if name == first:
            raise WeightDecayError("the whole sentence")
        return report(INSIDE)

    monkeypatch.setattr(validate, "run", instead)
    monkeypatch.setattr(figures, "make", instead)
    monkeypatch.setattr(figures, "save", lambda _, name, folder, **__: (folder / f"{name}.pdf",))
    given = [first, second, *(["--out", str(tmp_path)] if command == "figures" else [])]
    done = run(command, *given)
    assert (2, f"Error: {first}: the whole sentence\n") == (done.exit_code, done.stderr)
    if command == "validate":
        assert "dead pixels" in done.stdout
        assert f"  ERROR {first}: the whole sentence" == done.stdout.splitlines()[-2]
        assert "1 of 2 experiments: 1 of 1 comparisons" in done.stdout.splitlines()[-1]
    else:
        assert f"{second}: {tmp_path}/{second}{{.pdf}}" == done.stdout.splitlines()[0]
    told = json.loads(run(command, *given, "--json").stdout)
    assert {first: "the whole sentence"} == told["errors"]


def test_a_bug_in_one_of_several_experiments_is_shown_in_full(monkeypatch):
    def instead(name, **_):
        if name == "width":
            raise ZeroDivisionError("by nothing")
        return report(INSIDE)

    monkeypatch.setattr(validate, "run", instead)
    done = run("validate", "width", "founding-question")
    assert 2 == done.exit_code
    assert done.stderr.startswith("Traceback (most recent call last):")
    assert "Error: width: ZeroDivisionError: by nothing" == done.stderr.splitlines()[-1]


def test_validate_runs_for_real_on_a_small_data_set(data):
    done = run("validate", "founding-question", *QUICK, "--data", data, "--json")
    assert 0 == done.exit_code, done.output
    told = json.loads(done.stdout)
    assert "small" == told["provenance"]["data"]["name"]
    assert any("dead pixels" in comparison["quantity"] for comparison in told["comparisons"])


# derive


@pytest.mark.parametrize("form", ["text", "latex", "markdown", "mathml"])
def test_derive_prints_a_derivation_in_its_form(form):
    done = run("derive", "decay-per-epoch", "--format", form)
    assert 0 == done.exit_code
    assert getattr(theory.derive("decay-per-epoch"), form)().rstrip("\n") + "\n" == done.output


def test_derive_prints_json():
    for arguments in (["--json"], ["--format", "json"]):
        assert theory.derive("decay-per-epoch").to_dict() == json.loads(
            run("derive", "decay-per-epoch", *arguments).output
        )


def test_derive_lists_all_derivations_a_line_each():
    lines = run("derive").output.splitlines()
    assert list(theory.names()) == [line.split()[0] for line in lines]
    assert all(line.endswith(theory.derive(line.split()[0]).title) for line in lines)
    assert list(theory.names()) == [one["name"] for one in json.loads(run("derive", "--json").output)]


def test_derive_check_proves_the_derivation_again():
    done = run("derive", "decay-per-epoch", "--check")
    assert (0, "ok    decay-per-epoch\n") == (done.exit_code, done.output)


def test_derive_check_names_every_derivation_that_does_not_hold(monkeypatch):
    monkeypatch.setattr(theory, "names", lambda: ("decay-per-epoch", "radial-step"))
    broken = type(theory.derive("radial-step"))

    def check(self):
        if self.name == "radial-step":
            raise ProofError(self.name, "the second step", "x - 1")

    monkeypatch.setattr(broken, "check", check)
    done = run("derive", "--check")
    assert 1 == done.exit_code
    assert "ok    decay-per-epoch" == done.output.splitlines()[0]
    assert done.output.splitlines()[1].startswith(
        "FAIL  radial-step: derivation 'radial-step' does not hold at the step"
    )
    told = json.loads(run("derive", "radial-step", "--check", "--json").output)
    assert [("radial-step", False)] == [(one["name"], one["passed"]) for one in told["derivations"]]


# cite


def test_cite_prints_software_and_data_by_default():
    done = run("cite")
    assert ["weightdecay", "lecun1998"] == re.findall(r"^@\w+\{(\w+),", done.output, flags=re.MULTILINE)


def test_cite_prints_the_works_behind_a_figure_each_once():
    done = run("cite", "founding-question", "founding-question")
    keys = re.findall(r"^@\w+\{(\w+),", done.output, flags=re.MULTILINE)
    assert list(figures.references("founding-question")) == keys


@pytest.mark.parametrize("form", ["bibtex", "cff", "markdown", "text"])
def test_cite_prints_every_form(form):
    assert figures.cite(["weightdecay", "lecun1998"], form) == run("cite", "--format", form).output


# wrong use


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["figures", "founding-questions"], "figure is 'founding-questions'.*did you mean 'founding-question'"),
        (["cite", "founding-questions"], "did you mean 'founding-question'"),
        (["validate", "founding-questions"], "did you mean 'founding-question'"),
        (["derive", "decay-per-epochs"], "did you mean 'decay-per-epoch'"),
        (["validate", "--jobs", "0"], "--jobs is 0, but must be a whole number of at least 1"),
        (["figures", "--seed", "-1"], "--seed is -1, but must be a whole number of at least 0"),
        (["figures", "--epochs", "0"], "--epochs is 0, but must be a whole number of at least 1"),
        (["validate", "--scale", "large"], "'large' is not one of 'quick', 'full'"),
        (["derive", "--format", "pdf"], "'pdf' is not one of"),
        (["validate", "--data", "no-such-file.npz"], "no-such-file.npz"),
        (["validate", "--eta", "-1"], "-1"),
        (["validate", "--eta", "nan"], "nan"),
        (["validate", "--lmbda", "1e9"], "lmbda|weight_decay|lr"),
        (["validate", "--batch-size", "100000"], "batch_size"),
        (["report"], "there is no saved figure in weightdecay-figures; name a folder"),
        (["report", "--out", "page.pdf"], "its name must end in .html"),
        (["figures", "--no-such"], "No such option"),
        (["validate", "--cluster", "nonsense"], "no dask scheduler answers at 'nonsense'|needs dask and distributed"),
        (["validate", "--cache", "/dev/null/runs"], "runs cannot be kept in /dev/null/runs .*name another folder"),
    ],
)
def test_wrong_use_is_one_sentence_and_exit_code_two(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert 2 == done.exit_code, done.output
    assert re.search(message, done.stderr)
    assert 1 == len(re.findall("^Error: ", done.stderr, flags=re.MULTILINE))
    assert "Traceback" not in done.output
    assert [] == list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (WeightDecayError("the whole sentence"), 2),
        (DivergenceError(5, 1, {"lr": 10}), 2),
        (ProofError("name", "step", "residual"), 1),
    ],
)
def test_every_error_of_the_package_has_its_exit_code(error, code, monkeypatch):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr(validate, "run", fail)
    done = run("validate", "founding-question")
    assert (code, f"Error: {error}\n") == (done.exit_code, done.stderr)


def test_an_interrupt_is_one_line(monkeypatch):
    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(validate, "run", interrupt)
    done = run("validate")
    assert (130, "Interrupted.\n") == (done.exit_code, done.stderr)


def test_a_bug_is_not_hidden(monkeypatch):
    def fail(*_, **__):
        raise ZeroDivisionError

    monkeypatch.setattr(validate, "run", fail)
    assert isinstance(run("validate", "founding-question").exception, ZeroDivisionError)


def test_progress_is_shown_on_a_terminal_and_never_on_stdout(answer, monkeypatch):
    import io

    class Terminal(io.StringIO):
        def isatty(self):
            return True

    terminal = Terminal()
    asked = answer(INSIDE)
    run("validate", "founding-question")
    ((_, options),) = asked
    from weightdecay import command_parts

    monkeypatch.setattr(sys, "stderr", terminal)
    with command_parts.progress_bar() as progress:
        progress(1, 4, "training")
    assert "training:  25% |" in terminal.getvalue()
    assert callable(options["progress"])
