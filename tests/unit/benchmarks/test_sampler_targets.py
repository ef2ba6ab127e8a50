"""The sampler benchmark: its truths are true, and a sampler that is wrong does not count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.samplers.__main__ import judge
from benchmarks.samplers.targets import TARGETS, mixture, rosenbrock


@pytest.mark.parametrize("name", ["quartic", "double-well"])
def test_moments_by_quadrature_are_those_of_the_potential(name):
    """Against a sum over a grid of the potential itself, as chains see it."""
    target = TARGETS[name]()
    axis = np.linspace(-5, 5, 201)
    points = np.stack(np.meshgrid(*[axis] * target.dim, indexing="ij"), -1).reshape(-1, target.dim)
    weight = np.exp(-np.asarray(jax.vmap(target.potential)(jnp.asarray(points)), float))
    expected = [weight @ points**power / weight.sum() for power in (1, 2)]
    np.testing.assert_allclose(target.moments, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("shift", [0.0, 0.05])
def test_exact_draws_count_and_shifted_ones_do_not(shift):
    """Largest of 20 errors of 40,000 exact draws: above 5.5 with probability 8e-7; a shift of 0.05 is ten."""
    target = rosenbrock()
    rng = np.random.default_rng(0)
    along = rng.normal(0.5, 0.5, (4, 10_000, 5))
    across = along**2 + rng.normal(0, 0.5, along.shape)
    draws = np.stack([along + shift, across], -1).reshape(4, 10_000, 10)
    found = judge(draws, target)
    assert (found["error"] > 5.5) == (shift > 0)
    assert found["r_hat"] < 1.01
    assert found["ess"] > 30_000


def test_the_mixture_has_the_moments_of_its_components():
    target = mixture(dim=3, distance=4.0)
    np.testing.assert_allclose(target.moments, [[0.8, 0, 0], [5, 1, 1]])
    ratio = target.potential(np.array([-2.0, 0, 0])) - target.potential(np.array([2.0, 0, 0]))
    np.testing.assert_allclose(ratio, np.log(7 / 3), atol=2e-3)
