"""Conservation laws from declared symmetries, held against networks whose gradients are written by hand."""

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from weightdecay import theory
from weightdecay.errors import InvalidInput, ProofError
from weightdecay.theory import Symmetry

LR, WEIGHT_DECAY = 0.3, 0.2
LEFT = 1 - LR * WEIGHT_DECAY
ALL = ("dead-input", "translation-symmetry", "scale-symmetry", "rescale-symmetry", "rescale-symmetry-undecayed-bias")
ALL += ("deep-linear-symmetry", "rotation-symmetry", "momentum-linear-charge", "momentum-quadratic-charge")


def softmax(outputs):
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def rectified_network(rng):
    """Return weights (hidden, hidden bias, output, output bias) of a ReLU network, and its gradient on a batch."""
    weights = [rng.standard_normal(shape) for shape in ((5, 4), (5,), (3, 5), (3,))]
    inputs, labels = rng.standard_normal((8, 4)), np.eye(3)[rng.integers(3, size=8)]
    inputs[:, 2] = 0  # a dead input

    def gradient(hidden, hidden_bias, output, output_bias):
        before = inputs @ hidden.T + hidden_bias
        units = np.maximum(before, 0)
        slope = (softmax(units @ output.T + output_bias) - labels) / len(inputs)
        back = slope @ output * (before > 0)
        return [back.T @ inputs, back.sum(axis=0), slope.T @ units, slope.sum(axis=0)]

    return weights, gradient


def imbalance(hidden, hidden_bias, output, _output_bias):
    return (hidden**2).sum(axis=1) + hidden_bias**2 - (output**2).sum(axis=0)


@pytest.mark.parametrize("name", ALL)
def test_every_conservation_law_is_proven(name):
    theory.derive(name).check()


def test_weights_on_dead_inputs_only_decay():
    (hidden, *rest), gradient = rectified_network(np.random.default_rng(1))
    law = theory.derive("dead-input")
    after = LEFT * hidden - LR * gradient(hidden, *rest)[0]
    predicted = law.numeric("charge_next", lr=LR, weight_decay=WEIGHT_DECAY, charge=hidden[:, 2])
    assert predicted == pytest.approx(after[:, 2], rel=1e-14)
    assert 0 == law.numeric("charge_stationary")


def test_column_sums_of_softmax_weights_only_decay_over_many_steps():
    weights, gradient = rectified_network(np.random.default_rng(2))
    law = theory.derive("translation-symmetry")
    predicted = weights[2].sum(axis=0)
    for _ in range(200):
        weights = [LEFT * w - LR * g for w, g in zip(weights, gradient(*weights), strict=True)]
        predicted = law.numeric("charge_next", lr=LR, weight_decay=WEIGHT_DECAY, charge=predicted)
    assert weights[2].sum(axis=0) == pytest.approx(predicted, abs=1e-12)


@pytest.mark.parametrize("bias_decays", [True, False])
def test_the_imbalance_of_rectified_units_obeys_its_law_over_many_steps(bias_decays):
    weights, gradient = rectified_network(np.random.default_rng(3))
    law = theory.derive("rescale-symmetry" if bias_decays else "rescale-symmetry-undecayed-bias")
    predicted = imbalance(*weights)
    for _ in range(500):
        slopes = gradient(*weights)
        values = {"lr": LR, "weight_decay": WEIGHT_DECAY, "charge": predicted, "gradient_charge": imbalance(*slopes)}
        if not bias_decays:
            values |= {"undecayed_charge": weights[1] ** 2, "undecayed_work": weights[1] * slopes[1]}
        predicted = law.numeric("charge_next", **values)
        kept = [LEFT, LEFT if bias_decays else 1.0, LEFT, LEFT]
        weights = [left * w - LR * g for left, w, g in zip(kept, weights, slopes, strict=True)]
    assert imbalance(*weights) == pytest.approx(predicted, abs=1e-12)


def test_the_wrong_law_for_the_bias_is_seen():
    weights, gradient = rectified_network(np.random.default_rng(3))
    slopes = gradient(*weights)
    decayed = theory.derive("rescale-symmetry").numeric(
        "charge_next", lr=LR, weight_decay=WEIGHT_DECAY, charge=imbalance(*weights), gradient_charge=imbalance(*slopes)
    )
    kept = [LEFT, 1.0, LEFT, LEFT]
    after = imbalance(*(left * w - LR * g for left, w, g in zip(kept, weights, slopes, strict=True)))
    assert np.abs(after - decayed).max() > 1e-3


def normalized_layer(rng):
    """Return weights before a normalization, and the gradient of a squared error after it."""
    inputs, targets = rng.standard_normal((8, 6)), rng.standard_normal(8)

    def gradient(w):
        norm = np.sqrt(w @ w)
        slope = inputs.T @ (inputs @ w / norm - targets) / len(inputs)
        return slope / norm - w * (w @ slope) / norm**3

    return rng.standard_normal(6), gradient


def test_the_squared_norm_of_a_normalized_layer_obeys_its_law():
    w, gradient = normalized_layer(np.random.default_rng(4))
    law = theory.derive("scale-symmetry")
    assert gradient(3 * w) == pytest.approx(gradient(w) / 3, rel=1e-12)
    predicted = w @ w
    for _ in range(100):
        g = gradient(w)
        predicted = law.numeric(
            "charge_next", lr=LR, weight_decay=WEIGHT_DECAY, charge=predicted, gradient_charge=g @ g
        )
        w = LEFT * w - LR * g
    assert w @ w == pytest.approx(predicted, rel=1e-12)


def test_linear_layers_keep_every_entry_of_the_difference_of_their_gram_matrices():
    rng = np.random.default_rng(5)
    first, second = rng.standard_normal((4, 6)) / 3, rng.standard_normal((3, 4)) / 3
    inputs, targets = rng.standard_normal((9, 6)), rng.standard_normal((9, 3))
    law = theory.derive("deep-linear-symmetry")
    predicted = first @ first.T - second.T @ second
    for _ in range(50):
        slope = (inputs @ first.T @ second.T - targets) / len(inputs)
        g_first, g_second = second.T @ slope.T @ inputs, slope.T @ inputs @ first.T
        predicted = law.numeric(
            "charge_next",
            lr=LR,
            weight_decay=WEIGHT_DECAY,
            charge=predicted,
            gradient_charge=g_first @ g_first.T - g_second.T @ g_second,
        )
        first, second = LEFT * first - LR * g_first, LEFT * second - LR * g_second
    assert first @ first.T - second.T @ second == pytest.approx(predicted, abs=1e-12)


def test_the_charge_of_linear_layers_has_every_entry():
    charge = theory.derive("deep-linear-symmetry").step("charge").expression.rhs
    assert {"a_pp", "a_pq", "a_qq"} <= {str(symbol) for symbol in charge.free_symbols}


def test_rotations_have_an_identity_but_no_charge():
    law = theory.derive("rotation-symmetry")
    assert -2 == law.numeric("asymmetry")
    assert "charge" not in {step.key for step in law.steps}
    rng = np.random.default_rng(6)
    first, second = rng.standard_normal((2, 5)), rng.standard_normal((3, 2))
    slope = rng.standard_normal((3, 5))
    g_first, g_second = second.T @ slope, slope @ first.T
    turn = np.array([[0.0, -1.0], [1.0, 0.0]])
    assert np.sum(turn @ first * g_first) - np.sum(second @ turn * g_second) == pytest.approx(0, abs=1e-12)


def test_a_conserved_charge_relaxes_to_where_the_gradients_hold_it():
    law = theory.derive("rescale-symmetry")
    values = {"lr": LR, "weight_decay": WEIGHT_DECAY, "gradient_charge": 2.0}
    charge = 5.0
    for _ in range(400):
        charge = law.numeric("charge_next", charge=charge, **values)
    assert charge == pytest.approx(law.numeric("charge_stationary", **values), rel=1e-12)


def test_the_flow_is_the_step_for_small_learning_rates():
    law = theory.derive("scale-symmetry")
    charge, lr, power = 3.0, 1e-4, 5.0
    for _ in range(10000):
        charge = law.numeric("charge_next", charge=charge, lr=lr, weight_decay=WEIGHT_DECAY, gradient_charge=power / lr)
    exact = law.numeric(
        "charge", charge_start=3.0, lr=lr, weight_decay=WEIGHT_DECAY, gradient_charge=power / lr, time=1.0
    )
    assert exact == pytest.approx(charge, rel=1e-4)


def test_a_family_of_ones_own_is_derived_and_proven():
    w, a = sp.IndexedBase("w", real=True), sp.IndexedBase("a", real=True)
    k, length = sp.symbols("k n", integer=True, positive=True)
    s = sp.Symbol("s", real=True)
    law = Symmetry("along-a-direction", family={w[k]: w[k] + s * a[k]}, parameter=s, lengths={k: length}).derive()
    law.check()
    assert sp.Sum(a[k] * w[k], (k, 1, length)) == law.step("charge").expression.rhs
    assert 0.94 == pytest.approx(law.numeric(lr=LR, weight_decay=WEIGHT_DECAY, charge=1.0))


def test_a_family_with_a_coupled_charge_is_derived_and_proven():
    x, y = sp.symbols("x y", real=True)
    s = sp.Symbol("s", real=True)
    law = Symmetry(
        "hyperbolic",
        family={x: x * sp.cosh(s) + y * sp.sinh(s), y: x * sp.sinh(s) + y * sp.cosh(s)},
        parameter=s,
        invariants=(x**2 - y**2,),
    ).derive()
    law.check()
    assert x * y == law.step("charge").expression.rhs
    slope = np.array([0.7, -0.2])  # loss exp(x^2 - y^2): its gradient is 2 exp(...) (x, -y)
    point = np.array([0.3, 0.5])
    slope = 2 * np.exp(point[0] ** 2 - point[1] ** 2) * point * [1, -1]
    after = LEFT * point - LR * slope
    predicted = law.numeric(lr=LR, weight_decay=WEIGHT_DECAY, charge=np.prod(point), gradient_charge=np.prod(slope))
    assert np.prod(after) == pytest.approx(predicted, rel=1e-13)


def test_a_charge_that_is_not_homogeneous_keeps_an_exact_law():
    x, y = sp.Symbol("x", real=True), sp.Symbol("y", positive=True)
    s = sp.Symbol("s", real=True)
    law = Symmetry(
        "cubic",
        family={x: x - s, y: sp.cbrt(y**3 + 3 * s)},
        parameter=s,
        invariants=(x + y**3 / 3,),
    ).derive()
    law.check()
    assert sp.simplify(law.step("charge").expression.rhs - (-x - 1 / y)) == 0
    at = {"x": 0.4, "y": 1.1}
    slope = np.cos(at["x"] + at["y"] ** 3 / 3) * np.array([1.0, at["y"] ** 2])  # loss sin(x + y^3 / 3)
    after = LEFT * np.array(list(at.values())) - LR * slope
    values = at | {"x_gradient": slope[0], "y_gradient": slope[1], "lr": LR, "weight_decay": WEIGHT_DECAY}
    assert -after[0] - 1 / after[1] == pytest.approx(law.numeric("charge_next", **values), rel=1e-13)
    charge = lambda lr: law.numeric("charge_next", **values | {"lr": lr})  # noqa: E731
    slope_of_charge = (charge(1e-7) - (-at["x"] - 1 / at["y"])) / 1e-7
    assert slope_of_charge == pytest.approx(law.numeric("rate", weight_decay=WEIGHT_DECAY, **at), rel=1e-5)


def test_one_may_give_letters_and_meanings():
    a, b = sp.symbols("alpha beta", real=True)
    c = sp.Symbol("c", positive=True)
    letter = theory.quantity("alpha", "\\alpha", "α", "weight", "the first weight", real=True)
    law = Symmetry("pair", family={a: c * a, b: b / c}, parameter=c, identity=1, quantities=(letter,)).derive()
    assert "the first weight" in law.latex()
    assert "g_{\\alpha}" in law.latex()
    assert law.mathml().startswith("<section")


X, Y, S = sp.symbols("x y s", real=True)
W = sp.IndexedBase("w", real=True)
K, J = sp.symbols("k j", integer=True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"family": {X: X + S}, "parameter": "s"}, "the parameter is 's', but must be a sympy.Symbol"),
        ({"family": {}, "parameter": S}, "the family moves no weight"),
        (
            {"family": {X: "x + s"}, "parameter": S},
            "'x \\+ s' belongs to the symmetry 'mine', but is no SymPy expression",
        ),
        ({"family": {"x": X + S}, "parameter": S}, "'x' is moved, but a weight is a Symbol"),
        ({"family": {W[K]: W[K] + S}, "parameter": S}, r"the index k of w\[k\] has no length; give lengths=\{k: ...\}"),
        ({"family": {X: X}, "parameter": S}, "no image depends on the parameter s"),
        (
            {"family": {X: X + S}, "parameter": S, "identity": 1},
            r"at s = 1 the family takes x to x \+ 1, but must leave",
        ),
        ({"family": {X: X + S}, "parameter": S, "undecayed": (Y,)}, "undecayed has y, but the family moves x"),
        (
            {"family": {sp.Symbol("lr"): sp.Symbol("lr") + S}, "parameter": S},
            "the names lr would mean two things in 'mine'; rename the weights",
        ),
        (
            {"family": {W[K]: W[K] + S, W[J]: W[J] + S}, "parameter": S, "lengths": {K: 3, J: 4}},
            "the names w, w_generator, w_gradient, .* would mean two things",
        ),
        ({"family": {X: X + S}, "parameter": S, "lengths": {K: "3"}}, "'3' belongs to the symmetry 'mine'"),
        (
            {"family": {W[K]: W[K] + S * X, X: X}, "parameter": S, "lengths": {K: sp.Integer(3)}},
            r"the image of w\[k\] contains x, but may contain only what has the same index",
        ),
    ],
)
def test_what_is_no_family_is_refused_with_a_reason(arguments, message):
    with pytest.raises(InvalidInput, match=message):
        Symmetry("mine", **arguments)


@given(st.floats() | st.text() | st.none() | st.lists(st.integers()))
def test_an_image_that_is_no_expression_is_refused(wrong):
    with pytest.raises(InvalidInput, match="is no SymPy expression"):
        Symmetry("mine", family={X: wrong}, parameter=S)


def test_a_false_invariant_does_not_prove():
    law = Symmetry("mine", family={X: X + S, Y: Y - S}, parameter=S, invariants=(X - Y,)).derive()
    with pytest.raises(ProofError, match="The loss depends on the weights through this"):
        law.check()


def heavy_ball(w, v, gradient, momentum):
    v = momentum * v + gradient + WEIGHT_DECAY * w
    return w - LR * v, v


def test_a_linear_charge_under_momentum_obeys_its_recursion():
    weights, gradient = rectified_network(np.random.default_rng(7))
    buffers, sums = [np.zeros_like(w) for w in weights], []
    for _ in range(50):
        pairs = [heavy_ball(w, v, g, 0.9) for w, v, g in zip(weights, buffers, gradient(*weights), strict=True)]
        weights, buffers = map(list, zip(*pairs, strict=True))
        sums.append(weights[2].sum(axis=0))
    law = theory.derive("momentum-linear-charge")
    predicted = law.numeric(
        lr=LR, weight_decay=WEIGHT_DECAY, momentum=0.9, charge=np.array(sums[1:-1]), charge_before=np.array(sums[:-2])
    )
    assert np.array(sums[2:]) == pytest.approx(predicted, abs=1e-12)


def test_a_quadratic_charge_under_momentum_obeys_its_recursions():
    rng = np.random.default_rng(8)
    w, gradient = normalized_layer(rng)
    v, momentum = np.zeros(6), 0.8
    law = theory.derive("momentum-quadratic-charge")
    for _ in range(30):
        g = gradient(w)
        w_next, v_next = heavy_ball(w, v, g, momentum)
        common = {"lr": LR, "weight_decay": WEIGHT_DECAY, "momentum": momentum, "charge": w @ w, "overlap": w @ v}
        power = law.numeric(
            "buffer_charge_next",
            **{name: value for name, value in common.items() if name != "lr"},
            buffer_charge=v @ v,
            buffer_gradient=v @ g,
            gradient_charge=g @ g,
        )
        assert v_next @ v_next == pytest.approx(power, rel=1e-12)
        for name, measured in (("charge_next", w_next @ w_next), ("overlap_next", w_next @ v_next)):
            assert measured == pytest.approx(law.numeric(name, **common, buffer_charge_next=power), abs=1e-12)
        w, v = w_next, v_next


@pytest.mark.parametrize("momentum", [0.3, 0.9])
@pytest.mark.parametrize(("side", "oscillates"), [(0.98, False), (1.02, True)])
def test_the_exact_border_separates_creeping_from_oscillating(momentum, side, oscillates):
    border = theory.derive("momentum-linear-charge").numeric("critical_decay_per_step", momentum=momentum)
    assert border == pytest.approx((1 - np.sqrt(momentum)) ** 2, rel=1e-14)
    roots = np.roots([1, -(1 + momentum - side * border), momentum])
    assert oscillates == bool(np.abs(roots.imag).max() > 1e-9)
    quadratic = theory.derive("momentum-quadratic-charge")
    assert border == pytest.approx(quadratic.numeric("critical_decay_per_step", momentum=momentum), rel=1e-14)


def test_the_oscillator_puts_the_border_of_a_quadratic_charge_at_half():
    oscillator = theory.derive("momentum-oscillator")
    momentum = 0.999
    assert 0.5 == pytest.approx(oscillator.numeric("border_ratio", momentum=momentum, degree=2), abs=1e-3)
    assert 1.0 == pytest.approx(oscillator.numeric("border_ratio", momentum=momentum, degree=1), abs=1e-3)


@pytest.mark.parametrize("regime", ["overdamped", "underdamped", "critical"])
def test_the_three_regimes_of_the_oscillator_are_what_an_integrator_finds(regime):
    from scipy.integrate import solve_ivp

    damping, detuning = 0.7, 0.4
    stiffness = damping**2 + {"overdamped": -1, "underdamped": 1, "critical": 0}[regime] * detuning**2
    times = np.linspace(0, 6, 7)
    found = solve_ivp(
        lambda _t, y: [y[1], -2 * damping * y[1] - stiffness * y[0]],
        (0, 6),
        [1.0, -0.3],
        t_eval=times,
        rtol=1e-10,
        atol=1e-12,
    )
    values = {"damping": damping, "charge_start": 1.0, "charge_rate_start": -0.3, "time": times}
    if regime != "critical":
        values["detuning"] = detuning
    predicted = theory.derive("momentum-oscillator").numeric(f"charge_{regime}", **values)
    assert found.y[0] == pytest.approx(predicted, abs=1e-8)


def test_the_oscillator_describes_training_with_small_steps():
    """Column sums under heavy ball, with learning rate 0.001, follow the oscillator's slow solution."""
    momentum, lr, weight_decay = 0.9, 1e-3, 0.5
    oscillator = theory.derive("momentum-oscillator")
    damping = oscillator.numeric("damping", lr=lr, momentum=momentum)
    stiffness = oscillator.numeric("stiffness", lr=lr, momentum=momentum, weight_decay=weight_decay, degree=1)
    charge = [1.0, 1.0]
    for _ in range(2000):
        charge.append((1 + momentum - lr * weight_decay) * charge[-1] - momentum * charge[-2])
    predicted = oscillator.numeric(
        "charge_overdamped",
        damping=damping,
        detuning=np.sqrt(damping**2 - stiffness),
        charge_start=1.0,
        charge_rate_start=0.0,
        time=lr * 2000,
    )
    assert charge[-1] == pytest.approx(predicted, rel=0.01)
