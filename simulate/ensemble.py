"""Step many paths of a stochastic differential equation, block by block, in memory independent of the steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from ..errors import IntegrationError, InvalidInput
from .brownian import GROUP, BrownianPaths, group_streams, integrate_motion
from .problem import FloatArray, Problem, Solution, Status, not_finite
from .sde_schemes import Coefficients, Scheme

__all__ = ["Plan", "run_ensemble"]

_CHECK_EVERY = 64  # steps between looks for values that are not finite


@dataclass(frozen=True, eq=False)
class Plan:
    """Hold everything that the blocks of an ensemble share.

    Parameters
    ----------
    problem : Problem
        What is integrated.
    scheme : Scheme or None
        Method; None draws exact transitions.
    t_eval : (n_times,) ndarray
        Times to keep.
    pieces : tuple of (float, float, int, bool)
        Start, step, number of steps of each piece, and whether its end is kept.
    level : float or None
        Level of component 0 whose first passage is timed.
    """

    problem: Problem
    scheme: Scheme | None
    t_eval: FloatArray
    pieces: tuple[tuple[float, float, int, bool], ...]
    level: float | None


def plan_pieces(
    problem: Problem, t_eval: FloatArray, longest: float, *, exactly: bool
) -> tuple[tuple[float, float, int, bool], ...]:
    """Cut the time span at the times to keep and at breaks, each piece into equal steps of at most `longest`.

    With `exactly`, every step must have that length, as shared Brownian paths demand.
    """
    start, end = problem.t_span
    edges = np.unique(np.concatenate(([start], problem.breaks, t_eval)))
    edges = edges[edges <= (t_eval[-1] if t_eval.size else end)]
    pieces = []
    for begin, stop in pairwise(edges.tolist()):
        ratio = (stop - begin) / longest
        fits = round(ratio) > 0 and abs(ratio - round(ratio)) < 1e-9 * ratio  # off by rounding only
        n_steps = round(ratio) if fits else math.ceil(ratio)
        if exactly and not fits:
            raise InvalidInput(
                f"the time {stop:g} does not lie on the grid of the shared Brownian paths, whose step is {longest:g}; "
                "choose t_eval and breaks on it"
            )
        pieces.append((begin, longest if fits else (stop - begin) / n_steps, n_steps, bool(np.isin(stop, t_eval))))
    return tuple(pieces)


def run_ensemble(
    plan: Plan,
    *,
    method: str,
    n_paths: int,
    rng: np.random.Generator | int | None,
    dW: BrownianPaths | None,
    block_size: int,
    n_jobs: int,
    progress: Callable[[int, int], object] | None,
) -> Solution:
    """Return the solution of an ensemble; the arguments are those of `solve`, checked."""
    streams, kind, seed = group_streams(rng, n_paths)
    passages = [stream.spawn(1)[0] for stream in streams]  # their own streams: asking for them changes no path
    per_block = max(1, block_size // GROUP)
    starts = range(0, len(streams), per_block)
    y = np.empty((n_paths, plan.t_eval.size, plan.problem.dim))
    first_passage = np.full(n_paths, np.nan) if plan.level is not None else None

    def arguments(start: int) -> tuple[Any, ...]:
        groups = slice(start, start + per_block)
        paths = slice(start * GROUP, min((start + per_block) * GROUP, n_paths))
        shared = None if dW is None else BrownianPaths(dW.dt, dW.dW[paths], dW.dZ[paths])
        rows = plan.problem.rows()
        rows = np.repeat(rows, paths.stop - paths.start, axis=0) if rows.shape[0] == 1 else rows[paths]
        return plan, rows, streams[groups], passages[groups], kind, shared

    if n_jobs == 1:
        results: Iterator[Any] = (_run_block(*arguments(start)) for start in starts)
    else:
        from joblib import Parallel, delayed  # here, since it takes long to import

        results = Parallel(n_jobs=n_jobs, return_as="generator")(delayed(_run_block)(*arguments(s)) for s in starts)
    done = 0
    for kept, passed in results:
        y[done : done + kept.shape[0]] = kept
        if first_passage is not None:
            first_passage[done : done + kept.shape[0]] = passed
        done += kept.shape[0]
        if progress is not None:
            progress(done, n_paths)
    return Solution(
        t=plan.t_eval,
        y=y,
        method=method,
        status=Status.REACHED_END,
        seed=seed if dW is None else None,
        first_passage=first_passage,
        n_steps=sum(n_steps for _, _, n_steps, _ in plan.pieces),
    )


def _run_block(
    plan: Plan,
    rows: FloatArray,
    streams: list[np.random.SeedSequence],
    passages: list[np.random.SeedSequence],
    kind: type[Any],
    shared: BrownianPaths | None,
) -> tuple[FloatArray, FloatArray | None]:
    """Run one block; if a value is not finite, run it again watching every step, to say where."""
    with np.errstate(all="ignore"):
        for watch in (_CHECK_EVERY, 1):
            sources = [np.random.Generator(kind(stream)) for stream in streams]
            passage = None
            if plan.level is not None:
                passage = _FirstPassage(plan, rows, [np.random.Generator(kind(stream)) for stream in passages])
            draw = _Draw(sources, (rows.shape[0], plan.problem.n_noise), plan.scheme, shared)
            problem = plan.problem if watch > 1 else _watched(plan.problem)
            try:
                kept = _walk(replace(plan, problem=problem), rows.copy(), draw, passage, watch)
                return kept, passage.times if passage is not None else None
            except _NotFiniteError:
                continue
    raise IntegrationError("the state left the finite numbers; use a smaller dt")


class _NotFiniteError(ArithmeticError):
    """A value that is not finite turned up between two looks."""


def _walk(plan: Plan, y: FloatArray, draw: _Draw, passage: _FirstPassage | None, watch: int) -> FloatArray:
    kept = np.empty((y.shape[0], plan.t_eval.size, y.shape[1]))
    column = 0
    if plan.t_eval.size and plan.t_eval[0] == plan.problem.t_span[0]:
        kept[:, 0] = y
        column = 1
    f = Coefficients(plan.problem, y.shape)
    for begin, h, n_steps, keep in plan.pieces:
        if plan.scheme is None:
            y = draw.transitions(plan.problem, y, h)
        else:
            f.last = float(np.nextafter(begin + n_steps * h, begin))
            for step in range(n_steps):
                t = begin + step * h
                dW, dZ, f.unit = draw.increments(h)
                if passage is not None:
                    passage.before(f, t, h, y)
                plan.scheme.step(f, t, h, y, dW, dZ)
                if passage is not None:
                    passage.after(t, h, y)
                if (step % watch == watch - 1 or step == n_steps - 1) and not np.isfinite(y.sum()):
                    _complain(t, y, watch)
        if keep:
            kept[:, column] = np.maximum(y, 0.0) if plan.problem.positive else y
            column += 1
    return kept


def _complain(t: float, y: FloatArray, watch: int) -> None:
    if np.all(np.isfinite(y)):
        return  # only the sum overflowed
    if watch > 1:
        raise _NotFiniteError
    raise IntegrationError(f"the state left the finite numbers in the step from t={t:g}; use a smaller dt")


def _watched(problem: Problem) -> Problem:
    """Return the same problem with coefficients that say when they are not finite."""

    def watched(name: str, coefficient: Callable[..., Any] | None) -> Callable[..., Any]:
        def checked(t: float, y: FloatArray) -> Any:
            value = coefficient(t, y)  # type: ignore[misc]  # a stochastic problem has both
            if not np.all(np.isfinite(value)):
                raise IntegrationError(f"{not_finite(name, t, y, value)}; if the state ran away, use a smaller dt")
            return value

        return checked

    return replace(problem, drift=watched("drift", problem.drift), diffusion=watched("diffusion", problem.diffusion))


class _Draw:
    """Hand out the random numbers of a block, each group of paths from its own stream."""

    def __init__(
        self,
        sources: list[np.random.Generator],
        shape: tuple[int, int],
        scheme: Scheme | None,
        shared: BrownianPaths | None,
    ) -> None:
        self.sources, self.shared, self.step = sources, shared, 0
        self.scaled = scheme is None or not scheme.takes_unit
        self.first = np.empty(shape)
        self.second = np.empty(shape) if scheme is not None and scheme.needs_dZ else None
        parts = [slice(place * GROUP, (place + 1) * GROUP) for place in range(len(sources))]
        self.groups = parts
        self.fills = [(source.standard_normal, self.first[part]) for source, part in zip(sources, parts, strict=True)]

    def increments(self, h: float) -> tuple[FloatArray, FloatArray | None, float]:
        """Return dW, dZ where the scheme needs it, and what dW is still to be multiplied by, for a step of length h."""
        if self.shared is not None:
            np.copyto(self.first, self.shared.dW[:, self.step])
            if self.second is not None:
                np.copyto(self.second, self.shared.dZ[:, self.step])
            self.step += 1
            return self.first, self.second, 1.0
        for fill, part in self.fills:
            fill(out=part)
        if self.second is not None:
            for source, group in zip(self.sources, self.groups, strict=True):
                source.standard_normal(out=self.second[group])
        if not self.scaled:
            return self.first, None, math.sqrt(h)
        np.multiply(self.first, math.sqrt(h), out=self.first)
        if self.second is not None:
            integrate_motion(self.first, self.second, h)
        return self.first, self.second, 1.0

    def transitions(self, problem: Problem, y: FloatArray, h: float) -> FloatArray:
        """Return the state after a time h, drawn from its exact law."""
        parts = zip(self.sources, self.groups, strict=True)
        return np.concatenate([problem.transition(source, y[group], h) for source, group in parts])  # type: ignore[misc]  # `solve` admits only problems with a transition


class _FirstPassage:
    """Time the first passage of component 0 through a level, also between the ends of a step.

    Given the ends of a step, a Brownian bridge has crossed the level in between with probability
    exp(-2 d0 d1 / (b^2 h)), d being the distances from the level; without this, the times would be late by O(sqrt(h)).
    """

    def __init__(self, plan: Plan, rows: FloatArray, sources: list[np.random.Generator]) -> None:
        self.level = float(plan.level)  # type: ignore[arg-type]  # made only where a level is given
        self.sources = sources
        self.times = np.where(rows[:, 0] == self.level, plan.problem.t_span[0], np.nan)
        self.side = np.sign(rows[:, 0] - self.level)
        self.near = np.empty(rows.shape[0])
        self.spread = np.empty(rows.shape[0])

    def before(self, f: Coefficients, t: float, h: float, y: FloatArray) -> None:
        """Remember the distance from the level and the variance of the step."""
        np.multiply(y[:, 0] - self.level, self.side, out=self.near)
        b = np.asarray(f.diffusion(t, y))
        self.spread[:] = h * ((b[:, 0] ** 2).sum(axis=1) if b.ndim == 3 else np.broadcast_to(b, y.shape)[:, 0] ** 2)

    def after(self, t: float, h: float, y: FloatArray) -> None:
        """Note the time for the paths that have passed now and not before."""
        far = (y[:, 0] - self.level) * self.side
        uniform = np.concatenate(
            [source.random(min(GROUP, far.size - k * GROUP)) for k, source in enumerate(self.sources)]
        )
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            share = np.where(far <= 0, self.near / (self.near - far), 0.5)
            between = uniform < np.exp(-2.0 * self.near * far / self.spread)
        passed = np.isnan(self.times) & ((far <= 0) | between)
        self.times[passed] = t + h * share[passed]
