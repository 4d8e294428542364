"""Without replacement, the batch that makes the step pulls as derived: averaged over every order there is."""

from itertools import permutations

import numpy as np
import pytest

from weightdecay import theory
from weightdecay.errors import InvalidInput

LR, WEIGHT_DECAY, N_BATCHES = 0.2, 0.05, 4
RNG = np.random.default_rng(3)
INPUTS, TARGETS = RNG.standard_normal((N_BATCHES, 5, 3)), RNG.standard_normal((N_BATCHES, 5))


def _pulls(weights):
    """Return the pull of every batch of a linear regression at the given weights."""
    gradients = np.einsum("bnw,bn->bw", INPUTS, INPUTS @ weights - TARGETS) / INPUTS.shape[1]
    return gradients, -gradients @ weights


def _epoch(order):
    """Yield, before every step of an epoch, the pulls of all batches and the place of the step."""
    weights = np.full(3, 0.5)
    for n_used, batch in enumerate(order):
        gradients, pulls = _pulls(weights)
        yield n_used, batch, pulls
        weights = (1 - LR * WEIGHT_DECAY) * weights - LR * gradients[batch]


def test_the_next_batch_pulls_as_derived_on_average_over_all_orders():
    claim = theory.derive("reshuffled-pull")
    measured, predicted, full = (np.zeros(N_BATCHES) for _ in range(3))
    orders = list(permutations(range(N_BATCHES)))
    for order in orders:
        for n_used, batch, pulls in _epoch(order):
            used = pulls[list(order[:n_used])].mean() if n_used else 0.0
            known = {"pull_full": pulls.mean(), "pull_used": used, "n_used": n_used, "n_batches": N_BATCHES}
            measured[n_used] += pulls[batch] / len(orders)
            predicted[n_used] += claim.numeric("radial_pull", **known) / len(orders)
            full[n_used] += pulls.mean() / len(orders)
    assert predicted == pytest.approx(measured, rel=1e-12)
    assert full[0] == pytest.approx(measured[0], rel=1e-12)
    assert (measured[1:] < full[1:]).all()


def test_some_batch_must_be_left():
    with pytest.raises(InvalidInput, match="a batch must be left to draw"):
        theory.derive("reshuffled-pull").numeric(pull_full=1.0, pull_used=2.0, n_used=4, n_batches=4)
