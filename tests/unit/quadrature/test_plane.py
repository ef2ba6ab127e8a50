"""Two coordinates: partition functions, the Rosenblatt transform and its inverse, marginals."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints
from scipy import stats

from ebm_ppl.energies import Banana, Funnel, Gaussian, GaussianMixture, Ring, from_callable
from ebm_ppl.quadrature import normalize

LOG_2PI = np.log(2 * np.pi)


def gaussian(correlation, scales=(1.0, 1.0)):
    first, second = scales
    off = correlation * first * second
    return Gaussian(loc=[0.5, -1.0], covariance_matrix=[[first**2, off], [off, second**2]])


def test_thin_gaussian_in_every_respect():
    density = normalize(gaussian(0.99, (2.0, 0.1)))
    covariance = np.array([[4.0, 0.198], [0.198, 0.01]])
    truth = LOG_2PI + 0.5 * np.linalg.slogdet(covariance)[1]
    # The energy stores its parameters in float32; the covariance seen here is rounded.
    assert density.log_z == pytest.approx(truth, abs=2e-5)
    np.testing.assert_allclose(density.mean(), [0.5, -1.0], atol=1e-6)
    np.testing.assert_allclose(density.covariance(), covariance, rtol=2e-5)
    assert density.entropy() == pytest.approx(1.0 + truth, abs=2e-5)
    x = density.sample(jax.random.key(1), (500,))
    u = density.rosenblatt(x)
    np.testing.assert_allclose(u[:, 0], stats.norm.cdf(x[:, 0], 0.5, 2.0), atol=1e-5)
    conditional = density.covariance()
    slope = conditional[0, 1] / conditional[0, 0]
    spread = np.sqrt(conditional[1, 1] - slope * conditional[0, 1])
    expected = stats.norm.cdf(x[:, 1], -1.0 + slope * (x[:, 0] - 0.5), spread)
    np.testing.assert_allclose(u[:, 1], expected, atol=1e-5)


@pytest.mark.parametrize(
    ("fn", "support", "truth"),
    [
        (
            lambda x: x[1] ** 2 / 18 + 0.5 * x[0] ** 2 * jnp.exp(-x[1]) + 0.5 * x[1],
            None,
            LOG_2PI + np.log(3.0),
        ),
        (lambda x: (x[0] - 1) ** 2 + 100 * (x[1] - x[0] ** 2) ** 2, None, np.log(np.pi / 10)),
        (lambda x: 1.5 * jnp.log1p(x @ x), None, LOG_2PI),
        (lambda x: jnp.sum(jnp.log1p(x**2)), None, 2 * np.log(np.pi)),
        (
            lambda x: (
                -jnp.logaddexp(
                    -50.0 * jnp.sum((x - 5) ** 2),
                    0.3 - 0.5 * (x[0] + 5) ** 2 - 0.5 * (x[1] - 3) ** 2,
                )
            ),
            None,
            LOG_2PI + np.log(0.01 + np.exp(0.3)),
        ),
        (lambda x: jnp.sum(x), constraints.independent(constraints.positive, 1), 0.0),
        (lambda x: 0.0 * x[0], constraints.independent(constraints.unit_interval, 1), 0.0),
    ],
    ids=[
        "funnel with the neck across",
        "rosenbrock",
        "cauchy",
        "cauchy product",
        "unequal modes",
        "positive",
        "unit",
    ],
)
def test_plane_partition_functions(fn, support, truth):
    density = normalize(from_callable(fn, (2,), support))
    assert abs(density.log_z - truth) < 1e-6
    assert abs(density.log_z - truth) <= density.log_z_error + 1e-13


def test_box():
    energy = from_callable(lambda x: 0.5 * jnp.sum(x**2), (2,))
    density = normalize(energy, bounds=((-1.0, 2.0), (0.0, 1.0)))
    share = (stats.norm.cdf(2) - stats.norm.cdf(-1)) * (stats.norm.cdf(1) - 0.5)
    assert density.log_z == pytest.approx(LOG_2PI + np.log(share), abs=1e-8)
    assert np.isneginf(density.log_density([0.0, 1.5]))
    x = density.sample(jax.random.key(2), (1000,))
    assert x.min(0)[0] >= -1
    assert x.max(0)[1] <= 1


def conditional_by_brute_force(energy, density, x):
    """Conditional CDF of the second coordinate, on a fine grid of its own."""
    spread = np.sqrt(density.variance()[1])
    ticks = np.linspace(density.mean()[1] - 14 * spread, density.mean()[1] + 14 * spread, 200_001)
    points = np.stack([np.full_like(ticks, x[0]), ticks], -1)
    weight = density.density(points)
    total = np.concatenate([[0.0], np.cumsum(0.5 * (weight[1:] + weight[:-1]))])
    return np.interp(x[1], ticks, total) / total[-1]


@pytest.mark.parametrize(
    "energy",
    [
        Banana(),
        Funnel(dim=2, scale=1.0),
        Ring(),
        gaussian(0.999),
        GaussianMixture(
            weights=[0.3, 0.7],
            locs=[[-2.0, 0.0], [2.0, 1.0]],
            covariance_matrices=[[[0.3, 0.1], [0.1, 0.5]], [[1.0, -0.5], [-0.5, 0.5]]],
        ),
    ],
    ids=lambda energy: type(energy).__name__,
)
def test_rosenblatt(energy):
    density = normalize(energy)
    x = density.sample(jax.random.key(3), (2000,))
    u = density.rosenblatt(x)
    np.testing.assert_allclose(density.inverse_rosenblatt(u), x, atol=1e-8, rtol=1e-8)
    for point, probability in zip(x[:6], u[:6, 1], strict=True):
        assert abs(conditional_by_brute_force(energy, density, point) - probability) < 1e-5
    # Monotone in the second coordinate, up to the interpolation between rows.
    line = np.stack(
        [np.full(500, x[0, 0]), np.linspace(*np.quantile(x[:, 1], [0.0, 1.0]), 500)], -1
    )
    along = density.rosenblatt(line)[:, 1]
    assert np.all(np.diff(along) >= -1e-7)
    assert np.all((along >= 0) & (along <= 1))


def test_marginals_of_both_coordinates():
    density = normalize(gaussian(-0.8, (2.0, 0.5)))
    for axis, (mean, scale) in enumerate([(0.5, 2.0), (-1.0, 0.5)]):
        marginal = density.marginal(axis)
        x = np.linspace(mean - 3 * scale, mean + 3 * scale, 7)
        np.testing.assert_allclose(marginal.cdf(x), stats.norm.cdf(x, mean, scale), atol=1e-6)
        np.testing.assert_allclose(marginal.density(x), stats.norm.pdf(x, mean, scale), rtol=1e-5)
        np.testing.assert_allclose(marginal.quantile(marginal.cdf(x)), x, atol=1e-9)
    with pytest.raises(ValueError, match="axis"):
        density.marginal(2)


def test_marginal_of_a_positive_coordinate():
    support = constraints.independent(constraints.positive, 1)
    density = normalize(from_callable(lambda x: x[0] - jnp.log(x[1]) + 2 * x[1], (2,), support))
    x = np.array([0.1, 0.7, 2.0])
    np.testing.assert_allclose(density.marginal(0).density(x), np.exp(-x), rtol=1e-6)
    expected = stats.gamma.pdf(x, 2, scale=0.5)
    np.testing.assert_allclose(density.marginal(1).density(x), expected, rtol=1e-6)
    np.testing.assert_allclose(
        density.marginal(1).cdf(x), stats.gamma.cdf(x, 2, scale=0.5), atol=1e-7
    )


def test_kl_of_two_gaussians():
    first, second = normalize(gaussian(0.5)), gaussian(-0.3, (2.0, 1.5))
    own, theirs = first.covariance(), normalize(second).covariance()
    expected = 0.5 * (
        np.trace(np.linalg.solve(theirs, own))
        - 2.0
        + np.linalg.slogdet(theirs)[1]
        - np.linalg.slogdet(own)[1]
    )
    assert first.kl(second) == pytest.approx(expected, abs=1e-8)
    assert first.kl(first) == pytest.approx(0.0, abs=1e-12)
