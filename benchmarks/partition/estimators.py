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
from ebm_ppl.partition._moves import CompensatedSum, as_moves
from ebm_ppl.partition._sequential import run_particles

Estimates: TypeAlias = Iterator[LogPartitionEstimate]
_CHAINS, _DRAWS, _PARTICLES, _RUNS_OF_PARTICLES, _TEMPERATURES = 100, 200, 50, 20, 100
_AT_ONCE = 50_000


def importance(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Importance sampling, 200 draws a run unless the problem says otherwise."""
    path: Any = problem.path
    log_weights, _ = importance_log_weights(path, key, num_runs * problem.num_draws)
    yield from _from_weights(np.asarray(log_weights, np.float64), num_runs, 1)


def annealed(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Annealed importance sampling, 100 chains a run."""
    moves, schedule = as_moves(None, 1, problem.path), _schedule(problem, key)

    def block(key: Any, count: int) -> CompensatedSum:
        return forward_log_weights(problem.path, moves, schedule, key, count)[0]

    values = _in_blocks(block, key, num_runs * _CHAINS) + float(problem.path.log_z_base)
    yield from _from_weights(values, num_runs, 1)


def heated(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Reverse annealed importance sampling, 100 exact draws a run."""
    moves, schedule = as_moves(None, 1, problem.path), _schedule(problem, key)

    def block(key: Any, count: int) -> CompensatedSum:
        key_draws, key_moves = jax.random.split(key)
        assert problem.sample is not None
        draws = problem.sample(key_draws, count)
        return reverse_log_weights(problem.path, moves, schedule, key_moves, draws)[0]

    values = _in_blocks(block, key, num_runs * _CHAINS) - float(problem.path.log_z_base)
    yield from _from_weights(values, num_runs, -1)


def particles(problem: Problem, key: Any, num_runs: int) -> Estimates:
    """Sequential Monte Carlo, 20 runs of 50 particles for each estimate."""
    moves = as_moves(None, 1, problem.path)
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
            yield bridge_sampling(problem.path.energy, run, run_key)


ESTIMATORS: dict[str, Callable[[Problem, Any, int], Estimates]] = {
    "importance": importance,
    "annealed": annealed,
    "heated": heated,
    "particles": particles,
    "bridge": bridge,
}


def _schedule(problem: Problem, key: Any) -> AnnealingSchedule:
    if problem.name.startswith("digits"):
        return AnnealingSchedule(jnp.linspace(0.0, 1.0, _TEMPERATURES + 1))
    return adaptive_schedule(problem.path, jax.random.fold_in(key, 1))


def _in_blocks(
    block: Callable[[Any, int], CompensatedSum], key: Any, total: int, at_once: int = _AT_ONCE
) -> np.ndarray:
    """Draw log weights a block at a time, so that memory holds one."""
    count = -(-total // at_once)
    size = -(-total // count)
    parts = [block(part, size) for part in jax.random.split(key, count)]
    values = [np.asarray(p.total, np.float64) - np.asarray(p.lost, np.float64) for p in parts]
    return np.concatenate(values)[:total]


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
