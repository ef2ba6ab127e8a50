"""The traceable partition function, and draws from a table under jit."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints
from scipy import stats

from ebm_ppl.energies import Beta, Funnel, Gamma, Gaussian, Quartic, from_callable
from ebm_ppl.quadrature import GridTable, QuadratureNormalizer, normalize
from ebm_ppl.quadrature._table import draw_linear

CORRELATED = Gaussian(loc=[1.0, -1.0], covariance_matrix=[[2.0, 0.6], [0.6, 0.5]])


@pytest.mark.parametrize(
    "energy",
    [Quartic(), Beta(2.0, 3.0), Gamma(3.0, 2.0), CORRELATED],
    ids=lambda e: type(e).__name__,
)
def test_agrees_with_normalize(energy):
    normalizer = QuadratureNormalizer.for_energy(energy)
    log_z = jax.jit(lambda e: normalizer(e))(energy)
    assert log_z.dtype == jnp.float32
    assert float(log_z) == pytest.approx(normalize(energy).log_z, abs=2e-5)


def test_gradient_is_minus_the_expected_gradient():
    energy = Quartic(a=0.5, b=0.3, gamma=-1.0)
    gradient = jax.jit(jax.grad(lambda e: QuadratureNormalizer((-7.0, 7.0))(e)))(energy)
    density = normalize(energy)
    lam = float(np.exp(-1.0))
    expected = (
        -density.expectation(lambda x: x**2),
        -density.expectation(lambda x: x),
        -lam * density.expectation(lambda x: x**4),
    )
    np.testing.assert_allclose([gradient.a, gradient.b, gradient.gamma], expected, rtol=2e-5)


@pytest.mark.parametrize("bounds", [(-1.0, 1.0), (-9.0, 0.5), (100.0, 101.0)])
def test_mass_outside_the_grid_gives_infinity_with_a_finite_gradient(bounds):
    value, gradient = jax.value_and_grad(lambda a: QuadratureNormalizer(bounds)(Quartic(a=a)))(0.5)
    assert np.isposinf(value)
    assert np.isfinite(gradient)


def test_unusable_energies_give_infinity():
    normalizer = QuadratureNormalizer((-5.0, 5.0))
    assert np.isposinf(normalizer(from_callable(lambda x: jnp.inf + 0 * x, ())))
    assert np.isposinf(normalizer(from_callable(lambda x: jnp.nan * x, ())))
    assert np.isposinf(normalizer(from_callable(lambda x: 0.0 * x, ())))


def test_refuses_bad_arguments():
    with pytest.raises(ValueError, match="bounds"):
        QuadratureNormalizer((1.0, -1.0))
    with pytest.raises(ValueError, match="bounds"):
        QuadratureNormalizer((0.0, np.inf))
    with pytest.raises(ValueError, match="num_intervals"):
        QuadratureNormalizer((0.0, 1.0), num_intervals=2)
    with pytest.raises(ValueError, match="one pair per coordinate"):
        QuadratureNormalizer((0.0, 1.0))(CORRELATED)
    with pytest.raises(ValueError, match="num_intervals"):
        QuadratureNormalizer.for_energy(from_callable(lambda x: jnp.log1p(x**2), ()))


def test_draws_exactly_from_a_linear_density():
    # KS, 200,000 draws, false alarm 1e-8; sees a CDF off by 0.01 with power over 99.9%.
    uniform = jax.random.uniform(jax.random.key(0), (200_000,))
    ones = jnp.ones_like(uniform)
    for left, right in ((1.0, 3.0), (2.0, 0.0), (0.0, 1.0), (1.0, 1.0)):
        x = np.asarray(draw_linear(uniform, left * ones, right * ones), np.float64)
        cdf = lambda t, a=left, b=right: (2 * a * t + (b - a) * t**2) / (a + b)  # noqa: E731
        assert stats.kstest(x, cdf).pvalue > 1e-8
    assert stats.kstest(np.asarray(uniform, np.float64), lambda t: t**2).pvalue < 1e-8


def uniforms_of_draws(energy, table, density, size=100_000):
    draw = eqx.filter_jit(lambda table, key: table.sample(key, (size,)))
    x = draw(table, jax.random.key(7))
    assert x.dtype == jnp.float32
    assert x.shape == (size, *energy.event_shape)
    return density.rosenblatt(x)


@pytest.mark.parametrize(
    "energy",
    [Quartic(a=-1.0, b=0.3), Gamma(3.0, 2.0), Beta(2.0, 3.0), CORRELATED, Funnel(dim=2, scale=1.0)],
    ids=lambda e: type(e).__name__,
)
def test_table_of_a_density(energy):
    # KS on each of at most two coordinates, 100,000 draws: false alarm 2e-8 for each energy; sees a
    # CDF that is off by 0.02 with power over 99.9%.
    density = normalize(energy)
    u = uniforms_of_draws(energy, GridTable.from_density(density), density)
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-8
    if u.shape[1] == 2:
        # Independence: the correlation has standard deviation 1 / sqrt(n); false alarm 4e-8.
        assert abs(np.corrcoef(u.T)[0, 1]) * np.sqrt(len(u)) < 5.5


@pytest.mark.parametrize(
    "energy", [Quartic(a=-1.0, b=0.3), CORRELATED], ids=lambda e: type(e).__name__
)
def test_table_of_a_normalizer(energy):
    # As above.
    density = normalize(energy)
    table = GridTable.from_normalizer(energy, QuadratureNormalizer.for_energy(energy))
    u = uniforms_of_draws(energy, table, density)
    for column in u.T:
        assert stats.kstest(column, "uniform").pvalue > 1e-8


def test_planted_bug_is_seen():
    # Drawing the middle of each cell, on a table that is too coarse, must be seen.
    energy = CORRELATED
    density = normalize(energy)
    coarse = QuadratureNormalizer.for_energy(energy, num_intervals=64)
    nodes, log_density = coarse.log_density_table(energy)
    second = jnp.broadcast_to(nodes[1][::4], (17, 17))
    values = jnp.exp(log_density - log_density.max())[::4, ::4]
    u = uniforms_of_draws(energy, GridTable(energy, nodes[0][::4], second, values), density)
    assert min(stats.kstest(column, "uniform").pvalue for column in u.T) < 1e-8


def test_table_under_vmap_over_parameters():
    normalizer = QuadratureNormalizer((-8.0, 8.0))
    keys = jax.random.split(jax.random.key(0), 3)
    draw = lambda a, key: GridTable.from_normalizer(Quartic(a=a), normalizer).sample(key, (5,))  # noqa: E731
    x = jax.jit(jax.vmap(draw))(jnp.array([0.1, 1.0, 10.0]), keys)
    assert x.shape == (3, 5)
    assert np.isfinite(x).all()


def test_table_is_a_pytree_of_arrays():
    table = GridTable.from_density(normalize(Gamma(3.0, 2.0)))
    leaves = jax.tree.leaves(eqx.filter(table, eqx.is_array))
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)
    assert constraints.positive(table.sample(jax.random.key(0), (10,))).all()
