"""JAX's random words, bit for bit, from a generator that CPUs run faster.

JAX lowers Threefry-2x32 on CPUs to a loop of many tiny kernels, which can cost more than all else in a
step of a Markov chain. Written out, its twenty rounds are one kernel. The generator is a PRNG
implementation of JAX like any other: the keys that `fast_key` makes go into every function of
`jax.random`.

References:
    J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw (2011). Parallel random numbers: as easy as
    1, 2, 3. *International Conference for High Performance Computing, Networking, Storage and Analysis*.
"""

import math

import jax
import jax.extend as jex
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, UInt32

from ebm_ppl._types import PRNGKey

_JAX = jex.random.threefry_prng_impl
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA


def fast_key(rng_key: PRNGKey) -> PRNGKey:
    """The same key, of the implementation that is fast on CPUs.

    Args:
        rng_key: A key, or an array of keys: typed, or raw words.

    Returns:
        Typed keys that give the same random numbers. Other platforms than the CPU run JAX's own Threefry
        on them; keys that are not Threefry's are returned as they are.
    """
    if not jnp.issubdtype(rng_key.dtype, jax.dtypes.prng_key):
        rng_key = jax.random.wrap_key_data(rng_key)
    if jax.random.key_impl(rng_key) != "threefry2x32":
        return rng_key
    return jax.random.wrap_key_data(jax.random.key_data(rng_key), impl=_WRITTEN_OUT)


def random_words(
    rng_key: PRNGKey, shape: tuple[int, ...]
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """Two independent arrays of random words of 32 bits, at the price of one where keys are Threefry's.

    A block of Threefry has two words, which JAX folds into one.

    Args:
        rng_key: A key, typed or raw, that nothing else uses.
        shape: Shape of each array, of at most $2^{32}$ entries.

    Returns:
        The two arrays.
    """
    rng_key = fast_key(rng_key)
    if jax.random.key_impl(rng_key) != _WRITTEN_OUT:
        first, second = jax.random.split(rng_key)
        return jax.random.bits(first, shape), jax.random.bits(second, shape)
    number = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
    return _hash(jax.random.key_data(rng_key), jnp.zeros_like(number), number)


def of_kind(rng_key: PRNGKey, like: PRNGKey) -> PRNGKey:
    """The same keys as the kind of key, typed or raw, that another one is."""
    data = jax.random.key_data(rng_key)
    if not jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return data
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(like))


def _hash(key: UInt32[Array, "2"], high: Array, low: Array) -> tuple[Array, Array]:
    """Two random words for each counter of two words."""
    return lax.platform_dependent(key[0], key[1], high, low, cpu=_rounds, default=_primitive)


def _primitive(first: Array, second: Array, high: Array, low: Array) -> tuple[Array, Array]:
    high, low = jex.random.threefry2x32_p.bind(first, second, high, low)
    return high, low


def _rounds(first: Array, second: Array, high: Array, low: Array) -> tuple[Array, Array]:
    schedule = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    high, low = high + first, low + second
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            high = high + low
            low = ((low << distance) | (low >> (32 - distance))) ^ high
        high = high + schedule[(group + 1) % 3]
        low = low + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return high, low


def _random_bits(key: UInt32[Array, "2"], bit_width: int, shape: tuple[int, ...]) -> Array:
    size = math.prod(shape)
    # JAX numbers the entries in this way only if it may partition them; one word counts up to 2^32.
    is_numbered = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    if bit_width < 32 or size > 2**32 or not is_numbered:
        return _JAX.random_bits(key, bit_width, shape)
    number = lax.iota(jnp.uint32, size).reshape(shape)
    high, low = _hash(key, jnp.zeros_like(number), number)
    if bit_width == 32:
        return high ^ low
    return (high.astype(jnp.uint64) << 32) | low.astype(jnp.uint64)


# New keys come from JAX's loop: XLA would write out their rounds once more for each number that is drawn.
_WRITTEN_OUT = jex.random.define_prng_impl(
    key_shape=_JAX.key_shape,
    seed=_JAX.seed,
    split=_JAX.split,
    random_bits=_random_bits,
    fold_in=_JAX.fold_in,
    name="threefry2x32_written_out",
    tag="ebm",
)
