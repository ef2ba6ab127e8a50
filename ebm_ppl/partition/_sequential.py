"""Sequential Monte Carlo: annealed particles that are resampled on the way."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_interval, check_key
from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath, as_path
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import LogPartitionEstimate, estimate_from_log_weights
from ebm_ppl.partition._judged import Groups, judged
from ebm_ppl.partition._lowered import lowered
from ebm_ppl.partition._moves import (
    CompensatedSum,
    log_ratios,
    move_all,
    moves_along,
    start_at_base,
)
from ebm_ppl.partition._pilot import AnnealingSchedule, Fineness, Schedule, as_schedule
from ebm_ppl.partition._resampling import systematic_resample
from ebm_ppl.partition._rest import MOST_POINTS
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import Moves
from ebm_ppl.samplers.moves import Kernels

_RESAMPLE_BELOW = 0.5
# On the critical Ising torus of 16 x 16, 234 temperatures, the half-width is then 0.04 to 0.06, from 33 to 52
# CPU seconds; with a loss of 1.25 it was 0.09 and 0.13.
_FINENESS = Fineness(0.9, most_loss=0.7)


def sequential_monte_carlo(
    target: AbstractEnergy | AbstractPath,
    rng_key: PRNGKey,
    *,
    base: Any = None,
    num_particles: int = 500,
    num_runs: int = 20,
    schedule: Schedule = None,
    kernel: Kernels = None,
    num_steps: int = 1,
    threshold: float | None = None,
    level: float = 0.95,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ by particles that are annealed together, those of little weight giving way.

    Particles begin, gather weights and move as chains do in
    [`annealed_importance_sampling`][ebm_ppl.partition.annealed_importance_sampling]. When the effective
    sample size of their weights falls below half their number they are resampled systematically, and
    $\hat Z$ is multiplied by the mean weight. However often that happens,
    $$E[\hat Z] = Z$$
    for a schedule that is fixed. An adaptive one is found by a run of its own, before those that count.

    Particles of one run depend on one another, so the error is that among several independent runs, whose
    $\hat Z$ are averaged.

    Args:
        target: The energy, or a path to it, as in `annealed_importance_sampling`.
        rng_key: Random key.
        base: Base law of a geometric path, as in `annealed_importance_sampling`.
        num_particles: Number of particles of a run, at least 2.
        num_runs: Number of independent runs, at least 2; they run side by side.
        schedule: Inverse temperatures, as in `annealed_importance_sampling`; by default a pilot run chooses
            them.
        kernel: Kernel, as in `annealed_importance_sampling`.
        num_steps: Number of the kernel's steps at each temperature.
        threshold: Conditional effective sample size at which a pilot run places temperatures; by default
            0.9, and on a `LinearPath` its steps are divided, into 2,000 at most, until together they lose
            no more than 0.7 of it.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate. `log_weights` in its diagnostics are the runs' $\log \hat Z$, and `ess` counts runs;
        beside those of
        [`estimate_from_log_weights`][ebm_ppl.partition.estimate_from_log_weights] there are `schedule`,
        `resampled` (the share of steps after which particles were resampled), `positions` and
        `position_log_weights` (particles at the end, in the support, by run, and the logarithms of their
        weights).

    Raises:
        TypeError: If `target` or `base` is no energy, path or distribution.
        ValueError: If an argument is outside its bounds.
        NonFiniteEnergyError: If the energy is NaN somewhere on the way.

    Warns:
        HeavyTailWarning: If the runs' estimates have too heavy a tail for an interval.
        SmallSampleWarning: If fewer than 10 runs carry the estimate.
        SlowMixingWarning: If points at the end drift under more of the kernel's steps; there is no interval.
        MissedModeWarning: If a place that should hold mass was found where no point is.
        EdgeWarning: If floats do not resolve much of the target's mass, at an edge of its support.
        ResolutionWarning: If rounding of large energies is more than the statistical error.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import RestrictedBoltzmannMachine
        >>> from ebm_ppl.partition import sequential_monte_carlo
        >>> machine = RestrictedBoltzmannMachine([[2.0], [-1.0]], [0.0, 0.5], [-0.5])
        >>> estimate = sequential_monte_carlo(machine, jax.random.key(0), schedule=10)
        >>> abs(estimate.log_z - 2.6006) < 5 * estimate.std_error  # the sum over all four states
        True

    References:
        P. Del Moral, A. Doucet and A. Jasra (2006). Sequential Monte Carlo samplers. *Journal of the Royal
        Statistical Society B* 68(3).
        Y. Zhou, A. M. Johansen and J. A. D. Aston (2016). Toward automatic model comparison: an adaptive
        sequential Monte Carlo approach. *Journal of Computational and Graphical Statistics* 25(3).
    """
    check_count("num_particles", num_particles, 2)
    check_count("num_runs", num_runs, 2)
    check_interval("level", level, 0.0, 1.0)
    if threshold is not None:
        check_interval("threshold", threshold, 0.0, 1.0)
    check_key("rng_key", rng_key)
    path, reference = lowered(as_path(target, base), rng_key)
    moves = moves_along(kernel, num_steps, path)
    key_pilot, key_runs = jax.random.split(rng_key)
    ladder = as_schedule(
        schedule, path, moves, key_pilot, _FINENESS if threshold is None else threshold
    )
    log_z, positions, weights, resampled = run_particles(
        path, moves, ladder, jax.random.split(key_runs, num_runs), num_particles
    )
    estimate = estimate_from_log_weights(
        log_z.in_float64 + float(path.log_z_base) - reference,
        level=level,
        diagnostics={
            "schedule": ladder,
            "resampled": float(jnp.mean(resampled)),
            "positions": positions,
            "position_log_weights": weights,
        },
    )
    points = positions.reshape(-1, *positions.shape[2:])
    shares = np.asarray(weights, np.float64)
    shares -= np.logaddexp.reduce(shares, axis=1, keepdims=True)
    some = _some_of_each_run(positions, shares)
    return judged(
        estimate,
        path,
        points,
        jax.random.fold_in(rng_key, 1),
        log_weights=shares.reshape(-1),
        reference=reference,
        groups=Groups(moves, ladder, some, np.zeros(num_runs)),
    )


@eqx.filter_jit
def run_particles(
    path: AbstractPath,
    moves: Moves,
    schedule: AnnealingSchedule,
    rng_keys: PRNGKey,
    num_particles: int,
) -> tuple[CompensatedSum, Array, Array, Array]:
    r"""Runs of particles, one for each key.

    Returns:
        Of each run $\log \hat Z$ less that of the base law, the particles and their log weights at the
        end, and whether they were resampled after each step.
    """
    ladder = schedule.inverse_temperatures
    levels = (ladder[:-1], ladder[1:], schedule.step_sizes)

    def run(rng_key: PRNGKey) -> tuple[CompensatedSum, Array, Array, Array]:
        key_start, key_steps = jax.random.split(fast_key(rng_key))
        z = start_at_base(path, key_start, num_particles)

        def step(
            carry: tuple[Array, CompensatedSum, CompensatedSum],
            level: tuple[tuple[Scalar, Scalar, Scalar | None], PRNGKey],
        ) -> tuple[tuple[Array, CompensatedSum, CompensatedSum], Array]:
            z, weights, log_z = carry
            (start, end, step_size), key = level
            key_resample, key_move = jax.random.split(key)
            weights = weights.add(log_ratios(path, z, start, end))
            poor = _effective_share(weights.total) < _RESAMPLE_BELOW
            chosen = systematic_resample(key_resample, weights.total)
            z = jnp.where(poor, z[chosen], z)
            mean = log_z.add(_log_mean(weights.total))
            even = CompensatedSum.zeros(weights.total.shape)
            log_z, weights = jax.tree.map(
                lambda new, old: jnp.where(poor, new, old), (mean, even), (log_z, weights)
            )
            z, _ = move_all(path, moves, end, step_size, z, key_move)
            return (z, weights, log_z), poor

        keys = jax.random.split(key_steps, len(ladder) - 1)
        none_yet = (CompensatedSum.zeros((num_particles,)), CompensatedSum.zeros(()))
        (z, weights, log_z), resampled = jax.lax.scan(step, (z, *none_yet), (levels, keys))
        x = jax.vmap(potential_fn(path.energy).constrain)(z)
        return log_z.add(_log_mean(weights.total)), x, weights.total, resampled

    return jax.vmap(run)(rng_keys)


def _some_of_each_run(
    positions: Float[Array, "runs particles *event"], shares: Float[np.ndarray, "runs particles"]
) -> Float[Array, "runs few *event"]:
    """A few particles of each run, at even steps of their cumulated shares."""
    num_runs, num_particles = shares.shape
    few = min(max(MOST_POINTS // num_runs, 1), num_particles)
    levels = (np.arange(few) + np.random.default_rng(0).random(num_runs)[:, None]) / few
    cumulated = np.cumsum(np.exp(shares), axis=1)
    chosen = [np.searchsorted(*row) for row in zip(cumulated, levels, strict=True)]
    chosen = np.minimum(np.stack(chosen), num_particles - 1)
    return positions[np.arange(num_runs)[:, None], chosen]


def _log_mean(log_weights: Float[Array, " n"]) -> Scalar:
    return logsumexp(log_weights) - jnp.log(1.0 * len(log_weights))


def _effective_share(log_weights: Float[Array, " n"]) -> Scalar:
    """Effective sample size as a share of the number of weights."""
    return jnp.exp(2 * _log_mean(log_weights) - _log_mean(2 * log_weights))
