"""Draws of single units from their log odds, by one random word each."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt32

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


def as_thresholds(logits: Float[Array, "..."]) -> UInt32[Array, "..."]:
    r"""Thresholds below which a word of 32 random bits falls with probability $\sigma(\text{logit})$.

    Args:
        logits: Log odds.

    Returns:
        Thresholds $\lfloor 2^{32} p \rfloor$, of the shape of `logits`: in single precision $p$ has 24 binary
        digits, and no threshold is above the largest word, so a probability of 1 is one of $1 - 2^{-32}$.
    """
    # The largest number below 2^32 in either precision, since larger ones do not fit into a word.
    largest = jnp.nextafter(jnp.asarray(2.0**32, logits.dtype), jnp.zeros((), logits.dtype))
    scaled = jax.nn.sigmoid(logits) * 2.0**32
    words = jnp.minimum(scaled, largest).astype(jnp.uint32)
    return jnp.where(scaled > largest, jnp.uint32(2**32 - 1), words)
