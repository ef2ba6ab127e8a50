"""A base law that is fitted: it is normalised, draws follow its density, and it becomes what a target is."""

import jax
import jax.numpy as jnp
import numpy as np
import numpyro.distributions as dist
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpyro.distributions import constraints
from scipy import stats

from ebm_ppl.energies import Funnel, GaussianMixture, Ising, from_callable
from ebm_ppl.partition import (
    SlowMixingWarning,
    estimate_from_log_weights,
    fit_base,
    importance_sampling,
)
from ebm_ppl.partition._autoregressive import AutoregressiveLaw
from ebm_ppl.partition._autoregressive_fit import fit_conditionals
from ebm_ppl.partition._fit_base import _flattened, _is_settled, _rise_no_more


def funnel_points(dim, scale, count, seed=0):
    rng = np.random.default_rng(seed)
    v = scale * rng.normal(size=(count, 1))
    return np.concatenate([v, np.exp(v / 2) * rng.normal(size=(count, dim - 1))], axis=1)


def law_of(points, num_components=4, widening=1.0):
    weights = np.full(len(points), 1 / len(points))
    return AutoregressiveLaw(fit_conditionals(points, weights, num_components, widening))


def test_densities_add_up_to_one():
    """By quadrature in two coordinates, of which the first sets the scale of the second."""
    law = law_of(funnel_points(2, 1.5, 2_000))
    t = np.linspace(-8.0, 8.0, 1_001)
    x, y = np.meshgrid(np.sinh(t), np.sinh(t))
    density = np.exp(np.asarray(law.log_prob(jnp.asarray(np.stack([x, y], axis=-1))), np.float64))
    assert np.sum(density * np.cosh(t) * np.cosh(t)[:, None]) * (t[1] - t[0]) ** 2 == pytest.approx(
        1, abs=0.01
    )


def test_draws_of_three_coordinates_follow_their_density():
    """20,000 weights of draws of a wider law have mean 1, within five standard errors (6e-7)."""
    law = law_of(funnel_points(3, 1.5, 2_000))
    wide = law_of(funnel_points(3, 1.5, 2_000), widening=1.5)
    x = wide.sample(jax.random.key(1), (20_000,))
    weights = np.exp(np.asarray(law.log_prob(x) - wide.log_prob(x), np.float64))
    assert abs(weights.mean() - 1) < 5 * weights.std() / np.sqrt(len(weights))
    assert weights.std() / np.sqrt(len(weights)) < 0.03


def test_draws_of_one_coordinate_follow_its_density():
    """Kolmogorov and Smirnov's p-value is below 1e-6 in one of a million tests."""
    rng = np.random.default_rng(2)
    points = np.where(rng.random((3_000, 1)) < 0.3, -3.0, 1.0) + 0.4 * rng.normal(size=(3_000, 1))
    law = law_of(points)
    grid = np.sinh(np.linspace(-9.0, 9.0, 40_001))
    density = np.exp(np.asarray(law.log_prob(jnp.asarray(grid[:, None])), np.float64))
    steps = np.diff(grid) * 0.5 * (density[1:] + density[:-1])
    cumulated = np.concatenate([[0.0], np.cumsum(steps)])
    assert cumulated[-1] == pytest.approx(1.0, abs=0.01)  # t of two degrees beyond 4,000
    draws = np.asarray(law.sample(jax.random.key(3), (100_000,)))[:, 0]
    assert stats.kstest(draws, lambda x: np.interp(x, grid, cumulated)).pvalue > 1e-6


@settings(max_examples=5, deadline=None)
@given(order=st.permutations(range(5)), scale=st.floats(1.5, 3.5))
def test_a_funnel_is_found_in_any_order_of_coordinates(order, scale):
    """A law that begins with another coordinate than the axis has an effective share of a few percent."""
    points = funnel_points(5, scale, 4_000)[:, order]
    law = law_of(points)
    x = np.asarray(law.sample(jax.random.key(0), (2_000,)))
    back = np.argsort(order)
    weights = -jax.vmap(Funnel(5, scale))(jnp.asarray(x[:, back])) - law.log_prob(jnp.asarray(x))
    assert estimate_from_log_weights(np.asarray(weights, np.float64)).ess > 1_000


def test_coordinates_that_are_independent_stay_so():
    """360 coefficients, each above 0.02 where a normal number is above 6: a false alarm in 1e-6.

    Least squares alone have a standard error of 0.016, and 1 in 5 of their coefficients above the bound.
    """
    of = law_of(np.random.default_rng(6).normal(size=(4_000, 16))).conditionals
    assert jnp.abs(of.loc[:, 1:]).max() < 0.02
    assert jnp.abs(of.log_scale[:, 1:]).max() < 0.02


def test_coordinates_that_are_nearly_alike_tell_of_one_another():
    """Neither of two twins is told from 0 beside the other; together they are."""
    rng = np.random.default_rng(7)
    first, rest = rng.normal(size=(3_000, 1)), rng.normal(size=(3_000, 2))
    points = first + np.array([0.0, 0.02, 0.3]) * np.concatenate([rest[:, :1] * 0, rest], axis=1)
    law = law_of(points, num_components=1)
    truth = -np.log(0.02 * 0.3) - 1.5 * (1 + np.log(2 * np.pi))
    assert float(jnp.mean(law.log_prob(jnp.asarray(points)))) == pytest.approx(truth, abs=0.3)


def test_wider_noise_keeps_its_modes():
    points = np.random.default_rng(8).normal(size=(2_000, 1)) + np.repeat(
        [[-9.0], [9.0]], 1_000, axis=0
    )
    narrow, wide = (law_of(points, widening=width).conditionals for width in (1.0, 1.5))
    np.testing.assert_allclose(wide.noise_loc, narrow.noise_loc, rtol=1e-6)
    np.testing.assert_allclose(
        wide.noise_log_scale, narrow.noise_log_scale + np.log(1.5), rtol=1e-5
    )


def test_rounds_end_where_laws_have_settled():
    assert _rise_no_more([0.1, 0.7, 0.79, 0.8, 0.8, 0.8, 0.8, 0.8])
    assert not _rise_no_more([0.1, 0.7, 0.79, 0.8])
    assert not _rise_no_more([0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    assert not _rise_no_more([0.05] * 9)
    assert not _rise_no_more([0.24, 0.08, 0.2, 0.2, 0.2, 0.2])
    assert _is_settled([0.001, 0.4, 0.8, 0.8, 0.8, 0.8, 0.8])
    assert not _is_settled([0.2, 0.04])


@pytest.mark.slow
def test_many_wells_are_a_product_of_laws():
    """Within five standard errors (6e-7), from weights of which more than a third count."""
    energy = from_callable(lambda x: jnp.sum(x**4 - 6 * x**2 - 0.5 * x), (12,))
    key_fit, key_run = jax.random.split(jax.random.key(9))
    estimate = importance_sampling(energy, fit_base(energy, key_fit, num_draws=4_000), key_run)
    grid = np.linspace(-5.0, 5.0, 20_001)
    log_z = 12 * np.log(np.exp(-(grid**4 - 6 * grid**2 - 0.5 * grid)).sum() * (grid[1] - grid[0]))
    assert abs(estimate.log_z - log_z) < 5 * estimate.std_error
    assert estimate.ess > 3_333


def test_weights_are_flattened_no_more_than_they_must():
    even = np.zeros(1_000)
    np.testing.assert_array_equal(_flattened(even), even)
    rough = 20.0 * np.random.default_rng(0).normal(size=1_000)
    weights = np.exp(_flattened(rough) - _flattened(rough).max())
    assert weights.sum() ** 2 / np.sum(weights**2) == pytest.approx(100.0, rel=0.05)


def test_supports_and_shapes_are_kept():
    support = constraints.independent(constraints.unit_interval, 2)
    energy = from_callable(lambda x: -jnp.sum(jnp.log(x) + 2 * jnp.log1p(-x)), (2, 2), support)
    base = fit_base(energy, jax.random.key(0), num_rounds=2, num_draws=1_000)
    estimate = importance_sampling(energy, base, jax.random.key(1), num_draws=2_000)
    assert estimate.interval is not None
    assert estimate.interval[0] < 4 * np.log(1 / 12) < estimate.interval[1]  # B(2, 3)^4


def test_states_are_refused():
    with pytest.raises(ValueError, match="`energy` must be of real coordinates"):
        fit_base(Ising((3, 3), 0.2), jax.random.key(0))


def test_a_law_that_does_not_fit_says_so():
    """Sixteen modes of which no two share a coordinate: their marginals' product has 256."""
    rng = np.random.default_rng(3)
    means = 2.0 * np.stack([rng.permutation(16), rng.permutation(16)], axis=1) - 15.0
    energy = GaussianMixture(np.ones(16) / 16, means, np.stack([0.01 * np.eye(2)] * 16))
    base = dist.Normal(0.0, 10.0).expand((2,))
    with pytest.warns(SlowMixingWarning, match="does not yet fit"):
        fit_base(energy, jax.random.key(0), base=base, num_rounds=1, num_draws=1_000)
