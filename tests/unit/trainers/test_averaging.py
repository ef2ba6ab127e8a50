"""Averages of the parameters, against a computation in NumPy."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import ConditionalGaussian
from ebm_ppl.trainers import Trainer, as_batch, polyak_averaging
from tests.unit.trainers.pull import START, Pull

DATA = jnp.array([1.0, 2.0, 3.0, 6.0])
NUM_STEPS = 30
REFUSED = (0, 4, 5, 29)


class Stumbling(Pull):
    """Some steps are refused."""

    def prepare(self, model, batch, carried, step, rng_key):
        is_bad = jnp.any(step == jnp.array(REFUSED))
        return (
            super()
            .prepare(model, batch, carried, step, rng_key)
            ._replace(sample=jnp.where(is_bad, jnp.nan, 1.0))
        )


def _averages(ema_decay):
    """Parameters and averages after each step."""
    trainer = Trainer(Stumbling(), optax.sgd(0.2), 2, ema_decay=ema_decay)
    data = as_batch(START, DATA)

    def body(state, _):
        state, metrics = trainer.step(state, data)
        return state, (state.model.energy.b, state.average.energy.b, metrics["refused"])

    state = trainer.init(START, data, jax.random.key(0))
    _, (b, average, refused) = jax.jit(
        lambda state: jax.lax.scan(body, state, None, length=NUM_STEPS)
    )(state)
    assert np.flatnonzero(refused).tolist() == list(REFUSED)
    return np.asarray(b, dtype=np.float64), np.asarray(average, dtype=np.float64)


def _expected(b, decay_at):
    """The average after each step, by the definition; steps that were refused change nothing."""
    average, count, path = 0.0, 0, []
    for step in range(NUM_STEPS):
        if step not in REFUSED:
            decay = decay_at(count)
            average = decay * average + (1 - decay) * b[step]
            count += 1
        path.append(average)
    return np.array(path)


@pytest.mark.parametrize(
    ("ema_decay", "decay_at"),
    [
        (0.9, lambda count: min(0.9, count / (count + 1))),
        (lambda count: 0.9, lambda count: 0.9),
        (lambda count: jnp.where(count < 5, 0, 0.5), lambda count: 0.0 if count < 5 else 0.5),
    ],
    ids=["number", "constant schedule", "schedule"],
)
def test_a_running_average_is_that_of_the_steps_taken(ema_decay, decay_at):
    b, average = _averages(ema_decay)
    np.testing.assert_allclose(average, _expected(b, decay_at), rtol=1e-5)
    assert len(np.unique(b)) == NUM_STEPS - len(REFUSED) + 1  # the start counts, a refusal does not


def test_polyak_averaging_is_the_plain_mean_from_its_start_on():
    start = 7
    b, average = _averages(polyak_averaging(start))
    taken = [step for step in range(NUM_STEPS) if step not in REFUSED]
    for number, step in enumerate(taken):
        expected = b[step] if number < start else np.mean([b[s] for s in taken[start : number + 1]])
        np.testing.assert_allclose(average[step], expected, rtol=1e-5)


def test_a_fit_returns_the_average_and_what_is_no_parameter():
    settings = {"rng_key": jax.random.key(0), "num_steps": 20, "progress_bar": False}
    fit = ebm.fit(START, DATA, Pull(), optax.sgd(0.5), ema_decay=polyak_averaging(10), **settings)
    path = 3.0 * (1 - 0.5 ** np.arange(1, 21))
    np.testing.assert_allclose(fit.energy.b, path[10:].mean(), rtol=1e-6)
    np.testing.assert_allclose(fit.state.model.energy.b, path[-1], rtol=1e-6)
    assert jax.tree.structure(fit.energy) == jax.tree.structure(START)
    assert eqx.tree_equal(fit.energy.gamma, START.gamma)


def test_parts_that_are_no_arrays_stay_in_the_average():
    energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
    trainer = Trainer(ebm.ScoreMatching(), optax.sgd(0.1), ema_decay=0.5)
    data = as_batch(energy, jnp.ones((3, 1)), jnp.ones((3, 1)))
    state = trainer.init(energy, data, jax.random.key(0))
    averaged = trainer.averaged_model(state)
    assert jax.tree.structure(averaged.energy) == jax.tree.structure(energy)


@pytest.mark.parametrize("ema_decay", [0.0, 1.0, -0.1, float("nan"), lambda count: 1.5])
def test_a_decay_outside_its_bounds_is_refused(ema_decay):
    with pytest.raises(ValueError, match="`ema_decay` must be a number in"):
        Trainer(Pull(), optax.sgd(0.1), ema_decay=ema_decay)


@pytest.mark.parametrize("start", [-1, True])
def test_a_start_outside_its_bounds_is_refused(start):
    with pytest.raises(ValueError, match=f"`start` must be an integer of at least 0; got {start}"):
        polyak_averaging(start)
