"""Equilibria of linear optimizers: exact, leading, their range, and what is refused."""

import dataclasses
import re
import time

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from weightdecay import theory
from weightdecay.errors import InvalidInput, ProofError
from weightdecay.theory import B, LinearOptimizer, equilibrium, symbols_of
from weightdecay.theory.checking import check_from

lr, weight_decay, gradient_power, momentum, dampening = symbols_of("lr weight_decay gradient_power momentum dampening")
EPS = lr * weight_decay
LINEAR = (theory.SGD, theory.HEAVY_BALL, theory.NESTEROV, theory.EMA)
look, slow, fast, third = sp.symbols("look slow fast third", positive=True)
INVENTED = (
    LinearOptimizer("optimistic", 1 + look - look * B),
    LinearOptimizer("two-buffers", (1 - slow) / (1 - slow * B) + (1 - fast) / (1 - fast * B)),
    LinearOptimizer("oscillating", 1 / (1 - B / 2 + B**2 / 3)),
    LinearOptimizer("delayed", B**2),
    LinearOptimizer("mean-of-three", (1 + B + B**2) / 3),
)
every_form = pytest.mark.parametrize(
    ("optimizer", "coupling"),
    [(optimizer, coupling) for optimizer in LINEAR + INVENTED for coupling in ("coupled", "decoupled")],
    ids=lambda part: part if isinstance(part, str) else part.name,
)


def own_values(optimizer, value=0.6):
    return {symbol.name: value for symbol in optimizer.hyperparameters}


def moments_by_lyapunov(optimizer, coupling, eps, own):
    """Return r_0 and r_1 of white noise of power 1 behind the filter, from its impulse response, summed."""
    above, below = optimizer.coefficients(**own)
    n_steps = round(25 / eps) + 200
    weights, memory = np.zeros(n_steps), np.zeros(n_steps)
    fed = np.zeros(n_steps)
    for step in range(n_steps - 1):
        fed[step] = (step == 0) + (eps * weights[step] if coupling == "coupled" else 0.0)
        memory[step] = sum(part * fed[step - k] for k, part in enumerate(above) if step >= k)
        memory[step] -= sum(part * memory[step - k] for k, part in enumerate(below) if k and step >= k)
        left = 1.0 if coupling == "coupled" else 1.0 - eps
        weights[step + 1] = left * weights[step] - memory[step]
    return weights @ weights, weights[1:] @ weights[:-1]


@pytest.mark.parametrize("eps", [0.02, 0.1, 0.4])
@every_form
def test_the_exact_moments_are_those_of_the_impulse_response(optimizer, coupling, eps):
    own = own_values(optimizer, 0.5)
    r_0, r_1 = moments_by_lyapunov(optimizer, coupling, eps, own)
    exact = equilibrium(optimizer, coupling=coupling)
    values = {"lr": 0.5, "weight_decay": eps / 0.5, **own}
    assert exact.numeric(**values, gradient_power=3.0) == pytest.approx(0.5**2 * 3.0 * r_0, rel=1e-9)
    rotation = exact.numeric("one_minus_cosine", **{key: values[key] for key in exact.arguments("one_minus_cosine")})
    assert rotation == pytest.approx(1 - r_1 / r_0, rel=1e-9)
    angle = exact.numeric("angular_update", **{key: values[key] for key in exact.arguments("angular_update")})
    assert angle == pytest.approx(np.arccos(r_1 / r_0), rel=1e-9)


@every_form
def test_the_leading_form_is_the_first_term_of_the_series_and_the_correction_the_second(optimizer, coupling):
    exact = equilibrium(optimizer, coupling=coupling)
    leading = equilibrium(optimizer, coupling=coupling, order="leading")
    for name in ("norm_squared", "one_minus_cosine"):
        own = {symbol: sp.Rational(3, 5) for symbol in optimizer.hyperparameters}
        whole, first = (getattr(form, name).subs(own).subs(lr, 1) for form in (exact, leading))
        series = sp.series(whole / first, weight_decay, 0, 2).removeO()
        assert 0 == sp.simplify(series - 1 - exact.first_correction[name].subs(own).subs(lr, 1))
    assert exact.first_correction == leading.first_correction
    at = {"lr": 1.0, "weight_decay": 1e-4, **own_values(optimizer)}
    ratios = [
        form.numeric("angular_update", **{key: at[key] for key in form.arguments("angular_update")})
        for form in (exact, leading)
    ]
    correction = exact.first_correction["angular_update"]
    expected = float(correction.subs({symbol: at[symbol.name] for symbol in correction.free_symbols}))
    assert ratios[0] / ratios[1] - 1 == pytest.approx(expected, rel=0.05, abs=1e-7)


@every_form
def test_the_leading_form_is_the_textbook_rule(optimizer, coupling):
    """R is (lr G^2 / 2 lambda) H(1) or H(1)^2; theta^2 is 2 eps ||H||^2 over the same power of H(1)."""
    above, below = optimizer.coefficients(**own_values(optimizer))
    response = np.zeros(400)
    for step in range(400):
        response[step] = (above[step] if step < len(above) else 0.0) - sum(
            part * response[step - k] for k, part in enumerate(below) if k and step >= k
        )
    at_one = response.sum() ** (1 if coupling == "coupled" else 2)
    leading = equilibrium(optimizer, coupling=coupling, order="leading")
    values = {"lr": 0.1, "weight_decay": 0.2, "gradient_power": 3.0, **own_values(optimizer)}

    def number(name):
        return leading.numeric(name, **{key: values[key] for key in leading.arguments(name)})

    assert number("norm_squared") == pytest.approx(0.1 * 3.0 / (2 * 0.2) * at_one)
    assert number("angular_update") ** 2 == pytest.approx(2 * 0.02 * (response @ response) / at_one)


def test_known_results_come_out():
    sgd, a = equilibrium(theory.SGD), 1 - EPS
    heavy = equilibrium(theory.HEAVY_BALL)
    decoupled = equilibrium(theory.HEAVY_BALL, coupling="decoupled")
    mu, plain = momentum, {dampening: 0}
    known = [
        (sgd.norm_squared, lr * gradient_power / (weight_decay * (2 - EPS))),
        (sgd.one_minus_cosine, EPS),
        (
            heavy.norm_squared.subs(plain),
            lr * gradient_power * (1 + mu) / (weight_decay * (1 - mu) * (2 * (1 + mu) - EPS)),
        ),
        (heavy.one_minus_cosine.subs(plain), EPS / (1 + mu)),
        (
            decoupled.norm_squared.subs(plain),
            gradient_power * lr**2 * (1 + a * mu) / ((1 - a * mu) * (1 - a**2) * (1 - mu**2)),
        ),
        (decoupled.one_minus_cosine.subs(plain), EPS * (1 - mu) / (1 + a * mu)),
    ]
    for found, expected in known:
        assert 0 == sp.simplify(found - expected)


@every_form
def test_scale_invariant_weights_turn_as_others_and_their_norm_is_a_root(optimizer, coupling):
    plain, scale = (equilibrium(optimizer, coupling=coupling, symmetry=symmetry) for symmetry in ("none", "scale"))
    values = {"lr": 0.1, "weight_decay": 0.3, "gradient_power": 2.0, **own_values(optimizer)}
    size = scale.numeric(**values)
    assert size == pytest.approx(plain.numeric(**values | {"gradient_power": 2.0 / size}))
    assert plain.one_minus_cosine == scale.one_minus_cosine
    assert 0 == sp.simplify(scale.relaxation_rate - 2 * plain.relaxation_rate)


@pytest.mark.parametrize("symmetry", ["none", "scale"])
@every_form
def test_the_spectral_rate_goes_to_the_leading_one_for_slow_decay(optimizer, coupling, symmetry):
    exact, leading = (
        equilibrium(optimizer, coupling=coupling, symmetry=symmetry, order=order) for order in ("exact", "leading")
    )
    values = {"lr": 1.0, "weight_decay": 1e-5, **own_values(optimizer)}
    rate = exact.numeric("relaxation_rate", **{key: values[key] for key in exact.arguments("relaxation_rate")})
    slow_rate = leading.numeric("relaxation_rate", **{key: values[key] for key in leading.arguments("relaxation_rate")})
    assert rate == pytest.approx(slow_rate, rel=1e-3)


def test_the_spectral_rate_of_sgd_is_that_of_its_norm():
    values = {"lr": np.array([0.1, 0.5]), "weight_decay": 0.4}
    a = 1 - values["lr"] * 0.4
    assert equilibrium(theory.SGD).numeric("relaxation_rate", **values) == pytest.approx(-2 * np.log(a))
    scale = equilibrium(theory.SGD, symmetry="scale").numeric("relaxation_rate", **values)
    assert scale == pytest.approx(-np.log(np.abs(2 * a**2 - 1)))


def test_the_valid_range_is_where_one_percent_is_lost():
    assert equilibrium(theory.SGD).valid_range() == pytest.approx(0.02, rel=1e-6)  # leading / exact is 1 - eps/2
    for coupling in ("coupled", "decoupled"):
        forms = [equilibrium(theory.HEAVY_BALL, coupling=coupling, order=order) for order in ("exact", "leading")]
        own = {"momentum": 0.9, "dampening": 0.0}
        needed = own if coupling == "coupled" else {"momentum": 0.9}  # decoupled, dampening scales both forms alike
        edge = forms[0].valid_range(**needed)
        assert edge == forms[1].valid_range(**needed)
        for factor, inside in ((0.99, True), (1.01, False)):
            values = {"lr": edge * factor, "weight_decay": 1.0, **own}
            off = [
                abs(np.divide(*(form.numeric(name, **extra, **values) for form in forms[::-1])) - 1)
                for name, extra in (("norm_squared", {"gradient_power": 1.0}),)
            ]
            angles = [
                form.numeric("angular_update", **{key: values[key] for key in form.arguments("angular_update")})
                for form in forms
            ]
            off.append(abs(angles[1] / angles[0] - 1))
            assert inside == (max(off) < 0.01)


def test_the_valid_range_names_what_it_needs():
    with pytest.raises(InvalidInput, match="takes dampening, momentum; missing: dampening"):
        equilibrium(theory.HEAVY_BALL).valid_range(momentum=0.9)
    with pytest.raises(InvalidInput, match="takes no argument; it does not depend on lr"):
        equilibrium(theory.SGD).valid_range(lr=0.1)
    with pytest.raises(InvalidInput, match="momentum is '0.9', but must be one number"):
        equilibrium(theory.EMA).valid_range(momentum="0.9")
    with pytest.raises(InvalidInput, match="needs momentum < 1, but momentum=1"):
        equilibrium(theory.EMA).valid_range(momentum=1.0)


def test_numbers_broadcast_and_name_what_is_wrong():
    heavy = equilibrium(theory.HEAVY_BALL)
    values = {"lr": np.full((3, 1), 0.1), "weight_decay": np.full(4, 0.2), "momentum": 0.9, "dampening": 0.0}
    assert (3, 4) == heavy.numeric(**values, gradient_power=1.0).shape
    assert (3, 4) == heavy.numeric("relaxation_rate", **values).shape
    with pytest.raises(InvalidInput, match="norm_squared of heavy-ball takes .*; missing: gradient_power"):
        heavy.numeric(**values)
    with pytest.raises(InvalidInput, match="it does not depend on gradient_power: leave that out"):
        heavy.numeric("relaxation_rate", **values, gradient_power=1.0)
    with pytest.raises(InvalidInput, match=r"lr is '0.1', but must be a finite number above 0"):
        heavy.numeric(**values | {"lr": "0.1"}, gradient_power=1.0)
    with pytest.raises(InvalidInput, match="did you mean 'norm_squared'"):
        heavy.numeric("norm_square", **values)


@given(st.floats(min_value=1.0, max_value=10.0))
def test_momentum_that_never_forgets_is_refused(wrong):
    for coupling in ("coupled", "decoupled"):
        with pytest.raises(InvalidInput, match="needs momentum < 1"):
            equilibrium(theory.HEAVY_BALL, coupling=coupling).numeric(
                lr=0.1, weight_decay=0.1, momentum=wrong, dampening=0.0, gradient_power=1.0
            )


def test_decay_outside_the_region_of_stability_is_refused_and_the_region_stated():
    with pytest.raises(InvalidInput, match=r"needs lr\*weight_decay < 2, but lr=0.5, weight_decay=4; outside this"):
        equilibrium(theory.SGD).numeric(lr=0.5, weight_decay=4.0, gradient_power=1.0)
    with pytest.raises(
        InvalidInput,
        match=r"< 2\*\(momentum \+ 1\)/\(2\*momentum \+ 1\) \(lr\*weight_decay below 1.35714 at momentum=0.9\), but",
    ):
        equilibrium(theory.NESTEROV).numeric(lr=1.0, weight_decay=1.5, momentum=0.9, gradient_power=1.0)
    edge = 2 * 1.9 / 2.8
    for factor, stable in ((0.999, True), (1.001, False)):
        _, below = theory.NESTEROV.closed_loop("coupled", sp.Float(edge * factor))
        roots = np.roots([float(part.subs(momentum, 0.9)) for part in below])
        assert stable == bool(np.all(np.abs(roots) < 1))


@pytest.mark.parametrize("optimizer", LINEAR + INVENTED, ids=lambda part: part.name)
def test_the_region_of_stability_is_that_of_the_roots(optimizer):
    own = own_values(optimizer, 0.7)
    exact = equilibrium(optimizer)
    outcomes = set()
    for eps in np.linspace(0.05, 14, 60):
        _, below = optimizer.closed_loop("coupled", sp.Float(eps))
        at = {symbol: own[symbol.name] for symbol in optimizer.hyperparameters}
        stable = bool(np.all(np.abs(np.roots([float(part.subs(at)) for part in below])) < 1))
        outcomes.add(stable)
        values = {"lr": eps, "weight_decay": 1.0, "gradient_power": 1.0, **own}
        if stable:
            assert exact.numeric(**values) > 0
        else:
            with pytest.raises(InvalidInput, match="needs"):
                exact.numeric(**values)
    assert {True, False} == outcomes


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (1 / (1 - 2 * B), "the filter of 'mine' is unstable"),
        (1 / (1 - B), "the filter of 'mine' is unstable"),
        (1 / (1 - 1.5 * B + 0.9 * B**2 - 0.5 * B**3 + B**4), "the filter of 'mine' is unstable"),
        (1 / B, "is improper: it has a pole at B = 0"),
        ((1 + B) / (B + B**2 / 2), "is improper"),
        (sp.Symbol("B", positive=True), "a symbol of its own named B, which is taken; use theory.B"),
        (1 / (1 - sp.Symbol("lr") * B), "named lr, which is taken"),
        (1 / (1 - sp.Symbol("weight_decay") * B), "named weight_decay, which is taken"),
        (1 / (1 - sp.Symbol("z", imaginary=True) * B), "unknown symbol 'z'"),
        (1 / (1 - sp.Symbol("not a name") * B), "unknown symbol 'not a name'"),
        (sp.Symbol("p") + sp.Symbol("p", positive=True) * B, "two symbols of the same name"),
        (sp.sqrt(1 - B), "must be a rational function"),
        (sp.exp(B), "must be a rational function"),
        (sp.Function("f")(B), "must be a rational function"),
        (1 + sp.I * B, "must have real, finite coefficients"),
        (sp.oo * B, "must have real, finite coefficients"),
        (0, "is 0, but must pass on some gradient"),
        ("1/(1-0.9*B)", "is '1/\\(1-0.9\\*B\\)', but must be a rational function of theory.B"),
        (None, "is None, but must be"),
        (True, "is True, but must be"),
    ],
)
def test_a_transfer_function_that_cannot_be_one_is_refused(function, message):
    with pytest.raises(InvalidInput, match=message):
        LinearOptimizer("mine", function)


def test_a_filter_that_turns_decay_into_growth_is_refused():
    with pytest.raises(InvalidInput, match="'contrary' with coupled decay is unstable"):
        equilibrium(LinearOptimizer("contrary", -1 / (1 - B / 2)))
    decoupled = equilibrium(LinearOptimizer("contrary", -1 / (1 - B / 2)), coupling="decoupled")
    assert decoupled.numeric(lr=0.1, weight_decay=0.1, gradient_power=1.0) > 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"coupling": "couple"}, "did you mean 'coupled'"),
        ({"symmetry": "rescale"}, "symmetry is 'rescale', but must be one of: none, scale"),
        ({"order": 2}, "order is 2, but must be one of: exact, leading"),
    ],
)
def test_wrong_options_get_near_names(options, message):
    with pytest.raises(InvalidInput, match=message):
        equilibrium(theory.SGD, **options)


def test_what_is_no_optimizer_is_refused():
    with pytest.raises(InvalidInput, match="must be a LinearOptimizer or StationaryUpdates"):
        equilibrium("sgd")
    with pytest.raises(InvalidInput, match="the name of an optimizer is '', but must be"):
        LinearOptimizer("", 1)


def test_an_equilibrium_is_frozen():
    found = equilibrium(theory.SGD)
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.norm_squared = 0
    with pytest.raises(TypeError):
        found.first_correction["norm_squared"] = 0


@pytest.mark.parametrize("optimizer", LINEAR + INVENTED, ids=lambda part: part.name)
def test_free_symbols_are_named_as_arguments(optimizer):
    own = {symbol.name for symbol in optimizer.hyperparameters}
    for coupling in ("coupled", "decoupled"):
        found = equilibrium(optimizer, coupling=coupling)
        assert {"lr", "weight_decay", "gradient_power", *own} == {s.name for s in found.norm_squared.free_symbols}
        assert found.one_minus_cosine.free_symbols <= {lr, weight_decay, *optimizer.hyperparameters}


@every_form
def test_any_optimizer_has_a_derivation_that_proves_itself(optimizer, coupling):
    if optimizer in INVENTED:
        derived = theory.linear_optimizer(optimizer, coupling)
        derived.check()
        assert derived.results["norm_squared_stationary"] == equilibrium(optimizer, coupling=coupling).norm_squared


def test_a_second_order_filter_with_three_symbols_is_solved_at_once():
    """Bound: generous against a busy machine; by fraction-field algebra it takes a fifth of a second."""
    start = time.process_time()
    equilibrium(LinearOptimizer("fresh", (1 + third * B) / ((1 - slow * B) * (1 - fast * B))))
    assert time.process_time() - start < 2.0


def test_published_heavy_ball_numbers_far_from_leading_order():
    """At lr*weight_decay = 0.1 and momentum 0.9 the leading forms are off by 3 to 47 %."""
    values = {"lr": 0.1, "weight_decay": 1.0, "gradient_power": 1.0, "momentum": 0.9, "dampening": 0.0}
    off = {}
    for coupling in ("coupled", "decoupled"):
        exact, leading = (
            equilibrium(theory.HEAVY_BALL, coupling=coupling, order=order) for order in ("exact", "leading")
        )
        off[coupling] = abs(leading.numeric(**values) / exact.numeric(**values) - 1)
    assert off["coupled"] == pytest.approx(0.1 / (2 * 1.9), rel=1e-6)
    assert off["decoupled"] > 0.4


@pytest.mark.parametrize("lost", [0, 1])
@pytest.mark.parametrize("name", ["optimizer-nesterov-coupled", "optimizer-heavy-ball-decoupled"])
def test_a_stability_region_without_one_of_its_conditions_fails_its_proof(name, lost):
    claim = theory.derive(name)
    claim.check()
    kept = [condition for place, condition in enumerate(claim.conditions) if place != lost]
    assert len(kept) == 1
    with pytest.raises(ProofError, match="does not hold"):
        dataclasses.replace(claim, conditions=tuple(kept)).check()


@pytest.mark.parametrize("factor", [7, sp.Rational(21, 20), sp.Rational(19, 20)])
def test_a_stability_region_that_is_too_wide_or_too_narrow_fails_its_proof(factor):
    claim = theory.derive("optimizer-heavy-ball-coupled")
    (bound,) = (part for part in claim.conditions if part.relation.has(sp.Symbol("lr", positive=True)))
    wrong = dataclasses.replace(bound, relation=bound.relation.lhs < factor * bound.relation.rhs)
    changed = tuple(wrong if part is bound else part for part in claim.conditions)
    with pytest.raises(ProofError, match="does not hold"):
        dataclasses.replace(claim, conditions=changed).check()


@pytest.mark.parametrize("filter_", [1 / (1 - B / 2 + B**2 / 4), 1 + B - B**2 / 2, 1 / (1 - sp.Symbol("k") * B**2)])
@pytest.mark.parametrize("coupling", ["coupled", "decoupled"])
def test_the_region_of_an_invented_filter_is_proven_from_its_roots(filter_, coupling):
    invented = theory.linear_optimizer(LinearOptimizer("invented", filter_), coupling)
    assert all(condition.proof for condition in invented.conditions)
    check_from(invented, len(invented.steps))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: equilibrium(LinearOptimizer), "must be a LinearOptimizer or StationaryUpdates"),
        (lambda: equilibrium(LinearOptimizer("a", 1 - B)), "decay never pulls the weights back; use coupling='dec"),
        (lambda: LinearOptimizer("a", 1 / (1 - 2 * B)), "pole at B = 1/2, on or inside the unit circle; use a denom"),
        (lambda: LinearOptimizer("a", 1 - B * sp.Symbol("lambda", positive=True)), "named lambda, which Python keeps"),
        (lambda: theory.StationaryUpdates("a", 1, 0, coupled="text"), "'text', but must be a CoupledLaw or None"),
        (lambda: theory.StationaryUpdates("a", 1, 0, conditions="text"), "must be a tuple of theory.Condition"),
    ],
)
def test_what_has_no_equilibrium_is_told_with_what_to_do(call, message):
    with pytest.raises(InvalidInput, match=message):
        call()


def _three_poles():
    first, second, third = sp.symbols("first second third", positive=True)
    return LinearOptimizer("three-poles", 1 / ((1 - first * B) * (1 - second * B) * (1 - third * B)))


def test_the_region_of_a_third_order_filter_is_told_as_a_bound_at_the_given_values():
    form = equilibrium(_three_poles())
    own = {"first": 0.5, "second": 0.5, "third": 0.5}
    with pytest.raises(InvalidInput, match=r"needs lr\*weight_decay below ([0-9.]+) at first=0.5, second=0.5") as told:
        form.numeric(lr=0.1, weight_decay=3, gradient_power=1, **own)
    bound = float(re.search("below ([0-9.]+) at", str(told.value))[1])
    for factor, stable in ((0.999, True), (1.001, False)):
        # (1 - B)(1 - B/2)^3 + eps B, whose roots must lie outside the unit circle
        closed = np.polynomial.polynomial.polymul([1, -1], np.polynomial.polynomial.polypow([1, -0.5], 3))
        closed[1] += factor * bound
        assert stable == (min(abs(np.polynomial.polynomial.polyroots(closed))) > 1)


def test_the_hyperparameter_to_mend_is_named_with_its_bound():
    with pytest.raises(InvalidInput, match=r"first below 1 at lr=0.1, second=0.5, third=0.5"):
        equilibrium(_three_poles(), coupling="decoupled").numeric(
            lr=0.1, weight_decay=0.1, gradient_power=1, first=1.2, second=0.5, third=0.5
        )


def test_the_valid_range_takes_nothing_that_cancels_and_all_that_does_not():
    decoupled = {optimizer: equilibrium(optimizer, coupling="decoupled") for optimizer in (theory.LION, theory.ADAM)}
    for optimizer, form in decoupled.items():
        edge = form.valid_range(beta1=0.9, beta2=0.99)
        leading = equilibrium(optimizer, coupling="decoupled", order="leading")
        for n_weights in (1, 12345):
            at = {"lr": edge / 0.3, "weight_decay": 0.3, "beta1": 0.9, "beta2": 0.99}
            sizes = [part.numeric(n_weights=n_weights, **at) for part in (leading, form)]
            angles = [part.numeric("angular_update", **at) for part in (leading, form)]
            off = max(abs(short / long - 1) for short, long in (sizes, angles))
            assert off == pytest.approx(0.01, rel=1e-6)
        with pytest.raises(InvalidInput, match="takes beta1, beta2; it does not depend on n_weights"):
            form.valid_range(beta1=0.9, beta2=0.99, n_weights=10)


def test_the_valid_range_of_a_normalized_gradient_with_scale_symmetry_needs_the_decay_too():
    form = equilibrium(theory.SIGN_SGD, symmetry="scale")
    with pytest.raises(InvalidInput, match="missing: weight_decay"):
        form.valid_range(n_weights=100, gradient_power=50.0)
    leading = equilibrium(theory.SIGN_SGD, symmetry="scale", order="leading")
    for weight_decay in (0.1, 1.0):
        edge = form.valid_range(n_weights=100, gradient_power=50.0, weight_decay=weight_decay)
        at = {"lr": edge / weight_decay, "weight_decay": weight_decay, "n_weights": 100, "gradient_power": 50.0}
        ratios = [leading.numeric(name, **at) / form.numeric(name, **at) for name in ("norm_squared", "angular_update")]
        assert max(abs(ratio - 1) for ratio in ratios) == pytest.approx(0.01, rel=1e-6)


@pytest.mark.parametrize("n_weights", [10.5, np.array([10.0, 0.5])])
def test_a_number_of_weights_is_whole(n_weights):
    with pytest.raises(InvalidInput, match=r"n_weights is (10|0)\.5, but must be a whole number above 0"):
        equilibrium(theory.ADAM).numeric(
            lr=0.1, weight_decay=0.1, gradient_power=1.0, beta1=0.9, beta2=0.999, n_weights=n_weights
        )
    for count in ("n_train", "batch_size"):
        values = {"lr": 0.1, "weight_decay": 1e-4, "n_train": 50000, "batch_size": 10} | {count: 2.5}
        with pytest.raises(InvalidInput, match=f"{count} is 2.5, but must be a whole number above 0"):
            theory.derive("decay-per-epoch").numeric(**values)
