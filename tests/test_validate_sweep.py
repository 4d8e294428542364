"""Sweeps: the same results on any number of processes, whoever dies, whenever it is killed."""

import contextlib
import functools
import json
import os
import random
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import (
    Recording,
    Run,
    RunStore,
    TrainingConfig,
    compute_all,
    keeping_runs,
    load_mnist,
    sweep,
    workers,
)
from weightdecay.validate.result_files import pack

PROGRAM = f"""
import sys
sys.path.insert(0, {str(Path(__file__).parent)!r})
import sweep_program
"""
posix = pytest.mark.skipif(os.name != "posix", reason="processes are killed another way here")


def start(*arguments, function="sweep", **options):
    command = [sys.executable, "-c", f"{PROGRAM}sweep_program.main({function!r})", *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def answer(*arguments, **options):
    program = start(*arguments, **options)
    stdout, stderr = program.communicate(timeout=300)
    assert 0 == program.returncode, stderr
    return json.loads(stdout)


def kept(folder):
    return list(Path(folder).glob("*.npz"))


def alive(group):
    """Return the processes of a group that are no zombies."""
    listed = subprocess.run(["ps", "-e", "-o", "pgid=,stat=,args="], capture_output=True, text=True, check=True).stdout
    rows = [line.split(None, 2) for line in listed.splitlines()]
    return [row[2] for row in rows if int(row[0]) == group and "Z" not in row[1]]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """Return what the sweep of 40 jobs gives when nothing happens."""
    return answer(tmp_path_factory.mktemp("undisturbed"), 40, 1)


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(0)
    part = validate.Part(rng.integers(0, 99, size=(60, 9), dtype=np.uint8), rng.integers(10, size=60))
    return validate.Dataset("toy", part, part, part, image_shape=(3, 3))


def run(number, **options):
    given = {"layers": [9, 4, 10], "lr": 0.5, "weight_decay": 0.01, "batch_size": 10, "epochs": 1} | options
    return Run(TrainingConfig.pytorch(**given), np.random.SeedSequence(number), Recording(evaluate=()))


# results


def test_results_do_not_depend_on_the_number_of_processes_or_the_store(undisturbed, tmp_path):
    assert undisturbed == answer(tmp_path, 40, 2)
    assert undisturbed == answer(tmp_path, 40, 2)


def test_results_come_in_the_order_of_the_jobs_and_progress_counts_up(toy):
    told = []
    records = compute_all([run(number) for number in range(5)], toy, n_jobs=1, progress=lambda *each: told.append(each))
    assert [(done, 5, "training") for done in range(6)] == told
    assert list(range(5)) == [record.seed["entropy"] for record in records]


def test_progress_begins_with_what_is_kept(toy, tmp_path):
    told = []
    with keeping_runs(RunStore(tmp_path)):
        compute_all([run(number) for number in range(3)], toy, n_jobs=1)
        compute_all([run(number) for number in range(5)], toy, n_jobs=1, progress=lambda *each: told.append(each[0]))
    assert [3, 4, 5] == told


def test_no_jobs_are_no_work(toy):
    assert [] == compute_all([], toy)


def test_every_job_is_checked_before_any_is_done(toy, tmp_path):
    with keeping_runs(RunStore(tmp_path)), pytest.raises(InvalidInput, match="layers"):
        compute_all([run(0), run(1, layers=[8, 10])], toy, n_jobs=1)
    assert [] == kept(tmp_path)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "2", True])
def test_a_wrong_number_of_processes_is_refused(wrong, toy):
    with pytest.raises(InvalidInput, match="n_jobs is .*, but must be a whole number of at least 1"):
        compute_all([run(0)], toy, n_jobs=wrong)


def test_a_run_that_diverges_is_a_result_and_is_kept(toy, tmp_path):
    wild = run(1, lr=1e30, weight_decay=0, output="linear", activation="linear")
    with keeping_runs(RunStore(tmp_path)), np.errstate(all="ignore"):
        jobs = [run(0), wild, run(2)]
        first, second = (compute_all(jobs, toy, n_jobs=1) for _ in range(2))
    assert [False, True, False] == [record.diverged is not None for record in first]
    assert first[1].diverged == second[1].diverged
    assert 3 == len(kept(tmp_path))
    assert pack(first, {}) == pack(second, {})


def test_the_digits_of_the_package_are_read_where_they_are_needed_and_others_are_sent(toy):
    data = load_mnist()
    sent = sweep._to_send(data)
    assert not isinstance(sent, validate.Dataset)
    there = sweep._built_in(sent.pixel_scale)
    assert (data.checksum, data.n_train) == (there.checksum, there.n_train)
    assert toy is sweep._to_send(toy)
    everything = (
        np.concatenate([data.train.images, data.validation.images]),
        np.concatenate([data.train.labels, data.validation.labels]),
    )
    parts = [validate.Part(*(each[rows] for each in everything)) for rows in (slice(1000), slice(1000, None))]
    other_split = validate.Dataset("MNIST", *parts, data.test, data.image_shape)
    assert other_split is sweep._to_send(other_split)


# accidents


def test_an_exception_in_a_job_carries_the_jobs_name(tmp_path):
    told = answer(tmp_path, 6, 2, "raise", 2)
    assert re.search(
        r"^run 3 of 6, Small\(number=2, how='raise', .* failed with ZeroDivisionError: by nothing$", told["error"]
    )
    assert "in start" in told["cause"]


def test_an_error_of_the_package_in_a_job_stays_what_it_is_and_names_the_job(toy, monkeypatch):
    def refuse(*_):
        raise InvalidInput("the whole sentence")

    monkeypatch.setattr(Run, "start", refuse)
    with pytest.raises(InvalidInput) as told:
        compute_all([run(0), run(1)], toy, n_jobs=1)
    assert "the whole sentence" == str(told.value)
    assert told.value.__notes__[0].startswith("in run 1 of 2, Run(config=TrainingConfig(")


@posix
@pytest.mark.slow
@pytest.mark.parametrize(("how", "signal_name"), [("exit", r"EXIT\(3\)"), ("kill", r"SIGKILL\(-9\)")])
def test_who_kills_its_process_is_named_and_all_others_are_finished_and_kept(how, signal_name, tmp_path, undisturbed):
    told = answer(tmp_path, 12, 2, how, 5)
    assert re.search(
        rf"^a process died twice in the same run: run 6 of 12, Small\(number=5, how='{how}', seconds=0.05\) "
        rf"\(it ended with {signal_name}\); every other run is finished. Where memory is short, use fewer processes",
        told["error"],
    )
    assert 11 == len(kept(tmp_path))
    assert {path.name for path in kept(tmp_path)} <= set(undisturbed["files"])


@pytest.mark.skipif(not hasattr(signal, "pthread_sigmask"), reason="signals cannot be masked here")
def test_processes_do_not_hear_interrupts_and_this_one_does():
    mask = functools.partial(signal.pthread_sigmask, signal.SIG_BLOCK, [])
    assert [{signal.SIGINT}] * 2 == [blocked for _, blocked in workers.results(mask, [()] * 2, ["a", "b"], 2)]
    assert signal.SIGINT not in mask()


@posix
@pytest.mark.slow
def test_a_process_that_dies_once_is_replaced(tmp_path):
    told = answer(tmp_path / "runs", 8, 2, "once", 5, env=os.environ | {"MARK": str(tmp_path / "mark")})
    assert 8 == len(told["files"])
    assert (tmp_path / "mark").exists()


def wait_for(condition, seconds=60):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


@posix
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "everyone"),
    [(signal.SIGINT, True), (signal.SIGINT, False), (signal.SIGTERM, False), (signal.SIGKILL, False)],
)
def test_a_program_that_ends_leaves_no_process_behind(number, everyone, tmp_path):
    program = start(tmp_path, 400, 2, start_new_session=True)
    try:
        assert wait_for(lambda: len(kept(tmp_path)) >= 3)
        (os.killpg if everyone else os.kill)(program.pid, number)
        assert program.wait(timeout=60) != 0
        assert wait_for(lambda: not alive(program.pid), 20), alive(program.pid)
        assert len(kept(tmp_path)) < 400
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(program.pid, signal.SIGKILL)
        program.communicate()


@posix
@pytest.mark.slow
def test_a_sweep_killed_twenty_times_gives_the_bytes_of_one_that_was_not(tmp_path):
    told = answer(tmp_path / "killed", 60, "a seed", function="killed_twenty_times")
    counts = told.pop("counts")
    assert counts == sorted(counts)  # what is finished stays
    assert len({count for count in counts if 0 < count < 60}) >= 3, counts  # it was killed in the midst
    assert told == answer(tmp_path / "undisturbed", 60, 1)


@posix
def test_two_programs_share_a_store(undisturbed, tmp_path):
    programs = [start(tmp_path, 40, 1) for _ in range(2)]
    answers = []
    for program in programs:
        stdout, stderr = program.communicate(timeout=300)
        assert (0, "") == (program.returncode, stderr)
        answers.append(json.loads(stdout))
    assert [undisturbed["results"]] * 2 == [told["results"] for told in answers]
    assert undisturbed["files"] == answer(tmp_path, 40, 1)["files"]


def test_bits_flipped_at_random_in_a_store_change_no_result(undisturbed, tmp_path):
    answer(tmp_path, 40, 1)
    chance = random.Random(1)
    hit = chance.sample(sorted(kept(tmp_path)), 15)
    for path in hit:
        content = bytearray(path.read_bytes())
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
        path.write_bytes(bytes(content))
    program = start(tmp_path, 40, 1)
    stdout, stderr = program.communicate(timeout=300)
    assert "15 kept runs are made again" in stderr
    assert undisturbed == json.loads(stdout)


def test_without_dask_a_cluster_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "distributed", None)
    with (
        pytest.raises(
            InvalidInput, match=r"a cluster needs dask and distributed: pip install 'weightdecay\[cluster\]'"
        ),
        validate.on_cluster("tcp://127.0.0.1:8786"),
    ):
        pass
