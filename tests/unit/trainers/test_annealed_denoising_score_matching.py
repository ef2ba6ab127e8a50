import jax
import jax.numpy as jnp
import numpy as np
import pytest

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
        at_level = Model(ENERGY.at_noise(sigma))
        expected = DenoisingScoreMatching(sigma).losses(at_level, DATA, noise)
        rows = np.isclose(noise.scale, sigma)
        np.testing.assert_allclose(losses[rows], (sigma**2 + floor) * expected[rows], rtol=1e-5)


@pytest.mark.parametrize("floor", [-0.1, float("inf"), float("nan")])
def test_a_floor_that_is_no_weight_is_refused(floor):
    with pytest.raises(ValueError, match="weight_floor"):
        AnnealedDenoisingScoreMatching(LEVELS, weight_floor=floor)
