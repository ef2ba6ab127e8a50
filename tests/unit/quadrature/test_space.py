"""Three coordinates: partition functions on the tensor product of three axes, and what is refused."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from numpyro.distributions import constraints
from scipy import integrate, special, stats

import ebm_ppl as ebm
from ebm_ppl import NonFiniteEnergyError, NotNormalizableError
from ebm_ppl.energies import Gaussian, from_callable
from ebm_ppl.quadrature import GridTable, QuadratureNormalizer, normalize

LOG_2PI = np.log(2 * np.pi)
COVARIANCE = np.array([[1.5, 0.5, -0.25], [0.5, 1.0, 0.25], [-0.25, 0.25, 0.5]])
LOC = np.array([0.5, -1.0, 20.0])


def quartics(x):
    """A product of three quartics, each about a place of its own."""
    return jnp.sum((x - jnp.array([0.0, 1.0, -2.0])) ** 4)


@pytest.fixture(scope="module")
def normal():
    return normalize(Gaussian(LOC, COVARIANCE))


def test_normal_law_in_every_respect(normal):
    # What the energy holds of the covariance is its inverse factor, rounded to float32.
    factor = np.diag(np.asarray(normal.energy.whitening, np.float64))
    truth = 1.5 * LOG_2PI - np.log(factor).sum()
    assert abs(normal.log_z - truth) <= normal.log_z_error + 1e-13
    assert abs(normal.log_z - truth) < 1e-8
    np.testing.assert_allclose(normal.mean(), LOC, atol=1e-8)
    np.testing.assert_allclose(normal.covariance(), COVARIANCE, atol=1e-6)
    assert normal.entropy() == pytest.approx(1.5 + truth, abs=1e-8)
    other = Gaussian(LOC + 1.0, COVARIANCE)
    shift = np.ones(3)
    expected = 0.5 * shift @ np.linalg.solve(COVARIANCE, shift)
    assert normal.kl(other) == pytest.approx(expected, abs=1e-6)
    x = LOC + np.array([[0.1, 0.2, -0.3], [1.0, 0.0, 0.5]])
    expected = stats.multivariate_normal(LOC, COVARIANCE).logpdf(x)
    np.testing.assert_allclose(normal.log_density(x), expected, atol=1e-6)


def wells():
    """Two double wells and a normal law, one after the other by SciPy's adaptive rule."""
    one = integrate.quad(lambda t: np.exp(-((t**2 - 2) ** 2)), -6, 6, epsabs=0, epsrel=1e-12)[0]
    energy = from_callable(
        lambda x: (x[0] ** 2 - 2) ** 2 + (x[1] ** 2 - 2) ** 2 + 0.5 * x[2] ** 2, (3,)
    )
    return energy, 2 * np.log(one) + 0.5 * LOG_2PI


@pytest.mark.parametrize(
    ("energy", "truth"),
    [
        (from_callable(quartics, (3,)), 3 * np.log(2 * special.gamma(1.25))),
        wells(),
        (
            from_callable(lambda x: 0.5 * x[0] ** 2 + jnp.sum(jnp.log1p(x[1:] ** 2)), (3,)),
            0.5 * LOG_2PI + 2 * np.log(np.pi),
        ),
        (
            from_callable(
                lambda x: jnp.sum(x), (3,), constraints.independent(constraints.positive, 1)
            ),
            0.0,
        ),
    ],
    ids=["quartics", "eight modes", "cauchy", "positive"],
)
def test_closed_forms(energy, truth, request):
    density = normalize(energy)
    assert abs(density.log_z - truth) <= density.log_z_error + 1e-13
    assert abs(density.log_z - truth) < (1e-4 if "cauchy" in request.node.name else 1e-6)


def test_error_of_a_coarse_grid_is_told():
    energy = from_callable(quartics, (3,))
    truth = 3 * np.log(2 * special.gamma(1.25))
    for count in (20, 28, 40):
        density = normalize(energy, bounds=(-6.0, 6.0), num_intervals=count)
        wrong = abs(density.log_z - truth)
        assert wrong <= density.log_z_error
        if count == 20:
            assert wrong > 1e-5  # so the bound is about something


def test_box():
    energy = from_callable(lambda x: 0.5 * jnp.sum(x**2), (3,))
    density = normalize(energy, bounds=((-1.0, 2.0), (0.0, 1.0), (-np.inf, np.inf)))
    share = (stats.norm.cdf(2) - stats.norm.cdf(-1)) * (stats.norm.cdf(1) - 0.5)
    assert abs(density.log_z - 1.5 * LOG_2PI - np.log(share)) <= density.log_z_error
    assert density.log_z_error < 1e-6


@pytest.mark.parametrize(
    "fn",
    [
        lambda x: 0.5 * (x[0] ** 2 + x[1] ** 2),
        lambda x: 0.5 * (x[0] - 2 * x[1]) ** 2 + 0.5 * x[2] ** 2,
        lambda x: 0.5 * jnp.log1p(x[0] ** 2) + 0.5 * (x[1] ** 2 + x[2] ** 2),
        lambda x: x[0] + 0.5 * (x[1] ** 2 + x[2] ** 2),
        lambda x: 1.5 * jnp.log1p(x @ x),
    ],
    ids=["flat axis", "oblique ridge", "1 / |x|", "linear", "1 / |x|^3"],
)
def test_refuses_infinite_mass(fn):
    with pytest.raises(NotNormalizableError, match="cannot be normalised"):
        normalize(from_callable(fn, (3,)))


def test_refuses_numbers_that_are_none():
    with pytest.raises(NonFiniteEnergyError):
        normalize(from_callable(lambda x: jnp.nan * jnp.sum(x), (3,)))
    with pytest.raises(NonFiniteEnergyError, match="-inf"):
        normalize(
            from_callable(lambda x: jnp.sum(x**2) + jnp.where(x[0] == 0, -jnp.inf, 0.0), (3,))
        )


def test_refuses_more_than_memory_holds():
    energy = from_callable(quartics, (3,))
    with pytest.raises(ValueError, match=r"at most 200 .* 256 MiB; got 512, which takes 4,1"):
        normalize(energy, num_intervals=512)


def test_refuses_what_needs_tables(normal):
    with pytest.raises(ValueError, match="rosenblatt"):
        normal.rosenblatt(LOC)
    with pytest.raises(ValueError, match="inverse_rosenblatt"):
        normal.sample(jax.random.key(0))
    with pytest.raises(ValueError, match="marginal"):
        normal.marginal(0)
    with pytest.raises(ValueError, match="tabulate"):
        GridTable.from_density(normal)
    law = ebm.EnergyDistribution(Gaussian(LOC, COVARIANCE), log_z=normal)
    with pytest.raises(NotImplementedError, match="at most 2"):
        law.sample(jax.random.key(0))
    np.testing.assert_allclose(law.mean, LOC, atol=1e-5)


def test_normalizer_under_jit_and_its_gradient():
    normalizer = QuadratureNormalizer.for_energy(Gaussian(np.zeros(3), COVARIANCE))
    truth = 1.5 * LOG_2PI + 0.5 * np.linalg.slogdet(COVARIANCE)[1]

    def log_z(scale):
        return normalizer(from_callable(lambda x: quartics_scaled(x, scale), (3,)))

    def quartics_scaled(x, scale):
        return jnp.sum((scale * x) ** 4)

    assert float(normalizer(Gaussian(np.zeros(3), COVARIANCE))) == pytest.approx(truth, abs=1e-4)
    value, slope = jax.jit(jax.value_and_grad(log_z))(0.8)
    assert float(value) == pytest.approx(3 * np.log(2 * special.gamma(1.25) / 0.8), abs=1e-4)
    assert float(slope) == pytest.approx(-3 / 0.8, rel=1e-3)
    assert np.isposinf(normalizer(from_callable(lambda x: 0.0 * jnp.sum(x), (3,))))
