"""Draws of single units from their log odds, by one random word each."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey


def draw_bernoulli(rng_key: PRNGKey, logits: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Zeros and ones with $P(1) = \sigma(\text{logit})$.

    A word of 32 random bits, read as a number of [0, 1], is compared with the probability; in double
    precision it is one of 64 bits. Reading it so moves a probability $p$ by at most $2^{-24} p + 2^{-32}$,
    or $2^{-53} p + 2^{-64}$.

    Args:
        rng_key: Random key.
        logits: Log odds.

    Returns:
        Draws of the shape and precision of `logits`.
    """
    kind, width = (jnp.uint64, 64) if logits.dtype == jnp.float64 else (jnp.uint32, 32)
    word = jax.random.bits(fast_key(rng_key), logits.shape, kind)
    uniform = word.astype(logits.dtype) * jnp.asarray(2.0**-width, logits.dtype)
    return (uniform < jax.nn.sigmoid(logits)).astype(logits.dtype)
