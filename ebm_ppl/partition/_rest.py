r"""Whether weighted points are at rest under a kernel that leaves their law invariant.

If points with weights stand for the target, so they do after any number of the kernel's steps, and no
statistic drifts. Chains that were too slow on their way have not reached all of the target, and spread on.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int
from scipy import stats

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath
from ebm_ppl.partition._moves import move_all
from ebm_ppl.partition._pilot import AnnealingSchedule
from ebm_ppl.partition._weights import effective_sample_size, shares
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import Moves

MOST_POINTS = 2_000
# Chains lag where the tuned step size is too large or too small for them.
_FACTORS = (1.0, 0.25, 4.0, 1 / 32, 32.0)
# Most runs end after the first look, at 160 steps; where that leaves a doubt, 1,280 decide.
_LOOKS, _DOUBT = (160, 1_280), 0.3
_MOST_COORDINATES = 64
# The eight chains of a usual run of replica exchange are enough: of 200,000 sets of eight groups of one point
# of 11 features, all at rest, the first look's p-value was below 1e-4 in 15, and below 1e-2 in 0.46%.
_LEAST_ESS = 7.5
FALSE_ALARM_RATE = 1e-4
"""Share of runs on which points that are at rest are taken for others, over both looks."""


def drift_p_value(
    path: AbstractPath,
    moves: Moves,
    schedule: AnnealingSchedule,
    points: Float[Array, "groups size *event"],
    log_weights: Float[np.ndarray, " groups"],
    rng_key: PRNGKey,
    inverse_temperature: float = 1.0,
) -> float:
    r"""How likely points drift as much as these if they are at rest.

    Statistics are the ranks $r$ of coordinates and energies among those before and after all moves, and
    $r^2$ about the middle: bounded, so their means over groups follow Student's law with as many degrees of
    freedom as the weights leave groups.

    Args:
        path: The path, whose end is the target.
        moves: Kernel and step sizes.
        schedule: The path's schedule, of which the last step size serves.
        points: Points in the support, in groups that are independent of one another.
        log_weights: Logarithms of the groups' weights.
        rng_key: Random key.
        inverse_temperature: Where on the path the points are: by default at its end.

    Returns:
        A p-value, Bonferroni's over all statistics and looks; 1 where too few groups carry the weight.
    """
    weights = shares(log_weights, len(log_weights))
    if effective_sample_size(weights) < _LEAST_ESS:
        return 1.0
    size = None if schedule.step_sizes is None else schedule.step_sizes[-1]
    flat = points.reshape(-1, *points.shape[2:])
    p_value = 1.0
    for num_steps in _LOOKS:
        place = jnp.asarray(inverse_temperature, float)
        moved = _move_on(path, moves, place, size, flat, rng_key, jnp.asarray(num_steps))
        before, after = (np.asarray(part) for part in moved)
        change = _statistics(before, after).reshape(*points.shape[:2], -1).mean(axis=1)
        p_value = min(1.0, len(_LOOKS) * _p_value(change, weights))
        if not FALSE_ALARM_RATE < p_value < _DOUBT:
            break
    return p_value


def _p_value(
    change: Float[np.ndarray, "groups statistics"], weights: Float[np.ndarray, " groups"]
) -> float:
    """Of weighted means that are 0, by Student's law, times their number."""
    ess = effective_sample_size(weights)
    mean = weights @ change
    error = np.sqrt(weights**2 @ (change - mean) ** 2 / (1 - 1 / ess))
    drift = np.divide(np.abs(mean), error, out=np.zeros_like(mean), where=error > 0)
    return float(2 * stats.t.sf(drift.max(), ess - 1)) * len(drift)


@eqx.filter_jit
def _move_on(
    path: AbstractPath,
    moves: Moves,
    inverse_temperature: Scalar,
    step_size: Scalar | None,
    x: Float[Array, "n *event"],
    rng_key: PRNGKey,
    num_steps: Int[Array, ""],
) -> tuple[Float[Array, "n features"], Float[Array, "n features"]]:
    """Coordinates and potentials of points before and after so many moves."""
    potential = potential_fn(path.energy)
    key, factors = fast_key(rng_key), jnp.asarray(_FACTORS)

    def step(number: Array, z: Array) -> Array:
        size = None if step_size is None else factors[number % len(factors)] * step_size
        return move_all(path, moves, inverse_temperature, size, z, jax.random.fold_in(key, number))[
            0
        ]

    def features(z: Array) -> Array:
        flat = z.reshape(len(z), -1)
        stride = -(-flat.shape[1] // _MOST_COORDINATES)
        return jnp.concatenate([flat[:, ::stride], jax.vmap(potential)(z)[:, None]], axis=1)

    start = jax.vmap(potential.unconstrain)(x)
    end = jax.lax.fori_loop(0, num_steps, step, start)
    return features(start), features(end)


def _statistics(
    before: Float[np.ndarray, "n features"], after: Float[np.ndarray, "n features"]
) -> Float[np.ndarray, "n statistics"]:
    """By how much ranks change, and their squares about the middle."""
    ranks = stats.rankdata(np.concatenate([before, after]), axis=0) / (2 * len(before) + 1) - 0.5
    both = np.concatenate([ranks, ranks**2], axis=1)
    return both[len(before) :] - both[: len(before)]
