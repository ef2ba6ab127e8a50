"""The generator that CPUs run faster: JAX's own numbers, bit for bit."""

import functools
import gc

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from ebm_ppl import _random
from ebm_ppl._random import (
    fast_key,
    normals,
    normals_and_uniform,
    random_words,
    step_key,
    step_keys,
)

# Twenty rounds are long code, which XLA takes a second to optimise and no test runs twice.
LIGHT = pytest.mark.usefixtures("light_compilation")

_DRAWS = {
    "bits": functools.partial(jax.random.bits, shape=(3, 5)),
    "bytes": functools.partial(jax.random.bits, shape=(7,), dtype=jnp.uint8),
    "normal": functools.partial(jax.random.normal, shape=(4, 3)),
    "double": functools.partial(jax.random.normal, shape=(5,), dtype=jnp.float64),
    "nothing": functools.partial(jax.random.normal, shape=(0, 2)),
    "uniform": jax.random.uniform,
    "permutation": functools.partial(jax.random.permutation, x=9),
    "split": lambda key: jax.random.key_data(jax.random.split(key, (2, 3))),
    "split in a number of NumPy's": lambda key: jax.random.key_data(
        jax.random.split(key, np.int64(3))
    ),
    "fold in": lambda key: jax.random.key_data(jax.random.fold_in(key, 2**32 - 1)),
}


@functools.cache
def _both(name):
    """JAX's draws and ours, for an array of keys."""
    draw = _DRAWS[name]
    return jax.jit(lambda keys: (jax.vmap(draw)(keys), jax.vmap(draw)(fast_key(keys))))


@LIGHT
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
    rounds = _random._rounds.__wrapped__  # what is compiled keeps the rotations of its trace
    high, low = rounds(*(jnp.uint32(word) for word in (1, 2, 0, 4)))
    expected = _random._primitive(*(jnp.uint32(word) for word in (1, 2, 0, 4)))
    assert (int(high), int(low)) != tuple(int(word) for word in expected)


@LIGHT
@pytest.mark.parametrize("shape", [(4,), ()])
def test_without_partitionable_counters(shape):
    key = jax.random.key(5)
    with jax.threefry_partitionable(False):
        np.testing.assert_array_equal(
            jax.random.normal(fast_key(key), shape), jax.random.normal(key, shape)
        )


@LIGHT
def test_kinds_of_keys():
    typed, raw = jax.random.key(7), jax.random.PRNGKey(7)
    assert fast_key(raw).dtype == fast_key(typed).dtype != typed.dtype
    for key in (typed, raw):
        np.testing.assert_array_equal(jax.random.key_data(fast_key(key)), jax.random.key_data(key))
    other = jax.random.key(7, impl="rbg")
    assert fast_key(other) is other


@LIGHT
def test_two_arrays_of_words_are_the_halves_of_threefrys_blocks():
    high, low = random_words(jax.random.key(3), (4, 5))
    np.testing.assert_array_equal(high ^ low, jax.random.bits(jax.random.key(3), (4, 5)))
    others = random_words(jax.random.key(3, impl="rbg"), (4, 5))
    assert not np.array_equal(*others)
    assert {words.dtype for words in (high, low, *others)} == {jnp.dtype("uint32")}


@LIGHT
@pytest.mark.parametrize("size", [3, 40])  # laid out beside those of other keys, and after them
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_normals_and_a_uniform_number_of_one_draw(dtype, size):
    with jax.enable_x64(dtype == "float64"):

        @jax.jit
        def drawn(keys):
            alone = jax.vmap(lambda key: normals(key, size + 1, dtype))(keys)
            noise, uniform = jax.vmap(lambda key: normals_and_uniform(key, size, dtype))(keys)
            expected = jax.vmap(lambda key: jax.random.normal(key, (size + 1,), dtype))(keys)
            return alone, noise, uniform, expected, jax.scipy.special.ndtri(uniform)

        values = drawn(jax.random.split(jax.random.key(11), 50))
        alone, noise, uniform, expected, as_normal = map(np.asarray, values)
    assert (noise.shape, noise.dtype, uniform.shape) == ((50, size), dtype, (50,))
    np.testing.assert_array_max_ulp(alone, expected, 4)
    np.testing.assert_array_max_ulp(noise, expected[:, :size], 4)
    assert ((uniform > 0) & (uniform < 1)).all()
    np.testing.assert_allclose(as_normal, expected[:, size], rtol=1e-3, atol=1e-5)


@LIGHT
def test_normals_of_other_keys_and_kinds():
    key = jax.random.key(7, impl="rbg")
    np.testing.assert_array_max_ulp(normals(key, 5, "float32"), jax.random.normal(key, (5,)), 4)
    assert normals(key, 5, jnp.bfloat16).dtype == jnp.bfloat16


@functools.partial(jax.jit, static_argnums=2)
def _numbered(words, step, size):
    """Two words of each block of a step; its bits, words and keys; its children and a child."""
    key = jax.random.wrap_key_data(words)
    numbers = jnp.arange(size, dtype=jnp.uint32)
    blocks = _random._primitive(words[0], words[1], step + jnp.uint32(1), numbers)
    drawn = step_key(key, step)
    children = jax.random.split(drawn, np.int64(size)), jax.random.fold_in(drawn, 0)
    keys = (step_keys(key, step, size), *children)
    return (
        blocks,
        jax.random.bits(drawn, (size,)),
        random_words(drawn, (size,)),
        *map(jax.random.key_data, keys),
    )


@LIGHT
@settings(max_examples=20)
@given(
    words=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2),
    step=st.integers(0, 2**32 - 2),
    size=st.sampled_from([7, 40]),
)
def test_steps_number_the_blocks_of_their_key(words, step, size):
    found = _numbered(np.array(words, dtype=np.uint32), np.uint32(step), size)
    (high, low), bits, both, keys, children, child = jax.tree.map(np.asarray, found)
    np.testing.assert_array_equal(bits, high ^ low)
    np.testing.assert_array_equal(both, (high, low))
    np.testing.assert_array_equal(keys, np.stack([high, low], axis=-1))
    np.testing.assert_array_equal(children, np.stack([high, low, 0 * high], axis=-1))
    np.testing.assert_array_equal(child, [high[0], low[0], 0])


@LIGHT
def test_keys_of_a_step_number_steps_in_turn():
    for key in (jax.random.key(5), jax.random.PRNGKey(5)):
        keys = step_keys(key, 3, 4)
        assert keys.dtype == fast_key(key).dtype
        assert keys.shape == (4,)
    other = jax.random.key(5, impl="rbg")
    assert step_keys(other, 3, 4).dtype == other.dtype


@LIGHT
def test_short_and_long_words_of_a_step():
    key = step_key(jax.random.key(5), 3)
    words = np.asarray(jax.random.bits(key, (4,)))
    for kind in ("uint8", "uint16"):
        short = np.asarray(jax.random.bits(key, (5,), kind))
        np.testing.assert_array_equal(short, words.view(kind)[:5])
    with jax.enable_x64(True):
        high, low = (np.asarray(half).astype(np.uint64) for half in random_words(key, (2, 3)))
        np.testing.assert_array_equal(
            jax.random.bits(key, (2, 3), "uint64"), (high << np.uint64(32)) | low
        )


@LIGHT
def test_no_word_is_drawn_twice():
    """Chance would make two of 4,000 words agree in 1 of 500 keys; these are fixed."""
    keys = jax.random.split(jax.random.key(0), 20)
    steps = jnp.arange(-1, 9)  # -1 for the key as JAX uses it

    def draw(key, step):
        numbered = jax.random.bits(step_key(key, step), (20,))
        return jnp.where(step < 0, jax.random.bits(key, (20,)), numbered)

    drawn = jax.jit(jax.vmap(lambda key: jax.vmap(lambda step: draw(key, step))(steps)))(keys)
    assert len(np.unique(drawn)) == drawn.size


@LIGHT
def test_steps_of_other_keys_are_folded():
    for key in (jax.random.key(3, impl="rbg"), step_key(jax.random.key(3), 1)):
        ours, theirs = step_key(key, 5), jax.random.fold_in(key, 5)
        np.testing.assert_array_equal(jax.random.key_data(ours), jax.random.key_data(theirs))
    with jax.threefry_partitionable(False):
        key = jax.random.key(3)
        ours, theirs = step_key(key, 5), jax.random.fold_in(key, 5)
        np.testing.assert_array_equal(jax.random.key_data(ours), jax.random.key_data(theirs))


@LIGHT
@pytest.mark.parametrize("size", [4, 40])
def test_any_axes_over_keys(size):
    keys = jax.random.split(jax.random.key(2), (2, 3))
    numbers = jnp.arange(3, dtype=jnp.uint32)

    def draw(key, number):
        return jax.random.bits(jax.random.fold_in(key, number), (size,))

    @jax.jit
    def draw_all(keys):  # numbers lack the outer axis, and one key has neither
        return jax.vmap(lambda keys: jax.vmap(draw)(keys, numbers))(keys), draw(keys[0, 0], 7)

    for ours, theirs in zip(draw_all(fast_key(keys)), draw_all(keys), strict=True):
        np.testing.assert_array_equal(ours, theirs)
    none = jax.vmap(lambda key: jax.random.bits(key, (size,)))(fast_key(keys[0, :0]))
    assert none.shape == (0, size)


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="other platforms run JAX's own rounds")
@pytest.mark.parametrize(("word", "count"), [(None, 1), (4, 0)], ids=["as it is", "planted bug"])
def test_words_are_computed_once(monkeypatch, word, count):
    """A condition that XLA decides is gone, and with it the memory of the words."""
    if word is not None:
        monkeypatch.setattr(_random, "_is_impossible", lambda _: jnp.uint32(word) % 4 == 2)
    # What was traced of these functions has the condition of its trace.
    monkeypatch.setattr(_random, "_hash_of_blocks", _random._hash_of_blocks.__wrapped__)
    for draw in (
        lambda key: jax.random.bits(fast_key(key), (8,)),
        lambda key: normals(step_key(key, 2), 8, "float32"),
    ):
        program = jax.jit(draw).lower(jax.random.key(0)).compile().as_text() or ""
        assert program.count(" conditional(") == count


@pytest.mark.parametrize("kept", [True, False], ids=["as it is", "planted bug"])
def test_what_was_traced_is_not_kept_for_ever(monkeypatch, kept):
    """A function whose rule for batches names itself is a circle through JAX's caches."""
    if not kept:
        for name in (
            "_hash_of_blocks",
            "_drawing_of_blocks",
            "_drawing",
            "_to_normals_and_uniform",
        ):
            monkeypatch.setattr(_random, name, getattr(_random, name).__wrapped__)

    def trace():
        draw = lambda key: normals_and_uniform(step_key(key, 2), 8, "float32")  # noqa: E731
        jax.make_jaxpr(jax.vmap(draw))(jax.random.split(jax.random.key(0), 3))

    def count():
        gc.collect()
        return sum(type(thing).__name__ == "Jaxpr" for thing in gc.get_objects())

    trace()
    before = count()
    for _ in range(5):
        trace()
    assert (count() - before < 5) == kept
