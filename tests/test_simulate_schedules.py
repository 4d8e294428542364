import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from weightdecay.errors import InvalidInput
from weightdecay.simulate import schedules
from weightdecay.simulate.schedule_text import schedule_from_text
from weightdecay.simulate.schedules import (
    Constant,
    Cosine,
    Linear,
    Schedule,
    Step,
    Tabulated,
    WarmUp,
    as_schedule,
    schedule_from_dict,
)

EXAMPLES = [
    Constant(0.1),
    Step(0.1, 0.5, every=10),
    Step(0.1, 10.0, at=(3, 7)),
    Linear(0.1, 0.02, 30),
    Cosine(0.1, 0.0, 30),
    WarmUp(5, Constant(0.1)),
    WarmUp(5, Step(0.1, 0.1, every=10)),
    Tabulated((0.3, 0.2, 0.2, 0.0)),
]


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
def test_a_schedule_survives_json_and_pickle(schedule):
    written = json.loads(json.dumps(schedule.to_dict()))
    assert schedule == schedule_from_dict(written)
    assert schedule == pickle.loads(pickle.dumps(schedule))
    assert hash(schedule) == hash(schedule_from_dict(written))


@pytest.mark.parametrize("schedule", EXAMPLES, ids=str)
def test_one_step_and_an_array_of_steps_give_the_same_float64_values(schedule):
    steps = np.arange(40)
    together = schedule(steps)
    assert together.dtype == np.float64
    assert together.shape == (40,)
    assert [schedule(int(step)) for step in steps] == together.tolist()
    assert isinstance(schedule(3), np.float64)
    assert schedule(steps.reshape(5, 8)).tolist() == together.reshape(5, 8).tolist()


@pytest.mark.parametrize("schedule", [example for example in EXAMPLES if example.kind != "tabulated"], ids=str)
def test_a_schedule_is_smooth_wherever_it_tells_of_no_break(schedule):
    at = np.setdiff1d(np.arange(0.5, 40.0, 0.5), schedule.breaks(40))
    gap = 1e-4
    second = schedule(at + gap) - 2 * schedule(at) + schedule(at - gap)
    assert np.max(np.abs(second)) < 0.1 * gap**2  # a bend would be of the order of gap, a jump far above


def test_step_schedules_change_at_the_steps_they_name():
    assert [0.1, 0.1, 0.05, 0.05, 0.025] == Step(0.1, 0.5, every=2)(range(5)).tolist()
    assert [1.0, 1.0, 1.0, 2.0, 4.0, 4.0] == Step(1.0, 2.0, at=(3, 4))(range(6)).tolist()
    assert (10, 20) == Step(0.1, 0.5, every=10).breaks(30)
    assert (3,) == Step(0.1, 0.5, at=(3, 40)).breaks(30)


def test_linear_and_cosine_reach_their_end_and_stay():
    for kind in (Linear, Cosine):
        schedule = kind(0.3, 0.1, 7)
        assert 0.3 == schedule(0)
        assert 0.2 == pytest.approx(schedule(3.5), rel=1e-14)
        assert [0.1, 0.1] == schedule([7, 1000]).tolist()
    assert 0.1 + 0.2 * 0.5 * (1 + math.cos(math.pi * 2 / 7)) == pytest.approx(Cosine(0.3, 0.1, 7)(2), rel=1e-14)


def test_warm_up_rises_without_a_wasted_step_and_hands_over():
    schedule = WarmUp(4, Linear(0.8, 0.0, 8))
    assert [0.2, 0.4, 0.6, 0.8, 0.8, 0.7] == pytest.approx(schedule(range(6)).tolist(), rel=1e-14)
    assert (3, 4, 12) == schedule.breaks(100)
    assert WarmUp(4, Constant(0.5)) == WarmUp(4, 0.5)


def test_a_table_interpolates_between_steps_but_not_across_a_jump():
    schedule = Tabulated((1.0, 1.005, 5.0, 5.0))
    assert 1.0025 == pytest.approx(schedule(0.5), rel=1e-14)
    assert 1.005 == schedule(1.999)
    assert 5.0 == schedule(2)
    assert 5.0 == schedule(100)
    assert (2, 3) == schedule.breaks(100)


def test_any_function_is_tabulated_by_calling_it_once_for_each_step():
    seen = []

    def inverse(step):
        seen.append(step)
        return 1 / (1 + step)

    schedule = as_schedule(inverse, 50)
    assert list(range(50)) == seen
    assert all(isinstance(step, int) for step in seen)
    assert (1 / (1 + np.arange(50))).tolist() == schedule(np.arange(50)).tolist()


def test_numbers_and_schedules_are_schedules():
    assert Constant(0.1) == as_schedule(0.1, 10)
    assert Constant(2.0) == as_schedule(np.int64(2), 10)
    assert Linear(1.0, 0.0, 10) == as_schedule(Linear(1.0, 0.0, 10), 10)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Constant(-1), "value is -1, but must be a finite number, 0 or above"),
        (lambda: Constant("0.1"), "value is '0.1', but must be a finite number, 0 or above"),
        (lambda: Step(0.1, 0.5), "either every or at, but every=None and at=None"),
        (lambda: Step(0.1, 0.5, every=3, at=(1,)), "either every or at"),
        (lambda: Step(0.1, 0.0, every=3), "factor is 0.0, but must be a finite number above 0"),
        (lambda: Step(0.1, 0.5, at=(5, 5)), r"at is \[5, 5\], but its steps must rise"),
        (lambda: Linear(0.1, math.inf, 3), "end is inf, but must be"),
        (lambda: Cosine(0.1, 0.0, 0), "n_steps is 0, but must be a whole number of at least 1"),
        (lambda: WarmUp(5, -0.1), "then is -0.1, but must be"),
        (lambda: Tabulated(()), r"have shape \(0,\), but must have shape \(n_steps,\)"),
        (lambda: Tabulated((1.0, math.nan)), "the schedule's value at step 1 is nan, but must be a finite number"),
        (lambda: Tabulated(("a",)), "must be a sequence of numbers"),
        (lambda: Constant(0.1)(-1), "steps are counted from 0, but one is -1.0"),
        (lambda: Constant(0.1)([0, math.nan]), "steps are counted from 0, but one is nan"),
        (lambda: as_schedule(lambda step: 0.1 - step, 3), "value at step 1 is -0.9, but must be"),
        (lambda: as_schedule(lambda step: "x" * (step + 1), 3), "value at step 0 is 'x', but must be"),
        (lambda: as_schedule([0.1, 0.2], 2), r"a sequence of values goes into Tabulated\(values\)"),
        (lambda: as_schedule(0.1, 0), "n_steps is 0"),
        (lambda: schedule_from_dict({"value": 1}), "a JSON object with a kind"),
        (lambda: schedule_from_dict({"kind": "cosin"}), "did you mean 'cosine'"),
        (lambda: schedule_from_dict({"kind": "constant", "valeu": 1}), "did you mean 'value'"),
        (lambda: schedule_from_dict({"kind": "linear", "start": 1}), "the linear schedule takes start, end, n_steps"),
    ],
)
def test_bad_input_is_answered_with_what_is_allowed(make, message):
    with pytest.raises(InvalidInput, match=message):
        make()


@given(
    values=st.lists(st.floats(0, 1e6), min_size=1, max_size=30),
    steps=st.lists(st.integers(0, 100), min_size=1, max_size=10),
)
def test_a_table_returns_exactly_what_was_put_in(values, steps):
    schedule = Tabulated(tuple(values))
    assert [values[min(step, len(values) - 1)] for step in steps] == schedule(steps).tolist()


@given(
    value=st.one_of(st.floats(max_value=0, exclude_max=True), st.just(math.nan), st.text(), st.none(), st.booleans())
)
def test_no_schedule_takes_a_value_that_is_no_size(value):
    for make in (Constant, lambda v: Linear(v, 1, 3), lambda v: Cosine(1, v, 3), lambda v: WarmUp(3, v)):
        with pytest.raises(InvalidInput):
            make(value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0.1", Constant(0.1)),
        (" 1e-4 ", Constant(1e-4)),
        ("linear:0.1:0", Linear(0.1, 0.0, 1000)),
        ("cosine:0.1:0.01", Cosine(0.1, 0.01, 1000)),
        ("step:0.1:0.5:every=100", Step(0.1, 0.5, every=100)),
        ("step:0.1:0.1:at=500,750", Step(0.1, 0.1, at=(500, 750))),
        ("warm-up:100:0.1", WarmUp(100, Constant(0.1))),
        ("warm-up:100:linear:0.1:0", WarmUp(100, Linear(0.1, 0.0, 900))),
        (json.dumps(WarmUp(5, Step(0.1, 0.1, every=10)).to_dict()), WarmUp(5, Step(0.1, 0.1, every=10))),
    ],
)
def test_a_short_text_describes_a_schedule(text, expected):
    assert expected == schedule_from_text(text, 1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("fast", "the schedule 'fast' cannot be read; it must be a number"),
        ("cosine:0.1", "cannot be read"),
        ("step:0.1:0.5:100", "cannot be read"),
        ("step:0.1:0.5:at=x", "cannot be read"),
        ("warm-up", "cannot be read"),
        ("warm-up:5:fast", "the schedule 'fast' cannot be read"),
        ("{", "is no valid JSON"),
        ('{"kind": "cosin"}', "did you mean 'cosine'"),
        ("-0.1", "value is -0.1, but must be a finite number, 0 or above"),
        ("nan", "value is nan"),
        ("step:0.1:0.5:at=5,3", "but its steps must rise"),
    ],
)
def test_a_text_that_describes_none_is_answered_with_the_forms(text, message):
    with pytest.raises(InvalidInput, match=message):
        schedule_from_text(text, 1000)


@given(text=st.text(alphabet='0123456789.:-=,elinarcosupwm{}"', max_size=30))
def test_no_text_does_anything_but_describe_a_schedule_or_be_refused(text):
    try:
        schedule = schedule_from_text(text, 10)
    except InvalidInput:
        return
    assert np.all(schedule(range(10)) >= 0)


def test_every_kind_has_its_own_name_in_json():
    assert len(schedules._KINDS) == len(Schedule.__subclasses__())
