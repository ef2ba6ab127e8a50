"""Exchange of states between neighbouring levels of a ladder."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ebm_ppl._types import PRNGKey


def exchange_pairs(
    rng_key: PRNGKey,
    x: Float[Array, "levels chains *position"],
    log_accept: Float[Array, "pairs chains"],
    parity: Int[Array, ""],
) -> tuple[Float[Array, "levels chains *position"], Bool[Array, "pairs chains"]]:
    r"""Let every other pair of neighbouring levels exchange its states, in each chain by itself.

    Args:
        rng_key: Random key.
        x: The states.
        log_accept: Log acceptance ratio of each pair, $\log f_r(x_{r+1}) f_{r+1}(x_r) - \log f_r(x_r)
            f_{r+1}(x_{r+1})$; a pair stays as it is where this is NaN.
        parity: 0 for the pairs that begin at levels 0, 2, ..., 1 for the others.

    Returns:
        The states after, and which pairs exchanged.
    """
    uniform = jax.random.uniform(rng_key, log_accept.shape, log_accept.dtype)
    exchanged = pairs_in_turn(len(log_accept), parity)[:, None] & (jnp.log(uniform) < log_accept)
    return exchange_where(exchanged, x), exchanged


def pairs_in_turn(num_pairs: int, parity: Int[Array, ""]) -> Bool[Array, " pairs"]:
    """Which pairs of neighbours may exchange now.

    Args:
        num_pairs: Number of pairs.
        parity: 0 for the pairs that begin at levels 0, 2, ..., 1 for the others.

    Returns:
        Every other pair, so that no level belongs to two of them.
    """
    return jnp.asarray(np.arange(num_pairs) % 2) == parity


def exchange_where(exchanged: Bool[Array, "pairs chains"], x: Any) -> Any:
    """Exchange the states of some pairs of neighbours.

    Args:
        exchanged: Which pairs exchange; no two neighbouring ones.
        x: The states, a pytree of arrays of shape `(levels, chains, *position)`.

    Returns:
        The states after.
    """
    num_pairs, num_chains = exchanged.shape
    nobody = jnp.zeros((1, num_chains), bool)
    up, down = jnp.concatenate([exchanged, nobody]), jnp.concatenate([nobody, exchanged])
    origin = jnp.arange(num_pairs + 1)[:, None] + up.astype(int) - down.astype(int)
    chain = jnp.arange(num_chains)[None]
    return jax.tree.map(lambda leaf: leaf[origin, chain], x)
