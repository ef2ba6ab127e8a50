"""Many independent runs of each estimator at once: estimates whose weights were drawn side by side."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.partition.problems import Problem
from ebm_ppl.partition import (
    AnnealingSchedule,
    LogPartitionEstimate,
    adaptive_schedule,
    bridge_sampling,
    estimate_from_log_weights,
)
from ebm_ppl.partition._anneal import forward_log_weights, reverse_log_weights
from ebm_ppl.partition._importance import importance_log_weights
from ebm_ppl.partition._kronrod import kronrod
from ebm_ppl.partition._ladders import run_ladders
from ebm_ppl.partition._moves import CompensatedSum, moves_along
from ebm_ppl.partition._pilot import as_schedule
from ebm_ppl.partition._sequential import run_particles
from ebm_ppl.partition._thermodynamic import estimate_from_ladders
from ebm_ppl.samplers import Moves

Estimates: TypeAlias = Iterator[LogPartitionEstimate]
_CHAINS, _DRAWS, _PARTICLES, _RUNS_OF_PARTICLES = 100, 200, 50, 20
_LADDERS, _MOVES, _WARMUP, _RULE = 8, 100, 50, (1, 3.0)
_AT_ONCE = 50_000


def importance(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Importance sampling, 200 draws a run unless the problem says otherwise."""
    path: Any = problem.path
    log_weights, _ = importance_log_weights(path, key, num_runs * problem.num_draws)
    values = np.asarray(log_weights, np.float64) + float(path.log_z_base)
    yield from _from_weights(values, num_runs, 1)


def annealed(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Annealed importance sampling, 100 chains a run."""
    moves = moves_along(None, 1, problem.path)
    schedule = _schedule(problem, moves, key)

    def block(key: Any, count: int) -> CompensatedSum:
        return forward_log_weights(problem.path, moves, schedule, key, count)[0]

    values = _in_blocks(block, key, num_runs * _CHAINS) + float(problem.path.log_z_base)
    yield from _from_weights(values, num_runs, 1)


def heated(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Reverse annealed importance sampling, 100 exact draws a run, two moves at a temperature by default."""
    moves = moves_along(None, 1 if problem.num_temperatures else 2, problem.path)
    schedule = _schedule(problem, moves, key)

    def block(key: Any, count: int) -> CompensatedSum:
        key_draws, key_moves = jax.random.split(key)
        assert problem.sample is not None
        draws = problem.sample(key_draws, count)
        return reverse_log_weights(problem.path, moves, schedule, key_moves, draws)[0]

    values = _in_blocks(block, key, num_runs * _CHAINS) - float(problem.path.log_z_base)
    yield from _from_weights(values, num_runs, -1)


def particles(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Sequential Monte Carlo, 20 runs of 50 particles for each estimate."""
    moves = moves_along(None, 1, problem.path)
    schedule = adaptive_schedule(problem.path, jax.random.key(7), threshold=0.9)

    def block(key: Any, count: int) -> CompensatedSum:
        keys = jax.random.split(key, count)
        return run_particles(problem.path, moves, schedule, keys, _PARTICLES)[0]

    values = _in_blocks(block, key, num_runs * _RUNS_OF_PARTICLES, _AT_ONCE // _PARTICLES)
    yield from _from_weights(values + float(problem.path.log_z_base), num_runs, 1)


def bridge(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Bridge sampling from 4 x 200 exact draws."""
    assert problem.sample is not None
    draws = problem.sample(key, num_runs * 4 * _DRAWS)
    draws = np.asarray(draws).reshape(num_runs, 4, _DRAWS, *problem.path.energy.event_shape)
    keys = jax.random.split(jax.random.fold_in(key, 1), num_runs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for run, run_key in zip(draws, keys, strict=True):
            yield bridge_sampling(problem.path.energy, run, run_key, proposal=problem.proposal)


def thermodynamic(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Thermodynamic integration, 8 ladders of 15 temperatures with 100 moves after 50."""
    path, moves = problem.path, moves_along(None, 1, problem.path)
    nodes, *_ = kronrod(*_RULE)
    ladder = np.concatenate([[0.0], nodes, [1.0]])
    schedule = as_schedule(ladder, path, moves, jax.random.fold_in(key, 1), 0.5)
    sizes = None if schedule.step_sizes is None else schedule.step_sizes[:-1]

    def block(key: Any, count: int) -> CompensatedSum:
        levels = schedule.inverse_temperatures[1:-1]
        run = run_ladders(path, moves, levels, sizes, key, count, _MOVES, _WARMUP)
        total = run.total
        return CompensatedSum(total.total.T, total.lost.T)

    sums = _in_blocks(block, key, num_runs * _LADDERS, _AT_ONCE // len(nodes))
    means = sums.reshape(num_runs, _LADDERS, -1) / _MOVES
    for run in means:
        yield estimate_from_ladders(run.T, _RULE, float(path.log_z_base), 0.95, {})


ESTIMATORS: dict[str, Callable[[Problem, Any, int], Estimates]] = {
    "importance": importance,
    "annealed": annealed,
    "heated": heated,
    "particles": particles,
    "bridge": bridge,
    "thermodynamic": thermodynamic,
}


def _schedule(problem: Problem, moves: Moves, key: Any) -> AnnealingSchedule:
    """The problem's number of even steps, or what a pilot run finds by default."""
    if problem.num_temperatures:
        return AnnealingSchedule(jnp.linspace(0.0, 1.0, problem.num_temperatures + 1))
    return adaptive_schedule(problem.path, jax.random.fold_in(key, 1), num_steps=moves.num_steps)


def _in_blocks(
    block: Callable[[Any, int], CompensatedSum], key: Any, total: int, at_once: int = _AT_ONCE
) -> np.ndarray:
    """Draw log weights a block at a time, so that memory holds one."""
    count = -(-total // at_once)
    size = -(-total // count)
    parts = [block(part, size) for part in jax.random.split(key, count)]
    return np.concatenate([part.in_float64 for part in parts])[:total]


def _from_weights(log_weights: np.ndarray, num_runs: int, sign: int) -> Estimates:
    """Estimates from runs' weights, which are those of 1/Z where the sign is negative."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for values in log_weights.reshape(num_runs, -1):
            yield with_sign(estimate_from_log_weights(values), sign)


def with_sign(estimate: LogPartitionEstimate, sign: int) -> LogPartitionEstimate:
    """The estimate of Z from one of Z or 1/Z."""
    if sign > 0:
        return estimate
    ends = estimate.interval
    return LogPartitionEstimate(
        -estimate.log_z,
        estimate.std_error,
        None if ends is None else (-ends[1], -ends[0]),
        estimate.ess,
        estimate.diagnostics,
    )
