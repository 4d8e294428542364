"""Optimizers on random gradients: their update rules, and the theory's equilibrium held against them."""

import dataclasses

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from weightdecay import simulate, theory
from weightdecay.errors import DivergenceError, InvalidInput
from weightdecay.simulate import SampledGradients, WhiteGradients, walk

N_WEIGHTS = 1000
SEED = 7
STEPS = {0.1: 400, 0.04: 700}
"""Measured steps by lr*weight_decay: some sixty times the memory 1/(2 lr*weight_decay), in each of 32 replicas."""

look, slow, fast = sp.symbols("look slow fast", positive=True)
B = theory.B
INVENTED = {
    "optimistic": (theory.LinearOptimizer("optimistic", 1 + look - look * B), {"look": 0.5}),
    "two buffers": (
        theory.LinearOptimizer("two-buffers", (1 - slow) / (1 - slow * B) + 0.5 / (1 - fast * B)),
        {"slow": 0.8, "fast": 0.3},
    ),
    "oscillating": (theory.LinearOptimizer("oscillating", 1 / (1 - B / 2 + B**2 / 3)), {}),
    "delayed": (theory.LinearOptimizer("delayed", B / (1 - slow * B)), {"slow": 0.5}),
}
LINEAR = {
    "sgd": (theory.SGD, {}),
    "heavy ball": (theory.HEAVY_BALL, {"momentum": 0.9, "dampening": 0.0}),
    "dampened": (theory.HEAVY_BALL, {"momentum": 0.7, "dampening": 0.4}),
    "nesterov": (theory.NESTEROV, {"momentum": 0.9}),
    "ema": (theory.EMA, {"momentum": 0.9}),
    **INVENTED,
}
NONLINEAR = {
    "sign": (theory.SIGN_SGD, simulate.SignSGD, "decoupled", {}),
    "sign with L2": (theory.SIGN_SGD, simulate.SignSGD, "coupled", {}),
    "signum": (theory.SIGNUM, simulate.SignSGD, "decoupled", {"momentum": 0.9}),
    "lion": (theory.LION, simulate.Lion, "decoupled", {"beta1": 0.9, "beta2": 0.95}),
    "rmsprop": (theory.RMSPROP, simulate.RMSprop, "decoupled", {"smoothing": 0.9}),
    "adamw": (theory.ADAM, simulate.Adam, "decoupled", {"beta1": 0.9, "beta2": 0.99}),
    "adamw, short memory": (theory.ADAM, simulate.Adam, "decoupled", {"beta1": 0.8, "beta2": 0.9}),
    "adam with L2": (theory.ADAM, simulate.Adam, "coupled", {"beta1": 0.9, "beta2": 0.99}),
    "rmsprop with L2": (theory.RMSPROP, simulate.RMSprop, "coupled", {"smoothing": 0.99}),
}
SCALE_INVARIANT = ("sign", "sign with L2", "signum", "rmsprop", "adamw, short memory", "adam with L2")


def predicted(equilibrium, **values):
    """Return norm_squared, one_minus_cosine and angular_update from all values, each quantity taking those it needs."""
    quantities = ("norm_squared", "one_minus_cosine", "angular_update")
    return [
        float(equilibrium.numeric(name, **{key: values[key] for key in equilibrium.arguments(name)}))
        for name in quantities
    ]


def assert_agreement(found, expected, n_weights=N_WEIGHTS, systematic=0.0):
    """Hold a walk against the theory: three standard errors, and what the theory itself leaves out.

    The angle of a step is that of the mean cosine only for many weights: it may differ by 1/n_weights.
    """
    norm_squared, one_minus_cosine, angle = expected
    for estimate, value, left_out in (
        (found.norm_squared, norm_squared, systematic),
        (found.one_minus_cosine, one_minus_cosine, systematic),
        (found.angular_update, angle, systematic + 1 / n_weights),
    ):
        assert abs(estimate.value - value) <= 3 * estimate.standard_error + left_out * value


@pytest.mark.parametrize("eps", STEPS)
@pytest.mark.parametrize("coupling", ["coupled", "decoupled"])
@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_optimizer_settles_where_its_transfer_function_says(name, coupling, eps):
    optimizer, own = LINEAR[name]
    lr = 0.1
    rule = simulate.filtered_gradient(optimizer, lr, weight_decay=eps / lr, coupling=coupling, **own)
    values = {"lr": lr, "weight_decay": eps / lr, "gradient_power": 2.0, **own}
    expected = predicted(theory.equilibrium(optimizer, coupling=coupling), **values)
    found = walk(
        rule,
        WhiteGradients(2.0),
        n_weights=N_WEIGHTS,
        n_steps=STEPS[eps],
        burn_in=round(10 / eps),
        norm_squared_start=expected[0],
        rng=SEED,
    )
    assert_agreement(found, expected)


@pytest.mark.parametrize("eps", STEPS)
@pytest.mark.parametrize("name", NONLINEAR)
def test_a_normalizing_optimizer_settles_where_its_autocorrelation_says(name, eps):
    found, expected, left_out = nonlinear_walk(name, eps, "none")
    assert_agreement(found, expected, systematic=left_out)


@pytest.mark.parametrize("name", SCALE_INVARIANT)
def test_normalizing_optimizers_settle_under_scale_invariance_too(name):
    found, expected, left_out = nonlinear_walk(name, 0.1, "scale")
    assert_agreement(found, expected, systematic=left_out + 1 / N_WEIGHTS)


def nonlinear_walk(name, eps, symmetry):
    """Return a walk with gradients of standard deviation 1 per weight, the theory, and the order of what that omits.

    With decay in the gradient, the theory takes the fluctuation of the second moment at leading order in
    lr*weight_decay/sigma, so that it leaves out their product.
    """
    optimizer, rule, coupling, own = NONLINEAR[name]
    lr, power = 0.1, float(N_WEIGHTS)
    second = own.get("beta2", own.get("smoothing", 0.0)) if optimizer in (theory.ADAM, theory.RMSPROP) else 0.0
    given = {"lr": lr, "weight_decay": eps / lr, "gradient_power": power, "n_weights": N_WEIGHTS, **own}
    equilibrium = theory.equilibrium(optimizer, coupling=coupling, symmetry=symmetry)
    expected = predicted(equilibrium, **given)
    found = walk(
        rule(lr, weight_decay=eps / lr, coupling=coupling, **own),
        WhiteGradients(power),
        n_weights=N_WEIGHTS,
        n_steps=STEPS[eps],
        burn_in=round(10 / eps + 20 * second / (1 - second)),
        norm_squared_start=expected[0],
        symmetry=symmetry,
        rng=SEED,
    )
    s = eps if symmetry == "none" else eps * np.sqrt(expected[0])
    return found, expected, (1 - second) * s if coupling == "coupled" and second else 0.0


@pytest.mark.parametrize("name", ["sgd", "heavy ball", "nesterov", "two buffers"])
@pytest.mark.parametrize("coupling", ["coupled", "decoupled"])
def test_a_linear_optimizer_settles_under_scale_invariance_too(name, coupling):
    optimizer, own = LINEAR[name]
    lr, eps = 0.1, 0.1
    equilibrium = theory.equilibrium(optimizer, coupling=coupling, symmetry="scale")
    expected = predicted(equilibrium, lr=lr, weight_decay=eps / lr, gradient_power=2.0, **own)
    found = walk(
        simulate.filtered_gradient(optimizer, lr, weight_decay=eps / lr, coupling=coupling, **own),
        WhiteGradients(2.0),
        n_weights=N_WEIGHTS,
        n_steps=STEPS[eps],
        norm_squared_start=expected[0],
        symmetry="scale",
        rng=SEED,
    )
    assert_agreement(found, expected, systematic=1 / N_WEIGHTS)


@pytest.mark.parametrize("eps", STEPS)
@pytest.mark.parametrize("shape", [(32, 32), (20, 50)])
def test_muon_settles_where_the_overlap_of_polar_factors_says(shape, eps):
    lr, momentum = 0.1, 0.9
    equilibrium = theory.equilibrium(theory.MUON, coupling="decoupled")
    expected = predicted(
        equilibrium, lr=lr, weight_decay=eps / lr, momentum=momentum, n_rows=shape[0], n_columns=shape[1]
    )
    found = walk(
        simulate.Muon(lr, weight_decay=eps / lr, momentum=momentum),
        WhiteGradients(),
        n_weights=shape,
        n_steps=250,
        n_replicas=8,
        burn_in=round(5 / eps),
        norm_squared_start=expected[0],
        rng=SEED,
    )
    assert_agreement(found, expected)


def test_gradients_that_remember_are_one_more_filter():
    correlation, lr, weight_decay = 0.5, 0.1, 1.0
    remembering = theory.LinearOptimizer("remembering", 1 / (1 - B / 2))
    power = 2.0 * (1 - correlation**2)  # of the white noise that drives them
    expected = predicted(
        theory.equilibrium(remembering, coupling="decoupled"), lr=lr, weight_decay=weight_decay, gradient_power=power
    )
    found = walk(
        simulate.SGD(lr, weight_decay=weight_decay, coupling="decoupled"),
        simulate.AutoregressiveGradients(2.0, correlation=correlation),
        n_weights=N_WEIGHTS,
        n_steps=400,
        max_lag=3,
        rng=SEED,
    )
    assert_agreement(found, expected)
    deviation = found.update_autocorrelation.deviation(correlation ** np.arange(4))[1:]
    assert np.all(np.abs(deviation) <= 3)


def test_the_angle_holds_for_measured_autocorrelations():
    lr, weight_decay = 0.1, 0.4
    found = walk(
        simulate.Adam(lr, weight_decay=weight_decay, coupling="decoupled", beta2=0.99),
        WhiteGradients(),
        n_weights=N_WEIGHTS,
        n_steps=1000,
        burn_in=500,
        max_lag=60,
        rng=SEED,
    )
    rho, lags = found.update_autocorrelation.value[1:], np.arange(1, 61)
    left = 1 - lr * weight_decay
    sums = np.sum(left ** (lags - 1) * rho)
    expected = lr * weight_decay - (1 - left**2) * sums / (1 + 2 * left * sums)
    assert found.one_minus_cosine.value == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("rule", "lowest", "highest"),
    [
        (simulate.SGD(0.1, weight_decay=0.1), 0.99, 1.01),
        (simulate.SGD(0.1, weight_decay=0.01, momentum=0.9), 0.8, 0.95),
        (simulate.Adam(0.1, weight_decay=0.1, beta2=0.99, coupling="decoupled"), 0.8, 0.95),
    ],
    ids=["sgd", "heavy ball", "adamw"],
)
def test_reshuffled_epochs_lower_the_norm_of_optimizers_with_memory_but_hardly_their_angle(rule, lowest, highest):
    """Within an epoch of 100 steps gradients are anticorrelated; a scale-invariant SGD step does not see that."""
    with_replacement, reshuffled = (
        walk(
            rule,
            SampledGradients(n_examples=100, batch_size=1, replacement=replacement),
            n_weights=N_WEIGHTS,
            n_steps=600,
            burn_in=1200,
            norm_squared_start=1.0,
            n_replicas=8,
            symmetry="scale",
            rng=SEED,
        )
        for replacement in (True, False)
    )
    assert lowest < reshuffled.norm_squared.value / with_replacement.norm_squared.value < highest
    assert reshuffled.angular_update.value == pytest.approx(with_replacement.angular_update.value, rel=0.04)


def test_five_newton_schulz_steps_make_an_update_that_is_too_small():
    rng = np.random.default_rng(SEED)
    matrices = rng.standard_normal((20, 64, 64))
    power = np.square(simulate.polar_factor(matrices, 5)).sum(axis=(1, 2)).mean() / 64
    assert 0.7 < power < 0.9
    exact = simulate.polar_factor(matrices)
    np.testing.assert_allclose(np.broadcast_to(np.eye(64), exact.shape), exact @ np.swapaxes(exact, 1, 2), atol=1e-10)


TORCH = {
    "sgd": (simulate.SGD(0.1, weight_decay=0.3), "SGD", {"lr": 0.1, "weight_decay": 0.3}),
    "momentum": (
        simulate.SGD(0.1, weight_decay=0.3, momentum=0.9, dampening=0.2),
        "SGD",
        {"lr": 0.1, "weight_decay": 0.3, "momentum": 0.9, "dampening": 0.2},
    ),
    "nesterov": (
        simulate.SGD(0.1, weight_decay=0.3, momentum=0.9, nesterov=True),
        "SGD",
        {"lr": 0.1, "weight_decay": 0.3, "momentum": 0.9, "nesterov": True},
    ),
    "adam": (
        simulate.Adam(0.1, weight_decay=0.3, beta1=0.8, beta2=0.95, eps=1e-3),
        "Adam",
        {"lr": 0.1, "weight_decay": 0.3, "betas": (0.8, 0.95), "eps": 1e-3},
    ),
    "adamw": (
        simulate.Adam(0.1, weight_decay=0.3, coupling="decoupled", beta1=0.8, beta2=0.95, eps=1e-3),
        "AdamW",
        {"lr": 0.1, "weight_decay": 0.3, "betas": (0.8, 0.95), "eps": 1e-3},
    ),
    "rmsprop": (
        simulate.RMSprop(0.1, weight_decay=0.3, smoothing=0.9, eps=1e-3),
        "RMSprop",
        {"lr": 0.1, "weight_decay": 0.3, "alpha": 0.9, "eps": 1e-3},
    ),
}


@pytest.mark.peers
@pytest.mark.parametrize("name", TORCH)
def test_a_rule_steps_as_torch_does(name):
    torch = pytest.importorskip("torch")
    rule, kind, options = TORCH[name]
    rng = np.random.default_rng(SEED)
    weights, state = rng.standard_normal((3, 4)), ()
    parameter = torch.nn.Parameter(torch.tensor(weights))
    optimizer = getattr(torch.optim, kind)([parameter], **options)
    for _ in range(50):
        gradient = rng.standard_normal((3, 4))
        parameter.grad = torch.tensor(gradient)
        optimizer.step()
        weights, state = rule.step(weights, gradient, state)
        np.testing.assert_allclose(parameter.detach().numpy(), weights, rtol=1e-12, atol=1e-14)


RULES = [
    simulate.SGD(0.1, weight_decay=0.3),
    simulate.SGD(0.1, weight_decay=0.3, momentum=0.9, nesterov=True),
    simulate.Adam(0.1, weight_decay=0.3),
    simulate.RMSprop(0.1, weight_decay=0.3, coupling="decoupled"),
    simulate.SignSGD(0.1, weight_decay=0.3, momentum=0.5),
    simulate.Lion(0.1, weight_decay=0.3),
    simulate.Muon(0.1, weight_decay=0.3),
    simulate.filtered_gradient(theory.NESTEROV, 0.1, weight_decay=0.3, momentum=0.9),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: type(rule).__name__)
def test_a_step_changes_nothing_it_is_given(rule):
    rng = np.random.default_rng(SEED)
    weights, gradient = rng.standard_normal((2, 3, 4))
    state = rule.step(weights, gradient)[1]
    given = [weights.copy(), gradient.copy(), *(part.copy() for part in state)]
    first = rule.step(weights, gradient, state)[0]
    second = rule.step(weights, gradient, state)[0]
    np.testing.assert_array_equal(first, second)
    for before, after in zip(given, (weights, gradient, *state), strict=True):
        np.testing.assert_array_equal(before, after)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_nesterov_as_a_filter_is_nesterov_as_a_rule(momentum):
    rng = np.random.default_rng(SEED)
    rule = simulate.SGD(0.1, weight_decay=0.3, momentum=momentum, nesterov=bool(momentum))
    filtered = simulate.filtered_gradient(theory.NESTEROV, 0.1, weight_decay=0.3, momentum=momentum)
    one = two = rng.standard_normal(5)
    state_one, state_two = (), ()
    for _ in range(20):
        gradient = rng.standard_normal(5)
        one, state_one = rule.step(one, gradient, state_one)
        two, state_two = filtered.step(two, gradient, state_two)
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_the_same_seed_gives_the_same_walk():
    def run(rng):
        return walk(simulate.SGD(0.1, weight_decay=1.0), WhiteGradients(), n_weights=10, n_steps=20, rng=rng)

    assert run(1).norm_squared == run(1).norm_squared != run(2).norm_squared
    assert 1 == run(1).seed
    fresh = run(None)
    assert fresh.norm_squared == run(fresh.seed).norm_squared
    generators = [np.random.default_rng(1) for _ in range(2)]
    first, again, second = (run(generator) for generator in (*generators, generators[0]))
    assert first.norm_squared == again.norm_squared != second.norm_squared
    assert 1 == first.seed["entropy"]
    assert np.random.default_rng(1).random() == generators[0].random()  # the caller's own stream is left alone


def test_a_walk_tells_its_progress_up_to_the_end_and_changes_no_number():
    told, options = [], {"n_weights": 10, "n_steps": 500, "rng": 1}
    rule = simulate.SGD(0.1, weight_decay=1.0)
    watched = walk(rule, WhiteGradients(), progress=lambda done, total: told.append((done, total)), **options)
    assert walk(rule, WhiteGradients(), **options).norm_squared == watched.norm_squared
    assert (600, 600) == told[-1]
    assert sorted(told) == told
    assert 90 <= len(told) <= 110


def test_fixed_norms_and_tangential_gradients_make_the_norm_certain():
    found = walk(
        simulate.SGD(0.1, weight_decay=1.0),
        WhiteGradients(fixed_norm=True),
        n_weights=50,
        n_steps=10,
        burn_in=200,
        norm_squared_start=1.0,
        symmetry="scale",
        rng=SEED,
    )
    expected = theory.equilibrium(theory.SGD, symmetry="scale").numeric(lr=0.1, weight_decay=1.0, gradient_power=1.0)
    assert found.norm_squared.value == pytest.approx(expected, rel=0.02)
    assert found.norm_squared.standard_error < 1e-2 * expected


def test_epochs_use_every_example_once():
    source = SampledGradients(n_examples=12, batch_size=3, replacement=False)
    stream = source.stream(np.random.default_rng(SEED), 2, (5,))
    for _ in range(3):
        epoch = [next(stream) for _ in range(4)]
        np.testing.assert_allclose(np.zeros((2, 5)), sum(epoch), atol=1e-12)


def test_with_replacement_the_power_is_the_one_asked_for():
    stream = SampledGradients(3.0, n_examples=10, batch_size=2).stream(np.random.default_rng(SEED), 500, (20,))
    assert 3.0 == pytest.approx(np.mean([np.square(next(stream)).sum(axis=1).mean() for _ in range(20)]), rel=0.02)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_steps": 0}, "n_steps is 0, but must be a whole number of at least 1"),
        ({"n_steps": 2.5}, "n_steps is 2.5, but must be a whole number"),
        ({"n_replicas": 1}, "n_replicas is 1, but must be a whole number of at least 2"),
        ({"max_lag": 20}, "max_lag is 20, but must be a whole number from 0 to 19"),
        ({"symmetry": "scal"}, "did you mean 'scale'"),
        ({"symmetry": "scale"}, "norm_squared_start is 0.0, but must be a finite number above 0"),
        ({"n_weights": (2, 3, 4)}, "must be a number of weights, or \\(n_rows, n_columns\\)"),
        ({"progress": 3}, "progress is 3, but must be a function"),
        ({"rng": "1"}, "rng is '1', but must be"),
        ({"norm_squared_start": "1"}, "norm_squared_start is '1', but must be"),
    ],
)
def test_a_wrong_argument_of_a_walk_is_named(options, message):
    arguments = {"n_weights": 10, "n_steps": 20, "rng": 1, **options}
    with pytest.raises(InvalidInput, match=message):
        walk(simulate.SGD(0.1, weight_decay=1.0), WhiteGradients(), **arguments)


def test_without_decay_a_walk_needs_a_burn_in():
    with pytest.raises(InvalidInput, match="weight_decay is 0, so the start is never forgotten"):
        walk(simulate.SGD(0.1), WhiteGradients(), n_weights=10, n_steps=20, rng=1)


def test_a_walk_that_diverges_says_where():
    with pytest.raises(DivergenceError, match=r"diverged at step \d+ .*weight_decay=50"):
        walk(simulate.SGD(0.1, weight_decay=50.0), WhiteGradients(), n_weights=10, n_steps=2000, rng=1)


class BrokenAt:
    """White gradients, one of which is not a number."""

    power = 1.0

    def __init__(self, step):
        self.step = step

    def stream(self, rng, n_replicas, shape):
        for step, gradient in enumerate(WhiteGradients().stream(rng, n_replicas, shape), start=1):
            yield gradient if step != self.step else np.nan * gradient


@pytest.mark.parametrize(
    "rule", [simulate.SGD(0.1), simulate.Lion(0.1), simulate.Muon(0.1)], ids=["sgd", "lion", "muon"]
)
@pytest.mark.parametrize("step", [1, 20, 30])
def test_a_gradient_that_is_not_a_number_is_told_with_its_step(rule, step):
    with pytest.raises(DivergenceError, match=f"diverged at step {step} in .*lr=0.1"):
        walk(rule, BrokenAt(step), n_weights=(3, 4), n_steps=20, burn_in=10, rng=1)


def test_a_rule_of_one_s_own_may_diverge_too():
    class Doubling:
        lr, weight_decay, coupling = 1.0, 0.5, "coupled"

        def step(self, weights, gradient, state=()):
            return 2 * weights + gradient, state

    with pytest.raises(DivergenceError, match=r"diverged at step \d+ .*\(lr=1.0, weight_decay=0.5\)"):
        walk(Doubling(), WhiteGradients(), n_weights=10, n_steps=2000, rng=1)


def test_muon_wants_the_shape_of_its_matrix():
    with pytest.raises(InvalidInput, match=r"n_weights is 10, but Muon steps matrices: give \(n_rows, n_columns\)"):
        walk(simulate.Muon(0.1, weight_decay=1.0), WhiteGradients(), n_weights=10, n_steps=20, rng=1)


@pytest.mark.parametrize(
    ("rule", "gradients", "message"),
    [
        ("sgd", WhiteGradients(), r"rule is 'sgd', but must be an optimizer, such as SGD\("),
        (simulate.SGD, WhiteGradients(), "rule is <class .*SGD'>, but must be an optimizer"),
        (simulate.SGD(0.1), "white", r"gradients is 'white', but must be a source of gradients, such as White"),
        (simulate.SGD(0.1), WhiteGradients, "gradients is <class .*WhiteGradients'>, but must be a source"),
    ],
)
def test_a_walk_needs_a_rule_and_a_source(rule, gradients, message):
    with pytest.raises(InvalidInput, match=message):
        walk(rule, gradients, n_weights=10, n_steps=20, burn_in=1, rng=1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: simulate.SGD(-0.1), "lr is -0.1, but must be a finite number above 0"),
        (lambda: simulate.SGD("0.1"), "lr is '0.1', but must be"),
        (lambda: simulate.SGD(0.1, weight_decay=-1), "weight_decay is -1, but must be a finite number, 0 or above"),
        (lambda: simulate.SGD(0.1, momentum=1.0), "momentum is 1.0, but must be a number from 0 to below 1"),
        (lambda: simulate.SGD(0.1, coupling="l2"), "coupling is 'l2', but must be one of: coupled, decoupled"),
        (lambda: simulate.SGD(0.1, nesterov=True), "needs a momentum above 0 and no dampening"),
        (lambda: simulate.Adam(0.1, beta2=1.0), "beta2 is 1.0, but must be"),
        (lambda: simulate.Muon(0.1).step(np.ones(3), np.ones(3)), "shape \\(3,\\), but must be matrices"),
        (lambda: simulate.Muon(0.1, newton_schulz_steps="x"), "newton_schulz_steps is 'x', but must be a whole number"),
        (lambda: simulate.Muon(0.1, newton_schulz_steps=-1), "newton_schulz_steps is -1, but must be a whole number"),
        (lambda: simulate.polar_factor(np.eye(2), -1), "newton_schulz_steps is -1, but must be a whole number"),
        (lambda: simulate.filtered_gradient(theory.ADAM, 0.1), "must be a LinearOptimizer"),
        (lambda: simulate.filtered_gradient(theory.EMA, 0.1), "missing: momentum"),
        (lambda: simulate.filtered_gradient(theory.EMA, 0.1, momentum=1.5), "needs momentum < 1"),
        (lambda: simulate.FilteredGradient(0.1, denominator=(2.0,)), "the first of the denominator being 1"),
        (lambda: SampledGradients(n_examples=10, batch_size=3), "an epoch must be whole mini-batches"),
        (lambda: simulate.AutoregressiveGradients(correlation=1), "above -1 and below 1"),
        (lambda: WhiteGradients(0), "power is 0, but must be"),
    ],
)
def test_a_wrong_rule_or_source_is_refused(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


@given(st.floats(max_value=0) | st.sampled_from([np.nan, np.inf, "0.1", None, True]))
def test_a_learning_rate_outside_its_range_is_refused(wrong):
    with pytest.raises(InvalidInput, match="lr is"):
        simulate.Adam(wrong)


def test_results_and_rules_are_frozen():
    with pytest.raises(dataclasses.FrozenInstanceError):
        simulate.Adam(0.1).lr = 0.2
    assert simulate.Adam(0.1) == simulate.Adam(0.1)
