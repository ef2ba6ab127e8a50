"""The loop: what it compiles, how it maps, and that optimisers, energies, keys and precisions all fit."""

import functools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import Gaussian, from_callable
from ebm_ppl.trainers import Checkpoint, Trainer, as_batch
from tests.unit.trainers.pull import START, Pull, descent

KEY = jax.random.key(0)
DATA = jnp.array([1.0, 2.0, 3.0, 6.0])  # mean 3
WALK = functools.partial(ebm.RandomWalkMetropolis, step_size=1.0)


def _pull(optimizer, num_steps, **settings):
    given = {"rng_key": KEY, "progress_bar": False} | settings
    return ebm.fit(START, DATA, Pull(), optimizer, num_steps=num_steps, **given)


def _path(optimizer, num_steps):
    """The coefficient after each step, from the gradients that the history holds."""
    norms = _pull(optimizer, num_steps).history["gradient_norm"]
    return 3.0 - np.asarray(norms, dtype=np.float64)


# Optimisers


def test_a_learning_rate_schedule_is_that_of_the_steps_taken():
    schedule = optax.linear_schedule(0.5, 0.1, 8)
    expected = descent([schedule(step) for step in range(12)], 3.0)
    np.testing.assert_allclose(_path(optax.sgd(schedule), 13)[1:], expected, rtol=1e-5)


def test_gradients_are_clipped_where_a_chain_says_so():
    b, expected = 0.0, []
    for _ in range(12):
        b -= 0.5 * np.clip(b - 3.0, -1.0, 1.0)
        expected.append(b)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.5))
    np.testing.assert_allclose(_path(optimizer, 13)[1:], expected, rtol=1e-5)


@pytest.mark.parametrize("as_transformation", [False, True])
def test_steps_in_several_parts(as_transformation):
    steps = optax.MultiSteps(optax.sgd(0.2), every_k_schedule=3)
    optimizer = steps.gradient_transformation() if as_transformation else steps
    expected = np.repeat([0.0, *descent([0.2] * 3, 3.0)], 3)
    np.testing.assert_allclose(_path(optimizer, 12), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "optimizer",
    [
        optax.lbfgs(),
        optax.polyak_sgd(max_learning_rate=1.0, f_min=0.5 * float(jnp.var(DATA))),
        # Its best loss so far is infinite until three steps have been seen.
        optax.chain(optax.sgd(0.5), optax.contrib.reduce_on_plateau(accumulation_size=3)),
        optax.adam(optax.cosine_decay_schedule(0.5, 150), mu_dtype=jnp.bfloat16),
    ],
    ids=["line search", "value", "plateau", "half precision"],
)
def test_optimisers_that_want_more_than_gradients(optimizer):
    fit = _pull(optimizer, 150)
    np.testing.assert_allclose(fit.energy.b, 3.0, atol=2e-3)
    assert fit.num_refused == 0


# Compilation


TRACES: list[None] = []


class Traced(ebm.ContrastiveDivergence):
    """Counts how often its losses are traced."""

    def losses(self, model, batch, sample):
        TRACES.append(None)
        return super().losses(model, batch, sample)


def test_a_second_fit_with_the_same_objects_compiles_nothing(tmp_path):
    objective, optimizer = Traced(WALK), optax.sgd(0.1)
    settings = {"progress_bar": False, "batch_size": 2}

    def fit(data, key, num_steps, **more):
        return ebm.fit(START, data, objective, optimizer, rng_key=key, num_steps=num_steps, **more)

    fit(DATA, KEY, 3, **settings)
    traced = len(TRACES)
    assert traced > 0
    fit(DATA + 1.0, jax.random.key(1), 1500, **settings)
    fit(DATA, KEY, 3, **settings, max_refused=2)
    fit(DATA, KEY, 3, **(settings | {"progress_bar": True}))
    assert len(TRACES) == traced
    # A resumed fit has the state of a file: the same shapes, the same types, the same program.
    fit(DATA, KEY, 2, **settings, checkpoint=Checkpoint(tmp_path / "fit.ckpt"))
    with_fingerprint = len(TRACES)
    fit(DATA, KEY, 9, **settings, checkpoint=Checkpoint(tmp_path / "fit.ckpt"))
    assert len(TRACES) <= with_fingerprint + (with_fingerprint - traced)


# Mapped


def _final(trainer, energy, num_steps):
    """The parameters after some steps, as a function of data and key that JAX can map."""

    def run(x, rng_key):
        data = as_batch(energy, x)
        state = trainer.init(energy, data, rng_key)
        return jax.lax.fori_loop(0, num_steps, lambda _, state: trainer.step(state, data)[0], state)

    return run


@pytest.mark.slow
def test_mapped_fits_equal_separate_ones():
    """Over data sets and seeds; and `fit` is the same steps as `Trainer`, to the last bit."""
    objective = ebm.PersistentCD(WALK, num_chains=4)
    trainer = Trainer(objective, optax.sgd(0.05), 3, ema_decay=0.9)
    run = _final(trainer, START, 10)
    x = jax.random.normal(jax.random.key(1), (3, 7))
    keys = jax.random.split(KEY, 3)
    mapped = jax.jit(jax.vmap(run))(x, keys)
    for number in range(3):
        alone = ebm.fit(
            START,
            x[number],
            objective,
            trainer.optimizer,
            rng_key=keys[number],
            num_steps=10,
            batch_size=3,
            ema_decay=0.9,
            progress_bar=False,
        )
        # A fit keeps a key for validation to itself.
        state = jax.jit(run)(x[number], jax.random.split(keys[number], 3)[0])
        assert eqx.tree_equal(state.model, alone.state.model)
        assert eqx.tree_equal(state.average, alone.state.average)
        separate = jax.jit(run)(x[number], keys[number])
        for one, other in zip(
            jax.tree.leaves((separate.model, separate.average, separate.order)),
            jax.tree.leaves((mapped.model, mapped.average, mapped.order)),
            strict=True,
        ):
            np.testing.assert_allclose(one, other[number], rtol=2e-5, atol=2e-6)


# Keys and precision


@pytest.mark.slow
def test_raw_and_typed_keys_give_the_same_fit():
    objective = ebm.PersistentCD(WALK, num_chains=4)
    settings = {"num_steps": 5, "batch_size": 2, "progress_bar": False}
    typed, raw = (
        ebm.fit(START, DATA, objective, optax.sgd(0.01), rng_key=key, **settings)
        for key in (jax.random.key(5), jax.random.PRNGKey(5))
    )
    assert eqx.tree_equal(typed.energy, raw.energy)
    assert raw.standard_errors().covariance.shape == (3, 3)


def test_the_key_decides_the_fit():
    settings = {"num_steps": 3, "batch_size": 2}
    one, again, other = (
        _pull(optax.sgd(0.1), rng_key=key, **settings).energy.b
        for key in (KEY, KEY, jax.random.key(9))
    )
    assert float(one) == float(again) != float(other)


def test_double_precision(tmp_path):
    """Newton's steps on the score-matching loss of a Gaussian end at the moments of the data."""
    with jax.enable_x64(True):
        x = np.random.default_rng(0).normal(2.0, 3.0, size=(50, 1))
        energy = Gaussian([0.0], [[1.0]])

        def run(num_steps):
            return ebm.fit(
                energy,
                x,
                ebm.ScoreMatching(),
                ebm.trainers.newton(),
                rng_key=KEY,
                num_steps=num_steps,
                ema_decay=0.5,
                checkpoint=Checkpoint(tmp_path / "fit.ckpt"),
                progress_bar=False,
            )

        run(20)
        fit = run(40)
        leaves = jax.tree.leaves((fit.state.model, fit.state.average, fit.energy))
        assert {leaf.dtype for leaf in leaves} == {np.dtype(np.float64)}
        model = fit.state.model.energy
        np.testing.assert_allclose(model.loc, x.mean(axis=0), rtol=1e-12)
        np.testing.assert_allclose(model.whitening[0, 0] ** -2, x.var(), rtol=1e-12)
        assert fit.history["loss"].dtype == np.float64


# Energies


class Callable(eqx.Module):
    """A callable with parameters, a NumPy array, a setting that is no array and a function."""

    centre: jax.Array
    scale: np.ndarray
    power: int
    activation: Any = jnp.tanh

    def __call__(self, x):
        deviation = (x - self.centre) / self.scale
        return jnp.sum(deviation**self.power) + jnp.sum(self.activation(deviation))


@pytest.mark.parametrize("shape", [(), (3,), (2, 3)])
def test_points_of_any_shape_and_callables_with_parameters(shape):
    scale = np.full(shape, 2.0, dtype=np.float32)
    energy = from_callable(Callable(jnp.zeros(shape), scale, 2), event_shape=shape)
    x = jax.random.normal(KEY, (8, *shape))
    chains = ebm.PersistentCD(WALK, num_chains=4)
    for objective in (ebm.ScoreMatching(), chains) if len(shape) == 2 else (ebm.ScoreMatching(),):
        fit = ebm.fit(
            energy, x, objective, optax.sgd(0.1), rng_key=KEY, num_steps=3, progress_bar=False
        )
        assert jax.tree.structure(fit.energy) == jax.tree.structure(energy)
        before, after = (jax.tree.leaves(tree) for tree in (energy, fit.energy))
        changed = [not np.array_equal(one, other) for one, other in zip(before, after, strict=True)]
        assert all(changed)
        assert len(changed) == 2
        assert fit.energy(x[0]).shape == ()
        assert np.isfinite(fit.energy(x[0]))
    np.testing.assert_array_equal(scale, 2.0)  # the owner's array is not that of the fit


# The bar


def test_the_bar_shows_loss_gap_and_gradient(capsys):
    objective = ebm.ContrastiveDivergence(WALK)
    ebm.fit(START, DATA, objective, optax.sgd(0.1), rng_key=KEY, num_steps=40)
    shown = capsys.readouterr().err
    for name in ("loss ", "energy gap ", "gradient norm ", "40/40"):
        assert name in shown
    ebm.fit(START, DATA, objective, optax.sgd(0.1), rng_key=KEY, num_steps=4, progress_bar=False)
    assert capsys.readouterr().err == ""
