"""Recipes have the numbers of their papers, and a fit tells what they do to the law."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ebm_ppl as ebm
from ebm_ppl.trainers import recipes
from ebm_ppl.trainers.recipes import UniformStarts

KEY = jax.random.key(0)


@pytest.mark.filterwarnings("ignore:.noise_scale=")
@pytest.mark.parametrize(
    ("recipe", "temperature", "shares"),
    [
        (recipes.du_mordatch, 1.25e-6, {"clipped_moves", "at_box"}),
        (recipes.nijkamp, 5e-5, set()),
        (recipes.grathwohl, 5e-5, set()),
    ],
)
def test_a_fit_by_a_recipe_tells_its_temperature_and_shares(recipe, temperature, shares):
    fit = ebm.fit(
        ebm.energies.Gaussian(jnp.full(2, 0.5), 4.0 * jnp.eye(2)),
        jax.random.uniform(KEY, (8, 2)),
        recipe((2,), 16),
        optax.adam(1e-4),
        num_steps=2,
        rng_key=KEY,
        progress_bar=False,
    )
    np.testing.assert_allclose(fit.history["temperature"], temperature, rtol=1e-4)
    assert {"clipped_moves", "at_box"} & set(fit.history) == shares
    assert fit.num_refused == 0


def test_the_settings_are_those_of_the_papers():
    found = [recipe((3,)) for recipe in (recipes.du_mordatch, recipes.nijkamp, recipes.grathwohl)]
    assert [one.moves.num_steps for one in found] == [60, 150, 20]
    assert [one.restart_fraction for one in found] == [0.05, 1.0, 0.05]
    assert [one.energy_penalty for one in found] == [1.0, 0.0, 0.0]
    assert [one.buffer_size for one in found] == [10_000, 100, 10_000]
    assert [one.initial for one in found] == [
        UniformStarts((3,), 0.0, 1.0),
        UniformStarts((3,)),
        UniformStarts((3,)),
    ]
    steps = [one.moves.kernel.keywords for one in found]
    assert [one["step_size"] for one in steps] == [10.0, 1.0, 1.0]
    assert [one["noise_scale"] for one in steps] == [0.005, 0.01, 0.01]
    assert steps[0]["max_gradient"] == 0.01
    assert steps[0]["box"] == (0.0, 1.0)


def test_starts_fill_their_interval():
    """Of 4,000 points none within a hundredth of an end has a probability of 4e-18."""
    points = UniformStarts((4,), -2.0, 3.0)(KEY, 1000)
    assert points.shape == (1000, 4)
    assert -2.0 <= points.min() < -1.95
    assert 2.95 < points.max() <= 3.0


def test_an_interval_that_is_empty_is_refused():
    with pytest.raises(ValueError, match="`low` must be"):
        UniformStarts((1,), 1.0, 1.0)
