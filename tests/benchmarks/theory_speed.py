"""Print how fast derivations are built and proven, and numbers against the same formula written in NumPy.

Run it with ``python tests/benchmarks/theory_speed.py``; numbers are compared within one process, call by call in turn.
"""

import subprocess
import sys
import time

import numpy as np

from weightdecay import theory

SIZE = 10**6


def seconds(function):
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def alternate(ours, by_hand, rounds=15):
    """Return the best times of both, called in turn so that both meet the same machine."""
    times = np.array([(seconds(ours), seconds(by_hand)) for _ in range(rounds)])
    return times.min(axis=0)


def pairs():
    """Yield (what, through a derivation, by hand) on a million values each."""
    rng = np.random.default_rng(0)
    lr, weight_decay = rng.uniform(0.01, 0.1, SIZE), rng.uniform(1e-5, 1e-3, SIZE)
    pull, power, gap = (rng.uniform(0.1, 1, SIZE) for _ in range(3))
    n_weights = rng.integers(1, 10**6, SIZE)
    radial, law, epoch = (theory.derive(name) for name in ("radial-step", "equal-pull", "decay-per-epoch"))
    yield (
        "stationary squared norm",
        lambda: radial.numeric(
            "norm_squared_stationary", lr=lr, weight_decay=weight_decay, radial_pull=pull, gradient_power=power
        ),
        lambda: (2 * (1 - lr * weight_decay) * pull + lr * power) / (weight_decay * (2 - lr * weight_decay)),
    )
    yield (
        "size per weight",
        lambda: law.numeric("rms", entropy_loss_gap=gap, weight_decay=weight_decay, n_weights=n_weights),
        lambda: np.sqrt(gap / (weight_decay * n_weights)),
    )
    yield (
        "gain by noise (one product)",
        lambda: radial.numeric("gain_by_noise", lr=lr, gradient_power=power),
        lambda: lr * power / 2,
    )
    yield (
        "decay per epoch",
        lambda: epoch.numeric(lr=lr, weight_decay=weight_decay, n_train=50000, batch_size=10),
        lambda: (1 - lr * weight_decay) ** 5000.0,
    )


def main():
    importing = seconds(lambda: subprocess.run([sys.executable, "-c", "import weightdecay.theory"], check=True))
    print(f"import weightdecay.theory, interpreter included   {importing:6.2f} s")
    building = seconds(lambda: [theory.derive(name) for name in theory.names()])
    print(f"build all {len(theory.names())} derivations                        {building:6.2f} s")
    proving = seconds(lambda: [theory.derive(name).check() for name in theory.names()])
    print(f"prove them all                                    {proving:6.2f} s")
    for what, ours, by_hand in pairs():
        np.testing.assert_allclose(ours(), by_hand(), rtol=1e-9)
        mine, theirs = alternate(ours, by_hand)
        print(f"{what:30} {mine * 1e3:6.2f} ms, NumPy {theirs * 1e3:6.2f} ms, ratio {mine / theirs:5.2f}")


if __name__ == "__main__":
    main()
