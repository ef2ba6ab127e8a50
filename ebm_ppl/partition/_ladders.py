"""Ladders of chains, one at each temperature, which exchange their states with their neighbours."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath, exchange_pairs
from ebm_ppl.partition._moves import CompensatedSum, Moves, log_ratios, start_at_base
from ebm_ppl.potentials import potential_fn


@eqx.filter_jit
def run_ladders(
    path: AbstractPath,
    moves: Moves,
    ladder: Float[Array, " nodes"],
    step_sizes: Float[Array, " nodes"] | None,
    rng_key: PRNGKey,
    num_ensembles: int,
    num_draws: int,
    num_warmup: int,
) -> tuple[CompensatedSum, Float[Array, " pairs"]]:
    """Sums of the integrand by node and ensemble, and the mean number of exchanges of each pair."""
    key_base, key_start, key_warmup, key_draws = jax.random.split(fast_key(rng_key), 4)
    num_nodes = len(ladder)

    def descend(z: Array, level: tuple[Scalar, Scalar | None, PRNGKey]) -> tuple[Array, Array]:
        z, _ = moves.run(path, level[0], level[1], z, level[2])
        return z, z

    def iterate(z: Array, key: PRNGKey, parity: Array) -> tuple[Array, Array]:
        key_move, key_exchange = jax.random.split(key)
        keys = jax.random.split(key_move, num_nodes)
        z, _ = jax.vmap(lambda *at: moves.run(path, *at))(ladder, step_sizes, z, keys)
        return exchange_neighbours(path, ladder, z, key_exchange, parity)

    def warm_up(z: Array, step: tuple[PRNGKey, Array]) -> tuple[Array, None]:
        return iterate(z, *step)[0], None

    def draw(
        carry: tuple[Array, CompensatedSum, Array], step: tuple[PRNGKey, Array]
    ) -> tuple[tuple[Array, CompensatedSum, Array], None]:
        z, total, exchanges = carry
        z, exchanged = iterate(z, *step)
        return (z, total.add(integrand(path, ladder, z)), exchanges + exchanged), None

    z = start_at_base(path, key_base, num_ensembles)
    starts = (ladder, step_sizes, jax.random.split(key_start, num_nodes))
    _, z = jax.lax.scan(descend, z, starts)
    warmup = (jax.random.split(key_warmup, num_warmup), jnp.arange(num_warmup) % 2)
    z, _ = jax.lax.scan(warm_up, z, warmup)
    draws = (jax.random.split(key_draws, num_draws), jnp.arange(num_draws) % 2)
    nothing = (CompensatedSum.zeros((num_nodes, num_ensembles)), jnp.zeros(num_nodes - 1))
    (_, total, exchanges), _ = jax.lax.scan(draw, (z, *nothing), draws)
    return total, exchanges


def exchange_neighbours(
    path: AbstractPath,
    ladder: Float[Array, " nodes"],
    z: Float[Array, "nodes ensembles *position"],
    rng_key: PRNGKey,
    parity: Array,
) -> tuple[Float[Array, "nodes ensembles *position"], Float[Array, " pairs"]]:
    """Let even or odd pairs of neighbours exchange their states, in each ensemble by itself.

    Args:
        path: The path.
        ladder: Inverse temperatures of the nodes.
        z: Unconstrained positions.
        rng_key: Random key.
        parity: 0 for the pairs that begin at nodes 0, 2, ..., 1 for the others.

    Returns:
        The positions after, and the share of ensembles in which each pair exchanged.
    """
    step = jax.vmap(lambda z, start, end: log_ratios(path, z, start, end))
    log_accept = step(z[:-1], ladder[:-1], ladder[1:]) + step(z[1:], ladder[1:], ladder[:-1])
    z, exchanged = exchange_pairs(rng_key, z, log_accept, parity)
    return z, jnp.mean(exchanged, axis=1)


def integrand(
    path: AbstractPath,
    ladder: Float[Array, " nodes"],
    z: Float[Array, "nodes ensembles *position"],
) -> Float[Array, "nodes ensembles"]:
    r"""Derivative of $\log f_\beta$ in $\beta$, at every position."""
    constrain = potential_fn(path.energy).constrain

    def slope(z: Array, node: Scalar) -> Scalar:
        x = constrain(z)
        return jax.grad(lambda end: path.log_ratio(x, node, end))(node)

    return jax.vmap(jax.vmap(slope, in_axes=(0, None)))(z, ladder)
