"""Draws of single units from their log odds, by one random word each."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, UInt32

from ebm_ppl._random import fast_key
from ebm_ppl._types import PRNGKey


def draw_bernoulli(rng_key: PRNGKey, logits: Float[Array, "..."]) -> Float[Array, "..."]:
    r"""Zeros and ones with $P(1) = \sigma(\text{logit})$.

    The first 31 bits of a random word, read as a number of [0, 1], are compared with the probability; in
    double precision the first 63. Reading them so moves a probability $p$ by at most
    $2^{-24} p + 2^{-31}$, or $2^{-53} p + 2^{-63}$.

    Args:
        rng_key: Random key.
        logits: Log odds.

    Returns:
        Draws of the shape and precision of `logits`.
    """
    width = 64 if logits.dtype == jnp.float64 else 32
    word = jax.random.bits(fast_key(rng_key), logits.shape, f"uint{width}")
    # Integers with a sign become floats in one instruction of most processors, others in several.
    positive = (word >> 1).astype(f"int{width}")
    uniform = positive.astype(logits.dtype) * jnp.asarray(2.0 ** (1 - width), logits.dtype)
    return (uniform < jax.nn.sigmoid(logits)).astype(logits.dtype)


def as_thresholds(logits: Float[Array, "..."]) -> UInt32[Array, "..."]:
    r"""Thresholds below which a word of 32 random bits falls with probability $\sigma(\text{logit})$.

    Args:
        logits: Log odds.

    Returns:
        Thresholds $\lfloor 2^{32} p \rfloor$, of the shape of `logits`: in single precision $p$ has 24 binary
        digits, and no threshold is above the largest word, so a probability of 1 is one of $1 - 2^{-32}$.
    """
    return to_words(jax.nn.sigmoid(logits))


def to_words(probs: Float[Array, "..."]) -> UInt32[Array, "..."]:
    """Shares of the words of 32 bits, rounded down; all but the largest word for a probability of 1."""
    # The largest number below 2^32 in either precision, since larger ones do not fit into a word.
    largest = jnp.nextafter(jnp.asarray(2.0**32, probs.dtype), jnp.zeros((), probs.dtype))
    scaled = probs * 2.0**32
    words = jnp.minimum(scaled, largest).astype(jnp.uint32)
    return jnp.where(scaled > largest, jnp.uint32(2**32 - 1), words)


def choose_category(
    words: UInt32[Array, "..."], logits: Float[Array, "... categories"]
) -> Int[Array, "..."]:
    """Categories by random words of 32 bits, each of which falls between two cumulated probabilities.

    Args:
        words: Random words.
        logits: Log probabilities up to a constant, with a last axis over categories.

    Returns:
        Numbers of categories, of the shape of `words`. Probabilities are cumulated in the precision of
        `logits`.
    """
    ends = jnp.cumsum(jax.nn.softmax(logits), axis=-1)[..., :-1]
    return jnp.sum(words[..., None] >= to_words(ends), axis=-1)
