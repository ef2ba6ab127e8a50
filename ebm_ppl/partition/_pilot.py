"""A first run of particles along a path, which chooses its inverse temperatures and the step sizes on it."""

import math
from typing import Any, NamedTuple, TypeAlias

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_interval, check_key
from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import (
    AbstractPath,
    LinearPath,
    as_path,
    conditional_ess,
    next_inverse_temperature,
    power_schedule,
    reverse_conditional_ess,
)
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._lowered import lowered
from ebm_ppl.partition._moves import log_ratios, move_all, moves_along, start_at_base
from ebm_ppl.partition._resampling import systematic_resample
from ebm_ppl.samplers import Moves
from ebm_ppl.samplers.moves import Kernels

_MOST_STEPS = 2_000
_ROUNDS = 3  # of moves at each temperature, after each of which the step size is corrected
_GAIN = 1.5
_FIRST_STEP_SIZE = 0.5
# Above what mixes fastest in equilibrium: chains out of it also have to get into tails and out of them, where
# larger steps are refused.
_ACCEPT_PROB = 0.9


class AnnealingSchedule(eqx.Module):
    r"""Inverse temperatures along a path, and the kernel's step size at each.

    Attributes:
        inverse_temperatures: $0 = \beta_0 < \dots < \beta_K = 1$, shape `(K + 1,)`.
        step_sizes: Step size of the kernel at $\beta_1, \dots, \beta_K$, shape `(K,)`; `None` to leave it to
            the kernel.
    """

    inverse_temperatures: Float[Array, " num_temperatures"]
    step_sizes: Float[Array, " num_steps"] | None = None

    @property
    def num_steps(self) -> int:
        """Number $K$ of steps from one temperature to the next."""
        return len(self.inverse_temperatures) - 1


Schedule: TypeAlias = Any
"""An `AnnealingSchedule`, an array of inverse temperatures, or a number of evenly spaced steps."""


def adaptive_schedule(
    target: AbstractEnergy | AbstractPath,
    rng_key: PRNGKey,
    *,
    base: Any = None,
    kernel: Kernels = None,
    num_steps: int = 1,
    threshold: float = 0.995,
    num_particles: int = 500,
    target_accept_prob: float = _ACCEPT_PROB,
) -> AnnealingSchedule:
    r"""Choose inverse temperatures, and the step sizes between them, by a run of particles.

    Each step goes as far as the conditional effective sample size of the particles, and that of the step
    back, stays at `threshold` of their number: the schedule serves both directions. The run is a first
    one: an estimator draws anew on what it found, and is as unbiased as with a schedule that was written
    down beforehand.

    Args:
        target: The energy, or a path to it.
        rng_key: Random key.
        base: Base law, as [`GeometricPath`][ebm_ppl.annealing.GeometricPath] takes it.
        kernel: Called with `potential_fn`, and with `step_size` if it has such an argument that is not
            fixed by `functools.partial`: a kernel class of this package or of NumPyro, or
            [`Moves`][ebm_ppl.samplers.Moves]. By default block Gibbs for energies that know their
            conditional laws, else MALA.
        num_steps: Number of its steps at each temperature.
        threshold: Least conditional effective sample size, as a share; nearer to 1, more temperatures.
        num_particles: Number of particles.
        target_accept_prob: Acceptance probability to which step sizes are tuned.

    Returns:
        The schedule.

    Raises:
        ValueError: If an argument is outside its bounds, or 2,000 temperatures do not suffice.

    Examples:
        >>> import jax
        >>> from ebm_ppl.energies import DoubleWell
        >>> from ebm_ppl.partition import adaptive_schedule
        >>> schedule = adaptive_schedule(DoubleWell(dim=2), jax.random.key(0), threshold=0.9)
        >>> float(schedule.inverse_temperatures[-1])
        1.0
        >>> schedule.step_sizes.shape == (schedule.num_steps,)
        True

    References:
        Y. Zhou, A. M. Johansen and J. A. D. Aston (2016). Toward automatic model comparison: an adaptive
        sequential Monte Carlo approach. *Journal of Computational and Graphical Statistics* 25(3).
    """
    check_interval("threshold", threshold, 0.0, 1.0)
    check_count("num_particles", num_particles, 10)
    check_interval("target_accept_prob", target_accept_prob, 0.0, 1.0)
    check_key("rng_key", rng_key)
    path, _ = lowered(as_path(target, base), rng_key)
    moves = moves_along(kernel, num_steps, path)
    return _run_pilot(path, moves, rng_key, None, threshold, num_particles, target_accept_prob)


class Fineness(NamedTuple):
    r"""How finely a pilot run divides a path, unless told otherwise.

    Attributes:
        threshold: Conditional effective sample size of a step.
        most_loss: What steps on a [`LinearPath`][ebm_ppl.annealing.LinearPath] may lose of it together; they
            are divided until they do. Log weights of chains that keep up have that variance, those of
            critical lattices, whose sweeps lag, several times as much.
    """

    threshold: float
    most_loss: float


FINENESS = Fineness(0.995, most_loss=0.1)
"""That of annealed chains: on the critical Ising torus of 16 x 16 1,600 temperatures."""


def as_schedule(
    schedule: Schedule,
    path: AbstractPath,
    moves: Moves,
    rng_key: PRNGKey,
    threshold: float | Fineness,
) -> AnnealingSchedule:
    """Read a schedule; choose what it leaves open by a pilot run."""
    if schedule is None:
        told = threshold if isinstance(threshold, Fineness) else Fineness(threshold, math.inf)
        ladder = _run_pilot(path, moves, rng_key, None, told.threshold, 500, _ACCEPT_PROB)
        return _divided(ladder, told) if isinstance(path, LinearPath) else ladder
    if not isinstance(schedule, AnnealingSchedule):
        if np.ndim(schedule) == 0:
            check_count("schedule", schedule)
            schedule = power_schedule(schedule)
        schedule = AnnealingSchedule(jnp.asarray(schedule, dtype=float))
    check_ladder(schedule.inverse_temperatures)
    if schedule.step_sizes is None and moves.is_tunable:
        return _run_pilot(
            path, moves, rng_key, schedule.inverse_temperatures, 0.5, 100, _ACCEPT_PROB
        )
    return schedule


def _divided(schedule: AnnealingSchedule, fineness: Fineness) -> AnnealingSchedule:
    """Each step in as many parts as keep the sum of losses, within the most temperatures."""
    num_steps = schedule.num_steps
    loss = num_steps * (1 - fineness.threshold)
    parts = max(1, min(math.ceil(loss / fineness.most_loss), _MOST_STEPS // num_steps))
    place = np.arange(num_steps * parts + 1) / parts
    ladder = np.interp(place, np.arange(num_steps + 1), schedule.inverse_temperatures)
    sizes = schedule.step_sizes
    return AnnealingSchedule(
        jnp.asarray(ladder, dtype=float), None if sizes is None else jnp.repeat(sizes, parts)
    )


def check_ladder(inverse_temperatures: Float[Array, "..."]) -> None:
    """Refuse inverse temperatures that do not rise from 0 to 1."""
    values = np.asarray(inverse_temperatures)
    if (
        values.ndim != 1
        or len(values) < 2
        or values[0] != 0
        or values[-1] != 1
        or not np.all(np.diff(values) > 0)
    ):
        raise ValueError(
            "`schedule` must hold inverse temperatures that rise from 0 to 1, be an AnnealingSchedule or a "
            f"number of steps; got {values!r}."
        )


def _run_pilot(
    path: AbstractPath,
    moves: Moves,
    rng_key: PRNGKey,
    given: Float[Array, " num_temperatures"] | None,
    threshold: float,
    num_particles: int,
    target_accept_prob: float,
) -> AnnealingSchedule:
    inverse_temperatures, step_sizes, count = _pilot(
        path,
        moves,
        rng_key,
        given,
        jnp.asarray(threshold),
        num_particles,
        jnp.asarray(target_accept_prob),
    )
    count = int(count)
    if float(inverse_temperatures[count]) < 1:
        raise ValueError(
            f"`threshold` must be lower: {threshold} keeps the path from its end for {_MOST_STEPS} "
            f"temperatures, and leads to {float(inverse_temperatures[count]):.3g}. Or else the energy is "
            "NaN, or has no lower bound, where particles have gone."
        )
    return AnnealingSchedule(
        inverse_temperatures[: count + 1], step_sizes[:count] if moves.is_tunable else None
    )


@eqx.filter_jit
def _pilot(
    path: AbstractPath,
    moves: Moves,
    rng_key: PRNGKey,
    given: Float[Array, " num_temperatures"] | None,
    threshold: Scalar,
    num_particles: int,
    target_accept_prob: Scalar,
) -> tuple[Array, Array, Array]:
    """Run particles to the end of the path; return temperatures, step sizes and the number of steps."""
    most = _MOST_STEPS if given is None else len(given) - 1
    key_start, key_steps = jax.random.split(fast_key(rng_key))
    z = start_at_base(path, key_start, num_particles)
    ladder, step_sizes = jnp.zeros(most + 1), jnp.zeros(most)
    even = jnp.zeros(num_particles)

    def goes_on(state: tuple[Array, ...]) -> Array:
        count, _, ladder, _, _ = state
        return (count < most) & (ladder[count] < 1)

    def step(state: tuple[Array, ...]) -> tuple[Array, ...]:
        count, z, ladder, step_sizes, log_step_size = state
        start = ladder[count]

        def step_ess(end: Scalar) -> Scalar:
            weights = log_ratios(path, z, start, end)
            return jnp.minimum(conditional_ess(even, weights), reverse_conditional_ess(weights))

        end = (
            next_inverse_temperature(step_ess, start, threshold)
            if given is None
            else given[count + 1]
        )
        key_resample, key_moves = jax.random.split(jax.random.fold_in(key_steps, count))
        chosen = systematic_resample(key_resample, log_ratios(path, z, start, end))

        def tune(carry: tuple[Array, Scalar], key: PRNGKey) -> tuple[tuple[Array, Scalar], None]:
            z, log_step_size = carry
            step_size = jnp.exp(log_step_size) if moves.is_tunable else None
            z, accept_prob = move_all(path, moves, end, step_size, z, key)
            return (z, log_step_size + _GAIN * (accept_prob - target_accept_prob)), None

        keys = jax.random.split(key_moves, _ROUNDS)
        (z, log_step_size), _ = jax.lax.scan(tune, (z[chosen], log_step_size), keys)
        ladder = ladder.at[count + 1].set(end)
        step_sizes = step_sizes.at[count].set(jnp.exp(log_step_size))
        return count + 1, z, ladder, step_sizes, log_step_size

    first = (jnp.asarray(0), z, ladder, step_sizes, jnp.log(jnp.asarray(_FIRST_STEP_SIZE)))
    count, _, ladder, step_sizes, _ = jax.lax.while_loop(goes_on, step, first)
    return ladder, step_sizes, count
