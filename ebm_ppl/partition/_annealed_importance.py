"""Annealed importance sampling, from the base law to the target and back."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._checks import check_count, check_interval, check_key
from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath
from ebm_ppl.energies import AbstractEnergy
from ebm_ppl.partition._estimate import LogPartitionEstimate, estimate_from_log_weights
from ebm_ppl.partition._moves import (
    CompensatedSum,
    Moves,
    as_moves,
    as_path,
    log_ratios,
    start_at_base,
)
from ebm_ppl.partition._pilot import AnnealingSchedule, Schedule, as_schedule
from ebm_ppl.potentials import potential_fn


def annealed_importance_sampling(
    target: AbstractEnergy | AbstractPath,
    rng_key: PRNGKey,
    *,
    base: Any = None,
    num_chains: int = 1_000,
    schedule: Schedule = None,
    kernel: Callable[..., Any] | None = None,
    num_steps: int = 1,
    threshold: float = 0.99,
    level: float = 0.95,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ by chains that are drawn from a base law and annealed to the target.

    A chain starts at a draw $x_0$ of the base law. At each $\beta_k$ it gathers the weight of the step
    to it and then moves by a kernel that leaves $f_{\beta_k}$ invariant,
    $$w = Z_0 \prod_{k=1}^K \frac{f_{\beta_k}(x_{k-1})}{f_{\beta_{k-1}}(x_{k-1})}, \qquad E[w] = Z,$$
    whether or not the chains get anywhere near equilibrium. The mean of the weights is unbiased for $Z$;
    its logarithm is below $\log Z$ on average. Chains that do not mix make the weights vary, and where no
    chain finds a mode, no weight tells of it: compare with
    [`reverse_annealed_importance_sampling`][ebm_ppl.partition.reverse_annealed_importance_sampling].

    A kernel without an acceptance step (`Langevin`) leaves no $f_{\beta_k}$ invariant, and the estimate is
    then biased by an amount that no error bar shows.

    Args:
        target: The energy, or a path to it. The path to a `RestrictedBoltzmannMachine` is a
            [`RestrictedBoltzmannPath`][ebm_ppl.annealing.RestrictedBoltzmannPath] from fair coins, to any
            other energy a [`GeometricPath`][ebm_ppl.annealing.GeometricPath].
        rng_key: Random key.
        base: Base law of a geometric path: a NumPyro distribution or a normalised `EnergyDistribution`; by
            default a standard normal law in unconstrained space, or fair coins.
        num_chains: Number of chains, at least 2; they run side by side.
        schedule: Inverse temperatures that rise from 0 to 1, a number of evenly spaced steps, or an
            [`AnnealingSchedule`][ebm_ppl.partition.AnnealingSchedule]; by default a pilot run chooses them.
            Where it brings no step sizes and the kernel takes one, a pilot run tunes them.
        kernel: Called with `potential_fn`, and with `step_size` where that is tuned: a kernel class of this
            package or of NumPyro, or a `functools.partial` of one. By default block Gibbs for energies that
            know their conditional laws, else MALA.
        num_steps: Number of the kernel's steps at each temperature.
        threshold: Conditional effective sample size at which a pilot run places temperatures.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate, with the diagnostics of
        [`estimate_from_log_weights`][ebm_ppl.partition.estimate_from_log_weights] and `schedule`,
        `accept_prob` (of each temperature) and `positions`, where the chains ended, in the support: with
        the weights a sample of the target.

    Raises:
        TypeError: If `target` or `base` is no energy, path or distribution.
        ValueError: If an argument is outside its bounds.
        NonFiniteEnergyError: If the energy is NaN somewhere on the way.

    Warns:
        HeavyTailWarning: If the weights have too heavy a tail for an interval.
        SmallSampleWarning: If the effective sample size is below 10.

    Example:
        >>> import jax
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.partition import annealed_importance_sampling
        >>> energy = Gaussian([1.0, -1.0], [[0.5, 0.2], [0.2, 1.0]])
        >>> estimate = annealed_importance_sampling(energy, jax.random.key(0))
        >>> low, high = estimate.interval
        >>> low < 1.4485 < high, estimate.std_error < 0.05  # log(2 pi sqrt(0.46)) = 1.4496
        (True, True)

    References:
        R. M. Neal (2001). Annealed importance sampling. *Statistics and Computing* 11, 125-139.
        R. Salakhutdinov and I. Murray (2008). On the quantitative analysis of deep belief networks.
        *ICML* 25.
    """
    check_count("num_chains", num_chains, 2)
    check_interval("level", level, 0.0, 1.0)
    check_interval("threshold", threshold, 0.0, 1.0)
    check_key("rng_key", rng_key)
    path = as_path(target, base)
    moves = as_moves(kernel, num_steps, path)
    key_pilot, key_run = jax.random.split(rng_key)
    ladder = as_schedule(schedule, path, moves, key_pilot, threshold)
    log_weights, positions, accept_prob = forward_log_weights(
        path, moves, ladder, key_run, num_chains
    )
    return estimate_from_log_weights(
        log_weights.in_float64 + float(path.log_z_base),
        level=level,
        diagnostics={"schedule": ladder, "accept_prob": accept_prob, "positions": positions},
    )


def reverse_annealed_importance_sampling(
    target: AbstractEnergy | AbstractPath,
    draws: Float[Array, "num_chains *event"],
    rng_key: PRNGKey,
    *,
    base: Any = None,
    schedule: Schedule = None,
    kernel: Callable[..., Any] | None = None,
    num_steps: int = 1,
    threshold: float = 0.99,
    level: float = 0.95,
) -> LogPartitionEstimate:
    r"""Estimate $\log Z$ by chains that start at draws of the target and are heated to the base law.

    The same steps as in
    [`annealed_importance_sampling`][ebm_ppl.partition.annealed_importance_sampling], from $\beta_K = 1$
    down. Their weights average to $1 / Z$, so $\log Z$ is *over*estimated on average, where forward runs
    underestimate it: the two intervals bracket the truth. A mode that no forward chain finds is in the
    draws, and the bracket then gapes.

    All of this holds for independent exact draws. Draws of a chain that has not converged give a bracket
    of the wrong law; correlated ones too narrow an interval. Where the target's tails are lighter than
    those of the base law, the step to $\beta = 0$ has weights without a variance, which matters little only
    if $\beta_1$ is small: the schedule that a pilot run chooses sees to that, even spacing does not.

    Args:
        target: The energy, or a path to it.
        draws: Independent draws of the target, in its support, shape `(num_chains,) + event_shape`; one
            chain starts at each.
        rng_key: Random key.
        base: As in `annealed_importance_sampling`.
        schedule: As in `annealed_importance_sampling`.
        kernel: As in `annealed_importance_sampling`.
        num_steps: As in `annealed_importance_sampling`.
        threshold: As in `annealed_importance_sampling`.
        level: Probability that the interval is to cover $\log Z$.

    Returns:
        The estimate, with the diagnostics of a forward run; `log_weights` are those of $1 / Z$.

    Raises:
        TypeError: If `target` or `base` is no energy, path or distribution.
        ValueError: If an argument is outside its bounds.
        NonFiniteEnergyError: If the energy is NaN somewhere on the way.

    Warns:
        HeavyTailWarning: If the weights have too heavy a tail for an interval.
        SmallSampleWarning: If the effective sample size is below 10.

    Example:
        >>> import jax
        >>> from ebm_ppl.energies import Gaussian
        >>> from ebm_ppl.partition import reverse_annealed_importance_sampling
        >>> draws = 2.0 * jax.random.normal(jax.random.key(0), (1000, 1))
        >>> estimate = reverse_annealed_importance_sampling(
        ...     Gaussian([0.0], [[4.0]]), draws, jax.random.key(1)
        ... )
        >>> low, high = estimate.interval
        >>> low < 1.6121 < high  # log(2 sqrt(2 pi))
        True

    References:
        R. B. Grosse, Z. Ghahramani and R. P. Adams (2015). Sandwiching the marginal likelihood using
        bidirectional Monte Carlo. arXiv:1511.02543.
    """
    check_interval("level", level, 0.0, 1.0)
    check_interval("threshold", threshold, 0.0, 1.0)
    check_key("rng_key", rng_key)
    path = as_path(target, base)
    shape = np.shape(draws)
    if len(shape) < 1 or shape[1:] != tuple(path.energy.event_shape) or shape[0] < 2:
        raise ValueError(
            f"Expected `draws` of shape (num_chains, *{tuple(path.energy.event_shape)}) with at least 2 "
            f"chains; got {shape}."
        )
    moves = as_moves(kernel, num_steps, path)
    key_pilot, key_run = jax.random.split(rng_key)
    ladder = as_schedule(schedule, path, moves, key_pilot, threshold)
    log_weights, positions, accept_prob = reverse_log_weights(
        path, moves, ladder, key_run, jnp.asarray(draws, dtype=float)
    )
    inverse = estimate_from_log_weights(
        log_weights.in_float64 - float(path.log_z_base),
        level=level,
        diagnostics={"schedule": ladder, "accept_prob": accept_prob, "positions": positions},
    )
    ends = inverse.interval
    return LogPartitionEstimate(
        log_z=-inverse.log_z,
        std_error=inverse.std_error,
        interval=None if ends is None else (-ends[1], -ends[0]),
        ess=inverse.ess,
        diagnostics={**inverse.diagnostics, "log_bias": -inverse.diagnostics["log_bias"]},
    )


@eqx.filter_jit
def forward_log_weights(
    path: AbstractPath,
    moves: Moves,
    schedule: AnnealingSchedule,
    rng_key: PRNGKey,
    num_chains: int,
) -> tuple[CompensatedSum, Array, Array]:
    """Log weights, less that of the base law, of forward chains; where they end, acceptance rates."""
    key_start, key_moves = jax.random.split(fast_key(rng_key))
    z = start_at_base(path, key_start, num_chains)
    ladder, step_sizes = schedule.inverse_temperatures, schedule.step_sizes
    return _anneal(path, moves, ladder, step_sizes, key_moves, z)


@eqx.filter_jit
def reverse_log_weights(
    path: AbstractPath,
    moves: Moves,
    schedule: AnnealingSchedule,
    rng_key: PRNGKey,
    draws: Float[Array, "chains *event"],
) -> tuple[CompensatedSum, Array, Array]:
    """Log weights of chains from the target to the base law."""
    z = jax.vmap(potential_fn(path.energy).unconstrain)(draws)
    ladder = schedule.inverse_temperatures[::-1]
    step_sizes = schedule.step_sizes
    # Moves lie between steps: at all temperatures but the first and the last, in this order.
    if step_sizes is not None:
        step_sizes = jnp.concatenate([step_sizes[-2::-1], step_sizes[:1]])
    return _anneal(path, moves, ladder, step_sizes, fast_key(rng_key), z)


def _anneal(
    path: AbstractPath,
    moves: Moves,
    ladder: Float[Array, " num_temperatures"],
    step_sizes: Float[Array, " num_steps"] | None,
    rng_key: PRNGKey,
    z: Float[Array, "chains *position"],
) -> tuple[CompensatedSum, Array, Array]:
    def step(
        carry: tuple[Array, CompensatedSum],
        level: tuple[Scalar, Scalar, Scalar | None, PRNGKey],
    ) -> tuple[tuple[Array, CompensatedSum], Scalar]:
        z, log_weights = carry
        start, end, step_size, key = level
        log_weights = log_weights.add(log_ratios(path, z, start, end))
        z, accept_prob = moves.run(path, end, step_size, z, key)
        return (z, log_weights), accept_prob

    # The last step has no move after it: nobody reads where that would lead.
    keys = jax.random.split(rng_key, len(ladder) - 2) if len(ladder) > 2 else None
    carry = (z, CompensatedSum.zeros((len(z),)))
    accept_prob = jnp.zeros(0)
    if keys is not None:
        sizes = None if step_sizes is None else step_sizes[:-1]
        carry, accept_prob = jax.lax.scan(step, carry, (ladder[:-2], ladder[1:-1], sizes, keys))
    z, log_weights = carry
    log_weights = log_weights.add(log_ratios(path, z, ladder[-2], ladder[-1]))
    return log_weights, jax.vmap(potential_fn(path.energy).constrain)(z), accept_prob
