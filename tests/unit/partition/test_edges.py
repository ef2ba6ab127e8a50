"""On bounded supports the default base covers the edges, and what floats lose there is named."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints
from scipy import special, stats

from ebm_ppl.annealing import GeometricPath, default_base
from ebm_ppl.energies import Beta, Gamma, Gaussian, from_callable
from ebm_ppl.partition import (
    EdgeWarning,
    bridge_sampling,
    importance_sampling,
    reverse_annealed_importance_sampling,
    sequential_monte_carlo,
)
from ebm_ppl.partition._edge import lost_at_edge
from ebm_ppl.samplers import RandomWalkMetropolis

KEY = jax.random.key(0)
WALK = functools.partial(RandomWalkMetropolis, step_size=1.0)


def square(x):
    return jnp.sum(x)


SQUARE = from_callable(square, (2,), constraints.independent(constraints.interval(-1.0, 1.0), 1))
SQUARE_LOG_Z = 2 * np.log(2 * np.sinh(1.0))


def beta_draws(a, shape, seed=0):
    """Draws of a Beta law as float32, clipped into the interval as kernels clip them."""
    draws = np.random.default_rng(seed).beta(a, a, shape)
    return jnp.clip(jnp.asarray(draws, jnp.float32), 1e-30, 1 - 6e-8)


@pytest.mark.parametrize("rate", [-3.0, 0.0, 3.0])
def test_weights_of_the_default_base_are_bounded_at_edges(rate):
    """Log weights of exp(rate x) never rise towards an edge, where images of normal laws let them to 60."""
    energy = from_callable(lambda x: rate * x, (), constraints.interval(-1.0, 1.0))
    x = jnp.asarray([-1 + 1e-6, -0.99, 0.0, 0.99, 1 - 1e-6])
    log_weights = -jax.vmap(energy)(x) - default_base(energy).log_prob(x)
    assert float(log_weights.max()) < abs(rate) + 3


@pytest.mark.slow
def test_intervals_on_a_square_cover():
    """Coverage of sum x on (-1, 1)^2, 0.885 of 200 with the image of a normal law.

    Of 150 nominal 95% intervals fewer than 127 hold the truth in 1e-6 of runs if 0.95 do.
    """
    run = lambda key: sequential_monte_carlo(  # noqa: E731
        SQUARE,
        key,
        num_particles=50,
        num_runs=20,
        schedule=[0.0, 0.1, 0.3, 0.6, 1.0],
        kernel=WALK,
    )
    held = 0
    for key in jax.random.split(KEY, 150):
        low, high = run(key).interval
        held += low <= SQUARE_LOG_Z <= high
    assert stats.binom.ppf(1e-6, 150, 0.95) == 127
    assert held >= 127


WITH_EDGES = {
    "bridge": lambda energy: bridge_sampling(energy, beta_draws(0.1, (4, 1000)), KEY),
    "reverse": lambda energy: reverse_annealed_importance_sampling(
        energy, beta_draws(0.1, 2000), KEY, schedule=20
    ),
    "importance": lambda energy: importance_sampling(energy, default_base(energy), KEY),
}


@pytest.mark.parametrize("name", WITH_EDGES)
@pytest.mark.filterwarnings("ignore::ebm_ppl.partition.HeavyTailWarning")
def test_mass_beyond_the_edge_of_floats_is_named(name):
    """Beta(0.1, 0.1) keeps a tenth of its mass above 1 - 6e-8: no interval, and a warning says why."""
    with pytest.warns(EdgeWarning, match="nearer to the edge of its support"):
        estimate = WITH_EDGES[name](Beta(0.1, 0.1))
    assert estimate.interval is None
    assert abs(estimate.log_z - special.betaln(0.1, 0.1)) < 5 * estimate.std_error


def test_what_is_lost_is_estimated_from_the_mass_beside_it():
    """P(x > 1 - t) of Beta(a, a) is about t^a / (a B(a, a)), and floats end at 1 - 6e-8."""
    for a, factor in ((0.1, 4.0), (0.2, 4.0)):
        lost = lost_at_edge(Beta(a, a), beta_draws(a, 100_000)[beta_draws(a, 100_000) < 1 - 1e-7])
        truth = (6e-8) ** a / (a * special.beta(a, a))
        assert truth / factor < lost < factor * truth


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("a", [0.5, 1.0, 3.0])
def test_usual_laws_on_intervals_lose_nothing_that_counts(a, seed):
    """The arcsine law loses 1.6e-4, a tenth of what a thousand draws could see."""
    assert lost_at_edge(Beta(a, a), beta_draws(a, 4_000, seed)) < 1e-3


def test_laws_without_edges_lose_nothing():
    x = jnp.asarray(np.random.default_rng(0).gamma(0.05, size=4_000) + 1e-30, jnp.float32)
    assert lost_at_edge(Gamma(0.05, 1.0), x) == 0  # floats are dense at 0
    assert lost_at_edge(Gaussian([0.0], [[1.0]]), x[:, None]) == 0


def test_an_interval_that_floats_cannot_resolve_is_named():
    """Of (10^6, 10^6 + 1) float32 knows 16 points."""
    energy = from_callable(lambda x: 0.0 * x, (), constraints.interval(1e6, 1e6 + 1.0))
    x = 1e6 + np.random.default_rng(0).integers(1, 16, 1_000) / 16.0
    assert lost_at_edge(energy, jnp.asarray(x)) == 1.0


@pytest.mark.parametrize("edge", [0.0, 1.0])
def test_draws_on_the_edge_are_refused(edge):
    draws = beta_draws(2.0, (4, 20)).at[0, 3].set(edge)
    with pytest.raises(
        ValueError, match=r"`draws` must be inside the support; 1 of 80 are rounded"
    ):
        bridge_sampling(Beta(2.0, 2.0), draws, KEY)
    with pytest.raises(
        ValueError, match=r"`draws` must be inside the support; 1 of 80 are rounded"
    ):
        reverse_annealed_importance_sampling(Beta(2.0, 2.0), draws.reshape(-1), KEY)


def test_draws_of_the_base_law_are_inside_the_support():
    """Of a million draws of the image of logistic laws two hundred are rounded to an edge."""
    draws = GeometricPath(SQUARE).sample_base(KEY, 1_000_000)
    assert float(jnp.abs(draws).max()) < 1.0
    assert float(jnp.abs(draws).max()) > 1 - 1e-6
    assert bool(jnp.all(jnp.isfinite(default_base(SQUARE).log_prob(draws))))
