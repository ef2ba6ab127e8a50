"""Chains along a path, and the weights that they gather."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath
from ebm_ppl.partition._moves import CompensatedSum, log_ratios, move_all, start_at_base
from ebm_ppl.partition._pilot import AnnealingSchedule
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import Moves


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
        z, accept_prob = move_all(path, moves, end, step_size, z, key)
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
