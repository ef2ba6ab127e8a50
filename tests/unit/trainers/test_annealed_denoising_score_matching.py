import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.energies import NeuralNoiseConditionalEnergy
from ebm_ppl.trainers import AnnealedDenoisingScoreMatching, DenoisingScoreMatching, Model, as_batch

KEY = jax.random.key(0)
ENERGY = NeuralNoiseConditionalEnergy((2,), rng_key=KEY, width=8, depth=1)
LEVELS = [0.1, 0.5, 2.0]
DATA = as_batch(ENERGY, jax.random.normal(KEY, (6, 2)))


@pytest.mark.parametrize("floor", [0.0, 0.3])
def test_each_level_counts_with_its_variance_and_the_floor(floor):
    objective = AnnealedDenoisingScoreMatching(LEVELS, weight_floor=floor)
    noise = objective.prepare(Model(ENERGY), DATA, None, jnp.asarray(0), KEY).sample
    assert sorted(noise.scale.tolist()) == pytest.approx(sorted(2 * LEVELS))
    losses = objective.losses(Model(ENERGY), DATA, noise)
    for sigma in LEVELS:
        at_level = Model(ENERGY.at(sigma=sigma))
        expected = DenoisingScoreMatching(sigma).losses(at_level, DATA, noise)
        rows = np.isclose(noise.scale, sigma)
        np.testing.assert_allclose(losses[rows], (sigma**2 + floor) * expected[rows], rtol=1e-5)


@pytest.mark.parametrize("floor", [-0.1, float("inf"), float("nan")])
def test_a_floor_that_is_no_weight_is_refused(floor):
    with pytest.raises(ValueError, match="weight_floor"):
        AnnealedDenoisingScoreMatching(LEVELS, weight_floor=floor)


@pytest.mark.slow
def test_annealed_draws_know_the_weights_of_separate_modes_and_the_energy_at_weak_noise_does_not():
    """The share of 2000 draws has a standard error of 0.009, and the fit one of 0.01 or less."""
    keys = jax.random.split(jax.random.key(0), 5)
    centres = jnp.where(jax.random.uniform(keys[0], (4000, 1)) < 0.8, -4.0, 4.0)
    data = centres + 0.5 * jax.random.normal(keys[1], (4000, 1))
    fit = ebm.fit(
        ebm.energies.NeuralNoiseConditionalEnergy((1,), rng_key=keys[2], width=32, data_scale=3.5),
        data,
        ebm.AnnealedDenoisingScoreMatching(dist.LogUniform(0.1, 12.0)),
        optax.adam(optax.cosine_decay_schedule(3e-3, 2000)),
        num_steps=2000,
        rng_key=keys[3],
        progress_bar=False,
    )
    scales = np.geomspace(12.0, 0.1, 40)
    draws = ebm.samplers.annealed_langevin(fit.energy, scales, keys[4], 2000)
    assert abs(np.mean(np.asarray(draws) < 0) - 0.8) < 0.07
    bounds = (-15.0, 15.0)
    weak, strong = (
        float(ebm.quadrature.normalize(fit.energy.at(sigma=s), bounds=bounds).cdf(np.zeros(1)))
        for s in (0.1, 2.0)
    )
    assert (
        abs(strong - 0.8 * 0.978 - 0.2 * 0.022) < 0.05
    )  # normal laws of variance 4.25 about the modes
    assert abs(weak - 0.8) > 0.1
