"""Data sets are checked once, by name, bound and value, and belong to the fit from then on."""

import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings

from ebm_ppl.energies import Beta, ConditionalGaussian, Gaussian, Quartic
from ebm_ppl.trainers import as_batch
from ebm_ppl.trainers._data import split_off

PLANE = Gaussian([0.0, 0.0], np.eye(2))
LINE = Quartic()
CONDITIONAL = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
KEY = jax.random.key(0)


@pytest.mark.parametrize(
    "data",
    [
        [0.5, -1.0, 2.0],
        (0, 1, 2),
        np.array([0.5, -1.0], dtype=np.float64),
        np.array([1, 2], dtype=np.int8),
        jnp.array([0.5, 1.5]),
        jnp.array([0.5, 1.5], dtype=jnp.bfloat16),
        np.array([True, False]),
    ],
)
def test_numbers_of_any_kind_become_floats_on_the_device(data):
    batch = as_batch(LINE, data)
    assert isinstance(batch.x, jax.Array)
    assert batch.x.dtype == jnp.float32
    np.testing.assert_array_equal(batch.x, np.asarray(data, dtype=np.float32))
    np.testing.assert_array_equal(batch.index, np.arange(len(data)))
    assert batch.condition is None
    assert batch.num_examples == len(data)


def _aligned(size):
    """An array at an address whose memory JAX would use as it is."""
    memory = np.zeros(4 * size + 64, dtype=np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + 4 * size].view(np.float32)


def test_a_numpy_array_may_be_changed_afterwards():
    x = _aligned(64)
    aliased = jnp.asarray(x)
    batch = as_batch(LINE, x)
    x[:] = 7.0
    assert not np.any(batch.x)
    assert (
        aliased.shape == batch.x.shape
    )  # on CPUs it holds 7 now, which is why the data are copied


def test_a_jax_array_is_not_copied():
    x = jnp.arange(5.0)
    assert as_batch(LINE, x).x.unsafe_buffer_pointer() == x.unsafe_buffer_pointer()


@pytest.mark.parametrize(
    ("energy", "data", "message"),
    [
        (LINE, ["a", "b"], "`data` must be an array of real numbers; got list"),
        (LINE, [1j], "`data` must be an array of real numbers; got list"),
        (LINE, None, "`data` must be an array of real numbers; got NoneType"),
        (LINE, [[1.0], [1.0, 2.0]], "`data` must be an array of real numbers; got list"),
        (LINE, jax.random.split(KEY, 3), "`data` must be an array of real numbers; got "),
        (LINE, 1.0, r"Expected `data` of shape \(num_examples\); got \(\)"),
        (LINE, [[1.0]], r"Expected `data` of shape \(num_examples\); got \(1, 1\)"),
        (PLANE, np.ones((3, 3)), r"Expected `data` of shape \(num_examples, 2\); got \(3, 3\)"),
        (PLANE, np.ones((0, 2)), "`data` must have at least one example; got none"),
        (LINE, [0.0, np.nan, 1.0], "`data` must be finite everywhere; got nan in row 1"),
        (LINE, [0.0, 1.0, -np.inf], "`data` must be finite everywhere; got -inf in row 2"),
        (PLANE, [[0, 1], [2, np.inf]], r"must be finite everywhere; got \[2\.0, inf\] in row 1"),
        (Beta(2.0, 2.0), [0.5, 1.5], r"lie in the energy's support .*; got 1\.5 in row 1"),
    ],
)
def test_bad_data_are_refused(energy, data, message):
    with pytest.raises(ValueError, match=message):
        as_batch(energy, data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (np.array([0.5, "b", 1.0], dtype=object), r"ndarray with 'b', a str, in row 1\."),
        (np.array([[0.5, 1.0], [2.0, None]], dtype=object), "with None, .* in row 1, column 1"),
        (np.array([0.5, 1.0], dtype=object), r"ndarray of object, which `\.astype\(float\)`"),
        (np.array(["2020-01-01"], dtype="datetime64[D]"), r"ndarray of datetime64\[D\]"),
        ([[1.0], [1.0, 2.0]], "list with rows of different lengths"),
    ],
)
def test_what_is_no_number_is_named_with_its_place(data, message):
    with pytest.raises(
        ValueError, match=f"`data` must be an array of real numbers; got .*{message}"
    ):
        as_batch(PLANE, data)


def test_a_data_frame_names_its_column():
    pandas = pytest.importorskip("pandas")
    table = pandas.DataFrame({"length": [1.0, 2.0], "colour": [3.0, "red"]})
    with pytest.raises(ValueError, match="with 'red', a str, in row 1, column 'colour'"):
        as_batch(PLANE, table)


def test_masked_entries_are_refused():
    masked = np.ma.array([1.0, 2.0, -99.0], mask=[False, False, True])
    for data in (masked, list(masked), tuple(masked)):
        with pytest.raises(ValueError, match="no masked entries; got 1, the first in row 2"):
            as_batch(LINE, data)
    rows = np.ma.array(np.ones((3, 2)), mask=np.array([[0, 0], [0, 1], [1, 1]], bool))
    for data in (rows, list(rows)):
        with pytest.raises(ValueError, match="no masked entries; got 3, the first in row 1"):
            as_batch(PLANE, data)
    assert as_batch(LINE, np.ma.array([1.0, 2.0])).num_examples == 2


def test_numbers_that_overflow_in_the_precision_of_the_fit_are_not_finite():
    with pytest.raises(ValueError, match=r"`data` must be finite everywhere; got 1e\+300 in row 0"):
        as_batch(LINE, np.array([1e300]))


@pytest.mark.parametrize(
    ("energy", "condition", "message"),
    [
        (LINE, [1.0, 2.0], "`condition` must be None for an energy .*; got one with Quartic"),
        (CONDITIONAL, None, "`condition` must be given for a conditional energy; got None"),
        (CONDITIONAL, [1.0, 2.0], r"`condition` of shape \(num_examples, 1\); got \(2,\)"),
        (CONDITIONAL, [[1.0]], "`condition` must have one row per example, 2; got 1"),
        (CONDITIONAL, [[1.0], [np.nan]], r"`condition` must be finite everywhere; .* in row 1"),
    ],
)
def test_bad_conditions_are_refused(energy, condition, message):
    data = [[0.0], [1.0]] if energy is CONDITIONAL else [0.0, 1.0]
    with pytest.raises(ValueError, match=message):
        as_batch(energy, data, condition)


def test_conditions_come_along():
    batch = as_batch(CONDITIONAL, [[0.0], [1.0]], [[3.0], [4.0]])
    assert batch.condition is not None
    assert batch.condition.y.tolist() == [[3.0], [4.0]]
    assert batch.condition.kept is None


def test_traced_data_pass_with_their_shapes_checked():
    batch = jax.vmap(lambda x: as_batch(PLANE, x))(jnp.ones((3, 4, 2)))
    assert batch.x.shape == (3, 4, 2)
    assert batch.index.shape == (3, 4)
    with pytest.raises(ValueError, match=r"of shape \(num_examples, 2\); got \(4,\)"):
        jax.vmap(lambda x: as_batch(PLANE, x))(jnp.ones((3, 4)))


def test_in_double_precision_data_are_doubles():
    with jax.enable_x64(True):
        assert as_batch(Quartic(), [1e300]).x.dtype == jnp.float64


@pytest.mark.slow
@settings(max_examples=6)
@given(st.sampled_from([2, 7, 30]), st.floats(0.01, 0.99))
def test_a_split_is_a_partition(num_examples, fraction):
    x = jnp.arange(float(num_examples))[:, None]
    data = as_batch(CONDITIONAL, x, 2 * x)
    count = max(1, round(fraction * num_examples))
    if count >= num_examples:
        with pytest.raises(ValueError, match="`fraction` must leave examples to learn from; got"):
            split_off(data, fraction, KEY)
        return
    rest, share = split_off(data, fraction, KEY)
    assert share.num_examples == count
    assert sorted([*rest.x[:, 0].tolist(), *share.x[:, 0].tolist()]) == x[:, 0].tolist()
    for part in (rest, share):
        assert part.condition is not None
        np.testing.assert_array_equal(part.condition.y, 2 * part.x)
        np.testing.assert_array_equal(part.index, np.arange(part.num_examples))


def test_a_split_is_random():
    data = as_batch(LINE, jnp.arange(60.0))
    shares = {tuple(split_off(data, 0.3, jax.random.key(n))[1].x.tolist()) for n in range(3)}
    assert len(shares) == 3  # two of 60! / (42! 18!) agree with probability 1e-15
