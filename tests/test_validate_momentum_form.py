"""The triangular form of momentum SGD is the plain one in other variables."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay.simulate import SGD
from weightdecay.validate.momentum_form import momentum_form

shares = st.floats(0.0, 0.99)


@pytest.mark.parametrize("nesterov", [False, True])
@given(
    momentum=st.floats(0.01, 0.99),
    dampening=shares,
    per_step=st.lists(st.floats(1e-9, 0.9), min_size=1, max_size=6),
    lr=st.floats(1e-3, 10),
)
def test_weights_and_buffer_follow_the_textbook_rule(nesterov, momentum, dampening, per_step, lr):
    dampening = 0.0 if nesterov else dampening
    decay = np.array(per_step)[:, None] / lr
    kept = np.full_like(decay, 1 - dampening)
    kept[0] = 1
    form = momentum_form(
        np.full_like(decay, lr), decay, momentum=np.array([momentum]), kept=kept, nesterov=nesterov, coupled=True
    )
    gradients = np.random.default_rng(0).standard_normal(len(decay))
    weight, state = np.array(1.0), ()
    w, b, rho = 1.0, 0.0, 0.0
    for k, gradient in enumerate(gradients):
        rule = SGD(lr, weight_decay=decay[k, 0], momentum=momentum, dampening=dampening, nesterov=nesterov)
        weight, state = rule.step(weight, np.array(gradient), state)
        b += (rho - form.rho[k, 0]) * w
        b = form.remember[k, 0] * b + form.take[k, 0] * gradient + form.explicit[k, 0] * w
        update = gradient + momentum * b if nesterov else b
        w = form.shrink[k, 0] / form.inner[k, 0] * (form.inner[k, 0] * w - lr * update)
        rho = form.rho[k, 0]
        scale = 1 + abs(weight) + lr * abs(state[0])
        assert abs(w - weight) < 1e-7 * scale  # at the double root both are known to the root of the rounding
        assert abs(b + rho * w - state[0]) < 1e-7 * scale / lr


def test_momentum_is_triangular_up_to_the_boundary_of_the_oscillation():
    momentum = 0.81
    boundary = (1 - np.sqrt(momentum)) ** 2
    for e, real in ((boundary * 0.999, True), (boundary * 1.001, False)):
        form = momentum_form(
            np.ones((1, 1)), np.full((1, 1), e), momentum=np.array([momentum]), kept=np.ones((1, 1)), nesterov=False,
            coupled=True,
        )  # fmt: skip
        assert real == (form.explicit[0, 0] == 0)
        assert real == (form.shrink[0, 0] < 1)
