"""JAX's random words, bit for bit, from a generator that CPUs run faster.

JAX lowers Threefry-2x32 on CPUs to a loop of many tiny kernels, which can cost more than all else in a
step of a Markov chain. Written out, its twenty rounds are one kernel. The generator is a PRNG
implementation of JAX like any other: the keys that `fast_key` makes go into every function of
`jax.random`.

References:
    J. K. Salmon, M. A. Moraes, R. O. Dror and D. E. Shaw (2011). Parallel random numbers: as easy as
    1, 2, 3. *International Conference for High Performance Computing, Networking, Storage and Analysis*.
"""

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, SupportsIndex, TypeAlias

import jax
import jax.extend as jex
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Array, Bool, Float, UInt32

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
    return _blocks(jax.random.key_data(rng_key), shape, _as_they_are)


def normals_and_uniform(
    rng_key: PRNGKey, size: int, dtype: Any
) -> tuple[Float[Array, " size"], Float[Array, ""]]:
    """Standard normal numbers and a uniform one, of one array of random words.

    What a Metropolis step needs; a draw for each of both would cost two hashes more, for their keys.

    Args:
        rng_key: A key that nothing else uses.
        size: Number of normal numbers.
        dtype: Type of all numbers.

    Returns:
        The normal numbers, as `jax.random.normal` makes them of random words, and a number in (0, 1).
    """
    dtype = np.dtype(dtype)
    least = np.nextafter(dtype.type(-1), dtype.type(0))
    rng_key = fast_key(rng_key)
    impl = jax.random.key_impl(rng_key)

    def draw(words: Words) -> Array:
        key = jax.random.wrap_key_data(words, impl=impl)
        return jax.random.uniform(key, (size + 1,), dtype, least, 1.0)

    draw = jnp.vectorize(draw, signature="(words)->(numbers)")
    uniform = lax.platform_dependent(
        jax.random.key_data(rng_key), cpu=_computed_once(draw), default=draw
    )
    return math.sqrt(2) * lax.erf_inv(uniform[:size]), 0.5 + 0.5 * uniform[size]


def of_kind(rng_key: PRNGKey, like: PRNGKey) -> PRNGKey:
    """The same keys as the kind of key, typed or raw, that another one is."""
    data = jax.random.key_data(rng_key)
    if not jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return data
    return jax.random.wrap_key_data(data, impl=jax.random.key_impl(like))


Words: TypeAlias = UInt32[Array, "..."]
_Rounds: TypeAlias = Callable[[Words, Words, Words, Words], tuple[Words, Words]]
_Combine: TypeAlias = Callable[[Words, Words], Any]


def _blocks(key: UInt32[Array, "2"], shape: tuple[int, ...], combine: _Combine) -> Any:
    """What is made of the two words of each block, the blocks numbered from 0 in an array of a shape."""

    def hash_with(rounds: _Rounds, keys: Words) -> Any:
        number = lax.iota(jnp.uint32, math.prod(shape)).reshape(shape)
        first, second = (keys[..., i].reshape(*keys.shape[:-1], *[1] * len(shape)) for i in (0, 1))
        return combine(*rounds(first, second, jnp.zeros_like(number), number))

    return _on_platform(hash_with, key)


def _block(key: UInt32[Array, "2"], number: UInt32[Array, ""]) -> tuple[Words, Words]:
    """The two words of one block."""

    def hash_with(rounds: _Rounds, keys: Words, numbers: Words) -> tuple[Words, Words]:
        return rounds(keys[..., 0], keys[..., 1], jnp.zeros_like(numbers), numbers)

    return _on_platform(hash_with, key, number)


def _as_they_are(high: Words, low: Words) -> tuple[Words, Words]:
    return high, low


def _on_platform(hash_with: Callable[..., Any], *operands: Words) -> Any:
    """Hash with the rounds that the platform runs faster; operands may have leading axes over keys."""
    return lax.platform_dependent(
        *operands,
        cpu=_computed_once(functools.partial(hash_with, _rounds)),
        default=functools.partial(hash_with, _primitive),
    )


def _computed_once(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same function, for which XLA reserves memory.

    XLA on CPUs would rather repeat cheap arithmetic, and to it twenty rounds are cheap, in each of the
    kernels that read its result. It does not look into the branches of a condition that it cannot decide.
    A condition on one key for many, which `jax.vmap` would make of it, it runs as a selection, so the batch
    goes into the branch as a whole.

    Args:
        function: A function of arrays of words, with any number of leading axes that they share.

    Returns:
        The function, to be called on arrays without these axes.
    """

    @jax.custom_batching.custom_vmap
    def once(*operands: Words) -> Any:
        if operands[0].size == 0:
            return function(*operands)
        nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(function, *operands))
        never = _is_impossible(operands[0].ravel()[0])
        return lax.cond(never, lambda *_: nothing, function, *operands)

    @once.def_vmap
    def _(axis_size: int, in_batched: list[bool], *operands: Words) -> tuple[Any, Any]:
        spread = [
            operand if is_batched else jnp.broadcast_to(operand, (axis_size, *operand.shape))
            for operand, is_batched in zip(operands, in_batched, strict=True)
        ]
        result = once(*spread)
        return result, jax.tree.map(lambda _: True, result)

    return once


def _is_impossible(word: UInt32[Array, ""]) -> Bool[Array, ""]:
    """False, which XLA does not know: no square is two more than a multiple of four."""
    return (word * word) & jnp.uint32(3) == 2


def _primitive(first: Words, second: Words, high: Words, low: Words) -> tuple[Words, Words]:
    words = jnp.broadcast_arrays(first, second, high, low)
    high, low = jex.random.threefry2x32_p.bind(*words)
    return high, low


def _rounds(first: Words, second: Words, high: Words, low: Words) -> tuple[Words, Words]:
    schedule = (first, second, first ^ second ^ jnp.uint32(_PARITY))
    high, low = high + first, low + second
    for group in range(5):
        for distance in _ROTATIONS[group % 2]:
            high = high + low
            low = ((low << distance) | (low >> (32 - distance))) ^ high
        high = high + schedule[(group + 1) % 3]
        low = low + schedule[(group + 2) % 3] + jnp.uint32(group + 1)
    return high, low


def _is_numbered(size: int) -> bool:
    """Whether JAX numbers the blocks of an array in order: only if it may partition them, up to 2^32."""
    may_partition = jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]
    return may_partition and size <= 2**32


def _random_bits(key: UInt32[Array, "2"], bit_width: int, shape: tuple[int, ...]) -> Array:
    if bit_width < 32 or not _is_numbered(math.prod(shape)):
        return _JAX.random_bits(key, bit_width, shape)

    def combine(high: Words, low: Words) -> Array:
        if bit_width == 32:
            return high ^ low
        return (high.astype(jnp.uint64) << 32) | low.astype(jnp.uint64)

    return _blocks(key, shape, combine)


def _split(key: UInt32[Array, "2"], shape: tuple[SupportsIndex, ...]) -> UInt32[Array, "... 2"]:
    sizes = tuple(map(operator.index, shape))  # JAX hands a caller's NumPy integers on
    if not _is_numbered(math.prod(sizes)):
        return _JAX.split(key, sizes)
    return jnp.stack(_blocks(key, sizes, _as_they_are), axis=-1)


def _fold_in(key: UInt32[Array, "2"], data: Any) -> UInt32[Array, "2"]:
    return jnp.stack(_block(key, jnp.asarray(data, dtype=jnp.uint32)))


_WRITTEN_OUT = jex.random.define_prng_impl(
    key_shape=_JAX.key_shape,
    seed=_JAX.seed,
    split=_split,
    random_bits=_random_bits,
    fold_in=_fold_in,
    name="threefry2x32_written_out",
    tag="ebm",
)
