"""Integrate weight-norm dynamics: ordinary and stochastic differential equations, and step by step."""

from .schedules import (
    Constant,
    Cosine,
    Linear,
    Schedule,
    Step,
    Tabulated,
    WarmUp,
    as_schedule,
    decay_per_step,
    schedule_from_dict,
)

__all__ = [
    "Constant",
    "Cosine",
    "Linear",
    "Schedule",
    "Step",
    "Tabulated",
    "WarmUp",
    "as_schedule",
    "decay_per_step",
    "schedule_from_dict",
]
