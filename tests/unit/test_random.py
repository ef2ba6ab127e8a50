"""The generator that CPUs run faster: JAX's own numbers, bit for bit."""

import functools

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from ebm_ppl import _random
from ebm_ppl._random import fast_key, of_kind, random_words

_DRAWS = {
    "bits": functools.partial(jax.random.bits, shape=(3, 5)),
    "bytes": functools.partial(jax.random.bits, shape=(7,), dtype=jnp.uint8),
    "normal": functools.partial(jax.random.normal, shape=(4, 3)),
    "double": functools.partial(jax.random.normal, shape=(5,), dtype=jnp.float64),
    "nothing": functools.partial(jax.random.normal, shape=(0, 2)),
    "uniform": jax.random.uniform,
    "permutation": functools.partial(jax.random.permutation, x=9),
    "split": lambda key: jax.random.key_data(jax.random.split(key, (2, 3))),
    "fold in": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**32 - 1)),
}


@functools.cache
def _both(name):
    """JAX's draws and ours, for an array of keys."""
    draw = _DRAWS[name]
    return jax.jit(lambda keys: (jax.vmap(draw)(keys), jax.vmap(draw)(fast_key(keys))))


@pytest.mark.parametrize("name", _DRAWS)
@settings(max_examples=20)
@given(words=st.lists(st.integers(0, 2**32 - 1), min_size=6, max_size=6))
def test_draws_are_those_of_jax(name, words):
    keys = jax.random.wrap_key_data(jnp.array(words, dtype=jnp.uint32).reshape(3, 2))
    with jax.enable_x64(name == "double"):
        theirs, ours = _both(name)(keys)
    assert ours.dtype == theirs.dtype
    if name in ("normal", "double"):  # of the same words; XLA may round their transform otherwise
        np.testing.assert_array_max_ulp(np.asarray(ours), np.asarray(theirs), 4)
    else:
        np.testing.assert_array_equal(ours, theirs)


def test_a_wrong_rotation_is_caught(monkeypatch):
    monkeypatch.setattr(_random, "_ROTATIONS", ((13, 15, 26, 6), (17, 29, 16, 25)))
    high, low = _random._rounds(*(jnp.uint32(word) for word in (1, 2, 0, 4)))
    expected = _random._primitive(*(jnp.uint32(word) for word in (1, 2, 0, 4)))
    assert (int(high), int(low)) != tuple(int(word) for word in expected)


@pytest.mark.parametrize("shape", [(4,), ()])
def test_without_partitionable_counters(shape):
    key = jax.random.key(5)
    with jax.threefry_partitionable(False):
        np.testing.assert_array_equal(
            jax.random.normal(fast_key(key), shape), jax.random.normal(key, shape)
        )


def test_kinds_of_keys():
    typed, raw = jax.random.key(7), jax.random.PRNGKey(7)
    assert fast_key(raw).dtype == fast_key(typed).dtype != typed.dtype
    for key in (typed, raw):
        back = of_kind(fast_key(key), key)
        assert back.dtype == key.dtype
        np.testing.assert_array_equal(jax.random.key_data(back), jax.random.key_data(key))
    other = jax.random.key(7, impl="rbg")
    assert fast_key(other) is other


def test_two_arrays_of_words_are_the_halves_of_threefrys_blocks():
    high, low = random_words(jax.random.key(3), (4, 5))
    np.testing.assert_array_equal(high ^ low, jax.random.bits(jax.random.key(3), (4, 5)))
    others = random_words(jax.random.key(3, impl="rbg"), (4, 5))
    assert not np.array_equal(*others)
    assert {words.dtype for words in (high, low, *others)} == {jnp.dtype("uint32")}
