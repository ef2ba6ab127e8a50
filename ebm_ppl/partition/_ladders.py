"""Ladders of chains, one at each temperature, which exchange their states with their neighbours."""

from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey, Scalar
from ebm_ppl.annealing import AbstractPath, exchange_pairs
from ebm_ppl.partition._moves import CompensatedSum, log_ratios, move_all, start_at_base
from ebm_ppl.potentials import potential_fn
from ebm_ppl.samplers import Moves


class LadderRun(NamedTuple):
    """What a run of ladders has shown of the integrand.

    Attributes:
        total: Its sums, by node and ensemble.
        exchanges: Mean number of exchanges of each pair of neighbours.
        halves: Sums of what it was above a node's mean at the start, in the first half of the run and in
            the second.
        squares: Sums of the squares of that.
        coldest: Where the chain of the last node has stood in the support, in each ensemble, after each draw
            or, if it is large, some of them; `None` before.
    """

    total: CompensatedSum
    exchanges: Float[Array, " pairs"]
    halves: Float[Array, "halves nodes ensembles"]
    squares: Float[Array, "halves nodes ensembles"]
    coldest: Float[Array, "ensembles draws *event"] | None = None

    def r_hat(self, num_draws: int) -> Float[np.ndarray, " nodes"]:
        """Split R-hat of the integrand at each node, after so many draws."""
        sums, squares = (np.asarray(part, np.float64) for part in (self.halves, self.squares))
        count = np.array([num_draws // 2, num_draws - num_draws // 2])
        means = sums / count[:, None, None]
        variances = (squares - sums * means) / (count - 1)[:, None, None]
        within, length = variances.mean(axis=(0, 2)), count.mean()
        between = means.swapaxes(1, 2).reshape(-1, means.shape[1]).var(axis=0, ddof=1)
        with np.errstate(divide="ignore", invalid="ignore"):  # of one that is constant
            return np.sqrt((length - 1) / length + between / within)


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
) -> LadderRun:
    """Run independent ladders side by side."""
    key_base, key_start, key_warmup, key_draws = jax.random.split(fast_key(rng_key), 4)
    num_nodes = len(ladder)

    def descend(z: Array, level: tuple[Scalar, Scalar | None, PRNGKey]) -> tuple[Array, Array]:
        z, _ = move_all(path, moves, level[0], level[1], z, level[2])
        return z, z

    def iterate(z: Array, key: PRNGKey, parity: Array) -> tuple[Array, Array]:
        key_move, key_exchange = jax.random.split(key)
        keys = jax.random.split(key_move, num_nodes)
        z, _ = jax.vmap(lambda *at: move_all(path, moves, *at))(ladder, step_sizes, z, keys)
        return exchange_neighbours(path, ladder, z, key_exchange, parity)

    def warm_up(z: Array, step: tuple[PRNGKey, Array]) -> tuple[Array, None]:
        return iterate(z, *step)[0], None

    def draw(run_so_far: tuple[Array, LadderRun], step: tuple[PRNGKey, Array, Array]) -> Any:
        z, run = run_so_far
        key, parity, in_half = step
        z, exchanged = iterate(z, key, parity)
        value = integrand(path, ladder, z)
        excess = in_half[:, None, None] * (value - origin)
        return (
            z,
            LadderRun(
                run.total.add(value),
                run.exchanges + exchanged,
                run.halves + excess,
                run.squares + excess**2,
            ),
        ), z[-1]

    z = start_at_base(path, key_base, num_ensembles)
    starts = (ladder, step_sizes, jax.random.split(key_start, num_nodes))
    _, z = jax.lax.scan(descend, z, starts)
    warmup = (jax.random.split(key_warmup, num_warmup), jnp.arange(num_warmup) % 2)
    z, _ = jax.lax.scan(warm_up, z, warmup)
    origin = jnp.mean(integrand(path, ladder, z), axis=1, keepdims=True)
    number = jnp.arange(num_draws)
    is_late = number >= num_draws // 2
    in_half = jnp.stack([~is_late, is_late], axis=1).astype(origin.dtype)
    of_chains = (num_nodes, num_ensembles)
    nothing = LadderRun(
        CompensatedSum.zeros(of_chains),
        jnp.zeros(num_nodes - 1),
        jnp.zeros((2, *of_chains)),
        jnp.zeros((2, *of_chains)),
    )
    draws = (jax.random.split(key_draws, num_draws), number % 2, in_half)
    (_, run), visited = jax.lax.scan(draw, (z, nothing), draws)
    constrain = potential_fn(path.energy).constrain
    return run._replace(coldest=jax.vmap(jax.vmap(constrain))(jnp.swapaxes(visited, 0, 1)))


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
