"""A base law that is fitted: it is normalised, draws follow its density, and it becomes what a target is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpyro.distributions import constraints
from scipy import stats

from ebm_ppl.energies import Funnel, Ising, from_callable
from ebm_ppl.partition import (
    SlowMixingWarning,
    estimate_from_log_weights,
    fit_base,
    importance_sampling,
)
from ebm_ppl.partition._autoregressive import AutoregressiveLaw
from ebm_ppl.partition._autoregressive_fit import fit_conditionals
from ebm_ppl.partition._fit_base import _flattened


def funnel_points(dim, scale, count, seed=0):
    rng = np.random.default_rng(seed)
    v = scale * rng.normal(size=(count, 1))
    return np.concatenate([v, np.exp(v / 2) * rng.normal(size=(count, dim - 1))], axis=1)


def law_of(points, num_components=4, widening=1.0):
    weights = np.full(len(points), 1 / len(points))
    return AutoregressiveLaw(fit_conditionals(points, weights, num_components, widening))


def test_densities_add_up_to_one():
    """By draws of a wider law: 20,000 weights of mean 1, within five standard errors (6e-7)."""
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
    draws = np.asarray(law.sample(jax.random.key(3), (5_000,)))[:, 0]
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


def test_a_law_that_does_not_fit_yet_says_so():
    """One round with a funnel of scale 4 leaves weights of a percent."""
    with pytest.warns(SlowMixingWarning, match="does not yet fit"):
        fit_base(Funnel(dim=10, scale=4.0), jax.random.key(0), num_rounds=1, num_draws=1_000)
