"""A transform is applied to the points of each step, afresh, and to nothing else."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import Beta
from ebm_ppl.trainers import (
    AbstractObjective,
    Model,
    Prepared,
    TrainState,
    Validation,
    as_batch,
    standard_errors,
)
from tests.unit.trainers.pull import START, Pull
from tests.unit.trainers.resumable import NUM_STEPS, bits, run
from tests.unit.trainers.test_standard_errors import KEY, Location

DATA = jnp.array([1.0, 2.0, 3.0, 6.0])  # mean 3


def _blur(rng_key: Any, x: jax.Array) -> jax.Array:
    return x + 0.1 * jax.random.normal(rng_key, x.shape)


def _pull(transform, **settings):
    given = {"objective": Pull(), "optimizer": optax.sgd(1.0), "num_steps": 5} | settings
    given |= {"rng_key": jax.random.key(0), "progress_bar": False}
    return ebm.fit(START, DATA, transform=transform, **given)


def test_the_objective_sees_what_the_transform_makes():
    assert _pull(lambda _, x: 2.0 * x).energy.b == pytest.approx(6.0, rel=1e-6)


def test_each_step_has_a_key_of_its_own():
    """With a learning rate of 1 the coefficient is the mean of the points that the last step saw."""
    losses = _pull(_blur, num_steps=40).history["loss"]
    assert len(set(losses.tolist())) == 40
    assert abs(float(_pull(_blur).energy.b) - 3.0) > 1e-4


def test_a_transform_may_be_a_module_with_arrays():
    class Scaled(eqx.Module):
        factor: jax.Array

        def __call__(self, rng_key, x):
            return self.factor * x

    assert _pull(Scaled(jnp.asarray(3.0))).energy.b == pytest.approx(9.0, rel=1e-6)


def test_an_interrupted_fit_goes_on_with_the_same_draws(tmp_path):
    path = tmp_path / "fit.ckpt"
    alone = bits(run(transform=_blur))
    run(path, num_steps=NUM_STEPS - 11, transform=_blur)
    assert bits(run(path, transform=_blur)) == alone
    assert bits(run()) != alone


def test_a_checkpoint_belongs_to_its_transform(tmp_path):
    """Also where the difference hides in a closure."""

    def scaled(factor):
        return lambda _, x: factor * x

    path = tmp_path / "fit.ckpt"
    run(path, transform=scaled(1.5))
    for other in (scaled(1.25), None):
        with pytest.raises(ValueError, match="`path` holds a checkpoint of another fit"):
            run(path, transform=other)
    run(path, transform=scaled(1.5))


class _Kept(Pull):
    """Carries the data with which it began, as chains do that start at them."""

    def init(self, energy, data, rng_key):
        return None, data.x

    def prepare(self, model, batch, carried, step, rng_key):
        return Prepared(None, carried, {})


def test_what_starts_at_examples_starts_at_transformed_ones():
    np.testing.assert_array_equal(
        _pull(lambda _, x: 2.0 * x, objective=_Kept()).state.carried, 2 * DATA
    )


def test_held_out_examples_stay_as_they_are():
    validation = Validation(data=DATA, every=5)
    fit = _pull(lambda _, x: 0.0 * x + 1.0, validation=validation)
    assert fit.history["validation"][-1] == pytest.approx(0.5 * float(jnp.mean((1.0 - DATA) ** 2)))


def test_a_step_of_points_that_are_not_finite_is_refused_and_named():
    """The first look is at all four examples, and the steps see two."""

    def breaks(_, x):
        return x if len(x) == 4 else x * jnp.nan

    with pytest.raises(
        ebm.TrainingDivergedError, match="at step 0 `transform` was the first thing"
    ):
        _pull(breaks, batch_size=2)


def test_points_that_are_refused_change_nothing():
    def breaks(rng_key, x):
        return jnp.where(jax.random.bernoulli(rng_key) & (len(x) == 2), jnp.nan, x)

    with pytest.warns(UserWarning, match="steps were refused"):
        fit = _pull(breaks, batch_size=2, num_steps=60, max_refused=60)
    assert 0 < fit.num_refused < 60  # all or none has a probability of 2e-18
    assert np.isfinite(fit.energy.b)


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (
            lambda _, x: x[:-1],
            r"`transform` must keep the shape .* float32 of \(4,\); got .* \(3,\)",
        ),
        (lambda _, x: x.astype(int), "`transform` must keep the shape .* float32 of .*; got int"),
        (lambda _, x: None, "`transform` must keep the shape .*; got None of None"),
        (
            lambda _, x: x.at[2].set(jnp.nan),
            "`transform` must be finite everywhere; got nan in row 2",
        ),
    ],
)
def test_a_transform_that_does_not_fit_is_refused(transform, message):
    with pytest.raises(ValueError, match=message):
        _pull(transform)


def test_points_outside_the_support_are_refused():
    with pytest.raises(ValueError, match=r"`transform` must lie in .* in row 1"):
        ebm.fit(
            Beta(2.0, 2.0),
            jnp.array([0.2, 0.6]),
            ebm.PersistentCD(num_chains=2),
            optax.sgd(0.1),
            transform=lambda _, x: 2.0 * x,
            num_steps=1,
            rng_key=jax.random.key(0),
            progress_bar=False,
        )


def test_what_is_no_transform_is_refused(monkeypatch):
    monkeypatch.setattr("jaxtyping.config.jaxtyping_disable", True)
    with pytest.raises(
        ValueError, match="`transform` must be a function of a random key and points"
    ):
        _pull(0.1)
    with pytest.raises(ValueError, match="`transform` must be None with `standardise=True`"):
        _pull(_blur, standardise=True)


def test_a_constant_column_may_get_its_noise_from_the_transform(recwarn):
    ebm.fit(
        START,
        jnp.ones(4),
        Pull(),
        optax.sgd(0.1),
        transform=_blur,
        num_steps=2,
        rng_key=jax.random.key(0),
        progress_bar=False,
    )
    assert not [one for one in recwarn if "no spread" in str(one.message)]


class _Squares(AbstractObjective):
    """Least squares for a location."""

    consistent, is_criterion = True, True

    def losses(self, model, batch, sample):
        return jax.vmap(model.energy)(batch.x)


@pytest.mark.parametrize(("num_averaged", "expected"), [(None, 1.0), (1, 5.0)])
def test_standard_errors_count_a_transform_as_noise_that_is_drawn_afresh(num_averaged, expected):
    """The variance is 1 of the data and 4 of one draw. An estimate of it from 50,000 examples and eight
    draws is off by at most 0.032 with 99.99994%, five standard errors of 0.0063 of its value."""
    data = as_batch(Location(0.0), jax.random.normal(KEY, (50_000,)))
    errors = standard_errors(
        _Squares(),
        Model(Location(0.0)),
        data,
        KEY,
        num_draws=8,
        num_averaged=num_averaged,
        transform=lambda rng_key, x: x + 2.0 * jax.random.normal(rng_key, x.shape),
    )
    np.testing.assert_allclose(50_000 * errors.energy.loc**2, expected, rtol=0.04)


def test_a_fit_remembers_its_transform_for_its_standard_errors():
    fit = _pull(_blur)
    assert isinstance(fit.state, TrainState)
    plain = standard_errors(Pull(), Model(fit.energy), fit.data, KEY)
    blurred = fit.standard_errors(KEY, num_averaged=1)
    assert blurred.energy.b != plain.energy.b
