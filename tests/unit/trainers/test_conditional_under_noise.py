"""Examples with a condition, with noise of a known level in them, or both."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.trainers import AbstractObjective, Model, as_batch
from ebm_ppl.trainers._batch import energies_of
from ebm_ppl.trainers._contrast import log_z_of

KEY = jax.random.key(0)
NETWORK = ebm.energies.NeuralNoiseConditionalEnergy(
    (1,), (1,), rng_key=KEY, width=4, depth=1, class_free=True
)


class Line(eqx.Module):
    """x given y is normal about a multiple of y, and noise widens it."""

    slope: jax.Array
    log_precision: jax.Array

    def __call__(self, x: jax.Array, y: jax.Array, sigma: jax.Array) -> jax.Array:
        return 0.5 * (x - self.slope * y) ** 2 / (jnp.exp(-self.log_precision) + sigma**2)


def line(slope: float, log_precision: float) -> ebm.energies.AbstractConditionalEnergy:
    law = Line(jnp.asarray(slope), jnp.asarray(log_precision))
    return ebm.energies.from_conditional_callable(law, (), (), noise_conditional=True)


def test_each_example_is_seen_at_its_own_condition_and_level() -> None:
    x, y, sigma = np.random.default_rng(0).uniform(0.5, 2.0, (3, 5))
    batch = as_batch(line(2.0, 1.0), x, y, sigma)
    expected = 0.5 * (x - 2 * y) ** 2 / (np.exp(-1.0) + sigma**2)
    np.testing.assert_allclose(energies_of(line(2.0, 1.0), batch), expected, rtol=1e-5)
    learned = Model(line(2.0, 1.0), {"log_z": lambda y, sigma: 10 * y + sigma})
    np.testing.assert_allclose(log_z_of(learned, batch), 10 * y + sigma, rtol=1e-5)


def test_points_with_noise_of_known_levels_teach_the_law_without() -> None:
    """Measurements with errors of their own; 5.5 standard errors are a false-alarm rate of 8e-8 for both."""
    keys = jax.random.split(KEY, 3)
    y = jax.random.normal(keys[0], (4000,))
    sigma = jnp.linspace(0.2, 2.0, 4000)
    noise = jnp.sqrt(0.25 + sigma**2) * jax.random.normal(keys[1], (4000,))
    fit = ebm.fit(
        line(1.0, 0.0),
        2.0 * y + noise,
        ebm.ScoreMatching(),
        ebm.trainers.newton(),
        condition=y,
        sigma=sigma,
        num_steps=15,
        batch_size=4000,
        rng_key=KEY,
        progress_bar=False,
    )
    errors = fit.standard_errors().energy.parameters
    found = fit.energy.parameters
    assert abs(found.slope - 2.0) < 5.5 * errors.slope
    assert abs(found.log_precision - np.log(4.0)) < 5.5 * errors.log_precision
    assert errors.slope < 0.03
    assert errors.log_precision < 0.2


@pytest.mark.parametrize(
    "objective",
    [
        ebm.ReplayBufferCD(num_steps=1, buffer_size=8),
        ebm.PersistentCD(),
        ebm.AnnealedDenoisingScoreMatching([1.0, 0.5]),
    ],
    ids=lambda objective: objective.name,
)
def test_conditions_are_dropped_and_levels_are_not(objective: AbstractObjective) -> None:
    sigma = None if objective.adds_noise else np.linspace(0.5, 1.0, 4)
    x = np.linspace(-1.0, 1.0, 4)[:, None]
    fit = ebm.fit(
        NETWORK,
        x,
        objective,
        optax.sgd(0.1),
        condition=x,
        sigma=sigma,
        condition_dropout=0.5,
        num_steps=3,
        rng_key=KEY,
        progress_bar=False,
    )
    assert fit.num_refused == 0
    assert np.any(fit.energy.null_condition != 0)


@pytest.mark.parametrize(
    ("energy", "sigma", "message"),
    [
        (NETWORK, [1.0], "`sigma` must have one row per example, 2; got 1"),
        (NETWORK, 1.0, r"Expected `sigma` of shape \(num_examples\); got \(\)"),
        (NETWORK, [1.0, 0.0], "`sigma` must be above 0; got 0.0 in row 1"),
        (NETWORK, [1.0, np.nan], "`sigma` must be finite everywhere; got nan in row 1"),
        (
            NETWORK.at(sigma=1.0),
            [1.0, 1.0],
            r"`sigma` must be None for .*; got levels with PartlyFixedEnergy, an energy E\(x \| y\)",
        ),
    ],
)
def test_levels_that_do_not_fit_are_refused(energy, sigma, message) -> None:
    with pytest.raises(ValueError, match=message):
        as_batch(energy, np.zeros((2, 1)), np.zeros((2, 1)), sigma)


def test_a_number_is_no_log_z_where_it_depends_on_the_level_of_noise() -> None:
    noise = dist.Normal(0.0, 3.0).expand((1,)).to_event(1)
    energy = NETWORK.at(y=[0.5])
    batch = as_batch(energy, np.zeros((2, 1)), sigma=[1.0, 2.0])
    with pytest.raises(ValueError, match=r"`log_z` must be a callable of the level .*E_sigma\(x\)"):
        ebm.NoiseContrastive(noise).init(energy, batch, KEY)
    ebm.NoiseContrastive(noise, log_z=jnp.log).init(energy, batch, KEY)


def test_held_out_points_have_levels_too() -> None:
    x = np.linspace(-1.0, 1.0, 4)[:, None]
    levels = np.full(4, 0.5)
    held_out = ebm.Validation(data=x, condition=x, sigma=levels, every=1)
    fit = ebm.fit(
        NETWORK,
        x,
        ebm.ScoreMatching(),
        optax.sgd(0.1),
        condition=x,
        sigma=levels,
        validation=held_out,
        num_steps=1,
        rng_key=KEY,
        progress_bar=False,
    )
    expected = ebm.ScoreMatching().losses(Model(fit.energy), fit.data, None).mean()
    np.testing.assert_allclose(fit.history["validation"], expected, rtol=1e-5)
    with pytest.raises(ValueError, match="`sigma` must be None where `fraction` is given"):
        ebm.Validation(fraction=0.5, sigma=levels)


@pytest.mark.slow
def test_it_learns_the_law_at_each_condition() -> None:
    """x given y is normal with mean y and scale 0.5, so that its score under noise is known."""
    y = jax.random.normal(KEY, (1000, 1))
    x = y + 0.5 * jax.random.normal(jax.random.key(1), y.shape)
    energy = ebm.energies.NeuralNoiseConditionalEnergy((1,), (1,), rng_key=KEY, width=16)
    fit = ebm.fit(
        energy,
        x,
        ebm.AnnealedDenoisingScoreMatching(jnp.geomspace(2.0, 0.2, 8)),
        optax.adam(1e-2),
        rng_key=KEY,
        condition=y,
        num_steps=1000,
    )
    conditions, sigma = jnp.array([[-1.0], [0.0], [1.0]]), 0.5

    def score(condition: jax.Array) -> jax.Array:
        return fit.energy.at(y=condition, sigma=sigma).score(jnp.zeros(1))

    # The slope is 2, and an energy that is blind to its condition would have none. The bound is wide.
    np.testing.assert_allclose(jax.vmap(score)(conditions), 2 * conditions, atol=0.3)
