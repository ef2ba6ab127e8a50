"""Contrastive divergence: what the chains are, where they are kept, and that any kernel will do."""

import functools
import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from numpyro.infer import HMC

import ebm_ppl as ebm
from ebm_ppl.energies import ConditionalGaussian, NeuralConditionalEnergy, Quartic
from ebm_ppl.trainers import Batch, Condition, Model, as_batch

ENERGY = Quartic(a=-1.0, b=0.2, gamma=-1.0)
MODEL = Model(ENERGY)
STEP = jnp.asarray(0)
KEY = jax.random.key(0)
DATA = as_batch(ENERGY, jnp.linspace(-2.0, 2.0, 16))
WALK = functools.partial(ebm.RandomWalkMetropolis, step_size=1.0)
STILL = functools.partial(ebm.RandomWalkMetropolis, step_size=1e-30)


def _hmc(potential_fn):
    return HMC(
        potential_fn=potential_fn,
        step_size=0.3,
        num_steps=5,
        trajectory_length=None,
        adapt_step_size=False,
        adapt_mass_matrix=False,
    )


@pytest.mark.parametrize(
    "kernel",
    [
        functools.partial(ebm.MALA, step_size=0.1),
        functools.partial(ebm.Langevin, step_size=0.1),
        functools.partial(ebm.UnderdampedLangevin, step_size=0.1),
        WALK,
        _hmc,
        (functools.partial(ebm.MALA, step_size=0.1), WALK),
        ebm.Moves(ebm.MALA, step_size=optax.linear_schedule(0.2, 0.1, 10)),
    ],
    ids=["mala", "langevin", "underdamped", "random walk", "numpyro's hmc", "turns", "scheduled"],
)
def test_any_kernel_moves_the_chains(kernel):
    objective = ebm.ContrastiveDivergence(kernel, num_steps=3)
    assert objective.init(ENERGY, DATA, KEY) == (None, None)
    prepared = jax.jit(objective.prepare)(MODEL, DATA, None, STEP, KEY)
    assert prepared.sample.shape == (1, 16)
    assert np.isfinite(prepared.sample).all()
    assert np.mean(np.asarray(prepared.sample[0]) != np.asarray(DATA.x)) > 0.3
    assert 0.1 < float(prepared.metrics["accept_prob"]) <= 1.0


def test_the_loss_is_the_energy_gap_and_the_gradient_holds_the_chains_fixed():
    objective = ebm.ContrastiveDivergence(WALK, num_steps=2, num_chains_per_example=3)
    prepared = jax.jit(objective.prepare)(MODEL, DATA, None, STEP, KEY)
    ends = np.asarray(prepared.sample, np.float64)
    losses = objective.losses(MODEL, DATA, prepared.sample)
    energy = jax.vmap(jax.vmap(ENERGY))
    expected = jax.vmap(ENERGY)(DATA.x) - energy(prepared.sample).mean(axis=0)
    np.testing.assert_allclose(losses, expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(prepared.metrics["energy_gap"], -losses.mean(), rtol=1e-5)
    gradient = jax.grad(lambda m: objective.losses(m, DATA, prepared.sample).mean())(MODEL).energy
    x = np.asarray(DATA.x, np.float64)
    np.testing.assert_allclose(gradient.a, np.mean(x**2) - np.mean(ends**2), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(gradient.b, np.mean(x) - np.mean(ends), rtol=1e-4, atol=1e-5)


def test_a_schedule_is_read_at_the_training_step():
    move = ebm.Moves(ebm.MALA, step_size=optax.linear_schedule(0.2, 0.1, 10))
    objective = ebm.ContrastiveDivergence(move, num_steps=1)
    run = jax.jit(objective.prepare)
    early, late, later = (
        run(MODEL, DATA, None, jnp.asarray(step), KEY).sample for step in (0, 10, 99)
    )
    assert not np.array_equal(early, late)
    np.testing.assert_array_equal(late, later)


def test_noise_of_its_own_is_warned_of_and_its_temperature_recorded():
    objective = ebm.ContrastiveDivergence(
        functools.partial(ebm.Langevin, step_size=0.1, noise_scale=0.1), num_steps=1
    )
    with pytest.warns(UserWarning, match="temperature T = 0.05"):
        objective.init(ENERGY, DATA, KEY)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        metrics = objective.prepare(MODEL, DATA, None, STEP, KEY).metrics
    np.testing.assert_allclose(metrics["temperature"], 0.05, rtol=1e-6)
    plain = ebm.ContrastiveDivergence(functools.partial(ebm.Langevin, step_size=0.1))
    assert "temperature" not in plain.prepare(MODEL, DATA, None, STEP, KEY).metrics


def test_a_kernel_that_cannot_start_is_refused_before_the_first_step():
    energy = ebm.energies.from_callable(lambda x: jnp.sqrt(x - 5.0), event_shape=())
    data = as_batch(energy, jnp.array([0.0, 1.0]))
    with pytest.raises(ValueError, match="finite potential energy"):
        ebm.ContrastiveDivergence(WALK).init(energy, data, KEY)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ebm.ContrastiveDivergence(num_steps=0),
            "`num_steps` must be an integer of at leas",
        ),
        (lambda: ebm.ContrastiveDivergence(kernel=()), "`kernel` must name at least one"),
        (lambda: ebm.ContrastiveDivergence(kernel=0.1), "`kernel` must be a kernel class"),
        (lambda: ebm.PersistentCD("mala"), "`kernel` must be a kernel class .*; got 'mala'"),
        (lambda: ebm.ContrastiveDivergence(num_chains_per_example=0), "`num_chains_per_example` "),
        (
            lambda: ebm.Moves(ebm.MALA, step_size=-1.0),
            "`step_size` must be a finite number above 0",
        ),
        (lambda: ebm.PersistentCD(num_chains=0), "`num_chains` must be an integer"),
        (lambda: ebm.ReplayBufferCD(buffer_size=0), "`buffer_size` must be an integer"),
        (
            lambda: ebm.ReplayBufferCD(restart_fraction=1.5),
            "`restart_fraction` must be a number in",
        ),
        (lambda: ebm.ReplayBufferCD(energy_penalty=-1.0), "`energy_penalty` must be a number in"),
        (lambda: ebm.ReplayBufferCD(initial="noise"), "`initial` must be 'data' or callable"),
    ],
)
def test_bad_settings_are_refused_by_name(make, message):
    with pytest.raises(ValueError, match=message):
        make()


class TestPersistentChains:
    def test_all_chains_move_and_stay(self):
        objective = ebm.PersistentCD(WALK, num_steps=2, num_chains=8)
        _, chains = objective.init(ENERGY, DATA, KEY)
        assert set(np.asarray(chains)) <= set(np.asarray(DATA.x))
        assert len(set(np.asarray(chains))) == 8  # without replacement while there are examples
        prepared = objective.prepare(MODEL, DATA, chains, STEP, KEY)
        np.testing.assert_array_equal(prepared.sample, prepared.carried)

    def test_more_chains_than_examples(self):
        objective = ebm.PersistentCD(WALK, num_chains=40)
        assert objective.init(ENERGY, DATA, KEY)[1].shape == (40,)

    def test_with_conditions_each_example_has_its_own_chain(self):
        energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
        data = as_batch(energy, jnp.zeros((6, 1)), jnp.arange(6.0)[:, None])
        rows = jnp.array([4, 1])
        batch = jax.tree.map(lambda leaf: leaf[rows], data)
        objective = ebm.PersistentCD(WALK, num_steps=1)
        _, chains = objective.init(energy, data, KEY)
        after = np.asarray(objective.prepare(Model(energy), batch, chains, STEP, KEY).carried)
        moved = np.any(after != np.asarray(chains), axis=-1)
        assert not moved[:, [0, 2, 3, 5]].any()
        assert not moved[1].any()  # the chains without a condition

    def test_a_dropped_condition_has_a_chain_of_its_own(self):
        energy = NeuralConditionalEnergy((1,), (1,), rng_key=KEY, width=4, depth=1, class_free=True)
        x, y = jnp.zeros((6, 1)), jnp.arange(6.0)[:, None]
        batch = Batch(x, Condition(y, kept=jnp.array([True, False] * 3)), jnp.arange(6))
        objective = ebm.PersistentCD(functools.partial(ebm.Langevin, step_size=0.1), num_steps=1)
        _, chains = objective.init(energy, as_batch(energy, x, y), KEY)
        after = objective.prepare(Model(energy), batch, chains, STEP, KEY).carried
        moved = np.asarray(after != chains)[..., 0]
        np.testing.assert_array_equal(moved, [[True, False] * 3, [False, True] * 3])


class TestReplayBuffer:
    def test_states_return_to_the_slots_that_they_came_from(self):
        objective = ebm.ReplayBufferCD(STILL, num_steps=1, buffer_size=40, restart_fraction=0.0)
        _, buffer = objective.init(ENERGY, DATA, KEY)
        carried = buffer
        run = jax.jit(objective.prepare)
        for step in range(20):
            carried = run(MODEL, DATA, carried, jnp.asarray(step), jax.random.key(step)).carried
        np.testing.assert_array_equal(carried.x, buffer.x)

    def test_a_step_moves_as_many_slots_as_there_are_examples(self):
        objective = ebm.ReplayBufferCD(
            functools.partial(ebm.Langevin, step_size=0.1), num_steps=1, buffer_size=40
        )
        _, buffer = objective.init(ENERGY, DATA, KEY)
        prepared = objective.prepare(MODEL, DATA, buffer, STEP, KEY)
        moved = np.asarray(prepared.carried.x != buffer.x)
        assert moved.sum() == 16
        assert sorted(np.asarray(prepared.carried.x)[moved]) == sorted(
            np.asarray(prepared.sample.x)
        )

    @pytest.mark.parametrize("initial", ["data", lambda key, count: jnp.full((count,), 7.0)])
    def test_restarts_come_from_the_data_or_from_where_one_says(self, initial):
        objective = ebm.ReplayBufferCD(
            STILL, num_steps=1, buffer_size=16, restart_fraction=1.0, initial=initial
        )
        _, buffer = objective.init(ENERGY, DATA, KEY)
        other = eqx.tree_at(lambda batch: batch.x, DATA, DATA.x + 10.0)
        ends = objective.prepare(MODEL, other, buffer, STEP, KEY).sample.x
        expected = np.asarray(other.x) if initial == "data" else np.full(16, 7.0)
        np.testing.assert_array_equal(ends, expected)

    def test_a_buffer_may_be_smaller_than_a_batch(self):
        objective = ebm.ReplayBufferCD(WALK, num_steps=1, buffer_size=5)
        _, buffer = objective.init(ENERGY, DATA, KEY)
        prepared = objective.prepare(MODEL, DATA, buffer, STEP, KEY)
        assert prepared.sample.x.shape == (5,)
        assert objective.losses(MODEL, DATA, prepared.sample).shape == (16,)

    def test_the_penalty_is_off_by_default_and_squares_the_energies(self):
        plain = ebm.ReplayBufferCD(WALK, num_steps=1, buffer_size=16)
        penalised = ebm.ReplayBufferCD(WALK, num_steps=1, buffer_size=16, energy_penalty=0.5)
        _, buffer = plain.init(ENERGY, DATA, KEY)
        prepared = plain.prepare(MODEL, DATA, buffer, STEP, KEY)
        sample = prepared.sample
        positive, negative = jax.vmap(ENERGY)(DATA.x), jax.vmap(ENERGY)(sample.x)
        expected = positive - negative.mean()
        np.testing.assert_allclose(plain.losses(MODEL, DATA, sample), expected, rtol=1e-5)
        gap = prepared.metrics["energy_gap"]
        np.testing.assert_allclose(gap, negative.mean() - positive.mean(), rtol=1e-5)
        expected = expected + 0.5 * (positive**2 + (negative**2).mean())
        np.testing.assert_allclose(penalised.losses(MODEL, DATA, sample), expected, rtol=1e-5)

    def test_initial_of_another_shape_is_refused(self):
        objective = ebm.ReplayBufferCD(WALK, initial=lambda key, count: jnp.zeros((count, 2)))
        with pytest.raises(ValueError, match=r"Expected `initial` to return points of shape"):
            objective.init(ENERGY, DATA, KEY)

    def test_slots_keep_their_conditions_and_restarts_bring_new_ones(self):
        energy = ConditionalGaussian([[1.0]], [0.0], [[1.0]])
        y = jnp.arange(6.0)[:, None]
        data = as_batch(energy, y, y)
        objective = ebm.ReplayBufferCD(STILL, num_steps=1, buffer_size=6, restart_fraction=0.5)
        _, buffer = objective.init(energy, data, KEY)
        np.testing.assert_array_equal(buffer.x, buffer.condition.y)
        carried = objective.prepare(Model(energy), data, buffer, STEP, KEY).carried
        np.testing.assert_allclose(carried.x, carried.condition.y, atol=1e-20)
        assert not np.array_equal(carried.x, buffer.x)
