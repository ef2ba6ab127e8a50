"""Threefry-2x32 at the price of its arithmetic, in place of what JAX makes of it on CPUs.

JAX lowers Threefry on CPUs to a loop of many tiny kernels, which can cost more than all else in a step of a
Markov chain. Written out, its twenty rounds are one kernel. Two generators are made of it, each a PRNG
implementation of JAX like any other, whose keys go into every function of `jax.random`:

- the keys of `fast_key` give JAX's own numbers, bit for bit;
- the keys of `step_key` number the steps of a chain in the half of Threefry's counter that JAX leaves at
  zero, where JAX would split a key for each step and hash two blocks for that alone.

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
from jax import lax
from jaxtyping import Array, Bool, Float, Integer, Key, UInt32, UInt64

from ebm_ppl._types import PRNGKey

_JAX = jex.random.threefry_prng_impl
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))
_PARITY = 0x1BD11BDA

_LONG = 32
"""Number of blocks from which on those of one key fill vectors; fewer lie beside those of other keys."""


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


def step_key(rng_key: PRNGKey, step: Integer[Array, ""] | int) -> PRNGKey:
    """The key of one step, for a key that stays the same throughout a chain.

    Args:
        rng_key: A key, typed or raw, that nothing but other steps uses.
        step: Number of the step, from 0 to $2^{32} - 2$.

    Returns:
        A typed key that shares no random words with those of other steps.
    """
    rng_key = fast_key(rng_key)
    if jax.random.key_impl(rng_key) != _WRITTEN_OUT or not _may_partition():
        return jax.random.fold_in(rng_key, step)
    number = jnp.asarray(step, jnp.uint32) + jnp.uint32(1)
    words = jnp.append(jax.random.key_data(rng_key), number)
    return jax.random.wrap_key_data(words, impl=_NUMBERED)


def step_keys(rng_key: PRNGKey, step: Integer[Array, ""] | int, num: int) -> Key[Array, " num"]:
    """So many keys of one step, of which each may number steps in turn.

    Args:
        rng_key: A key, typed or raw, that nothing but other steps uses.
        step: Number of the step, from 0 to $2^{32} - 2$.
        num: How many keys.

    Returns:
        Typed keys, of the kind that `fast_key` gives.
    """
    keys = jax.random.split(step_key(rng_key, step), num)
    if jax.random.key_impl(keys) != _NUMBERED:
        return keys
    return jax.random.wrap_key_data(jax.random.key_data(keys)[..., :2], impl=_WRITTEN_OUT)


def random_words(
    rng_key: PRNGKey, shape: tuple[int, ...]
) -> tuple[UInt32[Array, "..."], UInt32[Array, "..."]]:
    """Two independent arrays of random words of 32 bits.

    They are the two words of Threefry's blocks, which JAX folds into one; other keys are split.

    Args:
        rng_key: A key, typed or raw, that nothing else uses.
        shape: Shape of each array, of at most $2^{32}$ entries.

    Returns:
        The two arrays.
    """
    rng_key = fast_key(rng_key)
    if not _is_ours(rng_key):
        first, second = jax.random.split(rng_key)
        return jax.random.bits(first, shape), jax.random.bits(second, shape)
    return _blocks(jax.random.key_data(rng_key), shape, _as_they_are)


def normals(rng_key: PRNGKey, size: int, dtype: Any) -> Float[Array, " size"]:
    """Standard normal numbers as `jax.random.normal` draws them, none of them computed twice.

    Args:
        rng_key: A key that nothing else uses.
        size: How many.
        dtype: Type of the numbers.

    Returns:
        The numbers.
    """
    return _of_uniform(_to_normal, rng_key, size, dtype)


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
    numbers = _of_uniform(_to_normals_and_uniform(size), rng_key, size + 1, dtype)
    return numbers[:size], numbers[size]


_kept = functools.lru_cache(maxsize=256)
"""Makes a function once: JAX traces one and the same function but once, and keeps what it traced."""


@_kept
def _to_normals_and_uniform(size: int) -> Callable[[Array], Array]:
    """From uniform numbers in (-1, 1): all but the last normal, and that one in (0, 1)."""

    def transform(uniform: Array) -> Array:
        axis = _first_or_last(size + 1) % uniform.ndim
        place = lax.broadcasted_iota(jnp.int32, uniform.shape, axis)
        return jnp.where(place < size, _to_normal(uniform), 0.5 + 0.5 * uniform)

    return transform


def _to_normal(uniform: Array) -> Array:
    """From a uniform number in (-1, 1)."""
    return math.sqrt(2) * lax.erf_inv(uniform)


def _of_uniform(
    transform: Callable[[Array], Array], rng_key: PRNGKey, size: int, dtype: Any
) -> Array:
    """What is made of uniform numbers in (-1, 1), each of a word of 32 bits, or of 64 in double precision."""
    dtype = jnp.dtype(dtype)
    info = jnp.finfo(dtype if dtype.itemsize == 8 else jnp.float32)
    rng_key = fast_key(rng_key)
    if _is_ours(rng_key) and _may_partition():
        key = jax.random.key_data(rng_key)
        return _blocks(key, (size,), _drawing_of_blocks(transform, info.bits)).astype(dtype)
    words = jax.random.bits(rng_key, (size,), f"uint{info.bits}")
    return _drawing(transform, info.bits)(words).astype(dtype)


@_kept
def _drawing(transform: Callable[[Array], Array], bits: int) -> Callable[[Any], Array]:
    """From random words of so many bits to what is made of uniform numbers."""
    info = jnp.finfo(f"float{bits}")
    least = info.dtype.type(info.epsneg - 1)  # what is traced must not be closed over

    def draw(words: Words | UInt64[Array, "..."]) -> Array:
        one = lax.bitcast_convert_type(jnp.ones((), info.dtype), words.dtype)
        mantissa = lax.shift_right_logical(words, words.dtype.type(info.bits - info.nmant))
        uniform = 2 * (lax.bitcast_convert_type(mantissa | one, info.dtype) - 1) + least
        return transform(jnp.maximum(uniform, least))

    return draw


@_kept
def _drawing_of_blocks(transform: Callable[[Array], Array], bits: int) -> "_Combine":
    """The same from the two words of each block."""
    fold, draw = _FOLDED[bits], _drawing(transform, bits)
    return lambda high, low: draw(fold(high, low))


def _is_ours(rng_key: PRNGKey) -> bool:
    return jax.random.key_impl(rng_key) in (_WRITTEN_OUT, _NUMBERED)


Words: TypeAlias = UInt32[Array, "..."]
_Rounds: TypeAlias = Callable[[Words, Words, Words, Words], tuple[Words, Words]]
_Combine: TypeAlias = Callable[[Words, Words], Any]


def _blocks(key: UInt32[Array, " words"], shape: tuple[int, ...], combine: _Combine) -> Any:
    """What is made of the two words of each block, the blocks numbered from 0 in an array of a shape."""
    return lax.platform_dependent(*key, **_hash_of_blocks(shape, combine))


@_kept
def _hash_of_blocks(shape: tuple[int, ...], combine: _Combine) -> dict[str, Callable[..., Any]]:
    """What `_blocks` does to the words of a key, by platform."""
    size = math.prod(shape)
    keys_axis = -1 - _first_or_last(size)

    def hash_with(rounds: _Rounds, *words: Words) -> Any:
        number = lax.iota(jnp.uint32, size).reshape(shape)
        if keys_axis == 0:
            words = tuple(word.reshape(*word.shape, *[1] * len(shape)) for word in words)
        else:
            number = number.reshape(*shape, *[1] * words[0].ndim)
        first, second, *step = words
        return combine(*rounds(first, second, step[0] if step else jnp.zeros_like(number), number))

    return _by_platform(hash_with, keys_axis)


def _first_or_last(size: int) -> int:
    """The axis of one key's numbers: 0 if those of other keys come after it, -1 if they come before."""
    return 0 if size < _LONG else -1


def _block(key: UInt32[Array, " words"], number: UInt32[Array, ""]) -> tuple[Words, Words]:
    """The two words of one block."""
    return lax.platform_dependent(number, *key, **_hash_of_block())


@_kept
def _hash_of_block() -> dict[str, Callable[..., Any]]:
    """What `_block` does to a number and the words of a key, by platform."""

    def hash_with(
        rounds: _Rounds, number: Words, first: Words, second: Words, *step: Words
    ) -> tuple[Words, Words]:
        return rounds(first, second, step[0] if step else jnp.zeros_like(number), number)

    return _by_platform(hash_with, 0)


def _as_they_are(high: Words, low: Words) -> tuple[Words, Words]:
    return high, low


def _by_platform(hash_with: Callable[..., Any], keys_axis: int) -> dict[str, Callable[..., Any]]:
    """Hash with the rounds that the platform runs faster; operands may have first or last axes over keys."""
    return {
        "cpu": _computed_once(functools.partial(hash_with, _rounds), keys_axis),
        "default": functools.partial(hash_with, _primitive),
    }


def _computed_once(function: Callable[..., Any], batch_axis: int) -> Callable[..., Any]:
    """The same function, for which XLA reserves memory.

    XLA on CPUs would rather repeat cheap arithmetic, and to it twenty rounds are cheap, in each of the
    kernels that read its result. It does not look into the branches of a condition that it cannot decide.
    A condition on one key for many, which `jax.vmap` would make of it, it runs as a selection, so the batch
    goes into the branch as a whole.

    Args:
        function: A function of random words, each an array with the axes of the batch alone, which are made
            to fit each other by repetition.
        batch_axis: Where its results have those axes: 0 for the first ones, -1 for the last.

    Returns:
        The function, to be called on single words.
    """

    @jax.custom_batching.custom_vmap
    def once(*operands: Words) -> Any:
        if any(operand.size == 0 for operand in operands):
            return function(*operands)
        nothing = jax.tree.map(jnp.zeros_like, jax.eval_shape(function, *operands))
        never = _is_impossible(operands[0].ravel()[0])
        return lax.cond(never, lambda *_: nothing, function, *operands)

    @once.def_vmap
    def _(_: int, in_batched: list[bool], *operands: Words) -> tuple[Any, Any]:
        spread = [
            jnp.moveaxis(operand, 0, batch_axis)
            if is_batched
            else jnp.expand_dims(operand, batch_axis)
            for operand, is_batched in zip(operands, in_batched, strict=True)
        ]
        result = jax.tree.map(lambda leaf: jnp.moveaxis(leaf, batch_axis, 0), once(*spread))
        return result, jax.tree.map(lambda _: True, result)

    return once


def _is_impossible(word: UInt32[Array, ""]) -> Bool[Array, ""]:
    """False, which XLA does not know: no square is two more than a multiple of four."""
    return (word * word) & jnp.uint32(3) == 2


def _primitive(first: Words, second: Words, high: Words, low: Words) -> tuple[Words, Words]:
    words = jnp.broadcast_arrays(first, second, high, low)
    high, low = jex.random.threefry2x32_p.bind(*words)
    return high, low


@jax.jit  # some 120 operations, traced once for each shape
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


def _may_partition() -> bool:
    return jax.config.jax_threefry_partitionable  # pyright: ignore[reportAttributeAccessIssue]


def _is_numbered(size: int) -> bool:
    """Whether JAX numbers the blocks of an array in order: only if it may partition them, up to 2^32."""
    return _may_partition() and size <= 2**32


def _joined(high: Words, low: Words) -> UInt64[Array, "..."]:
    return (high.astype(jnp.uint64) << 32) | low.astype(jnp.uint64)


_FOLDED: dict[int, _Combine] = {32: operator.xor, 64: _joined}
_SHORT = {8: jnp.uint8, 16: jnp.uint16}


def _random_bits(key: UInt32[Array, "2"], bit_width: int, shape: tuple[int, ...]) -> Array:
    if bit_width < 32 or not _is_numbered(math.prod(shape)):
        return _JAX.random_bits(key, bit_width, shape)
    return _blocks(key, shape, _FOLDED[bit_width])


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


def _bits_of_step(key: UInt32[Array, "3"], bit_width: int, shape: tuple[int, ...]) -> Array:
    if bit_width >= 32:
        return _blocks(key, shape, _FOLDED[bit_width])
    num_words = -(-math.prod(shape) * bit_width // 32)
    words = _blocks(key, (num_words,), _FOLDED[32])
    parts = lax.bitcast_convert_type(words, _SHORT[bit_width]).ravel()
    return parts[: math.prod(shape)].reshape(shape)


def _split_of_step(key: UInt32[Array, "3"], shape: tuple[SupportsIndex, ...]) -> Words:
    return _unnumbered(_blocks(key, tuple(map(operator.index, shape)), _as_they_are))


def _fold_in_of_step(key: UInt32[Array, "3"], data: Any) -> UInt32[Array, "3"]:
    return _unnumbered(_block(key, jnp.asarray(data, dtype=jnp.uint32)))


def _unnumbered(words: tuple[Words, Words]) -> UInt32[Array, "... 3"]:
    """Keys of two words, whose counters begin with the zero that JAX's begin with."""
    return jnp.stack([*words, jnp.zeros_like(words[0])], axis=-1)


def _seed_of_step(seed: Any) -> UInt32[Array, "3"]:
    return jnp.append(_JAX.seed(seed), jnp.uint32(0))


_NUMBERED = jex.random.define_prng_impl(
    key_shape=(3,),
    seed=_seed_of_step,
    split=_split_of_step,
    random_bits=_bits_of_step,
    fold_in=_fold_in_of_step,
    name="threefry2x32_numbered",
    tag="ebs",
)
