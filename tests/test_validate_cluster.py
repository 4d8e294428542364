"""Sweeps on a dask cluster: a scheduler and two workers on the loopback interface, made for these tests."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager

import numpy as np
import pytest

from weightdecay import validate
from weightdecay.errors import InvalidInput
from weightdecay.validate import Dataset, Part, Recording, Run, TrainingConfig, cluster, compute_all
from weightdecay.validate.result_files import pack

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

LOCAL = """
import json, sys, warnings
import distributed
if __name__ == "__main__":
    options = json.loads(sys.argv[1])
    with distributed.LocalCluster(host="127.0.0.1", protocol="tcp", dashboard_address=None, **options) as local:
        print(local.scheduler_address, flush=True)
        sys.stdin.read()
"""


@contextmanager
def local_cluster(tmp_path, **options):
    """Run a scheduler with its workers; yield its address."""
    program = tmp_path / "local_cluster.py"
    program.write_text(LOCAL)
    command = [sys.executable, str(program), json.dumps(options)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        yield running.stdout.readline().strip()
        running.stdin.close()


@pytest.fixture(scope="module")
def two_workers(tmp_path_factory):
    with local_cluster(tmp_path_factory.mktemp("cluster"), n_workers=2, threads_per_worker=1) as address:
        yield address


@pytest.fixture(scope="module")
def toy():
    rng = np.random.default_rng(0)
    part = Part(rng.integers(0, 99, size=(600, 36), dtype=np.uint8), rng.integers(10, size=600))
    return Dataset("toy", part, part, part, image_shape=(6, 6))


def jobs(n_runs):
    config = TrainingConfig.pytorch(layers=[36, 4, 10], lr=0.5, weight_decay=0.01, batch_size=10, epochs=1)
    return [Run(config, np.random.SeedSequence(number), Recording()) for number in range(n_runs)]


def test_a_sweep_on_two_workers_gives_the_bytes_of_one_on_this_machine(two_workers, toy):
    here = compute_all(jobs(8), toy, n_jobs=1)
    told = []
    with validate.on_cluster(two_workers):
        there = compute_all(jobs(8), toy, progress=lambda done, *_: told.append(done))
        places = cluster.cluster_in_use().nthreads()
    assert 2 == len(places)
    assert list(range(9)) == told
    assert pack(here, {}) == pack(there, {})
    assert cluster.cluster_in_use() is None


def test_an_experiment_on_a_cluster_keeps_its_runs_here(two_workers, toy, tmp_path):
    options = {"data": toy, "hidden": 5, "epochs": 2}
    with validate.on_cluster(two_workers):
        there = validate.run("founding-question", **options, cache=tmp_path)
    n_kept = len(list(tmp_path.iterdir()))
    assert n_kept > 4
    here = validate.run("founding-question", **options, n_jobs=1)
    again = validate.run("founding-question", **options, n_jobs=1, cache=tmp_path)
    assert here.to_dict() == there.to_dict() == again.to_dict()
    assert n_kept == len(list(tmp_path.iterdir()))


def test_the_command_takes_a_cluster(two_workers, tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 255, size=(700, 4, 4), dtype=np.uint8), rng.integers(10, size=700)
    np.savez(tmp_path / "small.npz", images=images, labels=labels)
    command = [sys.executable, "-m", "weightdecay", "validate", "founding-question", "--hidden", "4", "--epochs", "2"]
    command += ["--data", str(tmp_path / "small.npz"), "--no-cache", "--json"]
    answers = [
        subprocess.run([*command, *more], capture_output=True, text=True, check=False, timeout=300)
        for more in (["--jobs", "1"], ["--cluster", two_workers])
    ]
    assert ["", ""] == [done.stderr for done in answers]
    assert answers[0].stdout == answers[1].stdout


def test_a_worker_that_dies_is_replaced_by_its_nanny_or_the_run_named(tmp_path, toy):
    with local_cluster(tmp_path, n_workers=2, threads_per_worker=1) as address, validate.on_cluster(address):
        client = cluster.cluster_in_use()
        victim = next(iter(client.run(os.getpid).values()))
        told = []

        def kill_one(done, *_):
            told.append(done)
            if done == 2:
                os.kill(victim, signal.SIGKILL)

        there = compute_all(jobs(12), toy, progress=kill_one)
    assert list(range(13)) == told
    assert pack(compute_all(jobs(12), toy, n_jobs=1), {}) == pack(there, {})


def test_workers_with_several_threads_are_refused(tmp_path):
    with local_cluster(tmp_path, n_workers=1, threads_per_worker=2) as address:  # noqa: SIM117
        with (
            pytest.raises(InvalidInput, match="has 2 threads, but must have one, .* start it with --nthreads 1"),
            validate.on_cluster(address),
        ):
            pass


def test_a_scheduler_without_workers_is_refused(tmp_path):
    with local_cluster(tmp_path, n_workers=0) as address:  # noqa: SIM117
        with (
            pytest.raises(InvalidInput, match="has no workers; start some: dask worker tcp://127.0.0.1"),
            validate.on_cluster(address),
        ):
            pass


def test_workers_of_another_version_are_refused(two_workers, monkeypatch):
    monkeypatch.setattr(cluster.np, "__version__", "1.0")
    with (
        pytest.raises(InvalidInput, match="has another version of this package or of NumPy; install the same there"),
        validate.on_cluster(two_workers),
    ):
        pass


@pytest.mark.parametrize("address", ["nonsense", "tcp://127.0.0.1:1"])
def test_an_address_where_nobody_answers_is_one_sentence(address, monkeypatch):
    monkeypatch.setattr(cluster, "_SECONDS", 1)
    with (
        pytest.raises(InvalidInput, match=f"no dask scheduler answers at '{address}' .*; give the address that"),
        validate.on_cluster(address),
    ):
        pass
