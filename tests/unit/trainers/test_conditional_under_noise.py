"""Denoising at many levels, of a law that depends on a condition."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm

KEY = jax.random.key(0)


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
