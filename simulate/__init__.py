"""Integrate weight-norm dynamics: ordinary and stochastic differential equations, and step by step."""

from .brownian import BrownianPaths, brownian_paths
from .claim_verdicts import SIZES, ClaimsReport, LayerClaims, MeasuredLayer, claims, mean_feed, norm_squared_of
from .coefficients import Affine, Power
from .decay_laws import decay_per_step, effective_weight_decay
from .decaying_run import DecayingRun, steps_of_decay
from .events import collapse, reaching, tail_off
from .filtered_gradients import FilteredGradient, filtered_gradient
from .layer_equilibria import LayerEquilibrium, layer_equilibrium, speed_of_decay
from .layer_models import deep_linear_modes, homogeneous_layers, product_flow
from .layers import Layer, layer_from_text
from .moment_closure import ClassMoments, ClosedLoss, closed_loss
from .momentum_models import momentum_oscillator
from .noise_models import cox_ingersoll_ross, geometric_brownian_motion, isotropic_noise_norm, ornstein_uhlenbeck
from .norm_models import norm_under_pull, problem_from_derivation, pure_decay_floor, scale_invariant_norm
from .number_formats import NUMBER_FORMATS, RoundedDecay, rounded_decay
from .optimizer_choice import OPTIMIZERS, OptimizerChoice, optimizer_choice
from .planning import KEPT, WANTED, Carried, Plan, Setting, carry, plan
from .prediction import LayerPrediction, Prediction, predict
from .problem import Problem, Solution, Status
from .published_runs import PublishedRun, published_runs
from .random_gradients import AutoregressiveGradients, SampledGradients, WhiteGradients
from .schedule_text import schedule_from_text
from .schedules import Constant, Cosine, Linear, Schedule, Step, Tabulated, WarmUp, as_schedule, schedule_from_dict
from .sde_schemes import SCHEMES
from .sigmoid_models import saturating_sigmoid_pair, sigmoid_pull_ratio
from .solve import solve
from .stationary import StationaryLaw, stationary_law
from .trajectory import Trajectory, norm_trajectory
from .untrained import Untrained, untrained
from .update_rules import RULES, SGD, Adam, Lion, Muon, RMSprop, SignSGD, polar_factor
from .walk import Estimate, Walk, walk

__all__ = [
    "KEPT",
    "NUMBER_FORMATS",
    "OPTIMIZERS",
    "RULES",
    "SCHEMES",
    "SGD",
    "SIZES",
    "WANTED",
    "Adam",
    "Affine",
    "AutoregressiveGradients",
    "BrownianPaths",
    "Carried",
    "ClaimsReport",
    "ClassMoments",
    "ClosedLoss",
    "Constant",
    "Cosine",
    "DecayingRun",
    "Estimate",
    "FilteredGradient",
    "Layer",
    "LayerClaims",
    "LayerEquilibrium",
    "LayerPrediction",
    "Linear",
    "Lion",
    "MeasuredLayer",
    "Muon",
    "OptimizerChoice",
    "Plan",
    "Power",
    "Prediction",
    "Problem",
    "PublishedRun",
    "RMSprop",
    "RoundedDecay",
    "SampledGradients",
    "Schedule",
    "Setting",
    "SignSGD",
    "Solution",
    "StationaryLaw",
    "Status",
    "Step",
    "Tabulated",
    "Trajectory",
    "Untrained",
    "Walk",
    "WarmUp",
    "WhiteGradients",
    "as_schedule",
    "brownian_paths",
    "carry",
    "claims",
    "closed_loss",
    "collapse",
    "cox_ingersoll_ross",
    "decay_per_step",
    "deep_linear_modes",
    "effective_weight_decay",
    "filtered_gradient",
    "geometric_brownian_motion",
    "homogeneous_layers",
    "isotropic_noise_norm",
    "layer_equilibrium",
    "layer_from_text",
    "mean_feed",
    "momentum_oscillator",
    "norm_squared_of",
    "norm_trajectory",
    "norm_under_pull",
    "optimizer_choice",
    "ornstein_uhlenbeck",
    "plan",
    "polar_factor",
    "predict",
    "problem_from_derivation",
    "product_flow",
    "published_runs",
    "pure_decay_floor",
    "reaching",
    "rounded_decay",
    "saturating_sigmoid_pair",
    "scale_invariant_norm",
    "schedule_from_dict",
    "schedule_from_text",
    "sigmoid_pull_ratio",
    "solve",
    "speed_of_decay",
    "stationary_law",
    "steps_of_decay",
    "tail_off",
    "untrained",
    "walk",
]
