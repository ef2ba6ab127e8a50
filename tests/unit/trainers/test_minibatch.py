"""Every example once an epoch, in a new order each time, without a copy of the data."""

import functools

import equinox as eqx
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings

import ebm_ppl as ebm
from ebm_ppl.energies import ConditionalGaussian
from ebm_ppl.trainers import Batch, Condition, Prepared, Trainer, as_batch
from ebm_ppl.trainers._loop import CHUNK, run_chunk
from ebm_ppl.trainers._minibatch import minibatch, order_at, with_dropped_conditions
from tests.unit.trainers.pull import START, Pull

KEY = jax.random.key(0)


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _rows(num_examples, batch_size, num_epochs, rng_key):
    """Rows of each step, shape `(num_epochs, steps_per_epoch, batch_size)`."""
    data = Batch(jnp.zeros(num_examples), None, jnp.arange(num_examples))
    steps = jnp.arange(num_epochs * (num_examples // batch_size))

    def body(order, step):
        order = order_at(step, order, batch_size, rng_key)
        return order, minibatch(data, order, step, batch_size).index

    _, rows = jax.lax.scan(body, jnp.arange(num_examples), steps)
    return rows.reshape(num_epochs, -1, batch_size)


@settings(max_examples=6)
@given(st.integers(1, 40).flatmap(lambda n: st.tuples(st.just(n), st.integers(1, n))))
def test_every_example_once_an_epoch(sizes):
    num_examples, batch_size = sizes
    for epoch in np.asarray(_rows(num_examples, batch_size, 3, KEY)).reshape(3, -1):
        assert len(epoch) == num_examples - num_examples % batch_size
        assert len(np.unique(epoch)) == len(epoch)
        assert set(epoch.tolist()) <= set(range(num_examples))


def test_each_epoch_has_its_own_order_and_leaves_out_its_own_examples():
    """Two orders of 40 examples agree with probability 1/40!, two remainders with 1/658,008."""
    epochs = np.asarray(_rows(40, 7, 3, KEY)).reshape(3, -1)
    assert len({epoch.tobytes() for epoch in epochs}) == 3
    left_out = {tuple(np.setdiff1d(np.arange(40), epoch)) for epoch in epochs}
    assert len(left_out) == 3
    assert not np.array_equal(epochs, np.asarray(_rows(40, 7, 3, jax.random.key(1))).reshape(3, -1))


def test_the_order_of_a_fit_is_that_of_its_epochs():
    class Recording(Pull):
        def init(self, energy, data, rng_key):
            return None, jnp.zeros(4, dtype=int)

        def prepare(self, model, batch, carried, step, rng_key):
            return Prepared(None, batch.index, {"first": batch.x[0]})

    x = jnp.arange(10.0)
    settings = {"rng_key": KEY, "batch_size": 4, "progress_bar": False}
    fit = ebm.fit(START, x, Recording(), optax.sgd(0.1), num_epochs=3, **settings)
    assert int(fit.state.step) == 6
    key_epochs = jax.random.split(fit.state.rng_key)[1]
    expected = np.asarray(_rows(10, 4, 3, key_epochs))
    np.testing.assert_array_equal(fit.history["first"], expected.reshape(6, 4)[:, 0])
    np.testing.assert_array_equal(fit.state.carried, expected[-1, -1])


def _sizes(jaxpr, *, skip=()):
    """Operations of a program with the largest result of each, inside loops and branches too."""
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        yield name, max((variable.aval.size for variable in equation.outvars), default=0)
        if name in skip:
            continue
        for value in jax.tree.leaves(list(equation.params.values()), is_leaf=_is_program):
            if _is_program(value):
                yield from _sizes(getattr(value, "jaxpr", value), skip=skip)


def _is_program(value):
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


NUM_EXAMPLES = 10_007


def _program(batch_size):
    data = as_batch(START, np.linspace(-1.0, 1.0, NUM_EXAMPLES))
    trainer = Trainer(Pull(), optax.sgd(0.1), batch_size, ema_decay=0.9)
    state = trainer.init(START, data, KEY)
    arguments = (trainer, state, data, jnp.asarray(5000), jnp.asarray(10))
    step = eqx.filter_make_jaxpr(trainer.step)(state, data)[0].jaxpr
    return step, eqx.filter_make_jaxpr(run_chunk)(*arguments)[0].jaxpr


def test_a_minibatch_does_not_copy_the_data():
    """All that is as long as the data is the order, made where an epoch begins."""
    step, chunk = _program(8)
    long = {name for name, size in _sizes(step, skip=("cond",)) if size >= NUM_EXAMPLES}
    assert long == {"cond"}
    # Nor is there anything as large as the data times the number of steps.
    assert max(size for _, size in _sizes(chunk)) < 20 * NUM_EXAMPLES < CHUNK * NUM_EXAMPLES


@pytest.mark.parametrize("batch_size", [None, NUM_EXAMPLES])
def test_a_full_batch_gathers_nothing(batch_size):
    step, _ = _program(batch_size)
    names = {name for name, _ in _sizes(step)}
    assert not names & {"gather", "dynamic_slice", "sort", "cond", "random_bits"}
    with_gather = {name for name, _ in _sizes(_program(8)[0])}
    assert {"gather", "dynamic_slice", "sort", "cond"} <= with_gather  # the test can see them


NUM_CONDITIONED = 50


def _conditioned(kept=None):
    y = jnp.arange(2.0 * NUM_CONDITIONED).reshape(-1, 2)
    x = jnp.linspace(-1.0, 1.0, NUM_CONDITIONED)[:, None]
    return Batch(x, Condition(y, kept=kept), jnp.arange(NUM_CONDITIONED))


def test_conditions_are_dropped_as_often_as_asked_for_and_nothing_else():
    """10,000 draws; 5.5 sigma, a false-alarm rate of 4e-8. It sees 0.025 of 0.3 with 50% power."""
    data = _conditioned()
    keys = jax.random.split(KEY, 200)
    batches = jax.vmap(lambda key: with_dropped_conditions(data, 0.3, key))(keys)
    dropped = 1 - np.asarray(batches.condition.kept, dtype=float)
    deviation = (dropped.mean() - 0.3) / np.sqrt(0.3 * 0.7 / dropped.size)
    assert abs(deviation) < 5.5
    # Each example by itself and each step by itself: 250 counts, at 1e-9 each by the normal law.
    for axis in (0, 1):
        count = dropped.sum(axis=axis)
        size = dropped.shape[axis]
        assert np.abs((count - 0.3 * size) / np.sqrt(0.21 * size)).max() < 6.5
    for values, expected in ((batches.x, data.x), (batches.condition.y, data.condition.y)):
        np.testing.assert_array_equal(values, np.broadcast_to(expected, values.shape))
    np.testing.assert_array_equal(batches.index, np.tile(data.index, (200, 1)))


@pytest.mark.parametrize("dropout", [0.0, 1.0])
def test_the_ends_of_dropout(dropout):
    batch = with_dropped_conditions(_conditioned(), dropout, KEY)
    assert batch.condition is not None
    kept = batch.condition.kept
    assert kept is None if dropout == 0 else not np.any(kept)


def test_conditions_that_were_dropped_before_stay_so():
    kept = jnp.arange(NUM_CONDITIONED) % 2 == 0
    batch = with_dropped_conditions(_conditioned(kept), 0.2, KEY)
    assert batch.condition is not None
    assert not np.any(batch.condition.kept & ~kept)
    assert np.any(batch.condition.kept & kept)


def test_a_fit_drops_anew_in_each_step_and_tells_the_energy():
    energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]], null_condition=[5.0])

    class Counting(ebm.ScoreMatching):
        def prepare(self, model, batch, carried, step, rng_key):
            return Prepared(None, None, {"kept": jnp.sum(batch.condition.kept).astype(float)})

    x = jnp.linspace(-1.0, 1.0, 20)[:, None]
    settings = {"rng_key": KEY, "num_steps": 30, "progress_bar": False, "condition": 0.0 * x}
    fit = ebm.fit(energy, x, Counting(), optax.sgd(0.01), condition_dropout=0.5, **settings)
    assert len(np.unique(fit.history["kept"])) > 3
    assert float(fit.energy.null_condition[0]) != 5.0  # it learns only where conditions are dropped
    undropped = ebm.fit(energy, x, ebm.ScoreMatching(), optax.sgd(0.01), **settings)
    assert float(undropped.energy.null_condition[0]) == 5.0


def test_dropping_what_is_not_there_is_refused():
    trainer = Trainer(Pull(), optax.sgd(0.1), condition_dropout=0.5)
    with pytest.raises(ValueError, match=r"`condition_dropout` must be 0 where .*; got 0\.5"):
        trainer.init(START, as_batch(START, jnp.ones(3)), KEY)
