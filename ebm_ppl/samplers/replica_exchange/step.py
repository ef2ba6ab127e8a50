"""One attempt of all pairs in turn to exchange their states."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._types import Position
from ebm_ppl.annealing import exchange_where, pairs_in_turn
from ebm_ppl.samplers.replica_exchange.tempering import AbstractTempering

LogAcceptance = Callable[[Float[Array, "..."], Float[Array, "..."]], Float[Array, "..."]]


class Exchanged(NamedTuple):
    """Where replicas are after an attempt, and what it has shown.

    Levels and pairs come first, chains after them.

    Attributes:
        z: Position at each level.
        walkers: Replica at each level.
        is_heated: Whether it has been at the base since it was at the target.
        in_turn: Which pairs tried.
        accept_prob: Probability with which they were to exchange.
        up: Share of the colder law at the hotter position, about the guess of log Z.
        down: Share of the hotter law at the colder position.
        arrived: Whether a heated replica has come to the target.
    """

    z: Position
    walkers: Int[Array, "levels chains"]
    is_heated: Bool[Array, "levels chains"]
    in_turn: Bool[Array, " pairs"]
    accept_prob: Float[Array, "pairs chains"]
    up: Float[Array, "pairs chains"]
    down: Float[Array, "pairs chains"]
    arrived: Bool[Array, " chains"]


def exchange(
    tempering: AbstractTempering,
    inverse_temperatures: Float[Array, " levels"],
    log_z_steps: Float[Array, " pairs"],
    parity: Int[Array, ""],
    uniform: Float[Array, "pairs chains"],
    states: tuple[Position, Int[Array, "levels chains"], Bool[Array, "levels chains"]],
    log_acceptance: LogAcceptance,
) -> Exchanged:
    """Let every other pair of neighbours exchange its states.

    Args:
        tempering: The potentials.
        inverse_temperatures: Of the levels.
        log_z_steps: Guesses of the log ratio of neighbours' normalisers.
        parity: 0 for the pairs that begin at levels 0, 2, ..., 1 for the others.
        uniform: Uniform random numbers.
        states: Positions, walkers and which of them are heated.
        log_acceptance: Log acceptance ratio of a pair, from the log ratios of both positions' densities
            where they would go and where they are.

    Returns:
        The states after.
    """
    level = np.arange(len(inverse_temperatures))
    # A position is evaluated once, on the side where its partner is; none is beyond the ends.
    partner = jnp.where(
        jnp.asarray(level % 2) == parity, np.minimum(level + 1, level[-1]), np.maximum(level - 1, 0)
    )
    over_chains = jax.vmap(tempering.log_ratio, (0, None, None))
    gain = jax.vmap(over_chains)(states[0], inverse_temperatures, inverse_temperatures[partner])
    gain = gain.astype(uniform.dtype)
    in_turn = pairs_in_turn(len(uniform), parity)
    log_ratio = log_acceptance(gain[:-1], gain[1:])
    accept_prob = jnp.where(jnp.isnan(log_ratio), 0.0, jnp.exp(jnp.minimum(log_ratio, 0.0)))
    z, walkers, is_heated = exchange_where(in_turn[:, None] & (uniform < accept_prob), states)
    is_heated = is_heated.at[0].set(True)
    guess = log_z_steps[:, None]
    return Exchanged(
        z,
        walkers,
        is_heated.at[-1].set(False),
        in_turn,
        accept_prob,
        jax.nn.sigmoid(gain[:-1] - guess),
        jax.nn.sigmoid(gain[1:] + guess),
        is_heated[-1],
    )
